//! After a restart.

use std::time::Duration;

use bytes::Bytes;

use super::harness::*;
use crate::command::{NewJob, NewRun, Start, TerminalStatus, TerminalStatuses, Verdict, Work};
use crate::record::{RunRow, keys};

#[test]
fn a_claim_that_a_commit_carried_has_consumed_its_attempt() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let _held = h.claim_one();
    h.enqueue("b");
    h.commit();

    let claims = h.crash().claim_suspects(1);

    assert_eq!((&claims[0].payload[..], claims[0].attempts), (&b"a"[..], 2));
}

#[test]
fn a_payload_that_kills_the_process_is_delivered_at_most_once_too_often() {
    let mut h = Harness::new();
    h.enqueue("poison");
    h.commit();
    let mut deliveries = 0;
    for _ in 0..10 {
        let fx = h.apply(crate::command::Command::Claim {
            queue: queue(),
            count_max: 1,
            lease: None,
            wait: None,
        });
        let durable = h.commit();
        let claims = fx.replies.into_iter().chain(durable.replies);
        deliveries += claims.filter(|(_, reply, _)| is_delivery(reply)).count();
        h = h.crash();
    }

    assert!(deliveries <= 4, "3 attempts and one that was younger than a commit: {deliveries}");
    assert_eq!(h.stats().dead_count, 1);
}

fn is_delivery(reply: &crate::error::Result<crate::command::Reply>) -> bool {
    matches!(reply, Ok(crate::command::Reply::Claimed(claims)) if !claims.is_empty())
}

#[test]
fn after_an_orderly_close_claims_cost_nothing() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();

    let mut h = h.reopen();

    assert_eq!(h.claim(1).len(), 1);
    assert!(!h.state.has_rows());
}

#[test]
fn a_step_on_its_last_attempt_at_a_crash_fails_its_run_and_tells_the_hook() {
    let mut h = Harness::new();
    h.submit(NewRun { max_attempts: Some(1), observed: TerminalStatuses::ALL, ..run("r") })
        .expect("new");
    h.commit();
    let _held = h.claim_one();
    h.enqueue("other");
    h.commit();

    let mut h = h.crash();

    let stats = h.stats();
    assert_eq!((stats.dead_count, stats.live_run_count), (1, 0));
    let key = keys::run(&"r".parse().expect("a good id"));
    let ended = RunRow::decode(&h.rows[&key]).expect("we wrote it").ended.expect("it has ended");
    assert_eq!(ended.status, TerminalStatus::Failed);
    let claims = h.claim_suspects(10);
    assert!(claims.iter().any(|claim| matches!(claim.work, Work::Notification(_))), "{claims:?}");
}

#[test]
fn schedules_and_dedup_keys_survive() {
    let mut h = Harness::new();
    let start = Start::After(Duration::from_secs(60));
    let keyed = || NewJob { dedup_key: Some("k".into()), start, ..job("a") };
    let id = h.enqueue_job(keyed());
    h.commit();

    let mut h = h.reopen();

    assert_eq!(h.enqueue_job(keyed()), id);
    assert!(h.claim(1).is_empty());
    h.pass(Duration::from_secs(60));
    assert_eq!(h.claim_one().job_id, id);
}

#[test]
fn a_claim_token_is_not_handed_out_again_by_the_next_owner() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let before = h.claim_one();

    let mut h = h.crash();

    assert!(is_claim_lost(&h.settle(before.token, Verdict::Ack)));
}

#[test]
fn a_damaged_row_is_moved_aside_and_the_others_go_on() {
    let mut h = Harness::new();
    let bad = h.enqueue("bad");
    h.enqueue("good");
    h.commit();
    h.rows.insert(keys::job(bad.row), Bytes::from_static(b"\x01garbage"));

    let mut h = h.crash();

    assert!(h.rows.contains_key(&keys::quarantine(&keys::job(bad.row))));
    assert!(!h.rows.contains_key(&keys::job(bad.row)));
    assert_eq!(h.claim_suspects(10).len(), 1);
}

#[test]
fn a_run_whose_step_was_damaged_fails_and_says_why() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let row = *h.rows.keys().find(|key| key[0] == keys::JOB).as_ref().expect("a step");
    let row = row.clone();
    h.rows.insert(row, Bytes::from_static(b"\xffgarbage"));

    let h = h.crash();

    let key = keys::run(&"r".parse().expect("a good id"));
    let ended = RunRow::decode(&h.rows[&key]).expect("we wrote it").ended.expect("it has ended");
    assert!(ended.error.is_some_and(|error| error.contains("damaged")));
}

#[test]
fn a_step_whose_run_was_damaged_goes_on() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let key = keys::run(&"r".parse().expect("a good id"));
    h.rows.insert(key.clone(), Bytes::from_static(b"\xffgarbage"));

    let mut h = h.crash();
    let claims = h.claim_suspects(1);

    assert!(matches!(claims[0].work, Work::Step { .. }));
    h.step(claims[0].token, succeed("done"));
    h.commit();
    assert!(RunRow::decode(&h.rows[&key]).expect("written anew").ended.is_some());
}
