//! Pulls that wait, leases that are prolonged, and looking at jobs.

use std::time::Duration;

use super::super::{Origin, Query};
use super::harness::*;
use crate::command::{Command, JobState, NewJob, Reply, Start, Verdict};
use crate::error::Error;
use crate::limits::{LIST_COUNT_MAX, LIST_EXAMINED_MAX};

fn wait(seconds: u64) -> Command {
    let wait = Some(Duration::from_secs(seconds));
    Command::Claim { queue: queue(), count_max: 1, lease: None, wait }
}

fn dispatched(h: &mut Harness) -> Vec<Reply> {
    let mut fx = super::super::Effects::default();
    h.state.dispatch(h.now, &mut fx);
    fx.replies.into_iter().map(|(_, reply, _)| reply.expect("claims")).collect()
}

#[test]
fn a_pull_that_waits_gets_the_next_job() {
    let mut h = Harness::new();
    assert!(h.apply(wait(10)).replies.is_empty());
    h.enqueue("a");
    assert!(dispatched(&mut h).is_empty(), "not before it is durable");
    h.commit();

    let replies = dispatched(&mut h);

    let [Reply::Claimed(claims)] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(claims[0].payload, "a");
}

#[test]
fn pulls_are_served_in_the_order_in_which_they_came() {
    let mut h = Harness::new();
    for ticket in [1, 2] {
        let origin = Origin { outlet: OUTLET, ticket: Some(ticket) };
        let mut fx = super::super::Effects::default();
        h.state.apply(origin, wait(10), h.now, &mut fx);
    }
    h.enqueue("a");
    h.commit();

    let mut fx = super::super::Effects::default();
    h.state.dispatch(h.now, &mut fx);

    assert_eq!(fx.replies.len(), 1);
    assert_eq!(fx.replies[0].0.ticket, Some(1));
}

#[test]
fn a_pull_waits_no_longer_than_it_said() {
    let mut h = Harness::new();
    h.apply(wait(10));
    assert_eq!(h.state.next_timer_ms(h.now), Some(10_000));
    assert!(h.pass(Duration::from_secs(9)).replies.is_empty());

    let fx = h.pass(Duration::from_secs(1));

    assert!(matches!(&fx.replies[0].1, Ok(Reply::Claimed(claims)) if claims.is_empty()));
    assert_eq!(h.state.next_timer_ms(h.now), None);
}

#[test]
fn a_withdrawn_pull_takes_nothing() {
    let mut h = Harness::new();
    h.apply(wait(10));
    h.apply(Command::Withdraw { ticket: 0 });
    h.enqueue("a");
    h.commit();

    assert!(dispatched(&mut h).is_empty());
    assert_eq!(h.claim_one().payload, "a");
}

#[test]
fn a_withdrawn_wait_for_a_run_is_forgotten() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let run_id = "r".parse().expect("a good id");
    h.apply(Command::AwaitRun { run_id });
    assert_eq!(h.state.waiting_origins().len(), 1);

    h.apply(Command::Withdraw { ticket: 0 });

    assert!(h.state.waiting_origins().is_empty());
}

#[test]
fn a_renewed_lease_runs_anew_and_a_minimum_never_shortens_it() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    let renew = |seconds, at_least| Command::Renew {
        token: claim.token,
        lease: Duration::from_secs(seconds),
        at_least,
    };
    h.ask(renew(100, false)).expect("it is ours");
    h.ask(renew(1, true)).expect("it is ours");
    h.pass(Duration::from_secs(99));
    assert_eq!(h.stats().claimed_count, 1);
    h.ask(renew(1, false)).expect("it is ours");
    h.pass(Duration::from_secs(1));

    assert!(is_claim_lost(&h.ask(renew(100, false))));
    assert!(is_claim_lost(&h.settle(claim.token, Verdict::Ack)));
}

fn listed(h: &mut Harness, state: Option<JobState>, after: Option<u64>) -> (usize, Option<u64>) {
    let list = Command::ListJobs { queue: queue(), state, after, count_max: 3 };
    let mut fx = h.apply(list);
    match fx.queries.pop() {
        Some((_, Query::Jobs(views, next))) => (views.len(), next),
        None => (0, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_goes_through_the_jobs_of_a_state_page_by_page() {
    let mut h = Harness::new();
    for index in 0..8 {
        let delay = Duration::from_secs(index % 2 * 9);
        h.enqueue_job(NewJob { start: Start::After(delay), ..job("a") });
    }
    h.commit();

    let (first, next) = listed(&mut h, Some(JobState::Scheduled), None);
    let (second, end) = listed(&mut h, Some(JobState::Scheduled), next);

    assert_eq!((first, second, end), (3, 1, None));
    assert_eq!(listed(&mut h, Some(JobState::Dead), None), (0, None));
    assert_eq!(listed(&mut h, None, None).0, 3);
}

#[test]
fn a_page_looks_at_no_more_jobs_than_its_bound() {
    let mut h = Harness::new();
    for _ in 0..=LIST_EXAMINED_MAX {
        h.enqueue("a");
    }
    h.enqueue_job(NewJob { start: Start::After(Duration::from_secs(9)), ..job("b") });
    h.commit();

    let (found, next) = listed(&mut h, Some(JobState::Scheduled), None);
    assert_eq!(found, 0);
    assert_eq!(listed(&mut h, Some(JobState::Scheduled), next), (1, None));
}

#[test]
fn a_page_has_a_limit() {
    let mut h = Harness::new();
    let count_max = LIST_COUNT_MAX + 1;
    let list = Command::ListJobs { queue: queue(), state: None, after: None, count_max };

    assert!(matches!(h.ask(list), Err(Error::InvalidArgument { name: "limit", .. })));
}

#[test]
fn a_job_that_nobody_has_seen_is_as_if_it_had_not_been_claimed() {
    let mut h = Harness::new();
    let id = h.enqueue_job(NewJob { max_attempts: Some(1), ..job("a") });
    h.commit();
    let unseen = h.claim_one();

    h.end(unseen.token, Verdict::Unseen);

    let claim = h.claim_one();
    assert_eq!((claim.job_id, claim.attempts), (id, 1));
    assert!(is_claim_lost(&h.settle(unseen.token, Verdict::Ack)));
}

#[test]
fn a_queue_that_is_only_waited_on_leaves_no_hole_behind() {
    let mut h = Harness::new();
    let other = "other".parse().expect("a good name");
    let (lease, wait) = (None, Some(Duration::from_secs(9)));
    h.apply(Command::Claim { queue: other, count_max: 1, lease, wait });
    h.enqueue("a");
    h.commit();

    let mut h = h.crash();

    let Ok(Reply::Stats(stats)) = h.ask(Command::Stats) else { panic!("stats answer") };
    let names: Vec<_> = stats.queues.iter().map(|queue| queue.queue.as_str()).collect();
    assert_eq!(names, ["other", "work"]);
}

#[test]
fn nobody_who_waits_gets_what_a_close_hands_back() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    h.claim_one();
    h.apply(wait(10));
    let mut fx = super::super::Effects::default();
    h.state.release_all(h.now, &mut fx);
    h.commit();

    h.state.tick(h.now, &mut fx);
    h.state.dispatch(h.now, &mut fx);

    assert!(fx.replies.is_empty(), "{:?}", fx.replies);
}

#[test]
fn a_close_before_a_batch_is_delivered_costs_no_attempt() {
    let mut h = Harness::new();
    let read = h.enqueue("read again");
    let ready = h.enqueue("in memory");
    h.commit();
    h.state.drop_body(read.row);
    let fx = h.apply(Command::Claim { queue: queue(), count_max: 2, lease: None, wait: None });
    assert_eq!(fx.loads, [read.row]);

    let mut fx = super::super::Effects::default();
    h.state.release_all(h.now, &mut fx);

    for job in [read, ready] {
        assert_eq!(h.state.job(job.row).attempts, 0, "nobody has seen it");
    }
}

#[test]
fn a_lease_starts_when_its_batch_is_delivered() {
    let mut h = Harness::new();
    let read = h.enqueue("read again");
    h.enqueue("in memory");
    h.commit();
    h.state.drop_body(read.row);
    let fx = h.apply(Command::Claim { queue: queue(), count_max: 2, lease: None, wait: None });
    assert_eq!(fx.loads, [read.row]);

    h.pass(Duration::from_secs(31));
    let mut fx = super::super::Effects::default();
    let value = h.rows[&crate::record::keys::job(read.row)].clone();
    h.state.loaded(read.row, &value, h.now, &mut fx).expect("ours");

    let Ok(Reply::Claimed(claims)) = fx.replies.remove(0).1 else { panic!("claims") };
    assert_eq!(claims.len(), 2);
    for claim in claims {
        assert_eq!(claim.attempts, 1);
        h.end(claim.token, Verdict::Ack);
    }
}

#[test]
fn a_pull_whose_job_was_cancelled_on_the_way_goes_on_waiting() {
    let mut h = Harness::new();
    let id = h.enqueue("a");
    h.commit();
    h.state.drop_body(id.row);
    assert!(h.apply(wait(10)).replies.is_empty());
    h.ask(Command::CancelJob { job_id: id }).expect("it is claimed");
    let mut fx = super::super::Effects::default();
    let value = h.rows[&crate::record::keys::job(id.row)].clone();
    h.state.loaded(id.row, &value, h.now, &mut fx).expect("ours");
    assert!(fx.replies.is_empty(), "nothing came of it");
    h.enqueue("b");
    h.commit();

    let replies = dispatched(&mut h);

    let [Reply::Claimed(claims)] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(claims[0].payload, "b");
}
