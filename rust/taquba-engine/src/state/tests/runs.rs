//! Runs and their steps.

use std::time::Duration;

use super::harness::*;
use crate::command::{
    Command, NewRun, Reply, RunOutcome, StepOutcome, TerminalStatus, TerminalStatuses, Verdict,
    Work,
};
use crate::error::Error;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::record::{Headers, Row, RunRow, keys};

fn step_of(work: &Work) -> u32 {
    let Work::Step { step_number, .. } = work else { panic!("a step was expected: {work:?}") };
    *step_number
}

fn stored(h: &Harness, run_id: &str) -> RunRow {
    let key = keys::run(&run_id.parse().expect("a good id"));
    RunRow::decode(&h.rows[&key]).expect("we wrote it")
}

#[test]
fn a_run_goes_step_by_step_in_one_row_each_and_ends() {
    let mut h = Harness::new();
    let headers = Headers::new([("tenant", "t1")]).expect("good headers");
    h.submit(NewRun { headers: headers.clone(), ..run("r") }).expect("a good run");
    h.commit();
    assert_eq!(
        h.committed(keys::JOB).len() + h.committed(keys::RUN).len(),
        2,
        "a submit is 2 puts"
    );
    let first_key = h.committed(keys::JOB)[0].clone();

    let step = h.claim_one();
    assert_eq!(
        (step_of(&step.work), &step.payload[..], &step.headers),
        (0, &b"input"[..], &headers)
    );
    h.step(step.token, go_on("more"));
    assert!(h.claim(1).is_empty(), "the next step waits for the commit that settles this one");
    h.commit();
    assert!(matches!(h.committed(keys::JOB)[..], [Row::Put(..)]), "a step is one put");
    let (Row::Put(first, _), Row::Put(second, _)) = (&first_key, h.committed(keys::JOB)[0]) else {
        panic!("both are puts")
    };
    assert_eq!(first, second, "the next step takes over the row");

    let step = h.claim_one();
    assert_eq!(
        (step_of(&step.work), &step.payload[..], &step.headers),
        (1, &b"more"[..], &headers)
    );
    assert_eq!(step.attempts, 1);
    h.step(step.token, succeed("done"));
    h.commit();

    assert!(matches!(h.committed(keys::JOB)[..], [Row::Delete(_)]));
    let ended = stored(&h, "r").ended.expect("it has ended");
    assert_eq!((ended.status, ended.final_step), (TerminalStatus::Succeeded, 1));
    assert_eq!(ended.result.as_deref(), Some(&b"done"[..]));
}

#[test]
fn a_run_id_stands_for_one_input_also_after_the_end() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let step = h.claim_one();
    let other = NewRun { input: "other".into(), ..run("r") };

    for _ in 0..2 {
        let Ok(Reply::Submitted(again)) = h.submit(run("r")) else {
            panic!("the same input is fine")
        };
        assert!(!again[0].newly_submitted);
        assert!(matches!(h.submit(other.clone()), Err(Error::InputMismatch { .. })));
        if h.stats().live_run_count == 1 {
            h.step(step.token, succeed("done"));
        }
    }
}

#[test]
fn two_inputs_for_one_run_id_in_one_batch_are_refused() {
    let mut h = Harness::new();
    let runs = vec![run("r"), NewRun { input: "other".into(), ..run("r") }];

    let reply = h.ask(Command::Submit { queue: queue(), runs });

    assert!(matches!(reply, Err(Error::InputMismatch { .. })));
    assert!(!h.state.has_rows());
}

#[test]
fn an_ended_run_is_forgotten_after_its_retention() {
    let mut h = Harness::new();
    h.submit(NewRun { retention: Some(Duration::from_secs(60)), ..run("r") }).expect("new");
    h.commit();
    let step = h.claim_one();
    h.step(step.token, succeed("done"));
    h.commit();

    h.pass(Duration::from_secs(60));
    h.commit();

    assert!(!h.rows.keys().any(|key| key[0] == keys::RUN));
    let Ok(Reply::Submitted(again)) = h.submit(run("r")) else { panic!("the id is free") };
    assert!(again[0].newly_submitted);
}

#[test]
fn the_end_of_an_observed_run_is_a_job_for_the_hook_in_the_same_commit() {
    let mut h = Harness::new();
    h.submit(NewRun { observed: TerminalStatuses::ALL, ..run("r") }).expect("new");
    h.commit();
    let step = h.claim_one();
    h.step(step.token, StepOutcome::Fail { reason: "no luck".into() });
    h.commit();
    assert!(matches!(h.committed(keys::JOB)[..], [Row::Put(..)]), "it takes over the step's row");

    let notification = h.claim_one();

    let Work::Notification(outcome) = &notification.work else { panic!("{:?}", notification.work) };
    let expected = RunOutcome {
        run_id: "r".parse().expect("a good id"),
        status: TerminalStatus::Failed,
        result: None,
        error: Some("no luck".into()),
        headers: Headers::default(),
        final_step: 0,
    };
    assert_eq!(**outcome, expected);
    h.end(notification.token, Verdict::Ack);
    h.commit();
    let stats = h.stats();
    assert_eq!(stats.dead_count, 0, "a runner's own verdict is no dead letter");
    assert_eq!((stats.enqueued_total, stats.acked_total), (2, 2), "a step and a notification");
}

#[test]
fn a_permanent_error_dead_letters_the_step_and_fails_the_run() {
    let mut h = Harness::new();
    h.submit(NewRun { observed: TerminalStatuses::ALL, ..run("r") }).expect("new");
    h.commit();
    let step = h.claim_one();

    h.end(step.token, Verdict::DeadLetter { reason: "bad input".into() });
    h.commit();

    let stats = h.stats();
    assert_eq!((stats.dead_count, stats.live_run_count, stats.pending_count), (1, 0, 1));
    assert!(matches!(h.claim_one().work, Work::Notification(_)));
    let ended = stored(&h, "r").ended.expect("it has ended");
    assert_eq!(ended.error.as_deref(), Some("bad input"));
}

#[test]
fn a_step_that_fails_too_often_fails_its_run() {
    let mut h = Harness::new();
    h.submit(NewRun { max_attempts: Some(2), ..run("r") }).expect("new");
    h.commit();
    for _ in 0..2 {
        let step = h.claim_one();
        assert_eq!(step_of(&step.work), 0);
        h.nack(step.token);
        h.commit();
        h.pass(Duration::from_secs(10));
    }

    assert!(h.claim(1).is_empty());
    assert_eq!(stored(&h, "r").ended.map(|ended| ended.status), Some(TerminalStatus::Failed));
}

#[test]
fn a_step_can_continue_later() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let step = h.claim_one();
    let delay = Duration::from_secs(5);
    h.step(step.token, StepOutcome::ContinueAfter { payload: "later".into(), delay });
    h.commit();

    h.pass(Duration::from_millis(4_999));
    assert!(h.claim(1).is_empty());
    h.pass(Duration::from_millis(1));

    assert_eq!(h.claim_one().payload, "later");
}

#[test]
fn an_outcome_over_a_limit_fails_the_run_instead_of_hanging_it() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let step = h.claim_one();
    let payload = vec![0; PAYLOAD_BYTES_MAX + 1].into();

    h.step(step.token, StepOutcome::Continue { payload });
    h.commit();

    let ended = stored(&h, "r").ended.expect("it has ended");
    assert_eq!(ended.status, TerminalStatus::Failed);
    assert!(ended.error.is_some_and(|error| error.contains(&PAYLOAD_BYTES_MAX.to_string())));
}

#[test]
fn who_waits_for_a_run_is_told_its_end() {
    let mut h = Harness::new();
    h.submit(run("r")).expect("new");
    h.commit();
    let run_id: crate::ids::RunId = "r".parse().expect("a good id");
    assert!(h.apply(Command::AwaitRun { run_id: run_id.clone() }).replies.is_empty());
    let step = h.claim_one();

    let fx = h.step(step.token, StepOutcome::Cancel { reason: "changed my mind".into() });

    let outcomes = fx.replies.iter().filter_map(|(_, reply, _)| match reply {
        Ok(Reply::Outcome(outcome)) => Some(outcome.status),
        _ => None,
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [TerminalStatus::Cancelled]);
    let later = h.apply(Command::AwaitRun { run_id });
    assert_eq!(later.queries.len(), 1, "an ended run is read from the log");
    let unknown = Command::AwaitRun { run_id: "other".parse().expect("a good id") };
    assert!(matches!(h.ask(unknown), Err(Error::RunNotFound { .. })));
}

#[test]
fn a_step_is_not_settled_like_a_job_nor_a_job_like_a_step() {
    let mut h = Harness::new();
    h.enqueue("job");
    h.submit(run("r")).expect("new");
    h.commit();
    let (plain, step) = (h.claim_one(), h.claim_one());

    assert!(h.settle(step.token, Verdict::Ack).is_err());
    assert!(h.settle(plain.token, Verdict::Step(succeed("x"))).is_err());

    h.end(plain.token, Verdict::Ack);
    h.step(step.token, succeed("x"));
}

#[test]
fn the_time_that_steps_have_does_not_bound_a_hook() {
    let mut h = Harness::new();
    let job_timeout = Some(Duration::from_secs(5));
    let observes_runs = TerminalStatuses::ALL;
    h.apply(Command::Subscribe { queue: queue(), concurrency: 2, observes_runs, job_timeout });
    h.submit(run("r")).expect("new");
    h.commit();
    let step = h.dispatch().remove(0);
    assert_eq!(step.lease, job_timeout);
    h.step(step.token, succeed("done"));
    h.commit();

    let notification = h.dispatch().remove(0);

    assert_eq!(notification.lease, None);
    h.pass(Duration::from_secs(3_600));
    assert!(h.dispatch().is_empty(), "it is being told");
    assert!(h.settle(notification.token, Verdict::Ack).is_ok());
}
