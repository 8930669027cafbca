//! Looking at runs.

use std::time::Duration;

use super::super::{Query, RunView};
use super::harness::*;
use crate::command::{
    Command, JobState, NewRun, Reply, RunFilter, RunPage, RunState, RunStates, Start,
};
use crate::error::Error;

fn everything() -> RunFilter {
    RunFilter { queue: None, states: RunStates::ALL, id_prefix: None }
}

fn list(
    h: &mut Harness,
    filter: RunFilter,
    before: Option<u64>,
    count_max: usize,
) -> (Vec<String>, Option<u64>) {
    let fx = h.apply(Command::ListRuns { filter, before, count_max });
    match (&fx.queries[..], &fx.replies[..]) {
        ([(_, Query::Runs(views, next))], []) => {
            (views.iter().map(|view| view.run_id.to_string()).collect(), *next)
        }
        ([], [(_, Ok(Reply::Runs(page)), _)]) if *page == RunPage::default() => (Vec::new(), None),
        other => panic!("{other:?}"),
    }
}

fn ids(h: &mut Harness, filter: RunFilter) -> Vec<String> {
    list(h, filter, None, 100).0
}

fn view(h: &mut Harness, run_id: &str) -> RunView {
    let fx = h.apply(Command::GetRun { run_id: run_id.parse().expect("a good id") });
    let [(_, Query::Run(view))] = &fx.queries[..] else { panic!("{fx:?}") };
    view.clone()
}

/// Runs in every state that a run can be in, submitted in the order of their names.
fn of_all_states() -> Harness {
    let mut h = Harness::new();
    for run_id in ["a-done", "b-running", "c-stopping", "d-pending", "e-later"] {
        let later = Start::After(Duration::from_secs(60));
        let start = if run_id == "e-later" { later } else { Start::Now };
        h.submit(NewRun { start, ..run(run_id) }).expect("new");
        h.commit();
    }
    let done = h.claim_one();
    h.step(done.token, succeed("done"));
    h.claim(2);
    let run_id = "c-stopping".parse().expect("a good id");
    h.apply(Command::CancelRun { run_id, tells_hook: false });
    h.commit();
    h
}

#[test]
fn the_latest_submission_comes_first() {
    let mut h = of_all_states();

    assert_eq!(
        ids(&mut h, everything()),
        ["e-later", "d-pending", "c-stopping", "b-running", "a-done"]
    );
}

#[test]
fn a_state_selects_the_runs_in_it() {
    let mut h = of_all_states();
    for (state, expected) in [
        (RunState::Succeeded, "a-done"),
        (RunState::Running, "b-running"),
        (RunState::Cancelling, "c-stopping"),
        (RunState::Pending, "d-pending"),
        (RunState::Scheduled, "e-later"),
    ] {
        let states = [state].into_iter().collect();
        assert_eq!(ids(&mut h, RunFilter { states, ..everything() }), [expected], "{state:?}");
    }
    let none = [RunState::Failed, RunState::Cancelled].into_iter().collect();
    assert!(ids(&mut h, RunFilter { states: none, ..everything() }).is_empty());
}

#[test]
fn a_prefix_and_a_queue_select_as_well() {
    let mut h = of_all_states();
    let prefix = RunFilter { id_prefix: Some("d-".into()), ..everything() };
    let here = RunFilter { queue: Some(queue()), ..everything() };
    let elsewhere = RunFilter { queue: "other".parse().ok(), ..everything() };

    assert_eq!(ids(&mut h, prefix), ["d-pending"]);
    assert_eq!(ids(&mut h, here).len(), 5);
    assert!(ids(&mut h, elsewhere).is_empty());
}

#[test]
fn pages_follow_each_other_and_end() {
    let mut h = of_all_states();
    let (mut seen, mut before) = (Vec::new(), None);
    for _ in 0..3 {
        let (page, next) = list(&mut h, everything(), before, 2);
        seen.extend(page);
        before = next;
    }

    assert_eq!(seen, ["e-later", "d-pending", "c-stopping", "b-running", "a-done"]);
    assert_eq!(before, None);
    let refused = h.ask(Command::ListRuns { filter: everything(), before: None, count_max: 0 });
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_run_is_where_its_step_is() {
    let mut h = of_all_states();
    for (run_id, expected) in [
        ("b-running", JobState::Claimed),
        ("d-pending", JobState::Pending),
        ("e-later", JobState::Scheduled),
    ] {
        let step = view(&mut h, run_id).step.expect("it is live");
        assert_eq!((step.state, step.attempts > 0), (expected, run_id == "b-running"));
    }
    assert_eq!(view(&mut h, "a-done").step, None);
    assert!(view(&mut h, "c-stopping").step.expect("it is live").is_cancel_requested);
}

#[test]
fn nobody_knows_a_run_that_never_was() {
    let mut h = Harness::new();
    let unknown = h.ask(Command::GetRun { run_id: "r".parse().expect("a good id") });
    assert!(matches!(unknown, Err(Error::RunNotFound { .. })));
}
