//! Histories for tests, told in few words.

use crate::history::{
    Answer, Claim, End, Enqueued, Event, Got, Headers, Job, JobSeen, Op, Owner, Profile, Run,
    RunEnd, RunSeen, Submitted, Verdict, What, Work,
};

/// The queue of everything.
pub const QUEUE: &str = "q";

/// Deliveries of a job before it is dead.
pub const MAX_ATTEMPTS: u32 = 3;

/// When the calendar began.
const WALL_MS: u64 = 1_000_000_000;

/// A history that grows.
pub struct Scene {
    pub events: Vec<Event>,
    pub owner: Owner,
    now_ms: u64,
    calls: u64,
    tokens: u32,
    rows: u32,
}

impl Scene {
    /// One owner has the store.
    pub fn new() -> Self {
        let (events, owner, now_ms, calls, tokens, rows) = (Vec::new(), 0, 0, 0, 0, 0);
        let mut scene = Self { events, owner, now_ms, calls, tokens, rows };
        scene.note(What::Profile(Profile {
            lane: "test".into(),
            seed: 0,
            max_attempts: MAX_ATTEMPTS,
            hook_max_attempts: 25,
            backoff_base_ms: 100,
            backoff_max_ms: 1_000,
            has_jitter: false,
            lease_ms: 1_000,
            dead_retention_ms: Some(60_000),
            done_retention_ms: None,
            slack_ms: 2,
            call_ms_max: 5_000,
            drain_ms_max: 60_000,
            is_complete: true,
        }));
        scene.open();
        scene
    }

    pub fn profile(&mut self) -> &mut Profile {
        match &mut self.events[0].what {
            What::Profile(profile) => profile,
            _ => unreachable!("it stands first"),
        }
    }

    pub fn note(&mut self, what: What) {
        let (at_ms, wall_ms) = (self.now_ms, WALL_MS + self.now_ms);
        self.events.push(Event { at_ms, wall_ms, what });
    }

    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    pub fn wall_ms(&self) -> u64 {
        WALL_MS + self.now_ms
    }

    /// The next owner takes the store.
    pub fn open(&mut self) {
        self.owner += 1;
        let owner = self.owner;
        self.note(What::Opening { owner, takeover: true });
        self.note(What::Opened { owner, epoch: owner });
    }

    pub fn end(&mut self, how: End) {
        let owner = self.owner;
        self.note(What::Ended { owner, how });
    }

    pub fn crash_and_open(&mut self) {
        self.end(End::Crashed);
        self.open();
    }

    pub fn invoke(&mut self, op: Op) -> u64 {
        self.calls += 1;
        let (owner, call) = (self.owner, self.calls);
        self.note(What::Invoked { owner, call, op });
        call
    }

    pub fn answer(&mut self, call: u64, answer: Answer) {
        let owner = self.owner;
        self.note(What::Answered { owner, call, answer });
    }

    pub fn ask(&mut self, op: Op, got: Got) -> u64 {
        let call = self.invoke(op);
        self.pass(1);
        self.answer(call, Answer::Ok(got));
        call
    }

    pub fn refused(&mut self, op: Op, code: &str) {
        let call = self.invoke(op);
        self.answer(call, Answer::Failed { code: code.into() });
    }

    pub fn id(&mut self) -> String {
        self.rows += 1;
        format!("{:016x}", self.rows)
    }

    pub fn enqueue(&mut self, payload: &str) -> String {
        self.enqueue_job(job(payload))
    }

    pub fn enqueue_job(&mut self, job: Job) -> String {
        let id = self.id();
        let got = Got::Enqueued(vec![Enqueued { job: id.clone(), is_new: true }]);
        self.ask(Op::Enqueue { queue: QUEUE.into(), jobs: vec![job] }, got);
        id
    }

    /// Asks for a job, and gets none.
    pub fn claim_nothing(&mut self) {
        self.ask(claim_op(), Got::Claimed(0));
    }

    /// Asks for a job, and gets this; its token.
    pub fn claim(&mut self, id: &str, payload: &str, attempts: u32) -> String {
        self.deliver(Claim { attempts, ..claim(id, payload) })
    }

    /// The same for any delivery.
    pub fn deliver(&mut self, claim: Claim) -> String {
        self.tokens += 1;
        let token = format!("t{}", self.tokens);
        let call = self.invoke(claim_op());
        let (owner, claim) = (self.owner, Claim { token: token.clone(), ..claim });
        self.note(What::Delivered { owner, call: Some(call), claim });
        self.answer(call, Answer::Ok(Got::Claimed(1)));
        token
    }

    pub fn settle(&mut self, token: &str, verdict: Verdict) {
        self.ask(settle_op(token, verdict), Got::Done);
    }

    /// One delivery of a job, and its ack.
    pub fn work_off(&mut self, id: &str, payload: &str) {
        let token = self.claim(id, payload, 1);
        self.settle(&token, Verdict::Ack);
    }

    pub fn submit(&mut self, run: Run) {
        let submitted = Submitted { run: run.run.clone(), is_new: true };
        self.ask(submit_op(run), Got::Submitted(vec![submitted]));
    }

    /// A delivery of a step of the run in this row.
    pub fn step(&mut self, (row, run): (&str, &str), step: u32, payload: &str) -> String {
        let job = if step == 0 { row.to_owned() } else { format!("{row}-{step}") };
        let work = Work::Step { run: run.into(), step };
        self.deliver(Claim { work, ..claim(&job, payload) })
    }

    /// A delivery of a notification, and its ack.
    pub fn notify(&mut self, id: &str, end: RunEnd) {
        let payload = end.result.clone().unwrap_or_default();
        let work = Work::Notification(end);
        let token = self.deliver(Claim { work, max_attempts: 25, ..claim(id, &payload) });
        self.settle(&token, Verdict::Ack);
    }

    pub fn find_job(&mut self, job: &str, state: &str, payload: &str) {
        self.note(What::FoundJob(seen(job, state, payload)));
    }

    pub fn find_run(&mut self, run: &str, state: &str, step: u32) {
        self.note(What::FoundRun(RunSeen {
            run: run.into(),
            state: state.into(),
            step,
            end: None,
        }));
    }

    pub fn find_all(&mut self) {
        self.note(What::FoundAll);
    }
}

pub fn job(payload: &str) -> Job {
    Job { payload: payload.into(), ..Job::default() }
}

pub fn run(run: &str, input: &str) -> Run {
    Run { run: run.into(), input: input.into(), ..Run::default() }
}

pub fn seen(job: &str, state: &str, payload: &str) -> JobSeen {
    JobSeen {
        job: job.into(),
        queue: QUEUE.into(),
        state: state.into(),
        attempts: 0,
        max_attempts: MAX_ATTEMPTS,
        payload: Some(payload.into()),
        last_error: None,
        run: None,
    }
}

pub fn claim(job: &str, payload: &str) -> Claim {
    Claim {
        token: String::new(),
        job: job.into(),
        queue: QUEUE.into(),
        attempts: 1,
        max_attempts: MAX_ATTEMPTS,
        priority: 1000,
        lease_ms: Some(1_000),
        payload: payload.into(),
        headers: Headers::new(),
        work: Work::Job,
    }
}

pub fn claim_op() -> Op {
    Op::Claim { queue: QUEUE.into(), count_max: 1, lease_ms: None, wait_ms: None }
}

pub fn settle_op(token: &str, verdict: Verdict) -> Op {
    Op::Settle { token: token.into(), verdict, effects: Vec::new() }
}

pub fn submit_op(run: Run) -> Op {
    Op::Submit { queue: QUEUE.into(), runs: vec![run] }
}

pub fn nack(error: &str) -> Verdict {
    Verdict::Nack { error: error.into(), retry_after_ms: None }
}

pub fn go_on(payload: &str) -> Verdict {
    Verdict::Continue { payload: payload.into(), delay_ms: None }
}

pub fn succeed(result: &str) -> Verdict {
    Verdict::Succeed { result: result.into() }
}

/// A success; other ends change its fields.
pub fn end(run: &str, result: &str, final_step: u32) -> RunEnd {
    RunEnd {
        run: run.into(),
        status: "succeeded".into(),
        result: Some(result.into()),
        error: None,
        final_step,
        headers: Headers::new(),
    }
}

/// An end that is none of success.
pub fn bad_end(run: &str, status: &str, error: Option<&str>) -> RunEnd {
    let (result, error) = (None, error.map(str::to_owned));
    RunEnd { status: status.into(), result, error, ..end(run, "", 0) }
}
