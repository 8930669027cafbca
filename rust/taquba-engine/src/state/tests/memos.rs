//! Memos of steps.

use std::time::Duration;

use super::super::{FoundMemos, Query};
use super::harness::*;
use crate::command::{Claim, Command, NewRun, Reply, Verdict};
use crate::error::{Error, Result};
use crate::ids::MemoKey;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::record::{Payload, PayloadName, PayloadRef, Row, RunRow, decode_memo, keys};
use crate::state::MemoPlace;

fn put(h: &mut Harness, step: &Claim, key: &str, value: impl Into<Payload>) -> Result<Reply> {
    let key = MemoKey::of(key.as_bytes());
    h.ask(Command::MemoPut { token: step.token, key, value: value.into() })
}

/// What the holder of a step would read, if that is asked of the log at all.
fn place(h: &mut Harness, step: &Claim, key: &str) -> Option<MemoPlace> {
    let key = MemoKey::of(key.as_bytes());
    let fx = h.apply(Command::MemoGet { token: step.token, key });
    match &fx.queries[..] {
        [(_, Query::Memo(place))] => Some(*place),
        [] => {
            assert!(matches!(fx.replies[0].1, Ok(Reply::Value(None))), "{fx:?}");
            None
        }
        other => panic!("{other:?}"),
    }
}

fn get(h: &mut Harness, step: &Claim, key: &str) -> Option<Payload> {
    let MemoPlace { row, step_number, key } = place(h, step, key)?;
    let stored = h.rows.get(&keys::memo(row, step_number, &key))?;
    Some(decode_memo(stored).expect("we wrote it"))
}

fn started(run: NewRun) -> (Harness, Claim) {
    let mut h = Harness::new();
    h.submit(run).expect("new");
    h.commit();
    let step = h.claim_one();
    (h, step)
}

fn retained(seconds: u64) -> NewRun {
    NewRun { memo_retention: Some(Duration::from_secs(seconds)), ..run("r") }
}

fn memo_rows(h: &Harness) -> usize {
    h.rows.keys().filter(|key| matches!(key[0], keys::MEMO | keys::MEMO_OBJECT)).count()
}

/// Finds a run's memos as the engine does.
fn found(h: &Harness, row: u64) -> FoundMemos {
    let prefixes = [keys::memos_of(row), keys::memo_objects_of(row)];
    let mut found = FoundMemos { is_all: true, ..FoundMemos::default() };
    for key in h.rows.keys().filter(|key| prefixes.iter().any(|prefix| key.starts_with(prefix))) {
        match keys::memo_object_name_of(key) {
            Some(name) if key[0] == keys::MEMO_OBJECT => found.objects.push(name),
            _ => found.keys.push(key.clone()),
        }
    }
    found
}

#[test]
fn a_memo_survives_a_retry_and_a_crash() {
    let (mut h, step) = started(run("r"));
    put(&mut h, &step, "k", "v").expect("it is ours");
    h.commit();
    h.nack(step.token);
    h.commit();
    h.pass(Duration::from_secs(9));
    let step = h.claim_one();
    assert_eq!(get(&mut h, &step, "k"), Some("v".into()));

    let mut h = h.crash();
    let step = h.claim_suspects(1).remove(0);

    assert_eq!(get(&mut h, &step, "k"), Some("v".into()));
    assert_eq!(get(&mut h, &step, "other"), None);
}

#[test]
fn a_run_without_memos_is_not_looked_up() {
    let (mut h, step) = started(run("r"));

    assert_eq!(place(&mut h, &step, "k"), None);
    put(&mut h, &step, "k", "v").expect("it is ours");
    assert!(place(&mut h, &step, "k").is_some());
}

#[test]
fn the_first_memo_of_a_run_says_so_in_the_runs_row_and_the_second_is_one_put() {
    let (mut h, step) = started(run("r"));
    put(&mut h, &step, "a", "1").expect("it is ours");
    h.commit();
    let [Row::Put(_, value)] = h.committed(keys::RUN)[..] else { panic!("one put") };
    assert!(RunRow::decode(value).expect("we wrote it").has_memos);

    put(&mut h, &step, "b", "2").expect("it is ours");
    h.commit();

    assert_eq!((h.committed(keys::RUN).len(), h.committed(keys::MEMO).len()), (0, 1));
}

#[test]
fn the_next_step_does_not_see_the_memos_of_this_one() {
    let (mut h, step) = started(run("r"));
    put(&mut h, &step, "k", "v").expect("it is ours");
    h.step(step.token, go_on("more"));
    h.commit();

    let step = h.claim_one();

    assert_eq!(get(&mut h, &step, "k"), None);
}

#[test]
fn a_lost_claim_neither_writes_nor_reads() {
    let (mut h, step) = started(run("r"));
    h.pass(Duration::from_secs(31));
    h.commit();

    assert!(is_claim_lost(&put(&mut h, &step, "k", "late")));
    let read = h.ask(Command::MemoGet { token: step.token, key: MemoKey::of(b"k") });
    assert!(is_claim_lost(&read));
    h.commit();
    assert_eq!(memo_rows(&h), 0);
}

#[test]
fn a_job_that_is_no_step_has_no_memos() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let job = h.claim_one();

    assert!(matches!(put(&mut h, &job, "k", "v"), Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_value_over_the_limit_is_refused() {
    let (mut h, step) = started(run("r"));
    let name = PayloadName { epoch: 1, number: 1 };
    let too_large = PayloadRef { name, size_bytes: PAYLOAD_BYTES_MAX as u64 + 1, sha256: [0; 32] };

    let refused = put(&mut h, &step, "k", Payload::Object(too_large));

    assert!(
        matches!(refused, Err(Error::MemoTooLarge { size_bytes }) if size_bytes > PAYLOAD_BYTES_MAX)
    );
    assert!(!h.state.has_rows());
}

#[test]
fn memos_go_after_their_retention_with_the_objects_they_name() {
    let (mut h, step) = started(retained(60));
    let name = PayloadName { epoch: 1, number: 7 };
    let object = PayloadRef::to(name, &bytes::Bytes::from_static(b"large"));
    put(&mut h, &step, "a", "1").expect("it is ours");
    put(&mut h, &step, "b", Payload::Object(object)).expect("it is ours");
    h.step(step.token, succeed("done"));
    h.commit();
    assert!(h.pass(Duration::from_secs(59)).memo_sweeps.is_empty());

    assert_eq!(h.pass(Duration::from_secs(1)).memo_sweeps, [1]);
    let memos = found(&h, 1);
    assert_eq!((memos.keys.len(), &memos.objects[..]), (2, &[name][..]));
    h.state.memos_found(1, Some(memos), h.now);
    let fx = h.commit();

    assert_eq!(fx.unnamed, [name], "the object goes when no row names it");
    assert_eq!(memo_rows(&h), 0);
    assert!(h.rows.keys().all(|key| key[0] != keys::MEMO_SWEEP));
}

#[test]
fn memos_of_a_live_run_are_not_swept_and_those_of_an_ended_one_are_found_after_a_crash() {
    let (mut h, step) = started(retained(60));
    put(&mut h, &step, "a", "1").expect("it is ours");
    h.commit();
    let mut h = h.crash();
    assert!(h.pass(Duration::from_secs(999)).memo_sweeps.is_empty(), "it is live");
    let step = h.claim_suspects(1).remove(0);
    h.step(step.token, succeed("done"));
    h.commit();

    let mut h = h.crash();

    assert_eq!(h.pass(Duration::from_secs(60)).memo_sweeps, [1]);
}

#[test]
fn a_sweep_that_fails_or_finds_too_many_is_done_again() {
    let (mut h, step) = started(retained(0));
    put(&mut h, &step, "a", "1").expect("it is ours");
    h.step(step.token, succeed("done"));
    h.commit();
    assert_eq!(h.pass(Duration::ZERO).memo_sweeps, [1]);

    h.state.memos_found(1, None, h.now);
    assert!(h.pass(Duration::from_secs(59)).memo_sweeps.is_empty());
    assert_eq!(h.pass(Duration::from_secs(1)).memo_sweeps, [1]);
    h.state.memos_found(1, Some(FoundMemos::default()), h.now);

    assert_eq!(h.pass(Duration::ZERO).memo_sweeps, [1]);
    assert!(h.rows.keys().any(|key| key[0] == keys::MEMO_SWEEP));
}

#[test]
fn a_run_that_takes_over_an_id_sees_none_of_the_memos_before() {
    let retention = Some(Duration::from_secs(1));
    let (mut h, step) = started(NewRun { retention, ..run("r") });
    put(&mut h, &step, "k", "old").expect("it is ours");
    h.step(step.token, succeed("done"));
    h.commit();
    h.pass(Duration::from_secs(1));
    h.commit();
    h.submit(run("r")).expect("the id is free");
    h.commit();

    let step = h.claim_one();

    assert_eq!(get(&mut h, &step, "k"), None);
    put(&mut h, &step, "k", "new").expect("it is ours");
    h.commit();
    assert_eq!(get(&mut h, &step, "k"), Some("new".into()));
}

#[test]
fn a_cancelled_runs_memos_are_swept_as_well() {
    let (mut h, step) = started(retained(5));
    put(&mut h, &step, "k", "v").expect("it is ours");
    let run_id = "r".parse().expect("a good id");
    h.apply(Command::CancelRun { run_id, tells_hook: false });
    h.end(step.token, Verdict::Release);
    h.commit();

    assert_eq!(h.pass(Duration::from_secs(5)).memo_sweeps, [1]);
}

#[test]
fn an_object_whose_memo_is_written_anew_goes_when_that_is_durable() {
    let (mut h, step) = started(run("r"));
    let names: Vec<_> = (1..=2).map(|number| PayloadName { epoch: 1, number }).collect();
    let object = |name| Payload::Object(PayloadRef::to(name, &bytes::Bytes::from_static(b"x")));
    put(&mut h, &step, "other", object(PayloadName { epoch: 1, number: 9 })).expect("ours");
    put(&mut h, &step, "k", object(names[0])).expect("it is ours");
    assert!(h.commit().unnamed.is_empty());

    put(&mut h, &step, "k", object(names[1])).expect("it is ours");
    assert_eq!(h.commit().unnamed, [names[0]]);
    put(&mut h, &step, "k", "small").expect("it is ours");
    assert_eq!(h.commit().unnamed, [names[1]]);

    assert_eq!(h.rows.keys().filter(|key| key[0] == keys::MEMO_OBJECT).count(), 1);
    h.step(step.token, succeed("done"));
    assert!(h.state.memo_objects.is_empty());
}
