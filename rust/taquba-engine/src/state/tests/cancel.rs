//! Cancelled runs: at every stage of their step, and over restarts.

use std::time::Duration;

use super::super::{Effects, State};
use super::harness::*;
use crate::command::{
    Claim, Command, NewRun, Reply, Start, StepOutcome, TerminalStatus, TerminalStatuses, Verdict,
    Work,
};
use crate::error::Result;
use crate::record::{EndedRun, RunRow, keys};

fn ended(h: &Harness, run_id: &str) -> Option<EndedRun> {
    let key = keys::run(&run_id.parse().expect("a good id"));
    RunRow::decode(&h.rows[&key]).expect("we wrote it").ended
}

fn status(h: &Harness, run_id: &str) -> Option<(TerminalStatus, Option<String>)> {
    ended(h, run_id).map(|end| (end.status, end.error.map(|error| error.to_string())))
}

fn cancel_command(run_id: &str, tells_hook: bool) -> Command {
    Command::CancelRun { run_id: run_id.parse().expect("a good id"), tells_hook }
}

/// Cancels for nobody's hook, with a commit.
fn cancel(h: &mut Harness, run_id: &str) -> Result<Reply> {
    let reply = h.ask_with_reads(cancel_command(run_id, false));
    h.commit();
    reply
}

fn is_cancelled(reply: &Result<Reply>) -> bool {
    let Ok(Reply::RunCancelled(is_cancelled)) = reply else { panic!("{reply:?}") };
    *is_cancelled
}

fn submitted(run: NewRun) -> Harness {
    let mut h = Harness::new();
    h.submit(run).expect("new");
    h.commit();
    h
}

fn observed(run_id: &str) -> NewRun {
    NewRun { observed: TerminalStatuses::ALL, ..run(run_id) }
}

#[test]
fn a_run_that_waits_ends_at_once() {
    for start in [Start::Now, Start::After(Duration::from_secs(9)), Start::AtMs(9_000_000)] {
        let mut h = submitted(NewRun { start, ..run("r") });

        assert!(is_cancelled(&cancel(&mut h, "r")));

        assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)));
        assert!(h.rows.keys().all(|key| key[0] != keys::JOB), "its step is gone");
        h.pass(Duration::from_secs(10));
        assert!(h.claim(1).is_empty());
        assert_eq!((h.stats().live_run_count, h.stats().cancelled_total), (0, 1));
    }
}

#[test]
fn a_run_whose_submission_is_still_on_its_way_ends_as_well() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");

    assert!(is_cancelled(&cancel(&mut h, "r")));

    assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)));
    assert!(h.claim(1).is_empty());
}

#[test]
fn a_step_that_waits_for_its_retry_goes_with_its_run() {
    let mut h = submitted(run("r"));
    let step = h.claim_one();
    h.nack(step.token);
    h.commit();

    assert!(is_cancelled(&cancel(&mut h, "r")));

    h.pass(Duration::from_secs(999));
    assert!(h.claim(1).is_empty());
    let end = ended(&h, "r").expect("it has ended");
    assert_eq!((end.final_step, end.attempts), (0, 1));
}

#[test]
fn a_waiting_step_whose_body_is_not_in_memory_is_read_for_its_end() {
    let mut h = submitted(observed("r"));
    h.state.drop_body(1);

    assert!(is_cancelled(&cancel(&mut h, "r")));

    assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)));
    assert!(matches!(h.claim_one().work, Work::Notification(_)));
}

#[test]
fn a_step_that_moves_on_while_its_body_is_read_is_cancelled_where_it_is_then() {
    let mut h = submitted(run("r"));
    h.state.drop_body(1);
    let mut fx = h.apply(cancel_command("r", false));
    assert_eq!(fx.late_loads, [1]);
    let before = h.rows[&keys::job(1)].clone();
    // Claimed meanwhile, by somebody who has its body read as well.
    let granted = h.apply(Command::Claim { queue: queue(), count_max: 1, lease: None, wait: None });
    assert_eq!(granted.loads, [1]);

    let loaded = h.state.loaded(1, &before, h.now, &mut fx);
    loaded.expect("we wrote it");

    assert!(is_cancelled(&fx.replies[0].1));
    h.commit();
    let rows = h.rows.keys().filter(|key| key[0] == keys::JOB).count();
    assert_eq!((status(&h, "r"), rows), (Some((TerminalStatus::Cancelled, None)), 0));
}

/// The holder of a running step hears of it; what it then says.
fn settled_after_cancel(verdict: Verdict) -> Harness {
    let mut h = submitted(observed("r"));
    let step = h.claim_one();
    let fx = h.apply(cancel_command("r", false));
    assert_eq!(fx.cancels, [(OUTLET, step.token)], "its holder is asked to stop");
    h.commit();
    assert_eq!(status(&h, "r"), None, "it ends with its step");
    h.end(step.token, verdict);
    h.commit();
    h
}

#[test]
fn whatever_a_running_step_says_its_run_ends_cancelled() {
    for verdict in [
        Verdict::Step(succeed("done")),
        Verdict::Step(go_on("more")),
        Verdict::Step(StepOutcome::Fail { reason: "no luck".into() }),
        Verdict::Nack { error: "again".into(), retry_after: None },
        Verdict::DeadLetter { reason: "never".into() },
        Verdict::Release,
        Verdict::Unseen,
    ] {
        let mut h = settled_after_cancel(verdict.clone());

        assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)), "{verdict:?}");
        let Work::Notification(outcome) = h.claim_one().work else { panic!("{verdict:?}") };
        assert_eq!((outcome.status, &outcome.error), (TerminalStatus::Cancelled, &None));
        assert_eq!((h.stats().dead_count, h.stats().live_run_count), (0, 0), "{verdict:?}");
    }
}

#[test]
fn a_runner_that_cancels_its_own_run_gives_the_reason() {
    let reason = StepOutcome::Cancel { reason: "changed my mind".into() };

    let mut h = settled_after_cancel(Verdict::Step(reason));

    let expected = (TerminalStatus::Cancelled, Some("changed my mind".to_owned()));
    assert_eq!(status(&h, "r"), Some(expected));
    let Work::Notification(outcome) = h.claim_one().work else { panic!("the hook is told") };
    assert_eq!(outcome.error.as_deref(), Some("changed my mind"));
}

#[test]
fn a_run_whose_holder_goes_away_or_is_too_late_is_cancelled() {
    let mut h = submitted(run("r"));
    h.claim_one();
    assert!(is_cancelled(&cancel(&mut h, "r")));

    h.pass(Duration::from_secs(31));
    h.commit();

    assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)));
}

#[test]
fn a_request_holds_over_a_crash_and_over_a_close() {
    for crash in [true, false] {
        let mut h = submitted(observed("r"));
        h.claim_one();
        assert!(is_cancelled(&cancel(&mut h, "r")));

        let mut h = if crash { h.crash() } else { h.reopen() };

        assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)), "crash: {crash}");
        let claims = h.claim(9);
        assert_eq!(claims.len(), 1, "the hook is told, and nothing else is delivered");
        assert!(matches!(claims[0].work, Work::Notification(_)));
    }
}

#[test]
fn a_cancel_that_was_not_answered_may_be_lost_with_the_process() {
    let mut h = submitted(run("r"));
    let fx = h.apply(cancel_command("r", false));
    assert_eq!(fx.replies[0].2, crate::state::Release::Durable);

    let h = h.crash();

    assert_eq!(status(&h, "r"), None);
}

#[test]
fn who_cancels_twice_is_told_so_and_the_hook_once() {
    let mut h = submitted(observed("r"));
    let step = h.claim_one();

    assert!(is_cancelled(&cancel(&mut h, "r")));
    assert!(is_cancelled(&cancel(&mut h, "r")));
    h.end(step.token, Verdict::Step(succeed("late")));
    h.commit();

    assert!(!is_cancelled(&cancel(&mut h, "r")), "it has ended");
    assert!(!is_cancelled(&cancel(&mut h, "unknown")));
    assert_eq!(h.claim(9).len(), 1);
}

/// What a canceller with a hook gets when it is durable.
fn handed(h: &mut Harness) -> Claim {
    let fx = h.commit();
    let [(origin, Ok(Reply::Claimed(claims)), _)] = &fx.replies[..] else { panic!("{fx:?}") };
    assert_eq!((origin.outlet, claims.len()), (OUTLET, 1));
    claims[0].clone()
}

#[test]
fn a_canceller_with_a_hook_gets_the_notification_and_nobody_else_does() {
    let mut h = submitted(run("r"));
    let fx = h.apply(cancel_command("r", true));
    assert!(fx.replies.is_empty(), "not before it is durable");

    let notification = handed(&mut h);

    let Work::Notification(outcome) = &notification.work else { panic!("{notification:?}") };
    assert_eq!(outcome.status, TerminalStatus::Cancelled);
    assert_eq!(notification.lease, None);
    assert!(h.claim(9).is_empty());
    h.end(notification.token, Verdict::Ack);
    h.commit();
    assert!(h.rows.keys().all(|key| key[0] != keys::JOB && key[0] != keys::CLAIMS));
}

#[test]
fn a_notification_that_its_canceller_does_not_settle_goes_to_others() {
    let mut h = submitted(run("r"));
    h.apply(cancel_command("r", true));
    handed(&mut h);
    h.pass(Duration::from_secs(100_000));
    assert!(h.claim(9).is_empty(), "the engine keeps its lease");

    let mut fx = Effects::default();
    h.state.detach(OUTLET, h.now, &mut fx);
    h.commit();

    assert_eq!(h.claim(9).len(), 1);
}

#[test]
fn a_canceller_who_has_gone_leaves_the_notification_to_others() {
    let mut h = submitted(run("r"));
    h.apply(cancel_command("r", true));
    h.state.leave(OUTLET);
    let fx = h.commit();

    assert!(fx.replies.is_empty());
    assert_eq!(h.claim(9).len(), 1);
}

#[test]
fn a_queue_that_is_being_closed_hands_nothing_over() {
    let mut h = submitted(run("r"));
    h.apply(cancel_command("r", true));
    h.state.stop_granting();
    let fx = h.commit();

    assert!(is_cancelled(&fx.replies[0].1));
    assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)));
}

#[test]
fn everybody_who_waits_for_a_notification_is_answered_at_the_end() {
    let mut h = submitted(run("r"));
    h.apply(cancel_command("r", true));

    let waiting: Vec<_> = State::waiting_origins(&h.state);

    assert_eq!(waiting.len(), 1);
}

#[test]
fn a_granted_step_that_nobody_has_seen_is_cancelled_before_it_is_delivered() {
    let mut h = submitted(run("r"));
    h.state.drop_body(1);
    let granted = h.apply(Command::Claim { queue: queue(), count_max: 1, lease: None, wait: None });
    assert_eq!(granted.loads, [1]);
    let fx = h.apply(cancel_command("r", false));
    assert!(fx.cancels.is_empty(), "nobody has it yet");
    h.commit();

    let value = h.rows[&keys::job(1)].clone();
    let mut fx = Effects::default();
    h.state.loaded(1, &value, h.now, &mut fx).expect("we wrote it");
    h.commit();

    assert!(matches!(&fx.replies[0].1, Ok(Reply::Claimed(claims)) if claims.is_empty()));
    assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)));
}

#[test]
fn a_retry_waits_as_long_as_its_failure_says() {
    let mut h = submitted(run("r"));
    let step = h.claim_one();
    let retry_after = Some(Duration::from_secs(77));
    h.end(step.token, Verdict::Nack { error: "busy".into(), retry_after });
    h.commit();

    h.pass(Duration::from_secs(76));
    assert!(h.claim(1).is_empty());
    h.pass(Duration::from_secs(1));
    assert_eq!(h.claim_one().attempts, 2);
}

#[test]
fn a_close_ends_a_pull_that_holds_a_cancelled_step_beside_one_that_is_being_read() {
    let mut h = Harness::new();
    h.submit(run("a")).expect("new");
    h.submit(run("b")).expect("new");
    h.commit();
    h.state.drop_body(1);
    let fx = h.apply(Command::Claim { queue: queue(), count_max: 2, lease: None, wait: None });
    assert_eq!(fx.loads, [1]);
    h.apply(cancel_command("b", false));
    h.commit();

    let h = h.reopen();

    assert_eq!(status(&h, "a"), None);
    assert_eq!(status(&h, "b"), Some((TerminalStatus::Cancelled, None)));
}

#[test]
fn the_delivery_that_a_crash_cut_short_is_counted_in_the_end() {
    let mut h = submitted(run("r"));
    h.claim_one();
    assert!(is_cancelled(&cancel(&mut h, "r")));

    let h = h.crash();

    assert_eq!(ended(&h, "r").expect("it has ended").attempts, 1);
}

#[test]
fn of_two_cancels_of_a_run_that_is_being_read_the_first_ends_it() {
    let mut h = submitted(run("r"));
    h.state.drop_body(1);
    let first = h.apply(cancel_command("r", false));
    let mut fx = h.apply(cancel_command("r", false));
    assert!(first.replies.is_empty() && fx.replies.is_empty());

    let value = h.rows[&keys::job(1)].clone();
    h.state.loaded(1, &value, h.now, &mut fx).expect("we wrote it");

    let answers: Vec<_> = fx.replies.iter().map(|(_, reply, _)| is_cancelled(reply)).collect();
    assert_eq!(answers, [true, false]);
}

#[test]
fn a_cancel_of_a_step_that_was_put_back_under_one_is_kept_as_well() {
    let mut h = submitted(run("r"));
    h.state.drop_body(1);
    let subscribe = Command::Subscribe {
        queue: queue(),
        concurrency: 1,
        observes_runs: TerminalStatuses::NONE,
        job_timeout: None,
    };
    h.apply(subscribe);
    let mut fx = Effects::default();
    h.state.dispatch(h.now, &mut fx);
    assert_eq!(fx.loads, [1]);
    h.apply(cancel_command("r", false));
    h.commit();
    let mut fx = Effects::default();
    h.state.detach(OUTLET, h.now, &mut fx);
    assert_eq!(fx.late_loads, [1], "its end needs its body");

    assert!(is_cancelled(&h.ask(cancel_command("r", false))));

    let value = h.rows[&keys::job(1)].clone();
    h.state.loaded(1, &value, h.now, &mut fx).expect("we wrote it");
    h.commit();
    assert_eq!(status(&h, "r"), Some((TerminalStatus::Cancelled, None)));
}
