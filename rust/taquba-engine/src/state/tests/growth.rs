//! What memory holds is what is under way or kept, however much has passed through.

use std::time::Duration;

use super::super::State;
use super::harness::*;
use crate::command::{Claim, Command, Expected, NewJob, NewRun, TerminalStatuses, Verdict, Work};
use crate::options::QueueConfig;

const TURN: Duration = Duration::from_millis(10);
const KEPT: Duration = Duration::from_secs(1);
const LANE_COUNT: u64 = 20;

/// How many entries each table has.
fn sizes(state: &State) -> Vec<(&'static str, Vec<usize>)> {
    let queue = state.queues.at(0);
    vec![
        ("jobs", state.jobs.sizes().into()),
        ("runs", state.runs.sizes().into()),
        ("schedule", state.schedule.sizes().into()),
        ("leases", state.leases.sizes().into()),
        ("claim rows", state.claim_rows.sizes().into()),
        ("keys", state.kv.sizes().into()),
        ("dedup keys", vec![state.dedup.len(), state.dedup_heirs.len()]),
        ("queues", vec![state.queues.by_name().count(), queue.dead.len()]),
        ("reads", vec![state.loading.len(), state.parked.len(), state.handovers.waiting().count()]),
        ("objects", vec![state.objects.len(), state.memo_objects.len()]),
        ("the next commit", vec![state.activations.len(), state.rows.len(), state.row_bytes]),
        ("calls", vec![state.pulls.len(), state.subscriptions.len()]),
        ("bodies", vec![state.cached_bytes]),
    ]
}

/// Runs of three steps with a hook, jobs of which some fail or die, keys: all of it new each time.
struct Load {
    h: Harness,
    next: u64,
    ended_run_count: u64,
}

impl Load {
    fn new() -> Self {
        let h = Harness::configured(QueueConfig {
            keep_done_jobs: Some(KEPT),
            dead_retention: Some(KEPT),
            retry_backoff_base: TURN,
            max_attempts: 2,
            ..QueueConfig::default()
        });
        let mut load = Self { h, next: 0, ended_run_count: 0 };
        (0..LANE_COUNT).for_each(|_| load.begin());
        load
    }

    fn begin(&mut self) {
        let number = self.next;
        self.next += 1;
        let observed = TerminalStatuses::ALL;
        let run = NewRun { retention: Some(KEPT), observed, ..run(&format!("run-{number}")) };
        self.h.submit(run).expect("a good run");
        let dedup_key = Some(format!("key-{number}"));
        self.h.enqueue_job(NewJob { dedup_key, ..job(&number.to_string()) });
        let key = format!("key-{number}").parse().expect("a good key");
        let value = Some(b"value".as_slice().into());
        self.h
            .ask(Command::KvWrite { key, expected: Expected::Anything, value })
            .expect("a good value");
    }

    fn answer(&mut self, claim: &Claim) {
        let step = match &claim.work {
            Work::Step { step_number: 0..2, .. } => Some(go_on("more")),
            Work::Step { .. } => Some(succeed("done")),
            Work::Job | Work::Notification(_) => None,
        };
        if let Some(outcome) = step {
            self.h.step(claim.token, outcome);
        } else if matches!(claim.work, Work::Notification(_)) {
            self.h.end(claim.token, Verdict::Ack);
            self.ended_run_count += 1;
            self.begin();
        } else if claim.payload.last().is_some_and(|digit| *digit % 4 == 0) {
            self.h.nack(claim.token);
        } else {
            self.h.end(claim.token, Verdict::Ack);
        }
    }

    fn turn(&mut self) {
        for claim in self.h.claim(1_000) {
            self.answer(&claim);
        }
        self.h.commit();
        self.h.pass(TURN);
    }

    /// The most entries that each table had in so many turns.
    fn most_of(&mut self, turn_count: u32) -> Vec<(&'static str, Vec<usize>)> {
        let mut most = sizes(&self.h.state);
        for _ in 0..turn_count {
            self.turn();
            for ((_, most), (_, now)) in most.iter_mut().zip(sizes(&self.h.state)) {
                for (most, now) in most.iter_mut().zip(now) {
                    *most = now.max(*most);
                }
            }
        }
        most
    }
}

#[test]
fn no_table_grows_with_what_has_passed_through() {
    let mut load = Load::new();
    let kept_turns = u32::try_from(KEPT.as_millis() / TURN.as_millis()).expect("a few");
    load.most_of(3 * kept_turns);
    let before = load.ended_run_count;

    let early = load.most_of(6 * kept_turns);
    let early_count = load.ended_run_count - before;
    let late = load.most_of(30 * kept_turns);

    assert!(early_count > 1_000, "{early_count} runs have ended");
    assert!(load.ended_run_count > 5 * early_count);
    for ((table, early), (_, late)) in early.iter().zip(&late) {
        for (early, late) in early.iter().zip(late) {
            // Which of them share a page is not the same each time.
            assert!(*late <= early + early / 4 + 8, "{table}: {early} entries, then {late}");
        }
    }
}
