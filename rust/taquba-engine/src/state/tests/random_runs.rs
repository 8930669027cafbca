//! Random lives of runs, with cancels and crashes: each run ends once, as what was promised of it
//! allows, and the hook hears of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::{Release, SplitMix64};
use super::harness::*;
use crate::command::{
    Claim, Command, NewRun, Reply, StepOutcome, TerminalStatus, TerminalStatuses, Verdict, Work,
};
use crate::record::{RunRow, keys};

const RUN_COUNT: u64 = 12;
const STEPS_MAX: u32 = 3;

/// What the outside world knows.
#[derive(Default)]
struct World {
    submitted: BTreeSet<String>,
    /// Cancels that were answered with `true`.
    cancelled: BTreeSet<String>,
    /// Answers that wait for the next commit.
    promises: Vec<String>,
    /// Claims in hand.
    held: Vec<Claim>,
    /// What the hook was told.
    told: BTreeMap<String, (TerminalStatus, Option<String>)>,
    /// The last step that was settled with its commit.
    steps: BTreeMap<String, u32>,
}

impl World {
    fn turn(&mut self, h: &mut Harness, random: &mut SplitMix64) {
        match random.up_to(11) {
            0..=2 => self.submit(h, random),
            3 | 4 => {
                let claim =
                    Command::Claim { queue: queue(), count_max: 2, lease: None, wait: None };
                for (_, reply, _) in h.apply_with_reads(claim).replies {
                    self.take(reply);
                }
            }
            5..=7 => self.settle(h, random),
            8 => self.cancel(h, random),
            9 => drop(h.pass(Duration::from_secs(random.up_to(20)))),
            _ => self.commit(h),
        }
    }

    fn submit(&mut self, h: &mut Harness, random: &mut SplitMix64) {
        let run_id = format!("run-{}", random.up_to(RUN_COUNT - 1));
        let max_attempts = Some(2);
        let reply =
            h.submit(NewRun { observed: TerminalStatuses::ALL, max_attempts, ..run(&run_id) });
        assert!(reply.is_ok(), "{reply:?}");
        self.submitted.insert(run_id);
    }

    fn commit(&mut self, h: &mut Harness) {
        let fx = h.commit();
        self.cancelled.extend(self.promises.drain(..));
        for (_, reply, _) in fx.replies {
            self.take(reply);
        }
    }

    fn take(&mut self, reply: crate::error::Result<Reply>) {
        let Ok(Reply::Claimed(claims)) = reply else { return };
        for claim in claims {
            if let Work::Step { run_id, .. } = &claim.work {
                assert!(!self.cancelled.contains(run_id.as_str()), "{run_id} was cancelled");
            }
            self.held.push(claim);
        }
    }

    fn cancel(&mut self, h: &mut Harness, random: &mut SplitMix64) {
        let run_id = format!("run-{}", random.up_to(RUN_COUNT - 1));
        let tells_hook = random.up_to(1) == 0;
        let command = Command::CancelRun { run_id: run_id.parse().expect("a good id"), tells_hook };
        for (_, reply, release) in h.apply_with_reads(command).replies {
            match (reply, release) {
                (Ok(Reply::RunCancelled(true)), Release::Durable) => {
                    self.promises.push(run_id.clone());
                }
                (Ok(Reply::RunCancelled(false)), _) => {}
                (reply, _) => self.take(reply),
            }
        }
    }

    fn settle(&mut self, h: &mut Harness, random: &mut SplitMix64) {
        if self.held.is_empty() {
            return;
        }
        let index = usize::try_from(random.up_to(self.held.len() as u64 - 1)).expect("small");
        let claim = self.held.swap_remove(index);
        let verdict = match &claim.work {
            Work::Notification(outcome) => {
                let told = (outcome.status, outcome.error.clone());
                let before = self.told.insert(outcome.run_id.to_string(), told.clone());
                assert!(before.is_none_or(|before| before == told), "one run, one end");
                if random.up_to(3) == 0 { nack() } else { Verdict::Ack }
            }
            Work::Step { step_number, .. } => match random.up_to(9) {
                0 => nack(),
                1 => Verdict::DeadLetter { reason: "never".into() },
                2 => Verdict::Release,
                3 => Verdict::Step(StepOutcome::Cancel { reason: "mine".into() }),
                _ if *step_number + 1 < STEPS_MAX => Verdict::Step(go_on("next")),
                _ => Verdict::Step(succeed("done")),
            },
            Work::Job => unreachable!("there are only runs"),
        };
        if let Work::Step { run_id, step_number } = &claim.work {
            let last = self.steps.entry(run_id.to_string()).or_default();
            assert!(*step_number <= *last + 1, "steps follow each other");
            *last = *step_number;
        }
        h.end_if_held(claim.token, verdict);
    }

    fn crash(&mut self) {
        self.promises.clear();
        self.held.clear();
    }

    /// Works until nothing is left to do.
    fn drain(&mut self, h: &mut Harness) {
        for _ in 0..10_000 {
            h.pass(Duration::from_secs(400));
            self.commit(h);
            let claim = Command::Claim { queue: queue(), count_max: 9, lease: None, wait: None };
            for (_, reply, _) in h.apply_with_reads(claim).replies {
                self.take(reply);
            }
            self.commit(h);
            let is_idle = self.held.is_empty() && !h.rows.keys().any(|key| key[0] == keys::JOB);
            if is_idle {
                return;
            }
            for claim in std::mem::take(&mut self.held) {
                let verdict = match &claim.work {
                    Work::Notification(outcome) => {
                        let told = (outcome.status, outcome.error.clone());
                        self.told.insert(outcome.run_id.to_string(), told);
                        Verdict::Ack
                    }
                    Work::Step { .. } | Work::Job => Verdict::Step(succeed("done")),
                };
                h.end_if_held(claim.token, verdict);
            }
            let older_than = Duration::ZERO;
            h.apply(Command::PurgeDead { queue: queue(), older_than });
        }
        panic!("it goes on for ever");
    }
}

fn nack() -> Verdict {
    Verdict::Nack { error: "unlucky".into(), retry_after: None }
}

#[test]
fn every_run_ends_once_and_as_was_promised_and_the_hook_hears_of_it() {
    for seed in 0..400 {
        let (mut h, mut world, mut random) = (Harness::new(), World::default(), SplitMix64(seed));
        for _ in 0..150 {
            world.turn(&mut h, &mut random);
            if random.up_to(24) == 0 {
                world.crash();
                h = h.crash();
            }
        }
        world.drain(&mut h);

        for run_id in &world.submitted {
            let key = keys::run(&run_id.parse().expect("a good id"));
            // A submission that was not durable may be gone with a crash.
            let Some(value) = h.rows.get(&key) else { continue };
            let ended = RunRow::decode(value).expect("we wrote it").ended;
            let ended = ended.unwrap_or_else(|| panic!("seed {seed}: {run_id} has not ended"));
            let told = world.told.get(run_id);
            let expected = (ended.status, ended.error.as_deref().map(str::to_owned));
            assert_eq!(told, Some(&expected), "seed {seed}: {run_id}");
            if world.cancelled.contains(run_id) {
                assert_eq!(ended.status, TerminalStatus::Cancelled, "seed {seed}: {run_id}");
            }
        }
        assert_eq!(h.stats().live_run_count, 0, "seed {seed}");
    }
}
