//! A state machine whose commits are durable at once, and what it is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use taquba_engine::clock::Now;
use taquba_engine::command::{
    Claim, Command, NewJob, NewRun, Reply, Start, StepOutcome, SubscriptionId, TerminalStatuses,
    Verdict,
};
use taquba_engine::ids::{JobId, QueueName, RunId};
use taquba_engine::options::OpenOptions;
use taquba_engine::record::{Headers, Payload, Row, Sequence};
use taquba_engine::state::{Effects, Origin, Recovery, State};

use super::ROUND;

/// Jobs that are there already, so that no index is empty. Their priority is the last one.
const WAITING_COUNT: usize = 4_096;
const WAITING_PRIORITY: u32 = 9_000;

pub const PAYLOAD: &[u8] = &[7; 64];

/// A state machine whose commits are durable at once.
pub struct Machine {
    state: State,
    now: Now,
    fx: Effects,
    /// What has been delivered and not been settled.
    pub claims: Vec<Claim>,
    pub job_ids: Vec<JobId>,
    pub run_ids: Vec<RunId>,
    subscription: Option<SubscriptionId>,
    pub observed: TerminalStatuses,
    next_number: usize,
}

impl Machine {
    pub fn new() -> Self {
        let now = Now { wall_ms: 1_700_000_000_000, mono_ms: 0 };
        let options = Arc::new(OpenOptions::default());
        let recovery = Recovery::new(options, true, 1, &Sequence::default(), now);
        let mut machine = Self {
            state: recovery.finish(1),
            now,
            fx: Effects::default(),
            claims: Vec::new(),
            job_ids: Vec::new(),
            run_ids: Vec::new(),
            subscription: None,
            observed: TerminalStatuses::NONE,
            next_number: 0,
        };
        let waiting = || enqueue(NewJob { priority: Some(WAITING_PRIORITY), ..job() });
        machine.settle((0..WAITING_COUNT).map(|_| waiting()).collect());
        machine.job_ids.clear();
        machine
    }

    /// What one turn of the engine asks of the state machine, from a commit's commands to what its
    /// durability sets free. Returns what was written.
    #[inline(never)]
    pub fn turn(&mut self, commands: &mut Vec<Command>) -> Vec<Row> {
        let (state, now, fx) = (&mut self.state, self.now, &mut self.fx);
        state.tick(now, fx);
        for command in commands.drain(..) {
            state.apply(Origin { outlet: 1, ticket: Some(1) }, command, now, fx);
        }
        let mut rows = Vec::new();
        if state.has_rows() {
            let batch = state.cut(now);
            state.on_durable(batch.number, now, fx);
            rows = batch.rows;
        }
        state.dispatch(now, fx);
        rows
    }

    /// Takes in what the last turn said: everything went well, and nothing had to be read.
    pub fn collect(&mut self) {
        self.pass(Duration::from_millis(1));
        assert!(self.fx.loads.is_empty(), "bodies are kept");
        self.claims.extend(self.fx.claims.drain(..).map(|(_, _, claim)| claim));
        for (_, reply, _) in self.fx.replies.drain(..) {
            match reply.expect("it is allowed") {
                Reply::Claimed(claims) => self.claims.extend(claims),
                Reply::Enqueued(jobs) => self.job_ids.extend(jobs.iter().map(|job| job.job_id)),
                Reply::Submitted(runs) => {
                    assert!(runs.iter().all(|run| run.newly_submitted), "each run is new");
                    self.run_ids.extend(runs.into_iter().map(|run| run.run_id));
                }
                Reply::Subscribed(subscription) => self.subscription = Some(subscription),
                Reply::RunCancelled(is_cancelled) => assert!(is_cancelled, "it was live"),
                _ => {}
            }
        }
    }

    /// A turn that is not counted.
    pub fn settle(&mut self, mut commands: Vec<Command>) {
        let _ = self.turn(&mut commands);
        self.collect();
    }

    pub fn pass(&mut self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).expect("a short time");
        self.now = Now { wall_ms: self.now.wall_ms + ms, mono_ms: self.now.mono_ms + ms };
    }

    /// Numbers that were not used before, a round of them.
    pub fn numbers(&mut self) -> std::ops::Range<usize> {
        let first = self.next_number;
        self.next_number += ROUND;
        first..self.next_number
    }

    /// Takes a round of jobs that nobody has seen before.
    pub fn claim_jobs(&mut self) {
        self.settle(enqueues());
        self.job_ids.clear();
        self.settle(vec![claim(ROUND)]);
    }

    /// One verdict for each claim.
    pub fn verdicts(&mut self, verdict: fn(&Claim) -> Verdict) -> Vec<Command> {
        let settle = |claim: Claim| Command::Settle {
            token: claim.token,
            verdict: verdict(&claim),
            effects: Vec::new(),
        };
        self.claims.drain(..).map(settle).collect()
    }

    pub fn settle_claims(&mut self, verdict: fn(&Claim) -> Verdict) {
        let verdicts = self.verdicts(verdict);
        self.settle(verdicts);
    }

    pub fn submits(&mut self) -> Vec<Command> {
        self.run_ids.clear();
        let observed = self.observed;
        self.numbers().map(|number| submit(number, observed)).collect()
    }

    /// Has a round of steps delivered to a subscription, unless they are.
    pub fn start_runs(&mut self) {
        if self.claims.is_empty() {
            let runs = self.submits();
            self.settle(runs);
            self.settle(vec![subscribe()]);
        }
    }

    /// Nothing is delivered any more but what was.
    pub fn unsubscribe(&mut self) {
        let subscription = self.subscription.take().expect("there is one");
        self.settle(vec![Command::Unsubscribe { subscription }]);
    }
}

fn queue() -> QueueName {
    "work".parse().expect("a good name")
}

pub fn headers() -> Headers {
    Headers::new([("tenant", "a-customer")]).expect("good headers")
}

pub fn payload() -> Payload {
    Bytes::from_static(PAYLOAD).into()
}

fn job() -> NewJob {
    NewJob { payload: payload(), headers: headers(), ..NewJob::default() }
}

pub fn with_dedup_key(number: usize) -> NewJob {
    NewJob { dedup_key: Some(format!("order-{number}")), ..job() }
}

pub fn enqueue(job: NewJob) -> Command {
    Command::Enqueue { queue: queue(), jobs: vec![job] }
}

pub fn enqueues() -> Vec<Command> {
    (0..ROUND).map(|_| enqueue(job())).collect()
}

pub fn claim(count_max: usize) -> Command {
    Command::Claim { queue: queue(), count_max, lease: None, wait: None }
}

pub fn subscribe() -> Command {
    Command::Subscribe {
        queue: queue(),
        concurrency: ROUND,
        observes_runs: TerminalStatuses::NONE,
        job_timeout: None,
    }
}

pub fn run_id(number: usize) -> RunId {
    format!("run-{number:022}").parse().expect("a good id")
}

fn submit(number: usize, observed: TerminalStatuses) -> Command {
    let run = NewRun {
        run_id: run_id(number),
        input: payload(),
        headers: headers(),
        priority: None,
        start: Start::Now,
        max_attempts: None,
        observed,
        retention: None,
        memo_retention: None,
    };
    Command::Submit { queue: queue(), runs: vec![run] }
}

pub fn nack(_: &Claim) -> Verdict {
    Verdict::Nack { error: "the other side was busy".into(), retry_after: None }
}

pub fn succeed(_: &Claim) -> Verdict {
    Verdict::Step(StepOutcome::Succeed { result: Bytes::from_static(PAYLOAD) })
}
