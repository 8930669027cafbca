//! Jobs that end: kept, dead, requeued, purged, cancelled; and what their history tells.

use std::time::Duration;

use super::super::Stage;
use super::harness::*;
use crate::command::{AttemptEnd, Command, JobCancelled, NewJob, Reply, Start, Verdict};
use crate::error::Error;
use crate::ids::JobId;
use crate::options::QueueConfig;
use crate::record::{Body, JobRow, Row, keys};

fn stored(h: &Harness, id: JobId) -> JobRow<Body> {
    JobRow::decode(&h.rows[&keys::job(id.row)]).expect("ours")
}

fn ends(h: &Harness, id: JobId) -> Vec<(u32, AttemptEnd)> {
    stored(h, id).body.history.iter().map(|attempt| (attempt.number, attempt.end)).collect()
}

/// A job that has been dead-lettered.
fn dead(h: &mut Harness) -> JobId {
    let id = h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::DeadLetter { reason: "broken".into() });
    h.commit();
    id
}

fn cancel(h: &mut Harness, job_id: JobId) -> crate::error::Result<Reply> {
    h.ask(Command::CancelJob { job_id })
}

#[test]
fn a_dead_job_is_requeued_under_its_id_with_all_its_attempts_and_its_history() {
    let mut h = Harness::new();
    let id = dead(&mut h);

    let reply = h.ask_with_reads(Command::RequeueJob { job_id: id });
    assert!(matches!(reply, Ok(Reply::Done)), "{reply:?}");
    assert!(h.claim(1).is_empty(), "not before it is durable");
    h.commit();

    let claim = h.claim_one();
    assert_eq!((claim.job_id, claim.attempts), (id, 1));
    assert_eq!(ends(&h, id), [(1, AttemptEnd::DeadLettered)]);
    assert_eq!(h.stats().dead_count, 0);
}

#[test]
fn only_dead_jobs_are_requeued() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    let unknown = JobId { row: 9_999, turn: 0 };

    let waiting = h.ask_with_reads(Command::RequeueJob { job_id: id });
    let missing = h.ask_with_reads(Command::RequeueJob { job_id: unknown });

    assert!(matches!(waiting, Err(Error::WrongJobState { .. })), "{waiting:?}");
    assert!(matches!(missing, Err(Error::JobNotFound { .. })), "{missing:?}");
}

#[test]
fn a_requeued_job_that_dies_again_is_kept_for_its_whole_retention() {
    let mut h = Harness::new();
    let id = dead(&mut h);
    h.pass(Duration::from_secs(6 * 86_400));
    h.ask_with_reads(Command::RequeueJob { job_id: id }).expect("it is dead");
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::DeadLetter { reason: "again".into() });
    h.commit();

    h.pass(Duration::from_secs(2 * 86_400));
    h.commit();
    assert_eq!(h.stats().dead_count, 1, "two days of seven");
    h.pass(Duration::from_secs(6 * 86_400));
    h.commit();

    assert_eq!(h.stats().dead_count, 0);
    assert!(!h.rows.contains_key(&keys::job(id.row)));
}

#[test]
fn a_purge_takes_those_that_have_been_dead_for_long_enough() {
    let mut h = Harness::new();
    dead(&mut h);
    h.pass(Duration::from_secs(100));
    let young = dead(&mut h);
    let purge =
        |seconds| Command::PurgeDead { queue: queue(), older_than: Duration::from_secs(seconds) };

    assert!(matches!(h.ask(purge(50)), Ok(Reply::Purged(1))));
    h.commit();
    assert!(h.rows.contains_key(&keys::job(young.row)));
    assert!(matches!(h.ask(purge(0)), Ok(Reply::Purged(1))));
    h.commit();

    assert_eq!(h.stats().dead_count, 0);
    assert_eq!(h.crash().stats().dead_count, 0);
}

#[test]
fn an_acked_job_is_kept_as_long_as_its_queue_says_over_restarts_too() {
    let keep = Duration::from_secs(60);
    let mut h =
        Harness::configured(QueueConfig { keep_done_jobs: Some(keep), ..QueueConfig::default() });
    let id = h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::Ack);
    h.commit();

    let mut h = h.crash();
    assert_eq!(h.stats().done_count, 1);
    assert_eq!(ends(&h, id), [(1, AttemptEnd::Acked)]);
    assert!(h.claim(1).is_empty());
    h.pass(keep);
    h.commit();

    assert_eq!(h.stats().done_count, 0);
    assert!(!h.rows.contains_key(&keys::job(id.row)));
}

#[test]
fn a_waiting_job_that_is_cancelled_is_gone() {
    let mut h = Harness::new();
    let pending = h.enqueue("a");
    let later = Start::After(Duration::from_secs(9));
    let scheduled = h.enqueue_job(NewJob { start: later, ..job("b") });
    h.commit();
    let committing = h.enqueue("c");

    for id in [pending, scheduled, committing] {
        let reply = cancel(&mut h, id);
        assert!(matches!(reply, Ok(Reply::JobCancelled(JobCancelled::Removed))), "{reply:?}");
    }
    h.commit();
    h.pass(Duration::from_secs(10));

    assert!(h.claim(9).is_empty());
    assert_eq!(h.stats().cancelled_total, 3);
    assert!(matches!(cancel(&mut h, pending), Err(Error::JobNotFound { .. })));
    let mut h = h.crash();
    assert!(h.claim(9).is_empty());
}

#[test]
fn a_cancelled_dedup_key_is_free_again() {
    let mut h = Harness::new();
    let keyed = || NewJob { dedup_key: Some("k".into()), ..job("a") };
    let first = h.enqueue_job(keyed());
    h.commit();
    cancel(&mut h, first).expect("it waits");

    assert_ne!(h.enqueue_job(keyed()), first);
}

#[test]
fn the_holder_of_a_cancelled_job_is_asked_to_stop_and_nobody_gets_it_again() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    let claim = h.claim_one();

    let fx = h.apply(Command::CancelJob { job_id: id });
    assert_eq!(fx.cancels, [(OUTLET, claim.token)]);
    h.commit();
    h.nack(claim.token);
    h.commit();
    h.pass(Duration::from_secs(999));

    assert!(h.claim(1).is_empty());
    assert_eq!(h.stats().cancelled_total, 1);
}

#[test]
fn the_request_to_stop_outlives_the_process() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    h.claim_one();
    cancel(&mut h, id).expect("it is claimed");
    h.commit();

    let mut h = h.crash();

    assert!(h.state.jobs.get(id.row).is_none());
    assert!(
        h.apply(Command::Claim { queue: queue(), count_max: 1, lease: None, wait: None })
            .claims
            .is_empty()
    );
    assert!(h.rows.keys().all(|key| key[0] != keys::JOB && key[0] != keys::CLAIMS));
}

#[test]
fn a_holder_that_does_not_stop_may_still_ack() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    cancel(&mut h, id).expect("it is claimed");

    assert!(h.settle(claim.token, Verdict::Ack).is_ok());
    assert_eq!(h.stats().acked_total, 1);
}

#[test]
fn a_step_is_cancelled_with_its_run_and_not_by_itself() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let step = h.claim_one();

    assert!(matches!(cancel(&mut h, step.job_id), Err(Error::WrongJobState { .. })));
}

#[test]
fn the_history_has_every_end_a_delivery_can_have() {
    use AttemptEnd::{DeadLettered, Expired, Lost, Nacked, Released};
    let config = QueueConfig { max_attempts: 9, ..options().default_queue_config };
    let mut h = Harness::configured(config);
    let id = h.enqueue("a");
    h.commit();
    let nacked = h.claim_one();
    h.nack(nacked.token);
    h.commit();
    h.pass(Duration::from_secs(999));
    let released = h.claim_one();
    h.end(released.token, Verdict::Release);
    h.commit();
    h.claim_one();
    h.pass(Duration::from_secs(31));
    h.commit();
    h.claim_one();
    h.enqueue("so that the claim rides along");
    h.commit();
    let mut h = h.crash();
    let claims = h.claim_suspects(2);
    let last = claims.iter().find(|claim| claim.job_id == id).expect("it is there");
    h.end(last.token, Verdict::DeadLetter { reason: "enough".into() });
    h.commit();

    assert_eq!(
        ends(&h, id),
        [(1, Nacked), (2, Released), (3, Expired), (4, Lost), (5, DeadLettered)]
    );
    let history = stored(&h, id).body.history;
    assert!(history.iter().all(|attempt| attempt.started_at_ms.is_some()));
    assert_eq!(history[3].ended_at_ms, None, "nobody saw it end");
}

#[test]
fn a_job_of_many_deliveries_keeps_the_latest() {
    let config = QueueConfig { max_attempts: 100, ..options().default_queue_config };
    let mut h = Harness::configured(config);
    let id = h.enqueue("a");
    for _ in 0..30 {
        h.commit();
        h.pass(Duration::from_secs(999));
        let claim = h.claim_one();
        h.nack(claim.token);
    }
    h.commit();

    let ends = ends(&h, id);
    assert_eq!((ends.len(), ends[0].0, ends[19].0), (20, 11, 30));
}

#[test]
fn a_woken_job_is_claimable_at_once_and_stays_so_over_a_crash() {
    let mut h = Harness::new();
    let start = Start::After(Duration::from_secs(3600));
    let id = h.enqueue_job(NewJob { start, ..job("a") });
    h.commit();

    h.ask_with_reads(Command::WakeJob { job_id: id }).expect("it is scheduled");
    assert!(h.claim(1).is_empty(), "not before it is durable");
    h.commit();
    assert_eq!(h.stats().pending_count, 1);

    let mut h = h.crash();
    assert_eq!(h.claim_suspects(1)[0].job_id, id);
}

#[test]
fn only_jobs_that_wait_are_woken() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    assert!(h.ask_with_reads(Command::WakeJob { job_id: id }).is_ok(), "pending is awake");
    h.claim_one();

    let claimed = h.ask_with_reads(Command::WakeJob { job_id: id });

    assert!(matches!(claimed, Err(Error::WrongJobState { .. })), "{claimed:?}");
    assert!(h.state.job_is(id.row, Stage::Claimed));
}

#[test]
fn what_recovery_learns_of_a_claim_is_in_the_jobs_own_row_afterwards() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    h.claim_one();
    h.enqueue("b");
    h.commit();
    assert_eq!(h.committed(keys::CLAIMS).len(), 1);

    let h = h.crash();

    assert!(h.rows.keys().all(|key| key[0] != keys::CLAIMS));
    assert_eq!(stored(&h, id).attempts, 1);
    assert!(h.committed(keys::CLAIMS).iter().all(|row| matches!(row, Row::Delete(_))));
}

#[test]
fn a_dead_job_that_had_been_cancelled_is_requeued_like_any_other() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    cancel(&mut h, id).expect("it is claimed");
    h.end(claim.token, Verdict::DeadLetter { reason: "cancelled".into() });
    h.commit();

    h.ask_with_reads(Command::RequeueJob { job_id: id }).expect("it is dead");
    h.commit();

    assert_eq!(h.claim_one().job_id, id);
}

#[test]
fn a_job_that_nobody_has_seen_is_not_dead_after_a_restart() {
    let mut h = Harness::new();
    let id = h.enqueue_job(NewJob { max_attempts: Some(1), ..job("a") });
    h.commit();
    let unseen = h.claim_one();
    h.enqueue("so that the claim rides along");
    h.commit();
    h.end(unseen.token, Verdict::Unseen);

    let mut h = h.reopen();

    let claim = h.claim_one();
    assert_eq!((claim.job_id, claim.attempts), (id, 1));
}

#[test]
fn a_suspect_that_is_handed_back_unseen_stays_one() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let mut h = h.crash();
    let unseen = h.claim_suspects(1).remove(0);
    h.end(unseen.token, Verdict::Unseen);
    h.commit();

    assert_eq!(h.claim_suspects(1)[0].attempts, 1, "its claim is durable before it is delivered");
}

#[test]
fn a_requeued_job_holds_its_dedup_key_after_a_restart_too() {
    let mut h = Harness::new();
    let keyed = || NewJob { dedup_key: Some("k".into()), ..job("a") };
    let id = h.enqueue_job(keyed());
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::DeadLetter { reason: "broken".into() });
    h.commit();
    let mut h = h.crash();
    h.ask_with_reads(Command::RequeueJob { job_id: id }).expect("it is dead");
    h.commit();

    assert_eq!(h.enqueue_job(keyed()), id);
}

#[test]
fn what_is_requeued_in_the_commit_of_its_death_keeps_its_history() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::DeadLetter { reason: "broken".into() });

    h.ask_with_reads(Command::RequeueJob { job_id: id }).expect("it is dead");
    h.commit();

    assert_eq!(ends(&h, id), [(1, AttemptEnd::DeadLettered)]);
}

#[test]
fn what_expires_together_is_forgotten_in_commits_of_bounded_size() {
    let mut h = Harness::new();
    let large = vec![0; 200 * 1024];
    for _ in 0..50 {
        h.enqueue_job(NewJob { payload: large.clone().into(), ..NewJob::default() });
    }
    h.commit();
    for claim in h.claim(50) {
        h.end(claim.token, Verdict::DeadLetter { reason: "broken".into() });
    }
    // The commit that is being filled is full already.
    h.pass(Duration::from_secs(8 * 86_400));
    assert_eq!(h.stats().dead_count, 50);
    assert_eq!(h.state.next_timer_ms(h.now), None, "nobody spins until it is written");
    h.commit();
    h.pass(Duration::ZERO);
    h.commit();

    assert_eq!(h.stats().dead_count, 0);
}
