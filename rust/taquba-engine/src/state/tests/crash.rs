//! Random lives with crashes: whatever happens, nothing acknowledged is lost and nothing is done
//! twice that was settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::{SplitMix64, Stage, State};
use super::harness::*;
use crate::command::{Claim, Command, JobCancelled, Reply, Verdict, Work};
use crate::ids::JobId;

/// What the outside world knows.
#[derive(Default)]
struct World {
    /// Enqueued, and the answer was out.
    acked_enqueues: BTreeSet<JobId>,
    /// Settled for good, and the answer was out.
    settled: BTreeSet<JobId>,
    /// Cancelled while they were claimed, and the answer was out: not to be delivered again.
    stopped: BTreeSet<JobId>,
    /// Answers that wait for the next commit.
    enqueues: Vec<JobId>,
    settlements: Vec<JobId>,
    stops: Vec<JobId>,
    /// Claims in hand.
    held: Vec<Claim>,
    /// Runs submitted and acknowledged, with the number of steps whose settlement is durable.
    runs: BTreeMap<String, u32>,
    submissions: Vec<String>,
    steps: Vec<(String, u32)>,
    done_runs: BTreeSet<String>,
    ends: Vec<String>,
}

const STEPS_PER_RUN: u32 = 3;

impl World {
    fn commit(&mut self, h: &mut Harness) {
        let fx = h.commit();
        self.acked_enqueues.extend(self.enqueues.drain(..));
        self.settled.extend(self.settlements.drain(..));
        self.stopped.extend(self.stops.drain(..));
        for run in self.submissions.drain(..) {
            self.runs.insert(run, 0);
        }
        for (run, step) in self.steps.drain(..) {
            let durable = self.runs.get_mut(&run).expect("a step follows a durable submission");
            assert_eq!(*durable, step, "steps are settled in order, each once");
            *durable += 1;
        }
        self.done_runs.extend(self.ends.drain(..));
        for (_, reply, _) in fx.replies {
            self.take_claims(reply);
        }
    }

    fn take_claims(&mut self, reply: crate::error::Result<Reply>) {
        let Ok(Reply::Claimed(claims)) = reply else { return };
        for claim in claims {
            assert!(!self.settled.contains(&claim.job_id), "{} was settled", claim.job_id);
            assert!(!self.stopped.contains(&claim.job_id), "{} was cancelled", claim.job_id);
            assert!(claim.attempts <= claim.max_attempts, "more deliveries than allowed");
            self.held.push(claim);
        }
    }

    fn crash(&mut self) {
        self.enqueues.clear();
        self.settlements.clear();
        self.stops.clear();
        self.submissions.clear();
        self.steps.clear();
        self.ends.clear();
        self.held.clear();
    }

    fn settle(&mut self, h: &mut Harness, random: &mut SplitMix64) {
        if self.held.is_empty() {
            return;
        }
        let index = usize::try_from(random.up_to(self.held.len() as u64 - 1)).expect("small");
        let claim = self.held.swap_remove(index);
        let fails = random.up_to(3) == 0;
        let verdict = match &claim.work {
            Work::Job if random.up_to(9) == 0 => {
                // Handed back unseen: it must come again, and as if it never had.
                h.end_if_held(claim.token, Verdict::Unseen);
                return;
            }
            _ if fails => Verdict::Nack { error: "unlucky".into(), retry_after: None },
            Work::Step { step_number, .. } if *step_number + 1 < STEPS_PER_RUN => {
                Verdict::Step(go_on("next"))
            }
            Work::Step { .. } => Verdict::Step(succeed("done")),
            Work::Job | Work::Notification(_) => Verdict::Ack,
        };
        let reply = h.settle(claim.token, verdict);
        if is_claim_lost(&reply) || fails {
            return;
        }
        if let Work::Step { run_id, step_number } = &claim.work {
            self.steps.push((run_id.to_string(), *step_number));
            if *step_number + 1 == STEPS_PER_RUN {
                self.ends.push(run_id.to_string());
            }
        }
        self.settlements.push(claim.job_id);
    }
}

impl World {
    /// Cancels or wakes a job, if there is one to pick.
    fn disturb(&mut self, h: &mut Harness, random: &mut SplitMix64) {
        if self.acked_enqueues.is_empty() {
            return;
        }
        let index = usize::try_from(random.up_to(self.acked_enqueues.len() as u64 - 1));
        let job_id = self.acked_enqueues.iter().nth(index.expect("small"));
        let job_id = *job_id.expect("the index is below the length");
        let command = match random.up_to(2) {
            0 => Command::CancelJob { job_id },
            1 => Command::RequeueJob { job_id },
            _ => Command::WakeJob { job_id },
        };
        if !matches!(command, Command::CancelJob { .. }) {
            // These read the row, which has to be durable.
            self.commit(h);
        }
        for (_, reply, _) in h.apply_with_reads(command).replies {
            match reply {
                Ok(Reply::JobCancelled(JobCancelled::Removed)) => self.settlements.push(job_id),
                Ok(Reply::JobCancelled(JobCancelled::Requested)) => self.stops.push(job_id),
                _ => {}
            }
        }
    }
}

fn act(h: &mut Harness, world: &mut World, random: &mut SplitMix64, turn: u32) {
    match random.up_to(10) {
        0..=2 => world.enqueues.push(h.enqueue("job")),
        3 => {
            let name = format!("run-{turn}");
            h.submit(crate::command::NewRun { max_attempts: Some(50), ..run(&name) }).expect("new");
            world.submissions.push(name);
        }
        4..=5 => {
            let claim = Command::Claim { queue: queue(), count_max: 3, lease: None, wait: None };
            for (_, reply, _) in h.apply_with_reads(claim).replies {
                world.take_claims(reply);
            }
        }
        6..=7 => world.settle(h, random),
        8 => world.disturb(h, random),
        9 => drop(h.pass(Duration::from_secs(random.up_to(40)))),
        _ => world.commit(h),
    }
}

fn live(seed: u64) {
    let mut random = SplitMix64(seed);
    let mut world = World::default();
    let mut h = Harness::new();
    for turn in 0..400 {
        act(&mut h, &mut world, &mut random, turn);
        if random.up_to(60) == 0 {
            world.crash();
            h = h.crash();
        }
        check_places(&h.state);
    }
    drain(h, world, &mut random);
}

/// Every job that was acknowledged ends: settled, or dead after its attempts.
fn drain(mut h: Harness, mut world: World, random: &mut SplitMix64) {
    world.commit(&mut h);
    for _ in 0..10_000 {
        h.pass(Duration::from_secs(301));
        let claim = Command::Claim { queue: queue(), count_max: 100, lease: None, wait: None };
        for (_, reply, _) in h.apply_with_reads(claim).replies {
            world.take_claims(reply);
        }
        while !world.held.is_empty() {
            world.settle(&mut h, random);
        }
        world.commit(&mut h);
        let stats = h.stats();
        if stats.pending_count + stats.scheduled_count + stats.claimed_count == 0 {
            let dead = usize::try_from(stats.dead_count).expect("few");
            let is_lost = |id: &&JobId| !world.settled.contains(id) && !world.stopped.contains(id);
            let lost: Vec<_> = world.acked_enqueues.iter().filter(is_lost).collect();
            assert!(lost.len() <= dead, "{} jobs are gone, {dead} are dead: {lost:?}", lost.len());
            for (run, steps) in &world.runs {
                let all = world.done_runs.contains(run) && *steps == STEPS_PER_RUN;
                assert!(all || dead > 0, "run {run} stopped after {steps} steps");
            }
            return;
        }
    }
    panic!("the queue does not drain: {:?}", h.stats());
}

/// Each job is in exactly one place, and the counts are those of a recount.
fn check_places(state: &State) {
    let ready: u64 = (0..state.queues.len()).map(|q| state.queues.at(q).ready.len()).sum();
    let count = |queue: Option<u32>, stage: Stage| {
        let entries = state.jobs.range_from(0).map(|(_, entry)| entry);
        let of_queue = entries.filter(|entry| queue.is_none_or(|queue| entry.queue == queue));
        of_queue.filter(|entry| entry.stage == stage).count() as u64
    };
    assert_eq!(ready, count(None, Stage::Pending));
    assert_eq!(state.leases.len() as u64, count(None, Stage::Claimed));
    for index in 0..state.queues.len() {
        let queue = state.queues.at(index);
        assert_eq!(queue.claimed_count, count(Some(index), Stage::Claimed));
        assert_eq!(queue.scheduled_count, count(Some(index), Stage::Scheduled));
        let committing = queue.committing_pending_count + queue.committing_scheduled_count;
        assert_eq!(committing, count(Some(index), Stage::Committing));
        assert_eq!(queue.done_count, count(Some(index), Stage::Done));
        assert_eq!(queue.dead.len() as u64, count(Some(index), Stage::Dead));
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_the_crashes() {
    for seed in 0..300 {
        live(seed);
    }
}

#[test]
fn the_same_life_writes_the_same_bytes() {
    let rows = |seed| {
        let (mut random, mut world, mut h) = (SplitMix64(seed), World::default(), Harness::new());
        for turn in 0..300 {
            act(&mut h, &mut world, &mut random, turn);
        }
        world.commit(&mut h);
        h.rows
    };

    assert_eq!(rows(7), rows(7));
    assert_ne!(rows(7), rows(8));
}
