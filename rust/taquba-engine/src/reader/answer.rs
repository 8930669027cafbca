//! Answers from the rows alone.
//!
//! # What the rows do not say
//!
//! A claim is a row only if it was open when a commit went out, so a job that was claimed a moment ago may
//! still read as pending. Counts are those of the last commit that touched their queue. There is no
//! index: a page of jobs costs what lies between them.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::RwLock;

use crate::clock::Clock;
use crate::command::{
    Command, JobInfo, JobPage, JobState, QueueStats, Reply, Stats, StepOutcome, Verdict,
};
use crate::engine::read;
use crate::error::{Error, Result};
use crate::ids::{JobId, QueueName};
use crate::limits::{LIST_BYTES_MAX, LIST_COUNT_MAX, LIST_EXAMINED_MAX};
use crate::log::{Extent, Rows as _, ScanRange, SlateReader};
use crate::options::check_count;
use crate::record::{
    Body, CancelRow, ClaimsRow, JobEnd, JobRow, OpenClaim, Payload, PayloadRef, QueueRow,
    Undecodable, keys,
};
use crate::state::{JobView, MemoPlace, queue_stats};

/// When a batch of questions is answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    now_ms: u64,
}

/// Whether the answer is in the rows.
pub(super) const fn reads_rows(command: &Command) -> bool {
    matches!(
        command,
        Command::Stats
            | Command::ListJobs { .. }
            | Command::GetJob { .. }
            | Command::GetRun { .. }
            | Command::ListRuns { .. }
            | Command::GetResult { .. }
            | Command::ListMemos { .. }
            | Command::ReadMemo { .. }
            | Command::KvGet { .. }
            | Command::KvScan(_)
    )
}

/// Computes answers.
pub(super) struct Answers {
    rows: SlateReader,
    clock: Arc<dyn Clock>,
    /// How often the rows were begun afresh. Held for reading while a question is answered: what it
    /// reads must not be closed under it.
    reopened: RwLock<u64>,
}

impl Answers {
    pub fn new(rows: SlateReader, clock: Arc<dyn Clock>) -> Self {
        Self { rows, clock, reopened: RwLock::new(0) }
    }

    /// What it reads.
    pub const fn rows(&self) -> &SlateReader {
        &self.rows
    }

    /// What messages call the store.
    pub fn path(&self) -> &str {
        self.rows.path()
    }

    /// Takes in what was committed since the last time.
    pub async fn begin(&self) -> Result<Moment> {
        let alone = self.reopened.write().await;
        self.rows.refresh().await?;
        drop(alone);
        read::meta(&self.rows, self.rows.path()).await?;
        // The owner's clock may be ahead of ours, as a test's clock is.
        let floor_ms = read::sequence(&self.rows, self.rows.path()).await?.wall_floor_ms;
        Ok(Moment { now_ms: self.clock.wall_ms().max(floor_ms) })
    }

    /// Answers a question. If what it needs was tidied up by the owner meanwhile, once more from a
    /// fresh start.
    pub async fn answer(&self, command: &Command, moment: Moment) -> Result<Reply> {
        let shared = self.reopened.read().await;
        let (seen, answer) = (*shared, self.try_answer(command, moment).await);
        drop(shared);
        match answer {
            Err(
                Error::StoreUnavailable { .. } | Error::Corrupted { .. } | Error::Closed { .. },
            ) if reads_rows(command) => {
                let mut alone = self.reopened.write().await;
                if *alone == seen {
                    self.rows.reopen().await?;
                    *alone += 1;
                }
                let _shared = alone.downgrade();
                self.try_answer(command, moment).await
            }
            answer => answer,
        }
    }

    /// Ends it.
    pub async fn close(&self) -> Result<()> {
        self.rows.close().await
    }

    async fn try_answer(&self, command: &Command, moment: Moment) -> Result<Reply> {
        let path = self.rows.path();
        match command {
            Command::Stats => self.stats().await.map(Reply::Stats),
            Command::GetJob { job_id } => {
                self.job(*job_id, moment).await.map(|info| Reply::Job(Box::new(info)))
            }
            Command::ListJobs { queue, state, after, count_max } => {
                check_count("limit", *count_max, LIST_COUNT_MAX)?;
                let listing =
                    Listing { queue, state: *state, after: *after, count_max: *count_max };
                self.jobs(&listing, moment).await.map(Reply::Jobs)
            }
            Command::GetRun { run_id } => {
                self.run(run_id, moment).await.map(|info| Reply::Run(Box::new(info)))
            }
            Command::ListRuns { filter, before, count_max } => {
                self.runs(filter, *before, *count_max, moment).await.map(Reply::Runs)
            }
            Command::GetResult { run_id } => {
                read::result(&self.rows, path, run_id).await.map(Reply::Value)
            }
            Command::ListMemos { run_id, after, count_max } => {
                check_count("limit", *count_max, LIST_COUNT_MAX)?;
                let row = read::run_row(&self.rows, path, run_id).await?.row;
                read::memos(&self.rows, path, row, *after, *count_max).await.map(Reply::Memos)
            }
            Command::ReadMemo { run_id, mark: (step_number, key) } => {
                let row = read::run_row(&self.rows, path, run_id).await?.row;
                let place = MemoPlace { row, step_number: *step_number, key: *key };
                self.memo(&place).await.map(Reply::Value)
            }
            Command::KvGet { key } => read::value(&self.rows, path, key).await.map(Reply::Value),
            Command::KvScan(range) => {
                check_count("limit", range.count_max, LIST_COUNT_MAX)?;
                read::entries(&self.rows, path, range.clone()).await.map(Reply::Entries)
            }
            Command::Owner => self.rows.owner().await.map(Reply::Owner),
            // Nothing waits here.
            Command::AwaitRoom => Ok(Reply::Done),
            other => Err(Error::ReadOnly { path: path.to_owned(), call: call_of(other) }),
        }
    }

    async fn stats(&self) -> Result<Stats> {
        let mut queues: Vec<QueueStats> = Vec::new();
        let mut visit = |_, value: Bytes| {
            if let Some((row, name)) = queue_of(&value) {
                queues.push(queue_stats(name, row.counts, &row));
            }
            ControlFlow::Continue(())
        };
        self.rows.scan(ScanRange::of_tag(keys::QUEUE), &mut visit).await?;
        queues.sort_by(|a, b| a.queue.cmp(&b.queue));
        let mut quarantined_count = 0;
        let mut visit = |_, _| {
            quarantined_count += 1;
            ControlFlow::Continue(())
        };
        self.rows.scan(ScanRange::of_tag(keys::QUARANTINE), &mut visit).await?;
        Ok(Stats { queues, quarantined_count, ..Stats::default() })
    }

    async fn job(&self, job_id: JobId, moment: Moment) -> Result<JobInfo> {
        let gone = || Error::JobNotFound { job_id: job_id.to_string() };
        let value = self.rows.get(keys::job(job_id.row)).await?.ok_or_else(gone)?;
        let what = format!("job row {}", job_id.row);
        let stored = self.decoded(&what, JobRow::decode(&value))?;
        if stored.turn != job_id.turn {
            return Err(gone());
        }
        let queue = self.queue_name(stored.queue).await?;
        let deliveries = self.deliveries().await?;
        let view = view_of(job_id.row, &stored, &queue, &deliveries, moment);
        let payload = stored.body.payload.clone();
        let mut info = read::job_info(view, stored);
        info.payload = Some(match payload {
            Payload::Inline(data) => data,
            Payload::Object(object) => self.payload(object).await?,
        });
        Ok(info)
    }

    async fn payload(&self, object: PayloadRef) -> Result<Bytes> {
        let read = self.rows.get_payload(object.name).await;
        let verified = read::verified(object, read).await;
        verified.map_err(|fault| read::payload_error(self.rows.path(), &object, fault))
    }

    async fn memo(&self, place: &MemoPlace) -> Result<Option<Bytes>> {
        Ok(match read::memo(&self.rows, self.path(), place).await? {
            None => None,
            Some(Payload::Inline(value)) => Some(value),
            Some(Payload::Object(object)) => Some(self.payload(object).await?),
        })
    }

    async fn jobs(&self, listing: &Listing<'_>, moment: Moment) -> Result<JobPage> {
        let Some(queue) = self.find_queue(listing.queue).await? else {
            return Ok(JobPage::default());
        };
        let deliveries = match listing.state {
            Some(JobState::Done | JobState::Dead) => Deliveries::default(),
            _ => self.deliveries().await?,
        };
        let (mut page, mut examined) = (JobPage::default(), Examined::default());
        let mut visit = |key: Bytes, value: Bytes| {
            if page.jobs.len() == listing.count_max || examined.is_enough() {
                page.next = examined.last;
                return ControlFlow::Break(());
            }
            let Some(row) = keys::row_of(&key) else { return ControlFlow::Continue(()) };
            examined.add(row, value.len());
            match JobRow::decode(&value) {
                Ok(stored) if stored.queue == queue => {
                    let view = view_of(row, &stored, listing.queue, &deliveries, moment);
                    if listing.state.is_none_or(|state| view.state == state) {
                        page.jobs.push(read::job_info(view, stored));
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(row, error = error.0, "a job row does not read"),
            }
            ControlFlow::Continue(())
        };
        self.rows.scan(behind(keys::JOB, listing.after), &mut visit).await?;
        Ok(page)
    }

    pub(super) async fn queue_name(&self, index: u32) -> Result<QueueName> {
        let queue = self.rows.get(keys::queue(index)).await?;
        queue.as_ref().and_then(queue_of).map(|(_, name)| name).ok_or_else(|| {
            let what = format!("queue record {index}");
            read::damaged(self.path(), &what, &Undecodable("it does not read".into()))
        })
    }

    pub(super) async fn find_queue(&self, name: &QueueName) -> Result<Option<u32>> {
        let mut found = None;
        let mut visit = |key: Bytes, value: Bytes| match queue_of(&value) {
            Some((_, other)) if other == *name => {
                found = keys::queue_index_of(&key);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        };
        self.rows.scan(ScanRange::of_tag(keys::QUEUE), &mut visit).await?;
        Ok(found)
    }

    /// What is written of deliveries that are under way.
    pub(super) async fn deliveries(&self) -> Result<Deliveries> {
        let mut deliveries = Deliveries::default();
        let mut visit = |_, value: Bytes| {
            let claims = ClaimsRow::decode(&value).map_or_else(|_| Vec::new(), |row| row.claims);
            deliveries.claims.extend(claims.into_iter().map(|claim| (claim.row, claim)));
            ControlFlow::Continue(())
        };
        self.rows.scan(behind(keys::CLAIMS, None), &mut visit).await?;
        let mut visit = |key: Bytes, value: Bytes| {
            if let (Some(row), Ok(request)) = (keys::row_of(&key), CancelRow::decode(&value)) {
                deliveries.cancelled_turns.insert(row, request.turn);
            }
            ControlFlow::Continue(())
        };
        self.rows.scan(behind(keys::CANCEL, None), &mut visit).await?;
        Ok(deliveries)
    }

    pub(super) fn decoded<T>(&self, what: &str, decoded: Result<T, Undecodable>) -> Result<T> {
        decoded.map_err(|error| read::damaged(self.rows.path(), what, &error))
    }
}

/// Deliveries that are under way, by the row of their job.
#[derive(Default)]
pub(super) struct Deliveries {
    claims: BTreeMap<u64, OpenClaim>,
    cancelled_turns: BTreeMap<u64, u32>,
}

/// Which jobs are wanted.
struct Listing<'a> {
    queue: &'a QueueName,
    state: Option<JobState>,
    after: Option<u64>,
    count_max: usize,
}

/// How much was looked at for one page.
#[derive(Default)]
struct Examined {
    count: usize,
    size_bytes: usize,
    last: Option<u64>,
}

impl Examined {
    fn add(&mut self, row: u64, size_bytes: usize) {
        self.count += 1;
        self.size_bytes += size_bytes;
        self.last = Some(row);
    }

    const fn is_enough(&self) -> bool {
        self.count >= LIST_EXAMINED_MAX || self.size_bytes >= LIST_BYTES_MAX
    }
}

/// What the rows say of a job besides its own.
pub(super) fn view_of(
    row: u64,
    stored: &JobRow<Body>,
    queue: &QueueName,
    deliveries: &Deliveries,
    moment: Moment,
) -> JobView {
    // A claim of another turn or order is about what was here before; one that the job's own row has
    // caught up with is about a delivery that has ended.
    let is_open = |claim: &&OpenClaim| {
        let is_same = (claim.turn, claim.order) == (stored.turn, stored.order);
        is_same && claim.attempts > stored.attempts && stored.ended.is_none()
    };
    let claim = deliveries.claims.get(&row).filter(is_open);
    let is_cancelled = deliveries.cancelled_turns.get(&row) == Some(&stored.turn);
    let state = match (stored.ended, claim) {
        (Some((JobEnd::Done, _)), _) => JobState::Done,
        (Some((JobEnd::Dead, _)), _) => JobState::Dead,
        (None, Some(_)) => JobState::Claimed,
        (None, None) if stored.run_at_ms > moment.now_ms => JobState::Scheduled,
        (None, None) => JobState::Pending,
    };
    JobView {
        job_id: JobId { row, turn: stored.turn },
        queue: queue.clone(),
        state,
        attempts: claim.map_or(stored.attempts, |claim| claim.attempts),
        max_attempts: stored.max_attempts,
        claimed_at_ms: claim.map(|claim| claim.started_at_ms),
        is_cancel_requested: claim.is_some() && is_cancelled,
    }
}

fn queue_of(value: &Bytes) -> Option<(QueueRow, QueueName)> {
    let row = QueueRow::decode(value).ok()?;
    let name = row.name.parse().ok()?;
    Some((row, name))
}

/// The rows of a tag behind this one.
fn behind(tag: u8, after: Option<u64>) -> ScanRange {
    let whole = ScanRange { extent: Extent::Page, ..ScanRange::of_tag(tag) };
    let Some(after) = after else { return whole };
    let key = [&[tag], after.to_be_bytes().as_slice()].concat();
    ScanRange { start: Bound::Excluded(key.into()), ..whole }
}

/// What people know the command as.
const fn call_of(command: &Command) -> &'static str {
    match command {
        Command::Enqueue { .. } => "enqueue",
        Command::Claim { .. } => "claim",
        Command::Renew { .. } => "renew",
        Command::Settle { verdict, .. } => match verdict {
            Verdict::Ack => "ack",
            Verdict::Nack { .. } => "nack",
            Verdict::DeadLetter { .. } => "dead_letter",
            Verdict::Release | Verdict::Unseen => "release",
            Verdict::Postpone { .. } => "postpone",
            Verdict::Step(StepOutcome::Cancel { .. }) => "cancel",
            Verdict::Step(_) => "settle",
        },
        Command::CancelJob { .. } | Command::CancelRun { .. } => "cancel",
        Command::WakeJob { .. } => "wake_scheduled",
        Command::RequeueJob { .. } => "requeue_dead_job",
        Command::PurgeDead { .. } => "purge_dead",
        Command::KvWrite { value: Some(_), .. } => "kv_put",
        Command::KvWrite { value: None, .. } => "kv_delete",
        Command::Submit { .. } => "submit",
        Command::MemoGet { .. } | Command::MemoPut { .. } => "memo",
        Command::AwaitRun { .. } => "await_outcome",
        Command::Subscribe { .. } | Command::Unsubscribe { .. } => "run_worker",
        Command::Metrics => "metrics",
        Command::OldestPending { .. } => "oldest_pending",
        Command::Withdraw { .. }
        | Command::GetJob { .. }
        | Command::ListJobs { .. }
        | Command::GetRun { .. }
        | Command::ListRuns { .. }
        | Command::GetResult { .. }
        | Command::ListMemos { .. }
        | Command::ReadMemo { .. }
        | Command::KvGet { .. }
        | Command::KvScan(_)
        | Command::Owner
        | Command::Stats
        | Command::AwaitRoom => "this call",
    }
}
