//! Plain jobs.

use std::time::Duration;

use super::harness::*;
use crate::command::{
    Command, DedupScope, Enqueued, NewJob, Reply, Start, TerminalStatuses, Verdict,
};
use crate::error::Error;
use crate::ids::ClaimToken;
use crate::limits::{BATCH_COUNT_MAX, DEDUP_KEY_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::options::QueueConfig;
use crate::record::{Row, keys};

#[test]
fn a_job_is_claimable_only_once_its_commit_is_durable() {
    let mut h = Harness::new();
    h.enqueue("a");

    assert!(h.claim(1).is_empty());
    h.commit();

    assert_eq!(h.claim_one().payload, "a");
}

#[test]
fn jobs_come_by_priority_then_in_the_order_of_their_enqueue() {
    let mut h = Harness::new();
    for (payload, priority) in [("c", 1000), ("a", 1), ("d", 1000), ("b", 1)] {
        h.enqueue_job(NewJob { priority: Some(priority), ..job(payload) });
    }
    h.commit();

    let order: Vec<_> = h.claim(10).into_iter().map(|claim| claim.payload).collect();

    assert_eq!(order, ["a", "b", "c", "d"]);
}

#[test]
fn the_order_outlives_a_restart() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.enqueue("b");
    h.commit();
    let mut h = h.reopen();
    h.enqueue("c");
    h.commit();

    let order: Vec<_> = h.claim(10).into_iter().map(|claim| claim.payload).collect();

    assert_eq!(order, ["a", "b", "c"]);
}

#[test]
fn each_transition_writes_the_rows_it_promises() {
    let mut h = Harness::new();

    h.enqueue("a");
    h.commit();
    assert_eq!(h.committed(keys::JOB).len(), 1, "an enqueue is one put");

    let claim = h.claim_one();
    assert!(!h.state.has_rows(), "a claim writes nothing");
    h.end(claim.token, Verdict::Ack);
    h.commit();
    assert!(matches!(h.committed(keys::JOB)[..], [Row::Delete(_)]), "an ack is one delete");
    assert!(h.committed(keys::CLAIMS).is_empty(), "a claim settled in time leaves no trace");

    h.enqueue("b");
    h.commit();
    let claim = h.claim_one();
    h.nack(claim.token);
    h.commit();
    assert!(matches!(h.committed(keys::JOB)[..], [Row::Put(..)]), "a nack is one put");
}

#[test]
fn a_claim_that_is_open_when_a_commit_goes_out_rides_along() {
    let mut h = Harness::new();
    h.enqueue("slow");
    h.commit();
    let claim = h.claim_one();

    h.enqueue("other");
    h.commit();

    assert!(matches!(h.committed(keys::CLAIMS)[..], [Row::Put(..)]));
    h.end(claim.token, Verdict::Ack);
    h.commit();
    assert!(matches!(h.committed(keys::CLAIMS)[..], [Row::Delete(_)]), "it goes with its job");
}

#[test]
fn a_batch_is_refused_whole_and_writes_nothing() {
    let mut h = Harness::new();
    let bad = NewJob { max_attempts: Some(0), ..job("bad") };

    let reply = h.ask(Command::Enqueue { queue: queue(), jobs: vec![job("good"), bad] });

    assert!(matches!(reply, Err(Error::InvalidArgument { name: "max_attempts", .. })));
    assert!(!h.state.has_rows());
}

#[test]
fn one_more_than_a_limit_is_refused() {
    let mut h = Harness::new();
    let mut ask = |jobs| h.ask(Command::Enqueue { queue: queue(), jobs });

    let payload = vec![0; PAYLOAD_BYTES_MAX + 1].into();
    let reply = ask(vec![NewJob { payload, ..NewJob::default() }]);
    assert!(matches!(reply, Err(Error::PayloadTooLarge { .. })));

    let dedup_key = Some("k".repeat(DEDUP_KEY_BYTES_MAX + 1));
    let reply = ask(vec![NewJob { dedup_key, ..NewJob::default() }]);
    assert!(matches!(reply, Err(Error::InvalidDedupKey { .. })));

    let reply = ask(vec![NewJob::default(); BATCH_COUNT_MAX + 1]);
    assert!(matches!(reply, Err(Error::BatchTooLarge { .. })));

    let start = Start::After(Duration::MAX);
    let reply = ask(vec![NewJob { start, ..NewJob::default() }]);
    assert!(matches!(reply, Err(Error::InvalidArgument { name: "delay", .. })));
}

#[test]
fn a_second_job_of_a_dedup_key_is_the_first_one() {
    let mut h = Harness::new();
    let keyed = || NewJob { dedup_key: Some("k".into()), ..job("a") };
    let first = h.enqueue_job(keyed());

    let reply = h.ask(Command::Enqueue { queue: queue(), jobs: vec![keyed()] });

    let Ok(Reply::Enqueued(enqueued)) = reply else { panic!("{reply:?}") };
    assert_eq!(enqueued, [Enqueued { job_id: first, is_new: false }]);
}

#[test]
fn a_dedup_key_is_free_after_the_claim_and_a_retry_does_not_take_it_back() {
    let mut h = Harness::new();
    let keyed = |payload| NewJob { dedup_key: Some("k".into()), ..job(payload) };
    let first = h.enqueue_job(keyed("a"));
    h.commit();
    let claim = h.claim_one();

    let second = h.enqueue_job(keyed("b"));
    assert_ne!(first, second);
    h.nack(claim.token);

    assert_eq!(h.enqueue_job(keyed("c")), second, "the key is the second job's");
}

#[test]
fn a_dedup_key_goes_on_to_the_next_job_that_has_it() {
    let mut h = Harness::new();
    let keyed = |payload| NewJob { dedup_key: Some("k".into()), ..job(payload) };
    h.enqueue_job(keyed("a"));
    h.commit();
    let claim = h.claim_one();
    let second = h.enqueue_job(keyed("b"));
    h.nack(claim.token);
    h.commit();

    // After a restart the older job has the key, until it is claimed.
    let mut h = h.reopen();
    h.pass(Duration::from_secs(10));
    h.claim_one();

    assert_eq!(h.enqueue_job(keyed("c")), second, "the second job waits, and the key is its own");
    h.ask(Command::CancelJob { job_id: second }).expect("it waits");
    assert_ne!(h.enqueue_job(keyed("d")), second, "nobody has it any more");
}

#[test]
fn a_dedup_key_of_the_settled_scope_is_taken_while_the_job_runs() {
    let mut h = Harness::new();
    let keyed =
        || NewJob { dedup_key: Some("k".into()), dedup_scope: DedupScope::Settled, ..job("a") };
    let first = h.enqueue_job(keyed());
    h.commit();
    let claim = h.claim_one();

    assert_eq!(h.enqueue_job(keyed()), first);
    h.end(claim.token, Verdict::Ack);

    assert_ne!(h.enqueue_job(keyed()), first);
}

#[test]
fn a_job_is_retried_with_growing_delays_and_then_dead_lettered() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    for (attempt, delay_s) in [(1, 1), (2, 2)] {
        let claim = h.claim_one();
        assert_eq!(claim.attempts, attempt);
        h.nack(claim.token);
        h.commit();
        h.pass(Duration::from_millis(delay_s * 1000 - 1));
        assert!(h.claim(1).is_empty(), "never early");
        h.pass(Duration::from_millis(1));
    }

    let last = h.claim_one();
    h.nack(last.token);
    h.commit();

    let stats = h.stats();
    assert_eq!((stats.dead_count, stats.pending_count, stats.scheduled_count), (1, 0, 0));
}

#[test]
fn dead_letters_are_forgotten_after_their_retention() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::DeadLetter { reason: "no use".into() });
    h.commit();

    h.pass(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!(h.stats().dead_count, 1);
    h.pass(Duration::from_secs(1));
    h.commit();

    assert_eq!(h.stats().dead_count, 0);
    assert!(!h.rows.keys().any(|key| key[0] == keys::JOB));
}

#[test]
fn an_expired_lease_gives_the_job_to_the_next_and_refuses_the_late_ack() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    let late = h.claim_one();
    h.pass(Duration::from_secs(30));
    h.commit();

    let next = h.claim_one();
    let reply = h.settle(late.token, Verdict::Ack);

    assert_eq!((next.job_id, next.attempts), (id, 2));
    let Err(Error::ClaimLost { job_id, lease }) = reply else { panic!("{reply:?}") };
    assert_eq!((job_id, lease), (id.to_string(), Duration::from_secs(30)));
    h.end(next.token, Verdict::Ack);
}

#[test]
fn a_claim_is_settled_once() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::Ack);

    assert!(is_claim_lost(&h.settle(claim.token, Verdict::Ack)));
    assert!(is_claim_lost(&h.settle(ClaimToken(7), Verdict::Ack)), "nor one that never was");
}

#[test]
fn a_wall_clock_that_jumps_moves_dates_but_no_delays_and_no_leases() {
    let mut h = Harness::new();
    h.enqueue_job(NewJob { start: Start::After(Duration::from_secs(60)), ..job("delayed") });
    let date = Start::AtMs(h.now.wall_ms + 60_000);
    h.enqueue_job(NewJob { start: date, ..job("dated") });
    h.enqueue("held");
    h.commit();
    let held = h.claim_one();

    h.now.wall_ms += 86_400_000;
    h.pass(Duration::from_millis(1));

    let payloads: Vec<_> = h.claim(10).into_iter().map(|claim| claim.payload).collect();
    assert_eq!(payloads, ["dated"]);
    h.end(held.token, Verdict::Ack);
}

#[test]
fn a_subscription_has_no_more_in_flight_than_its_concurrency() {
    let mut h = Harness::new();
    for payload in ["a", "b", "c"] {
        h.enqueue(payload);
    }
    h.commit();
    h.apply(Command::Subscribe {
        queue: queue(),
        concurrency: 2,
        observes_runs: TerminalStatuses::NONE,
        job_timeout: None,
    });

    let first = h.dispatch();
    assert_eq!(first.len(), 2);
    assert!(h.dispatch().is_empty());
    h.end(first[0].token, Verdict::Ack);

    assert_eq!(h.dispatch().len(), 1);
}

#[test]
fn what_a_lost_consumer_held_is_delivered_to_another() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    let subscribe = Command::Subscribe {
        queue: queue(),
        concurrency: 1,
        observes_runs: TerminalStatuses::NONE,
        job_timeout: None,
    };
    h.apply(subscribe);
    let lost = h.dispatch().remove(0);

    let mut fx = super::super::Effects::default();
    h.state.detach(OUTLET, h.now, &mut fx);
    h.commit();

    let next = h.claim_one();
    assert_eq!((next.job_id, next.attempts), (id, 2));
    assert!(is_claim_lost(&h.settle(lost.token, Verdict::Ack)));
}

#[test]
fn a_job_that_is_put_off_waits_and_has_all_its_attempts_also_after_a_crash() {
    let mut h =
        Harness::configured(QueueConfig { max_attempts: 2, ..options().default_queue_config });
    h.enqueue("a");
    h.commit();
    for _ in 0..5 {
        let claim = h.claim_one();
        assert_eq!(claim.attempts, 1);
        h.enqueue_job(NewJob { start: Start::After(Duration::from_secs(99_999)), ..job("other") });
        h.commit();
        h.end(claim.token, Verdict::Postpone { delay: Duration::from_secs(50) });
        h.commit();
        h.pass(Duration::from_secs(49));
        assert!(h.claim(1).is_empty());
        h.pass(Duration::from_secs(1));
    }

    let mut h = h.crash();

    assert_eq!(h.claim_suspects(1)[0].attempts, 1);
}
