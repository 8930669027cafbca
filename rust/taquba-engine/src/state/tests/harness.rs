//! A state machine on a map: commits and crashes on command, a clock that the test moves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::*;
use crate::command::{NewJob, NewRun, Start, StepOutcome, TerminalStatuses, Verdict};
use crate::error::Error;
use crate::ids::{ClaimToken, JobId, QueueName};
use crate::options::{Jitter, QueueConfig};
use crate::record::{Meta, Sequence, keys};

pub(super) const OUTLET: OutletId = 1;

pub(super) struct Harness {
    pub state: State,
    pub now: Now,
    pub rows: BTreeMap<bytes::Bytes, bytes::Bytes>,
    /// Rows of the last commit.
    pub last_commit: Vec<Row>,
    epoch: u32,
    options: Arc<OpenOptions>,
}

/// A queue whose retries can be foretold.
pub(super) fn options() -> OpenOptions {
    let config = QueueConfig { retry_jitter: Jitter::None, ..QueueConfig::default() };
    OpenOptions { default_queue_config: config, ..OpenOptions::default() }
}

impl Harness {
    pub fn new() -> Self {
        Self::with(options())
    }

    /// A queue with these settings.
    pub fn configured(config: QueueConfig) -> Self {
        Self::with(OpenOptions { default_queue_config: config, ..options() })
    }

    fn with(options: OpenOptions) -> Self {
        let now = Now { wall_ms: 1_000_000, mono_ms: 0 };
        Self::open(Arc::new(options), BTreeMap::new(), now)
    }

    fn open(
        options: Arc<OpenOptions>,
        rows: BTreeMap<bytes::Bytes, bytes::Bytes>,
        now: Now,
    ) -> Self {
        let meta = rows.get(keys::META).map(|value| Meta::decode(value).expect("we wrote it"));
        let sequence = rows.get(keys::SEQUENCE).map(|value| Sequence::decode(value).expect("ours"));
        let (was_clean, epoch) = meta.map_or((true, 1), |meta| (meta.clean, meta.epoch + 1));
        let sequence = sequence.unwrap_or_default();
        let mut recovery = Recovery::new(Arc::clone(&options), was_clean, epoch, &sequence, now);
        for tag in Recovery::TAGS {
            for (key, value) in rows.iter().filter(|(key, _)| key[0] == tag) {
                recovery.add(key.clone(), value.clone());
            }
        }
        let state = recovery.finish(epoch);
        let mut harness = Self { state, now, rows, last_commit: Vec::new(), epoch, options };
        let _ = harness.commit();
        harness
    }

    /// Loses everything that is not durable, and opens again.
    pub fn crash(self) -> Self {
        Self::open(self.options, self.rows, self.now)
    }

    /// Closes in order, and opens again.
    pub fn reopen(mut self) -> Self {
        let mut fx = Effects::default();
        self.state.release_all(self.now, &mut fx);
        self.state.close_store(self.epoch);
        let _ = self.commit();
        self.crash()
    }

    pub fn pass(&mut self, time: Duration) -> Effects {
        let ms = u64::try_from(time.as_millis()).expect("a short time");
        self.now = Now { wall_ms: self.now.wall_ms + ms, mono_ms: self.now.mono_ms + ms };
        let mut fx = Effects::default();
        self.state.tick(self.now, &mut fx);
        fx
    }

    pub fn apply(&mut self, command: Command) -> Effects {
        let mut fx = Effects::default();
        let origin = Origin { outlet: OUTLET, ticket: Some(0) };
        self.state.apply(origin, command, self.now, &mut fx);
        fx
    }

    /// Applies a command and reads the rows that it asks for, as they are durable.
    pub fn apply_with_reads(&mut self, command: Command) -> Effects {
        let mut fx = self.apply(command);
        if !fx.late_loads.is_empty() {
            let later = self.commit();
            assert!(later.claims.is_empty(), "nobody has subscribed");
            fx.replies.extend(later.replies);
        }
        self.read_bodies(&mut fx);
        for (key, number) in std::mem::take(&mut fx.value_reads) {
            let stored = self.rows.get(&keys::kv(&key)).cloned();
            let value = stored.map(|stored| crate::record::decode_value(&stored).expect("ours"));
            self.state.value_read(&key, number, Ok(value), &mut fx);
        }
        fx
    }

    fn read_bodies(&mut self, fx: &mut Effects) {
        let rows = fx.loads.drain(..).chain(fx.late_loads.drain(..)).collect::<Vec<_>>();
        for row in rows {
            match self.rows.get(&keys::job(row)) {
                Some(value) => {
                    let loaded = self.state.loaded(row, value, self.now, fx);
                    loaded.expect("we wrote it");
                }
                None => self.state.not_found(row, self.now, fx),
            }
        }
    }

    /// The one answer to a command that may have to read rows.
    pub fn ask_with_reads(&mut self, command: Command) -> Result<Reply> {
        let mut fx = self.apply_with_reads(command);
        assert_eq!(fx.replies.len(), 1, "one command, one answer");
        fx.replies.remove(0).1
    }

    /// The one answer to a command.
    pub fn ask(&mut self, command: Command) -> Result<Reply> {
        let mut fx = self.apply(command);
        assert_eq!(fx.replies.len(), 1, "one command, one answer");
        fx.replies.remove(0).1
    }

    /// Makes everything durable, if there is anything.
    pub fn commit(&mut self) -> Effects {
        let mut fx = Effects::default();
        if self.state.has_rows() {
            let batch = self.state.cut(self.now);
            for row in &batch.rows {
                match row.clone() {
                    Row::Put(key, value) => drop(self.rows.insert(key, value)),
                    Row::Delete(key) => drop(self.rows.remove(&key)),
                }
            }
            self.last_commit = batch.rows;
            self.state.on_durable(batch.number, self.now, &mut fx);
            self.read_bodies(&mut fx);
        }
        fx
    }

    pub fn dispatch(&mut self) -> Vec<Claim> {
        let mut fx = Effects::default();
        self.state.dispatch(self.now, &mut fx);
        fx.claims.into_iter().map(|(_, _, claim)| claim).collect()
    }

    pub fn enqueue(&mut self, payload: &str) -> JobId {
        self.enqueue_job(job(payload))
    }

    pub fn enqueue_job(&mut self, job: NewJob) -> JobId {
        let reply = self.ask(Command::Enqueue { queue: queue(), jobs: vec![job] });
        let Ok(Reply::Enqueued(enqueued)) = reply else { panic!("{reply:?}") };
        enqueued[0].job_id
    }

    pub fn claim(&mut self, count_max: usize) -> Vec<Claim> {
        let claim = Command::Claim { queue: queue(), count_max, lease: None, wait: None };
        let reply = self.ask_with_reads(claim);
        let Ok(Reply::Claimed(claims)) = reply else { panic!("{reply:?}") };
        claims
    }

    /// Claims after a crash: they are delivered when they are durable.
    pub fn claim_suspects(&mut self, count_max: usize) -> Vec<Claim> {
        let fx = self.apply(Command::Claim { queue: queue(), count_max, lease: None, wait: None });
        assert!(fx.replies.is_empty(), "a suspect waits for its commit: {:?}", fx.replies);
        let mut fx = self.commit();
        assert_eq!(fx.replies.len(), 1, "one command, one answer");
        let Ok(Reply::Claimed(claims)) = fx.replies.remove(0).1 else { panic!("{fx:?}") };
        claims
    }

    /// Claims exactly one.
    pub fn claim_one(&mut self) -> Claim {
        let mut claims = self.claim(1);
        assert_eq!(claims.len(), 1, "a job was expected");
        claims.remove(0)
    }

    pub fn settle(&mut self, token: ClaimToken, verdict: Verdict) -> Result<Reply> {
        self.ask(Command::Settle { token, verdict, effects: Vec::new() })
    }

    /// Settles what must settle.
    pub fn end(&mut self, token: ClaimToken, verdict: Verdict) -> Effects {
        let fx = self.apply(Command::Settle { token, verdict, effects: Vec::new() });
        assert!(fx.replies.iter().all(|(_, result, _)| result.is_ok()), "{:?}", fx.replies);
        fx
    }

    /// Settles, unless the claim was lost.
    pub fn end_if_held(&mut self, token: ClaimToken, verdict: Verdict) {
        let reply = self.settle(token, verdict);
        assert!(reply.is_ok() || is_claim_lost(&reply), "{reply:?}");
    }

    pub fn nack(&mut self, token: ClaimToken) {
        self.end(token, Verdict::Nack { error: "boom".into(), retry_after: None });
    }

    pub fn step(&mut self, token: ClaimToken, outcome: StepOutcome) -> Effects {
        self.end(token, Verdict::Step(outcome))
    }

    pub fn submit(&mut self, run: NewRun) -> Result<Reply> {
        self.ask(Command::Submit { queue: queue(), runs: vec![run] })
    }

    pub fn stats(&mut self) -> crate::command::QueueStats {
        let Ok(Reply::Stats(stats)) = self.ask(Command::Stats) else { panic!("stats answer") };
        stats.queues.into_iter().next().expect("the queue has been used")
    }

    /// Rows of the last commit whose key starts with `tag`.
    pub fn committed(&self, tag: u8) -> Vec<&Row> {
        let key = |row: &Row| match row {
            Row::Put(key, _) | Row::Delete(key) => key[0],
        };
        self.last_commit.iter().filter(|row| key(row) == tag).collect()
    }
}

pub(super) fn queue() -> QueueName {
    "work".parse().expect("a good name")
}

pub(super) fn job(payload: &str) -> NewJob {
    NewJob { payload: payload.to_owned().into(), ..NewJob::default() }
}

pub(super) fn run(run_id: &str) -> NewRun {
    NewRun {
        run_id: run_id.parse().expect("a good id"),
        input: "input".into(),
        headers: crate::record::Headers::default(),
        priority: None,
        start: Start::Now,
        max_attempts: None,
        observed: TerminalStatuses::NONE,
        retention: None,
        memo_retention: None,
    }
}

pub(super) fn go_on(payload: &str) -> StepOutcome {
    StepOutcome::Continue { payload: payload.to_owned().into() }
}

pub(super) fn succeed(result: &str) -> StepOutcome {
    StepOutcome::Succeed { result: result.to_owned().into() }
}

pub(super) fn is_claim_lost(result: &Result<Reply>) -> bool {
    matches!(result, Err(Error::ClaimLost { .. }))
}
