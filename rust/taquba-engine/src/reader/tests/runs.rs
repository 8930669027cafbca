//! Runs, as their owner and as a reader see them.

use super::*;
use crate::command::{
    NewRun, RunFilter, RunInfo, RunPage, RunState, RunStates, StepOutcome, TerminalStatuses,
    Verdict,
};
use crate::ids::RunId;

fn id(text: &str) -> RunId {
    text.parse().expect("a good id")
}

fn run(text: &str, start: Start) -> NewRun {
    NewRun {
        run_id: id(text),
        input: "input".into(),
        headers: Headers::new([("tenant", text)]).expect("good headers"),
        priority: Some(7),
        start,
        max_attempts: Some(5),
        observed: TerminalStatuses::NONE,
        retention: None,
        memo_retention: None,
    }
}

async fn page(peer: &Asker, filter: RunFilter, before: Option<u64>, count_max: usize) -> RunPage {
    let reply = peer.call(Command::ListRuns { filter, before, count_max }).await;
    let Ok(Reply::Runs(page)) = reply else { panic!("{reply:?}") };
    page
}

async fn one(peer: &Asker, run_id: &str) -> RunInfo {
    let reply = peer.call(Command::GetRun { run_id: id(run_id) }).await;
    let Ok(Reply::Run(info)) = reply else { panic!("{reply:?}") };
    *info
}

fn everything() -> RunFilter {
    RunFilter { queue: None, states: RunStates::ALL, id_prefix: None }
}

/// An owner with a run in each state that rows can tell.
async fn owner(shared: &Shared) -> Asker {
    let owner = shared.engine().await;
    for (run_id, start) in
        [("done", Start::Now), ("stopping", Start::Now), ("later", Start::AtMs(FAR_MS))]
    {
        let runs = vec![run(run_id, start)];
        owner.call(Command::Submit { queue: queue("work"), runs }).await.expect("new");
    }
    let claim = Command::Claim { queue: queue("work"), count_max: 2, lease: None, wait: None };
    let Ok(Reply::Claimed(claims)) = owner.call(claim).await else { panic!("claims") };
    let verdict = Verdict::Step(StepOutcome::Fail { reason: "no luck".into() });
    let settle = Command::Settle { token: claims[0].token, verdict, effects: Vec::new() };
    owner.call(settle).await.expect("ours");
    let cancel = Command::CancelRun { run_id: id("stopping"), tells_hook: false };
    owner.call(cancel).await.expect("it is live");
    let runs = vec![run("pending", Start::Now)];
    owner.call(Command::Submit { queue: queue("work"), runs }).await.expect("new");
    owner
}

#[tokio::test]
async fn a_reader_sees_of_runs_what_their_owner_sees() {
    let shared = Shared::default();
    let owner = owner(&shared).await;
    let reader = shared.reader().await;

    let seen = page(&owner, everything(), None, 10).await;

    let states: Vec<_> = seen.runs.iter().map(|run| (run.run_id.as_str(), run.state)).collect();
    let expected = [
        ("pending", RunState::Pending),
        ("later", RunState::Scheduled),
        ("stopping", RunState::Cancelling),
        ("done", RunState::Failed),
    ];
    assert_eq!(states, expected);
    assert_eq!(page(&reader, everything(), None, 10).await, seen);
    for info in seen.runs {
        assert_eq!(one(&owner, info.run_id.as_str()).await, info);
        assert_eq!(one(&reader, info.run_id.as_str()).await, info);
    }
}

#[tokio::test]
async fn what_is_known_of_a_run_is_what_was_submitted_and_what_became_of_it() {
    let shared = Shared::default();
    let owner = owner(&shared).await;

    let later = one(&owner, "later").await;
    let live = later.live.expect("it is live");
    assert_eq!((live.priority, live.max_attempts, live.run_at_ms), (7, 5, Some(FAR_MS)));
    assert_eq!((later.headers, later.step_number), (run("later", Start::Now).headers, 0));

    let done = one(&owner, "done").await;
    assert_eq!((done.live, done.attempts, done.step_number), (None, 1, 0));
    assert_eq!(done.error.as_deref(), Some("no luck"));
    assert!(done.ended_at_ms.expect("it has ended") >= done.submitted_at_ms);
}

#[tokio::test]
async fn pages_and_filters_of_a_reader_are_those_of_the_owner() {
    let shared = Shared::default();
    let owner = owner(&shared).await;
    let reader = shared.reader().await;
    let some = [RunState::Failed, RunState::Scheduled].into_iter().collect();
    for filter in [
        RunFilter { states: some, ..everything() },
        RunFilter { id_prefix: Some("st".into()), ..everything() },
        RunFilter { queue: Some(queue("work")), ..everything() },
        RunFilter { queue: Some(queue("other")), ..everything() },
    ] {
        let (mut before, mut count) = (None, 0);
        loop {
            let ours = page(&owner, filter.clone(), before, 1).await;
            let theirs = page(&reader, filter.clone(), before, 1).await;
            assert_eq!(ours.runs, theirs.runs, "{filter:?}");
            count += ours.runs.len();
            before = ours.next;
            if before.is_none() {
                break;
            }
        }
        assert!(count <= 4, "{filter:?}");
    }
    for peer in [&owner, &reader] {
        let unknown = peer.call(Command::GetRun { run_id: id("unknown") }).await;
        assert!(matches!(unknown, Err(Error::RunNotFound { .. })));
        let refused =
            peer.call(Command::ListRuns { filter: everything(), before: None, count_max: 0 }).await;
        assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
    }
}
