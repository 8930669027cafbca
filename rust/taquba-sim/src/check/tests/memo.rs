//! Cases of M1 to M6.

use super::Case;
use super::scene::{Scene, go_on, nack, run, succeed};
use crate::history::{Got, Op, Run};

pub const CASES: &[Case] = &[
    ("M1", older),
    ("M2", of_another_step),
    ("M3", lost),
    ("M4", written_late),
    ("M4", refused),
    ("M5", made_up),
    ("M6", inherited),
];

fn put(token: &str, value: &str) -> Op {
    Op::MemoPut { token: token.into(), key: "k".into(), value: value.into() }
}

fn get(scene: &mut Scene, token: &str, value: Option<&str>) {
    let op = Op::MemoGet { token: token.into(), key: "k".into() };
    scene.ask(op, Got::Value(value.map(str::to_owned)));
}

/// A run, and its first step with its token.
fn begun() -> (Scene, String, String) {
    let mut scene = Scene::new();
    scene.submit(run("r", "in"));
    let row = scene.id();
    let token = scene.step((&row, "r"), 0, "in");
    (scene, row, token)
}

/// The same step, delivered again after a nack.
fn again(scene: &mut Scene, row: &str, token: &str) -> String {
    scene.settle(token, nack("busy"));
    scene.pass(1_000);
    let work = crate::history::Work::Step { run: "r".into(), step: 0 };
    let claim = super::scene::claim(row, "in");
    scene.deliver(crate::history::Claim { work, attempts: 2, ..claim })
}

fn older(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    scene.ask(put(&token, "old"), Got::Done);
    scene.ask(put(&token, "new"), Got::Done);
    let token = again(&mut scene, &row, &token);
    get(&mut scene, &token, Some(if is_broken { "old" } else { "new" }));
    scene
}

fn of_another_step(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    scene.ask(put(&token, "v"), Got::Done);
    scene.settle(&token, go_on("next"));
    let token = scene.step((&row, "r"), 1, "next");
    get(&mut scene, &token, is_broken.then_some("v"));
    scene
}

fn lost(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    scene.ask(put(&token, "v"), Got::Done);
    let token = again(&mut scene, &row, &token);
    get(&mut scene, &token, (!is_broken).then_some("v"));
    scene
}

fn written_late(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    let second = again(&mut scene, &row, &token);
    scene.ask(put(if is_broken { &token } else { &second }, "v"), Got::Done);
    scene
}

fn refused(is_broken: bool) -> Scene {
    let (mut scene, row, token) = begun();
    let second = again(&mut scene, &row, &token);
    scene.refused(put(&token, "v"), "claim-lost");
    get(&mut scene, &second, is_broken.then_some("v"));
    scene
}

fn made_up(is_broken: bool) -> Scene {
    let (mut scene, _, token) = begun();
    get(&mut scene, &token, is_broken.then_some("v"));
    scene
}

fn inherited(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let short = || Run { retention_ms: Some(1_000), ..run("r", "in") };
    scene.submit(short());
    let row = scene.id();
    let token = scene.step((&row, "r"), 0, "in");
    scene.ask(put(&token, "v"), Got::Done);
    scene.settle(&token, succeed("s"));
    scene.pass(2_000);
    scene.submit(short());
    let row = scene.id();
    let token = scene.step((&row, "r"), 0, "in");
    get(&mut scene, &token, is_broken.then_some("v"));
    scene
}
