//! Cases of Q10, Q11, Q13 and Q14.

use super::Case;
use super::scene::{MAX_ATTEMPTS, Scene, job, nack, run, seen};
use crate::history::{Got, Job, Op, Run, Verdict, What};

pub const CASES: &[Case] = &[
    ("Q10", early),
    ("Q10", early_by_date),
    ("Q10", early_after_restart),
    ("Q10", postponed),
    ("Q10", run_too_early),
    ("Q11", forgotten),
    ("Q13", nacked),
    ("Q13", retry_after),
    ("Q13", long_error),
    ("Q14", dead_gone),
    ("Q14", done_kept),
    ("Q14", done_gone),
];

fn early(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue_job(Job { delay_ms: Some(500), ..job("p") });
    scene.pass(if is_broken { 400 } else { 500 });
    scene.claim(&id, "p", 1);
    scene
}

fn early_by_date(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let run_at_ms = Some(scene.wall_ms() + 500);
    let id = scene.enqueue_job(Job { run_at_ms, ..job("p") });
    scene.pass(if is_broken { 400 } else { 500 });
    scene.claim(&id, "p", 1);
    scene
}

fn early_after_restart(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue_job(Job { delay_ms: Some(500), ..job("p") });
    scene.crash_and_open();
    scene.pass(if is_broken { 400 } else { 500 });
    scene.claim(&id, "p", 1);
    scene
}

fn postponed(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.settle(&token, Verdict::Postpone { delay_ms: 500 });
    scene.pass(if is_broken { 400 } else { 500 });
    scene.claim(&id, "p", 1);
    scene
}

fn run_too_early(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.submit(Run { delay_ms: Some(500), ..run("r", "in") });
    let row = scene.id();
    scene.pass(if is_broken { 400 } else { 500 });
    scene.step((&row, "r"), 0, "in");
    scene
}

fn forgotten(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue_job(Job { delay_ms: Some(500), ..job("p") });
    scene.pass(20_000);
    scene.find_job(&id, if is_broken { "scheduled" } else { "pending" }, "p");
    scene.find_all();
    scene
}

fn nacked(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    for (attempts, wait_ms) in [(1, 100), (2, if is_broken { 100 } else { 200 })] {
        let token = scene.claim(&id, "p", attempts);
        scene.settle(&token, nack("busy"));
        scene.pass(wait_ms);
    }
    scene.claim(&id, "p", 3);
    scene
}

fn retry_after(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.settle(&token, Verdict::Nack { error: "busy".into(), retry_after_ms: Some(2_000) });
    scene.pass(500);
    if !is_broken {
        scene.ask(Op::WakeJob { job: id.clone() }, Got::Done);
    }
    scene.claim(&id, "p", 2);
    scene
}

fn long_error(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let mut job = seen(&id, "pending", "p");
    job.last_error = Some("e".repeat(if is_broken { 5_000 } else { 4_096 }));
    scene.note(What::FoundJob(job));
    scene.find_all();
    scene
}

fn dead_gone(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.settle(&token, Verdict::DeadLetter { reason: "no".into() });
    scene.pass(if is_broken { 30_000 } else { 60_000 });
    scene.find_all();
    scene
}

fn done_kept(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    if !is_broken {
        scene.profile().done_retention_ms = Some(60_000);
    }
    let id = scene.enqueue("p");
    scene.work_off(&id, "p");
    scene.find_job(&id, "done", "p");
    scene.find_all();
    scene
}

fn done_gone(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.profile().done_retention_ms = Some(60_000);
    let id = scene.enqueue("p");
    scene.work_off(&id, "p");
    scene.pass(if is_broken { 30_000 } else { 60_000 });
    scene.find_all();
    scene
}

#[test]
fn a_delay_over_a_restart_follows_a_calendar_that_was_set_forward() {
    let mut scene = early_after_restart(true);
    let claimed = scene.events.len() - 3;
    for event in &mut scene.events[claimed..] {
        event.wall_ms += 3_600_000;
    }

    assert!(super::check(&scene.events).is_empty());
}

#[test]
fn the_last_nack_leaves_a_dead_job() {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    for attempts in 1..=MAX_ATTEMPTS {
        let token = scene.claim(&id, "p", attempts);
        scene.settle(&token, nack("busy"));
        scene.pass(1_000);
    }
    scene.find_all();

    let violations = super::check(&scene.events);
    assert_eq!(violations.iter().map(|one| one.invariant.0).collect::<Vec<_>>(), ["Q14"]);
}
