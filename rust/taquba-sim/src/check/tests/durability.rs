//! Cases of D1 to D5.

use super::Case;
use super::scene::{Scene, go_on, job, run, seen, settle_op, submit_op};
use crate::history::{Answer, Enqueued, Got, Op, Submitted, Verdict, What};

pub const CASES: &[Case] = &[
    ("D1", settled_twice),
    ("D1", run_forgotten),
    ("D1", job_not_found),
    ("D1", settled_and_live),
    ("D1", step_undone),
    ("D2", prefix),
    ("D3", duplicate_of_nothing),
    ("D3", value_taken_back),
    ("D4", other_bytes),
    ("D4", fault),
    ("D5", refused_job),
    ("D5", unknown_twice),
    ("D5", refused_value),
    ("D5", refused_run),
];

fn settled_twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    if is_broken {
        scene.settle(&token, Verdict::Ack);
    } else {
        scene.invoke(settle_op(&token, Verdict::Ack));
    }
    scene.crash_and_open();
    scene.pass(10);
    scene.claim(&id, "p", 2);
    scene
}

fn run_forgotten(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.submit(run("r", "in"));
    scene.crash_and_open();
    if !is_broken {
        scene.find_run("r", "pending", 0);
        let job = scene.id();
        let step = crate::history::JobSeen { run: Some("r".into()), ..seen(&job, "pending", "in") };
        scene.note(What::FoundJob(step));
    }
    scene.find_all();
    scene
}

fn job_not_found(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    if !is_broken {
        scene.ask(Op::CancelJob { job: id.clone() }, Got::JobRemoved);
    }
    scene.refused(Op::GetJob { job: id }, "job-not-found");
    scene
}

fn settled_and_live(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    scene.work_off(&id, "p");
    scene.crash_and_open();
    if is_broken {
        scene.find_job(&id, "pending", "p");
    }
    scene.find_all();
    scene
}

fn step_undone(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.submit(run("r", "in"));
    let row = scene.id();
    let token = scene.step((&row, "r"), 0, "in");
    scene.settle(&token, go_on("next"));
    scene.crash_and_open();
    let step = u32::from(!is_broken);
    let job = if is_broken { row } else { format!("{row}-1") };
    scene.find_run("r", "pending", step);
    let found = crate::history::JobSeen { run: Some("r".into()), ..seen(&job, "pending", "next") };
    scene.note(What::FoundJob(found));
    scene.find_all();
    scene
}

fn prefix(is_broken: bool) -> Scene {
    let put = |key: &str, value: &str| Op::KvPut { key: key.into(), value: Some(value.into()) };
    let mut scene = Scene::new();
    scene.ask(put("a", "a0"), Got::Swapped(true));
    scene.invoke(put("a", "a1"));
    scene.invoke(put("b", "b1"));
    scene.crash_and_open();
    let first = if is_broken { "a0" } else { "a1" };
    scene.ask(Op::KvGet { key: "a".into() }, Got::Value(Some(first.into())));
    scene.ask(Op::KvGet { key: "b".into() }, Got::Value(Some("b1".into())));
    scene
}

fn duplicate_of_nothing(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let keyed = |payload| crate::history::Job { dedup_key: Some("k".into()), ..job(payload) };
    let enqueue = |payload| Op::Enqueue { queue: "q".into(), jobs: vec![keyed(payload)] };
    scene.invoke(enqueue("first"));
    let id = scene.id();
    let named = Enqueued { job: id.clone(), is_new: false };
    scene.ask(enqueue("second"), Got::Enqueued(vec![named]));
    scene.crash_and_open();
    if !is_broken {
        scene.find_job(&id, "pending", "first");
    }
    scene.find_all();
    scene
}

fn value_taken_back(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.invoke(Op::KvPut { key: "a".into(), value: Some("new".into()) });
    let get = || Op::KvGet { key: "a".into() };
    scene.ask(get(), Got::Value(Some("new".into())));
    scene.crash_and_open();
    let then = if is_broken { None } else { Some("new".to_owned()) };
    scene.ask(get(), Got::Value(then));
    scene
}

fn other_bytes(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let payload = if is_broken { "q" } else { "p" };
    scene.ask(Op::GetJob { job: id.clone() }, Got::Job(seen(&id, "pending", payload)));
    scene
}

fn fault(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let code = if is_broken { "internal" } else { "store-unavailable" };
    let call = scene.invoke(Op::Stats);
    scene.answer(call, Answer::Unknown { code: code.into() });
    scene
}

fn refused_job(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let enqueue = Op::Enqueue { queue: "q".into(), jobs: vec![job("p")] };
    scene.refused(enqueue, "payload-too-large");
    if is_broken {
        let id = scene.id();
        scene.claim(&id, "p", 1);
    }
    scene
}

fn unknown_twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.invoke(Op::Enqueue { queue: "q".into(), jobs: vec![job("p")] });
    scene.crash_and_open();
    let (first, second) = (scene.id(), scene.id());
    scene.work_off(&first, "p");
    if is_broken {
        scene.work_off(&second, "p");
    }
    scene
}

fn refused_value(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.refused(Op::KvPut { key: "a".into(), value: Some("v".into()) }, "value-too-large");
    let value = is_broken.then(|| "v".to_owned());
    scene.ask(Op::KvGet { key: "a".into() }, Got::Value(value));
    scene
}

fn refused_run(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    if is_broken {
        scene.refused(submit_op(run("r", "in")), "payload-too-large");
    } else {
        let submitted = Submitted { run: "r".into(), is_new: true };
        scene.ask(submit_op(run("r", "in")), Got::Submitted(vec![submitted]));
    }
    let row = scene.id();
    scene.step((&row, "r"), 0, "in");
    scene
}
