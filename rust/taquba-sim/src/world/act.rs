//! What consumers do next, and what befalls their processes.

use std::sync::Arc;
use std::time::Duration;

use taquba_engine::clock::Clock as _;
use taquba_engine::engine::Request;

use super::mailbox::POISON;
use super::{Act, News, World, wire};
use crate::clock::ms;
use crate::history::{Claim, Effect, Headers, Job, Op, Run, Verdict, What, Work};
use crate::site::Site;

/// Different dedup keys, values and memos: few, so that calls meet.
const FEW: usize = 4;

/// Which process, and which of its consumers.
#[derive(Clone, Copy)]
pub(super) struct Who {
    pub process: usize,
    pub consumer: usize,
}

impl<S: Site> World<S> {
    /// One act, and maybe a little time.
    pub(super) async fn act(&mut self) {
        let act = self.random.weighted(&self.knobs.acts);
        match act {
            Act::Pass => self.pass().await,
            Act::Crash => self.crash_newest(),
            Act::Takeover => self.open().await,
            Act::Reopen => self.close_newest().await,
            Act::SetClock => self.set_clock(),
            Act::Damage => self.damage(),
            Act::Leave => self.leave(),
            _ => {
                let who = self.somebody();
                if let Some(op) = self.op(act, who) {
                    self.call(who, op);
                }
            }
        }
        if self.random.chance(400_000) {
            tokio::task::yield_now().await;
        }
    }

    /// Time passes; less, if somebody gets a job that kills.
    async fn pass(&mut self) {
        let pause = Duration::from_micros(self.random.up_to(ms(self.knobs.pace) * 1_000));
        if pause.is_zero() {
            tokio::task::yield_now().await;
        }
        let poisoned = Arc::clone(&self.poisoned);
        if tokio::time::timeout(pause, poisoned.notified()).await.is_ok() {
            self.crash_newest();
        }
        self.learn();
    }

    /// Most act on the newest process; some do not know yet that theirs was fenced.
    fn somebody(&mut self) -> Who {
        let count = self.processes.len();
        let is_late = count > 1 && self.random.chance(300_000);
        let process = if is_late { self.random.below(count - 1) } else { count - 1 };
        let consumer = self.random.below(self.processes[process].consumers.len());
        Who { process, consumer }
    }

    /// Sends a call.
    pub(super) fn call(&mut self, who: Who, op: Op) {
        let Some(command) = wire::command(&op) else { return };
        self.tally.operations += 1;
        self.call_count += 1;
        let process = &self.processes[who.process];
        let (outlet, mailbox) = &process.consumers[who.consumer];
        mailbox.calls(self.call_count, op);
        process.engine.send(*outlet, vec![Request { ticket: Some(self.call_count), command }]);
    }

    fn set_clock(&mut self) {
        let max = self.knobs.skew_ms_max;
        let ahead = i64::try_from(self.random.up_to(2 * max)).expect("days at most");
        self.skew_ms = ahead - i64::try_from(max).expect("days at most");
        // Those that run notice, or only those that start from now on.
        if self.random.chance(500_000) {
            for process in &self.processes {
                process.clock.set_skew_ms(self.skew_ms);
                let set = What::ClockSet { owner: process.owner };
                self.recorder.note(process.clock.wall_ms(), set);
            }
        }
    }

    /// Damages a record while nobody has the store open.
    fn damage(&mut self) {
        while !self.processes.is_empty() {
            self.crash_newest();
        }
        let choice = self.random.up_to(u64::MAX - 1);
        if let Some((job, run)) = self.site.damage(choice) {
            self.recorder.note(0, What::Damaged { job, run });
            self.tally.damages += 1;
        }
    }

    /// A consumer goes, and another one comes.
    fn leave(&mut self) {
        let who = self.somebody();
        self.replace(who);
    }

    pub(super) fn replace(&mut self, who: Who) {
        let process = &mut self.processes[who.process];
        let (outlet, mailbox) = process.consumers.remove(who.consumer);
        mailbox.leave();
        process.engine.detach(outlet);
        self.add_consumer(who.process);
    }

    fn op(&mut self, act: Act, who: Who) -> Option<Op> {
        match act {
            Act::Enqueue => Some(self.enqueue(who)),
            Act::Claim => Some(self.claim()),
            Act::Settle => self.settle(who),
            Act::Renew | Act::Forget | Act::MemoPut | Act::MemoGet => self.with_held(act, who),
            Act::CancelJob => self.known_job().map(|job| Op::CancelJob { job }),
            Act::WakeJob => self.known_job().map(|job| Op::WakeJob { job }),
            Act::RequeueJob => self.known_job().map(|job| Op::RequeueJob { job }),
            Act::GetJob => self.known_job().map(|job| Op::GetJob { job }),
            Act::PurgeDead => {
                let older_than_ms = self.random.up_to(10_000);
                Some(Op::PurgeDead { queue: self.queue(), older_than_ms })
            }
            Act::KvPut => Some(Op::KvPut { key: self.key("k"), value: self.value() }),
            Act::KvGet => Some(Op::KvGet { key: self.key("k") }),
            Act::KvSwap => Some(self.swap()),
            Act::Submit => Some(self.submit()),
            Act::CancelRun => self.known_run().map(|run| Op::CancelRun { run }),
            Act::GetRun => self.known_run().map(|run| Op::GetRun { run }),
            Act::AwaitRun => self.known_run().map(|run| Op::AwaitRun { run }),
            Act::Stats => Some(Op::Stats),
            Act::Pass
            | Act::Leave
            | Act::Crash
            | Act::Takeover
            | Act::Reopen
            | Act::SetClock
            | Act::Damage => unreachable!("these are no calls"),
        }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.name_count += 1;
        format!("{prefix}{}", self.name_count)
    }

    /// Unique content; long enough to become an object of its own now and then.
    fn payload(&mut self) -> String {
        if self.random.chance(self.knobs.poison) {
            return self.name(POISON);
        }
        let name = self.name("p");
        if self.random.chance(300_000) { format!("{name}-{:->40}", "") } else { name }
    }

    fn queue(&mut self) -> String {
        self.random.pick(&self.knobs.queues).clone()
    }

    fn key(&mut self, prefix: &str) -> String {
        format!("{prefix}{}", self.random.below(FEW))
    }

    fn value(&mut self) -> Option<String> {
        (!self.random.chance(100_000)).then(|| self.name("v"))
    }

    fn known_job(&mut self) -> Option<String> {
        let known = &self.known_jobs;
        (!known.is_empty()).then(|| self.random.pick(known).clone())
    }

    fn known_run(&mut self) -> Option<String> {
        let known = &self.known_runs;
        (!known.is_empty()).then(|| self.random.pick(known).clone())
    }

    fn delay_ms(&mut self) -> Option<u64> {
        self.random.chance(250_000).then(|| self.random.up_to(20_000))
    }

    fn headers(&mut self) -> Headers {
        let count = self.random.up_to(2);
        (0..count).map(|number| (format!("h{number}"), self.name("h"))).collect()
    }

    fn job(&mut self, who: Who) -> Job {
        let is_at = self.random.chance(50_000);
        let now_ms = self.processes[who.process].clock.wall_ms();
        let has_key = self.random.chance(250_000);
        Job {
            payload: self.payload(),
            headers: self.headers(),
            priority: self.random.chance(300_000).then(|| *self.random.pick(&[1, 2, 3])),
            delay_ms: if is_at { None } else { self.delay_ms() },
            run_at_ms: is_at.then(|| now_ms + self.random.up_to(20_000)),
            dedup_key: has_key.then(|| self.key("d")),
            is_dedup_until_settled: self.random.chance(500_000),
            max_attempts: self.random.chance(200_000).then(|| *self.random.pick(&[1, 2, 7])),
        }
    }

    fn jobs(&mut self, who: Who) -> Vec<Job> {
        let count = *self.random.pick(&[1, 1, 1, 2, 5, 20]);
        (0..count).map(|_| self.job(who)).collect()
    }

    fn enqueue(&mut self, who: Who) -> Op {
        Op::Enqueue { queue: self.queue(), jobs: self.jobs(who) }
    }

    fn claim(&mut self) -> Op {
        Op::Claim {
            queue: self.queue(),
            count_max: 1 + self.random.below(6),
            lease_ms: self.random.chance(300_000).then(|| *self.random.pick(&[1, 100, 20_000])),
            wait_ms: self.random.chance(300_000).then(|| self.random.up_to(5_000)),
        }
    }

    fn swap(&mut self) -> Op {
        let key = self.key("k");
        let expected = match self.values.get(&key) {
            Some(value) if !self.random.chance(100_000) => value.clone(),
            _ => None,
        };
        Op::KvSwap { key, expected, value: self.value() }
    }

    fn submit(&mut self) -> Op {
        let count = *self.random.pick(&[1, 1, 2, 5]);
        let runs = (0..count).map(|_| self.run()).collect();
        Op::Submit { queue: self.queue(), runs }
    }

    fn run(&mut self) -> Run {
        let is_again = self.random.chance(250_000);
        let run = if is_again { self.known_run() } else { None };
        let run = run.unwrap_or_else(|| self.name("r"));
        let is_other = is_again && self.random.chance(300_000);
        let input = if is_other { self.payload() } else { format!("input-of-{run}") };
        Run {
            run,
            input,
            headers: self.headers(),
            priority: self.random.chance(200_000).then(|| *self.random.pick(&[1, 2, 3])),
            delay_ms: self.delay_ms(),
            max_attempts: self.random.chance(200_000).then(|| *self.random.pick(&[1, 2, 7])),
            is_observed: self.random.chance(800_000),
            retention_ms: self.knobs.run_retention.map(ms),
            memo_retention_ms: self.knobs.memo_retention.map(ms),
        }
    }

    fn held_index(&mut self, who: Who) -> Option<usize> {
        let count = self.mailbox(who).held_count();
        (count > 0).then(|| self.random.below(count))
    }

    pub(super) fn mailbox(&self, who: Who) -> &super::Mailbox {
        &self.processes[who.process].consumers[who.consumer].1
    }

    fn with_held(&mut self, act: Act, who: Who) -> Option<Op> {
        let index = self.held_index(who)?;
        if act == Act::Forget {
            drop(self.mailbox(who).take_held(index));
            return None;
        }
        let claim = self.mailbox(who).held(index);
        let token = claim.token;
        match (act, claim.work) {
            (Act::Renew, _) if claim.lease_ms.is_some() => {
                Some(Op::Renew { token, lease_ms: *self.random.pick(&[1, 1_000, 60_000]) })
            }
            (Act::MemoPut, Work::Step { .. }) => {
                let key = self.key("m");
                Some(Op::MemoPut { token, key, value: self.payload() })
            }
            (Act::MemoGet, Work::Step { .. }) => Some(Op::MemoGet { token, key: self.key("m") }),
            _ => None,
        }
    }

    fn settle(&mut self, who: Who) -> Option<Op> {
        let index = self.held_index(who)?;
        let claim = self.mailbox(who).take_held(index);
        let verdict = match self.failure() {
            Some(failure) => failure,
            None => self.success(&claim),
        };
        let effects = if self.random.chance(150_000) { self.effects(who) } else { Vec::new() };
        Some(Op::Settle { token: claim.token, verdict, effects })
    }

    /// How a delivery fails, if it does.
    fn failure(&mut self) -> Option<Verdict> {
        Some(match self.random.up_to(99) {
            0..=11 => Verdict::Nack {
                error: self.name("e"),
                retry_after_ms: self.random.chance(200_000).then(|| self.random.up_to(5_000)),
            },
            12..=14 => Verdict::DeadLetter { reason: self.name("e") },
            15..=17 => Verdict::Release,
            18 => Verdict::Unseen,
            19 => Verdict::Postpone { delay_ms: self.random.up_to(5_000) },
            _ => return None,
        })
    }

    fn success(&mut self, claim: &Claim) -> Verdict {
        let Work::Step { step, .. } = &claim.work else { return Verdict::Ack };
        if *step + 1 < self.knobs.steps_max && !self.random.chance(100_000) {
            let delay_ms = self.random.chance(200_000).then(|| self.random.up_to(10_000));
            return Verdict::Continue { payload: self.payload(), delay_ms };
        }
        match self.random.up_to(9) {
            0 => Verdict::Fail { reason: self.name("e") },
            1 => Verdict::Cancel { reason: self.name("e") },
            _ => Verdict::Succeed { result: self.name("s") },
        }
    }

    fn effects(&mut self, who: Who) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.random.chance(700_000) {
            effects.push(Effect::Enqueue { queue: self.queue(), jobs: vec![self.job(who)] });
        }
        if self.random.chance(500_000) {
            effects.push(Effect::Put { key: self.key("k"), value: self.value() });
        }
        effects
    }

    /// Takes up what consumers have learnt.
    pub(super) fn learn(&mut self) {
        let consumers = self.processes.iter().flat_map(|process| &process.consumers);
        for news in consumers.flat_map(|(_, consumer)| consumer.take_news()) {
            match news {
                News::Job(job) => super::remember(&mut self.known_jobs, job),
                News::Run(run) => super::remember(&mut self.known_runs, run),
                News::Value(key, value) => drop(self.values.insert(key, value)),
            }
        }
    }
}
