//! Cases of W1 to W12.

use super::Case;
use super::scene::{Scene, bad_end, end, go_on, nack, run, seen, succeed};
use crate::history::{
    Answer, Claim, Got, Headers, JobSeen, Op, Run, RunEnd, RunSeen, Submitted, Verdict, What, Work,
};

pub const CASES: &[Case] = &[
    ("W1", from_nowhere),
    ("W1", seen_too_far),
    ("W2", other_payload),
    ("W2", other_input),
    ("W2", other_headers),
    ("W3", step_after_the_end),
    ("W3", settled_after_the_end),
    ("W4", said_otherwise),
    ("W4", told_otherwise),
    ("W4", back_to_life),
    ("W4", nobody_said),
    ("W5", hook_told_otherwise),
    ("W5", hook_not_told),
    ("W5", two_notifications),
    ("W6", new_twice),
    ("W6", other_input_taken),
    ("W6", own_input_refused),
    ("W7", failed_of_nothing),
    ("W7", death_overruled),
    ("W7", dead_letter_of_a_verdict),
    ("W8", cancelled_and_succeeded),
    ("W8", cancelled_and_going_on),
    ("W8", not_cancelled),
    ("W9", reserved_header),
    ("W9", reserved_submission),
    ("W10", no_step),
    ("W10", dead_step),
    ("W11", too_early),
    ("W12", no_result),
];

/// A run, and its first step with its token.
fn begun() -> (Scene, String, String) {
    begun_with(run("r", "in"))
}

fn begun_with(run: Run) -> (Scene, String, String) {
    let mut scene = Scene::new();
    scene.submit(run);
    let row = scene.id();
    let token = scene.step((&row, "r"), 0, "in");
    (scene, row, token)
}

fn outcome(scene: &mut Scene, end: RunEnd) {
    scene.ask(Op::AwaitRun { run: "r".into() }, Got::Outcome(end));
}

fn look(scene: &mut Scene, state: &str, step: u32) {
    let seen = RunSeen { run: "r".into(), state: state.into(), step, end: None };
    scene.ask(Op::GetRun { run: "r".into() }, Got::Run(seen));
}

fn from_nowhere(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    if is_broken {
        scene.settle(&token, nack("busy"));
    } else {
        scene.settle(&token, go_on("next"));
    }
    scene.step((&row, "r"), 1, "next");
    scene
}

fn seen_too_far(is_broken: bool) -> Scene {
    let (mut scene, _, _) = begun();
    look(&mut scene, "running", u32::from(is_broken));
    scene
}

fn other_payload(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    scene.settle(&token, go_on("next"));
    scene.step((&row, "r"), 1, if is_broken { "other" } else { "next" });
    scene
}

fn other_input(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.submit(run("r", "in"));
    let row = scene.id();
    scene.step((&row, "r"), 0, if is_broken { "other" } else { "in" });
    scene
}

fn other_headers(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let headers = Headers::from([("h".to_owned(), "1".to_owned())]);
    scene.submit(Run { headers: headers.clone(), ..run("r", "in") });
    let row = scene.id();
    let work = Work::Step { run: "r".into(), step: 0 };
    let headers = if is_broken { Headers::new() } else { headers };
    scene.deliver(Claim { headers, work, ..super::scene::claim(&row, "in") });
    scene
}

/// A settlement of which nobody knows what became.
fn settle_unheard(scene: &mut Scene, token: &str, verdict: Verdict) {
    let call = scene.invoke(super::scene::settle_op(token, verdict));
    scene.answer(call, Answer::Unknown { code: "store-unavailable".into() });
}

fn step_after_the_end(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    settle_unheard(&mut scene, &token, go_on("next"));
    scene.settle(&token, succeed("s"));
    if is_broken {
        scene.step((&row, "r"), 1, "next");
    }
    scene
}

fn settled_after_the_end(is_broken: bool) -> Scene {
    let (mut scene, row, first) = begun();
    settle_unheard(&mut scene, &first, go_on("next"));
    let second = scene.step((&row, "r"), 1, "next");
    scene.settle(&second, succeed("s"));
    if is_broken {
        scene.settle(&first, Verdict::Release);
    }
    scene
}

fn said_otherwise(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    scene.settle(&token, succeed("s"));
    outcome(&mut scene, end("r", if is_broken { "t" } else { "s" }, 0));
    scene
}

fn told_otherwise(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    scene.settle(&token, succeed("s"));
    outcome(&mut scene, end("r", "s", 0));
    outcome(&mut scene, end("r", "s", u32::from(is_broken)));
    scene
}

fn back_to_life(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    scene.settle(&token, succeed("s"));
    look(&mut scene, "succeeded", 0);
    look(&mut scene, if is_broken { "running" } else { "succeeded" }, 0);
    scene
}

fn nobody_said(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    if !is_broken {
        scene.invoke(super::scene::settle_op(&token, succeed("s")));
    }
    outcome(&mut scene, end("r", "s", 0));
    scene
}

fn hook_told_otherwise(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    scene.settle(&token, succeed("s"));
    outcome(&mut scene, end("r", "s", 0));
    scene.notify(&format!("{row}-1"), end("r", "s", u32::from(is_broken)));
    scene
}

fn hook_not_told(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun_with(Run { is_observed: true, ..run("r", "in") });
    scene.settle(&token, succeed("s"));
    if !is_broken {
        scene.notify(&format!("{row}-1"), end("r", "s", 0));
    }
    scene.note(What::Drained);
    scene
}

fn two_notifications(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    scene.settle(&token, succeed("s"));
    scene.notify(&format!("{row}-1"), end("r", "s", 0));
    if is_broken {
        let other = scene.id();
        scene.notify(&other, end("r", "s", 0));
    }
    scene
}

fn resubmit(scene: &mut Scene, input: &str, is_new: bool) {
    let submitted = Submitted { run: "r".into(), is_new };
    scene.ask(super::scene::submit_op(run("r", input)), Got::Submitted(vec![submitted]));
}

fn new_twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    resubmit(&mut scene, "in", true);
    resubmit(&mut scene, "in", is_broken);
    scene
}

fn other_input_taken(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    resubmit(&mut scene, "in", true);
    resubmit(&mut scene, if is_broken { "other" } else { "in" }, false);
    scene
}

fn own_input_refused(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    resubmit(&mut scene, "in", true);
    let input = if is_broken { "in" } else { "other" };
    scene.refused(super::scene::submit_op(run("r", input)), "input-mismatch");
    scene
}

fn failed_of_nothing(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    if !is_broken {
        scene.settle(&token, Verdict::Fail { reason: "no".into() });
    }
    outcome(&mut scene, bad_end("r", "failed", Some("no")));
    scene
}

fn death_overruled(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    let call = scene.invoke(super::scene::settle_op(&token, succeed("s")));
    if is_broken {
        scene.answer(call, Answer::Unknown { code: "store-unavailable".into() });
        scene.settle(&token, Verdict::DeadLetter { reason: "no".into() });
    } else {
        scene.answer(call, Answer::Ok(Got::Done));
    }
    outcome(&mut scene, end("r", "s", 0));
    scene
}

fn dead_letter_of_a_verdict(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    let reason = "no".to_owned();
    let verdict = if is_broken { Verdict::Fail { reason } } else { Verdict::DeadLetter { reason } };
    scene.settle(&token, verdict);
    scene.find_run("r", "failed", 0);
    scene.note(What::FoundJob(JobSeen { run: Some("r".into()), ..seen(&row, "dead", "in") }));
    scene.find_all();
    scene
}

fn cancel(scene: &mut Scene, is_cancelled: bool) {
    scene.ask(Op::CancelRun { run: "r".into() }, Got::RunCancelled(is_cancelled));
}

fn cancelled_and_succeeded(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    cancel(&mut scene, true);
    scene.settle(&token, succeed("s"));
    let cancelled = bad_end("r", "cancelled", None);
    outcome(&mut scene, if is_broken { end("r", "s", 0) } else { cancelled });
    scene
}

fn cancelled_and_going_on(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    cancel(&mut scene, true);
    scene.crash_and_open();
    scene.pass(10);
    if is_broken {
        let work = Work::Step { run: "r".into(), step: 0 };
        scene.deliver(Claim { work, attempts: 2, ..super::scene::claim(&row, "in") });
    } else {
        scene.refused(super::scene::settle_op(&token, succeed("s")), "claim-lost");
    }
    scene
}

fn not_cancelled(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    if !is_broken {
        scene.settle(&token, succeed("s"));
    }
    cancel(&mut scene, false);
    scene
}

fn reserved_header(is_broken: bool) -> Scene {
    let key = if is_broken { "Workflow.run_id" } else { "workflows" };
    let headers = Headers::from([(key.to_owned(), "1".to_owned())]);
    let (mut scene, _, token) = begun();
    scene.settle(&token, succeed("s"));
    let id = scene.id();
    let work = Work::Notification(end("r", "s", 0));
    let claim = super::scene::claim(&id, "s");
    scene.deliver(Claim { work, headers, max_attempts: 25, ..claim });
    scene
}

fn reserved_submission(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let headers = Headers::from([("workflow.step".to_owned(), "1".to_owned())]);
    let run = Run { headers, ..run("r", "in") };
    if is_broken {
        scene.submit(run);
    } else {
        scene.refused(super::scene::submit_op(run), "reserved-header");
    }
    scene
}

fn no_step(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.submit(run("r", "in"));
    let row = scene.id();
    if !is_broken {
        scene
            .note(What::FoundJob(JobSeen { run: Some("r".into()), ..seen(&row, "pending", "in") }));
    }
    scene.find_run("r", "pending", 0);
    scene.find_all();
    scene
}

fn dead_step(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.submit(run("r", "in"));
    let (row, other) = (scene.id(), scene.id());
    let of_run = |id: &str, state: &str| JobSeen { run: Some("r".into()), ..seen(id, state, "in") };
    scene.note(What::FoundJob(of_run(&row, "pending")));
    if is_broken {
        scene.note(What::FoundJob(of_run(&other, "dead")));
    }
    scene.find_run("r", "pending", 0);
    scene.find_all();
    scene
}

fn too_early(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    let delay_ms = Some(500);
    scene.settle(&token, Verdict::Continue { payload: "next".into(), delay_ms });
    scene.pass(if is_broken { 400 } else { 500 });
    scene.step((&row, "r"), 1, "next");
    scene
}

fn no_result(is_broken: bool) -> Scene {
    let (mut scene, _, _) = begun();
    cancel(&mut scene, true);
    let result = is_broken.then(|| "s".to_owned());
    outcome(&mut scene, RunEnd { result, ..bad_end("r", "cancelled", None) });
    scene
}
