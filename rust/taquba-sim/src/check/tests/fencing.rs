//! Cases of F1 to F4.

use super::Case;
use super::scene::{Scene, job};
use crate::history::{Answer, End, Enqueued, Got, Op, Verdict, What};

pub const CASES: &[Case] = &[
    ("F1", enqueued_by_the_lost),
    ("F2", served_after_fenced),
    ("F3", taken_unasked),
    ("F3", fenced_by_nobody),
    ("F4", epoch_again),
    ("F4", token_again),
    ("F4", token_of_another),
];

fn enqueue(payload: &str) -> Op {
    Op::Enqueue { queue: "q".into(), jobs: vec![job(payload)] }
}

fn enqueued(id: &str) -> Answer {
    Answer::Ok(Got::Enqueued(vec![Enqueued { job: id.into(), is_new: true }]))
}

fn enqueued_by_the_lost(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.id();
    let early = (!is_broken).then(|| scene.invoke(enqueue("p")));
    scene.open();
    scene.owner = 1;
    let call = early.unwrap_or_else(|| scene.invoke(enqueue("p")));
    scene.answer(call, enqueued(&id));
    scene
}

fn served_after_fenced(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.open();
    scene.owner = 1;
    let call = scene.invoke(enqueue("p"));
    scene.answer(call, Answer::Unknown { code: "fenced".into() });
    if is_broken {
        scene.ask(Op::KvGet { key: "a".into() }, Got::Value(None));
    }
    scene
}

fn taken_unasked(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let (id, owner) = (scene.id(), 2);
    scene.note(What::Opening { owner, takeover: !is_broken });
    let call = scene.invoke(enqueue("p"));
    scene.answer(call, enqueued(&id));
    scene.note(What::Opened { owner, epoch: 2 });
    scene
}

fn fenced_by_nobody(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    if !is_broken {
        scene.note(What::Opening { owner: 2, takeover: true });
    }
    let call = scene.invoke(enqueue("p"));
    scene.answer(call, Answer::Unknown { code: "fenced".into() });
    scene.end(End::Fenced);
    scene
}

fn epoch_again(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.end(End::Closed);
    scene.note(What::Opening { owner: 2, takeover: false });
    scene.note(What::Opened { owner: 2, epoch: if is_broken { 1 } else { 2 } });
    scene
}

fn token_again(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let (first, second) = (scene.enqueue("p"), scene.enqueue("q"));
    let token = scene.claim(&first, "p", 1);
    let place = scene.events.len() + 1;
    scene.claim(&second, "q", 1);
    if let (What::Delivered { claim, .. }, true) = (&mut scene.events[place].what, is_broken) {
        claim.token = token;
    }
    scene
}

fn token_of_another(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.crash_and_open();
    if is_broken {
        scene.settle(&token, Verdict::Ack);
    } else {
        scene.refused(super::scene::settle_op(&token, Verdict::Ack), "claim-lost");
    }
    scene
}
