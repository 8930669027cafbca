//! Cases of Q1 to Q9, Q12, and Q15 to Q18.

use super::Case;
use super::scene::{MAX_ATTEMPTS, QUEUE, Scene, claim, claim_op, job, nack, settle_op};
use crate::history::{
    Answer, Claim, Effect, Enqueued, Got, Headers, Job, Op, QueueCounts, Verdict, What,
};

pub const CASES: &[Case] = &[
    ("Q1", lost),
    ("Q1", lost_effect),
    ("Q2", phantom),
    ("Q2", other_headers),
    ("Q2", twice),
    ("Q3", torn_batch),
    ("Q3", torn_settlement),
    ("Q4", scrubbed),
    ("Q4", found_twice),
    ("Q5", key_given_twice),
    ("Q5", key_of_settled_scope),
    ("Q5", key_of_the_gone),
    ("Q5", duplicate_delivered),
    ("Q6", two_leases),
    ("Q6", stale_renewal),
    ("Q7", delivered_after_ack),
    ("Q7", late_settlement),
    ("Q7", effect_of_the_late),
    ("Q8", settled_twice),
    ("Q9", uncounted),
    ("Q9", poison),
    ("Q9", too_often),
    ("Q12", passed_over),
    ("Q12", unsorted),
    ("Q12", shrinking_ids),
    ("Q15", cancelled),
    ("Q15", not_found),
    ("Q16", stale),
    ("Q16", swapped_twice),
    ("Q16", made_up),
    ("Q17", miscounted),
    ("Q18", stopped),
];

fn enqueue_op(jobs: Vec<Job>) -> Op {
    Op::Enqueue { queue: QUEUE.into(), jobs }
}

fn lost(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    scene.crash_and_open();
    if !is_broken {
        scene.find_job(&id, "pending", "p");
    }
    scene.find_all();
    scene
}

/// A settlement with these effects.
fn settle_with(token: &str, effects: Vec<Effect>) -> Op {
    Op::Settle { token: token.into(), verdict: Verdict::Ack, effects }
}

fn effect(payload: &str) -> Effect {
    Effect::Enqueue { queue: QUEUE.into(), jobs: vec![job(payload)] }
}

fn lost_effect(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.ask(settle_with(&token, vec![effect("e")]), Got::Done);
    let effect = scene.id();
    if !is_broken {
        scene.find_job(&effect, "pending", "e");
    }
    scene.find_all();
    scene
}

fn phantom(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    scene.work_off(&id, "p");
    let other = scene.id();
    if is_broken {
        scene.work_off(&other, "q");
    }
    scene
}

fn other_headers(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let headers = Headers::from([("h".to_owned(), "1".to_owned())]);
    let id = scene.enqueue_job(Job { headers: headers.clone(), ..job("p") });
    let headers = if is_broken { Headers::new() } else { headers };
    scene.deliver(Claim { headers, ..claim(&id, "p") });
    scene
}

fn twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    scene.work_off(&id, "p");
    let other = scene.id();
    if is_broken {
        scene.work_off(&other, "p");
    }
    scene
}

fn torn_batch(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.invoke(enqueue_op(vec![job("a"), job("b")]));
    scene.crash_and_open();
    let (first, second) = (scene.id(), scene.id());
    scene.find_job(&first, "pending", "a");
    if !is_broken {
        scene.find_job(&second, "pending", "b");
    }
    scene.find_all();
    scene
}

fn torn_settlement(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    let put = Effect::Put { key: "k".into(), value: Some("v".into()) };
    scene.invoke(settle_with(&token, vec![effect("e"), put]));
    scene.crash_and_open();
    let effect = scene.id();
    if !is_broken {
        scene.find_job(&effect, "pending", "e");
    }
    scene.note(What::FoundValue { key: "k".into(), value: "v".into() });
    scene.find_all();
    scene
}

fn scrubbed(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let problems = if is_broken { vec!["a claimed job has no lease".into()] } else { Vec::new() };
    scene.note(What::Scrubbed { problems });
    scene
}

fn found_twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    scene.find_job(&id, "pending", "p");
    if is_broken {
        scene.find_job(&id, "claimed", "p");
    }
    scene.find_all();
    scene
}

fn keyed(payload: &str) -> Job {
    Job { dedup_key: Some("k".into()), ..job(payload) }
}

fn key_given_twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let first = scene.enqueue_job(Job { delay_ms: Some(9_000), ..keyed("a") });
    if is_broken {
        scene.enqueue_job(keyed("b"));
    } else {
        let named = Enqueued { job: first, is_new: false };
        scene.ask(enqueue_op(vec![keyed("b")]), Got::Enqueued(vec![named]));
    }
    scene
}

fn key_of_settled_scope(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue_job(Job { is_dedup_until_settled: true, ..keyed("a") });
    let token = scene.claim(&id, "a", 1);
    if !is_broken {
        scene.settle(&token, Verdict::Ack);
    }
    scene.enqueue_job(keyed("b"));
    scene
}

fn key_of_the_gone(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue_job(keyed("a"));
    let token = scene.claim(&id, "a", 1);
    scene.settle(&token, if is_broken { Verdict::Ack } else { Verdict::Release });
    let named = Enqueued { job: id, is_new: false };
    scene.ask(enqueue_op(vec![keyed("b")]), Got::Enqueued(vec![named]));
    scene
}

fn duplicate_delivered(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue_job(keyed("a"));
    let named = Enqueued { job: id.clone(), is_new: false };
    scene.ask(enqueue_op(vec![keyed("b")]), Got::Enqueued(vec![named]));
    scene.work_off(&id, "a");
    let other = scene.id();
    if is_broken {
        scene.work_off(&other, "b");
    }
    scene
}

fn two_leases(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.ask(Op::Renew { token, lease_ms: 3_000 }, Got::Done);
    scene.pass(if is_broken { 2_000 } else { 3_100 });
    scene.claim(&id, "p", 2);
    scene
}

fn stale_renewal(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.pass(1_100);
    scene.claim(&id, "p", 2);
    let renew = Op::Renew { token, lease_ms: 3_000 };
    if is_broken {
        scene.ask(renew, Got::Done);
    } else {
        scene.refused(renew, "claim-lost");
    }
    scene
}

fn delivered_after_ack(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.settle(&token, if is_broken { Verdict::Ack } else { Verdict::Release });
    scene.claim(&id, "p", 2);
    scene
}

fn late_settlement(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.pass(1_100);
    scene.claim(&id, "p", 2);
    if is_broken {
        scene.settle(&token, Verdict::Ack);
    } else {
        scene.refused(settle_op(&token, Verdict::Ack), "claim-lost");
    }
    scene
}

fn effect_of_the_late(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.pass(1_100);
    let second = scene.claim(&id, "p", 2);
    scene.refused(settle_with(&token, vec![effect("e")]), "claim-lost");
    scene.settle(&second, Verdict::Ack);
    let effect = scene.id();
    if is_broken {
        scene.work_off(&effect, "e");
    }
    scene
}

fn settled_twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.settle(&token, Verdict::Ack);
    if is_broken {
        scene.settle(&token, Verdict::Ack);
    } else {
        scene.refused(settle_op(&token, Verdict::Ack), "claim-lost");
    }
    scene
}

fn uncounted(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.settle(&token, Verdict::Release);
    scene.claim(&id, "p", if is_broken { 1 } else { 2 });
    scene
}

/// A job that kills its process at once: the first death may go uncounted, the second may not.
fn poison(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    for attempts in [1, 1, if is_broken { 1 } else { 2 }] {
        scene.claim(&id, "p", attempts);
        scene.crash_and_open();
    }
    scene
}

fn too_often(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let last = MAX_ATTEMPTS + u32::from(is_broken);
    for attempts in 1..=last {
        scene.pass(1_100);
        scene.claim(&id, "p", attempts);
    }
    scene
}

fn passed_over(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let (first, second) = (scene.enqueue("a"), scene.enqueue("b"));
    let (id, payload) = if is_broken { (&second, "b") } else { (&first, "a") };
    scene.claim(id, payload, 1);
    scene.ask(get(), Got::Value(None));
    scene
}

fn unsorted(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let (first, second) = (scene.enqueue("a"), scene.enqueue("b"));
    let mut claims = vec![claim(&first, "a"), claim(&second, "b")];
    if is_broken {
        claims.reverse();
    }
    let call = scene.invoke(claim_op());
    for (number, claim) in claims.into_iter().enumerate() {
        let claim = Claim { token: format!("x{number}"), ..claim };
        scene.note(What::Delivered { owner: 1, call: Some(call), claim });
    }
    scene.answer(call, Answer::Ok(Got::Claimed(2)));
    scene.ask(get(), Got::Value(None));
    scene
}

fn shrinking_ids(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let mut ids = [scene.id(), scene.id()];
    if is_broken {
        ids.reverse();
    }
    for (id, payload) in ids.into_iter().zip(["a", "b"]) {
        let got = Got::Enqueued(vec![Enqueued { job: id, is_new: true }]);
        scene.ask(enqueue_op(vec![job(payload)]), got);
        scene.crash_and_open();
    }
    scene
}

fn cancelled(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    let token = scene.claim(&id, "p", 1);
    scene.ask(Op::CancelJob { job: id.clone() }, Got::StopRequested);
    scene.settle(&token, Verdict::Release);
    if is_broken {
        scene.claim(&id, "p", 2);
    }
    scene
}

fn not_found(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    if !is_broken {
        scene.work_off(&id, "p");
    }
    scene.refused(Op::CancelJob { job: id }, "job-not-found");
    scene
}

fn put(value: &str) -> Op {
    Op::KvPut { key: "a".into(), value: Some(value.into()) }
}

fn get() -> Op {
    Op::KvGet { key: "a".into() }
}

fn stale(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.ask(put("old"), Got::Swapped(true));
    scene.ask(put("new"), Got::Swapped(true));
    scene.crash_and_open();
    let value = if is_broken { "old" } else { "new" };
    scene.ask(get(), Got::Value(Some(value.into())));
    scene
}

fn swapped_twice(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let swap = |to: &str| Op::KvSwap { key: "a".into(), expected: None, value: Some(to.into()) };
    // At the same time, so that either may have been first.
    let (first, second) = (scene.invoke(swap("1")), scene.invoke(swap("2")));
    scene.answer(first, Answer::Ok(Got::Swapped(true)));
    scene.answer(second, Answer::Ok(Got::Swapped(is_broken)));
    scene
}

fn made_up(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    scene.ask(put("v"), Got::Swapped(true));
    let value = if is_broken { "w" } else { "v" };
    scene.ask(get(), Got::Value(Some(value.into())));
    scene
}

fn miscounted(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let counts = |pending| QueueCounts { queue: QUEUE.into(), pending, ..QueueCounts::default() };
    let (told, recounted) = (vec![counts(u64::from(is_broken))], vec![counts(0)]);
    scene.note(What::Counted { told, recounted });
    scene
}

fn stopped(is_broken: bool) -> Scene {
    let mut scene = Scene::new();
    let call = scene.invoke(claim_op());
    scene.answer(call, Answer::Unknown { code: "corrupted".into() });
    if is_broken {
        scene.enqueue("p");
    }
    scene
}

#[test]
fn a_nack_is_no_end_until_the_last_attempt() {
    let mut scene = Scene::new();
    let id = scene.enqueue("p");
    for attempts in 1..=MAX_ATTEMPTS {
        let token = scene.claim(&id, "p", attempts);
        scene.settle(&token, nack("busy"));
        scene.pass(1_000);
    }
    assert!(super::check(&scene.events).is_empty());

    scene.ask(Op::RequeueJob { job: id.clone() }, Got::Done);
    scene.claim(&id, "p", 1);
    assert!(super::check(&scene.events).is_empty(), "a requeued job has all its attempts anew");
}
