//! Cases of L1 to L5.

use super::Case;
use super::scene::{Scene, job};
use crate::history::{Got, Job, Op, Verdict, What};

pub const CASES: &[Case] = &[
    ("L1", nothing_given),
    ("L2", stuck),
    ("L2", too_long),
    ("L2", never_drained),
    ("L3", kept),
    ("L4", late_answer),
    ("L4", no_answer),
    ("L5", settled_late),
];

fn nothing_given(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let delay_ms = if is_broken { None } else { Some(9_000) };
    scene.enqueue_job(Job { delay_ms, ..job("p") });
    scene.claim_nothing();
    scene.ask(Op::KvGet { key: "a".into() }, Got::Value(None));
    scene
}

fn stuck(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.note(What::Calmed);
    scene.note(if is_broken { What::Stuck { left: "a job".into() } } else { What::Drained });
    scene
}

fn too_long(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.note(What::Calmed);
    scene.pass(if is_broken { 90_000 } else { 60_000 });
    scene.note(What::Drained);
    scene
}

fn never_drained(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.note(What::Calmed);
    if !is_broken {
        scene.note(What::Drained);
    }
    scene.find_all();
    scene
}

fn kept(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    if !is_broken {
        scene.ask(Op::Renew { token, lease_ms: 20_000 }, Got::Done);
    }
    scene.pass(10_000);
    scene.claim_nothing();
    scene.ask(Op::KvGet { key: "a".into() }, Got::Value(None));
    scene
}

fn late_answer(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let call = scene.invoke(Op::KvGet { key: "a".into() });
    scene.pass(if is_broken { 6_000 } else { 5_000 });
    scene.answer(call, crate::history::Answer::Ok(Got::Value(None)));
    scene
}

fn no_answer(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.invoke(Op::KvGet { key: "a".into() });
    if !is_broken {
        scene.crash_and_open();
    }
    scene.pass(6_000);
    scene.enqueue("p");
    scene
}

fn settled_late(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.pass(if is_broken { 9_000 } else { 900 });
    scene.settle(&token, Verdict::Ack);
    scene
}
