//! The state machine: every decision about jobs and runs, and nothing else.
//!
//! One value holds what the process knows of its store. [`State::apply`] takes a command and an
//! instant, changes the value and says through [`Effects`] what must be written and what must be
//! told. There is no I/O, no clock, no randomness but a seeded generator, and no iteration in hash
//! order: the same commands at the same instants give the same rows, byte for byte.
//!
//! # Invariants
//!
//! 1. A job is claimable only when the commit that created its present form is durable.
//! 2. At most one live claim exists per job, and a claim token is never handed out twice.
//! 3. Settling needs the live token; a late outcome changes nothing.
//! 4. Step n+1 comes into being in the commit that settles step n, and only there.
//! 5. A run ends once; its end, its last job and its notification are one commit.
//! 6. What memory holds of a waiting job is an index entry; its body may be dropped and read again.
//!
//! # A job's life, in files
//!
//! | stage | file |
//! |---|---|
//! | a job's entry and its allowed stages; the table of all entries | `job.rs`, `paged.rs` |
//! | enqueue, dedup key | `enqueue.rs` |
//! | becoming claimable: after a commit, at a time, woken | `durable.rs`, `schedule.rs` |
//! | claim, wait, lease, delivery | `claim.rs`, `wait.rs`, `lease.rs` |
//! | what is written of open claims | `claim_rows.rs` |
//! | its body and its payload object | `body.rs` |
//! | ack, retry, and what happens along with them | `settle.rs`, `effects.rs` |
//! | done, dead, requeued, purged | `ended.rs` |
//! | cancelled: a job, or a run | `cancel.rs` |
//! | submit, next step, end of a run, notification | `run.rs`, `trail.rs` |
//! | what a step remembers | `memo.rs` |
//! | key-value space | `kv.rs` |
//! | after a restart | `recover.rs` |
//! | looking, counting | `list.rs`, `stats.rs` |
//!
//! # Not here
//!
//! Writing rows, waiting for them and reading clocks is `engine/`; the bytes are `record/`.

mod body;
mod cancel;
mod claim;
mod claim_rows;
mod durable;
mod effects;
mod ended;
mod enqueue;
mod job;
mod kv;
mod lease;
mod list;
mod memo;
mod paged;
mod queue;
mod recover;
mod run;
mod schedule;
mod settle;
mod stats;
mod trail;
mod wait;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use crate::clock::Now;
use crate::command::{Claim, Command, KvRange, MemoMark, Reply, SubscriptionId, Ticket};
use crate::error::Result;
use crate::ids::{ClaimToken, KvKey, RunId};
use crate::limits::LIST_COUNT_MAX;
use crate::options::{OpenOptions, check_count};
use crate::record::{Payload, PayloadName, PayloadRef, Row};

pub use list::{JobView, RunView};
pub use memo::{FoundMemos, MemoPlace};
pub use recover::Recovery;
pub use stats::queue_stats;

use body::Change;
use cancel::Handovers;
use claim::{Pull, Subscription};
use claim_rows::ClaimRows;
use durable::Activation;
use job::{JobEntry, Stage};
use kv::KvSpace;
use lease::Leases;
use paged::Paged;
use queue::Queues;
use run::Runs;
use schedule::Schedule;
use wait::WaitingPulls;

/// Maps are looked up, never walked: a fixed hasher keeps runs alike without costing order.
type FixedMap<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// 128 bits of SHA-256: stands for a text of any length in an index.
type Digest128 = [u8; 16];

/// The consumer number of [`crate::engine::OutletId`].
pub type OutletId = u64;

/// Who asked: where the reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The consumer.
    pub outlet: OutletId,
    /// Its number for the call; `None` if it wants no reply.
    pub ticket: Option<Ticket>,
}

impl Origin {
    /// Nobody waits for the reply.
    const NOBODY: Self = Self { outlet: 0, ticket: None };
}

/// When a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// At once: it promises nothing about the store.
    Now,
    /// When everything applied so far is durable.
    Durable,
}

/// What is asked that only the log can answer. It is read once everything applied before is durable.
#[derive(Clone, Debug)]
pub enum Query {
    /// How a run ended.
    Outcome(RunId),
    /// One run.
    Run(RunView),
    /// A page of runs, and where the next one begins.
    Runs(Vec<RunView>, Option<u64>),
    /// What a run that has ended produced.
    Result(RunId),
    /// A page of memos of the run in this row: behind which one, and how many.
    Memos(u64, Option<MemoMark>, usize),
    /// A memo.
    Memo(MemoPlace),
    /// One job, with its payload.
    Job(JobView),
    /// A page of jobs, and where the next one begins.
    Jobs(Vec<JobView>, Option<u64>),
    /// What a key holds.
    Value(KvKey),
    /// A page of keys.
    Range(KvRange),
    /// Who owns the store.
    Owner,
}

/// What one or more applications ask the engine to do.
#[derive(Debug, Default)]
pub struct Effects {
    /// Replies, with the moment they may leave.
    pub replies: Vec<(Origin, Result<Reply>, Release)>,
    /// Deliveries to subscriptions.
    pub claims: Vec<(OutletId, SubscriptionId, Claim)>,
    /// Holders that are to be asked to stop.
    pub cancels: Vec<(OutletId, ClaimToken)>,
    /// Rows whose body is needed: read them and call [`State::loaded`] or [`State::not_found`].
    pub loads: Vec<u64>,
    /// The same, once everything applied before is durable.
    pub late_loads: Vec<u64>,
    /// Payloads that granted jobs need: read them and call [`State::object_read`].
    pub object_reads: Vec<(u64, PayloadRef)>,
    /// Keys whose stored value is needed: read them and call [`State::value_read`].
    pub value_reads: Vec<(KvKey, u64)>,
    /// Runs whose memos are to be deleted, by row: find them and call [`State::memos_found`].
    pub memo_sweeps: Vec<u64>,
    /// Questions to the log.
    pub queries: Vec<(Origin, Query)>,
    /// Payload objects that no row names any more.
    pub unnamed: Vec<PayloadName>,
}

impl Effects {
    /// Answers at once.
    fn answer(&mut self, origin: Origin, result: Result<Reply>) {
        self.replies.push((origin, result, Release::Now));
    }

    /// A payload came in that no row will name.
    fn disown(&mut self, payload: &Payload) {
        self.unnamed.extend(payload.object().map(|object| object.name));
    }

    /// Answers a refusal; what went well is answered elsewhere.
    fn refuse(&mut self, origin: Origin, result: Result<()>) {
        if let Err(error) = result {
            self.answer(origin, Err(error));
        }
    }

    /// Answers when it is durable; a refusal promises nothing and leaves at once.
    fn promise(&mut self, origin: Origin, result: Result<Reply>) {
        let release = if result.is_ok() { Release::Durable } else { Release::Now };
        self.replies.push((origin, result, release));
    }
}

/// One commit, cut off from the state.
#[derive(Debug)]
pub struct Batch {
    /// Its number; [`State::on_durable`] wants it back.
    pub number: u64,
    /// What to write, atomically.
    pub rows: Vec<Row>,
}

/// Everything the process knows of its store.
pub struct State {
    options: Arc<OpenOptions>,
    queues: Queues,
    jobs: Paged<JobEntry>,
    objects: BTreeMap<u64, PayloadName>,
    dedup: FixedMap<(u32, Digest128), u64>,
    /// Live jobs whose key another one has: who has it next.
    dedup_heirs: BTreeMap<(u32, Digest128), BTreeSet<u64>>,
    schedule: Schedule,
    leases: Leases,
    claim_rows: ClaimRows,
    runs: Runs,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// `false` once the store is being closed.
    is_granting: bool,
    pulls: BTreeMap<u64, Pull>,
    waiting: WaitingPulls,
    /// Granted jobs whose body or payload is being read.
    loading: BTreeMap<u64, ClaimToken>,
    /// Changes that wait for the body of their job.
    parked: BTreeMap<u64, Vec<(Origin, Change)>>,
    handovers: Handovers,
    /// Objects that this owner wrote for memos of live runs.
    memo_objects: BTreeMap<MemoPlace, PayloadName>,
    kv: KvSpace,
    activations: VecDeque<(u64, Activation)>,
    rows: Vec<Row>,
    row_bytes: usize,
    batch_number: u64,
    next_row: u64,
    next_subscription: SubscriptionId,
    next_pull: u64,
    cached_bytes: usize,
    random: SplitMix64,
    commit_count: u64,
    row_count: u64,
    quarantined_count: u64,
}

impl State {
    /// Decides one command.
    pub fn apply(&mut self, origin: Origin, command: Command, now: Now, fx: &mut Effects) {
        match command {
            Command::Enqueue { queue, jobs } => {
                let enqueued = self.enqueue(&queue, jobs, now, fx);
                fx.promise(origin, enqueued);
            }
            Command::Claim { queue, count_max, lease, wait } => {
                let pulled = self.pull(origin, &queue, count_max, lease, wait, now, fx);
                fx.refuse(origin, pulled);
            }
            Command::Withdraw { ticket } => self.withdraw(origin.outlet, ticket),
            Command::Renew { token, lease, at_least } => {
                fx.answer(origin, self.renew(token, lease, at_least, now));
            }
            Command::Settle { token, verdict, effects } => {
                let settled = self.settle(token, verdict, effects, now, fx);
                fx.promise(origin, settled);
            }
            Command::Submit { queue, runs } => {
                let submitted = self.submit(&queue, runs, now, fx);
                fx.promise(origin, submitted);
            }
            Command::AwaitRun { run_id } => self.await_run(origin, run_id, fx),
            Command::CancelRun { run_id, tells_hook } => {
                self.cancel_run(origin, &run_id, tells_hook, now, fx);
            }
            Command::MemoPut { token, key, value } => {
                let written = self.memo_put(token, key, &value);
                fx.promise(origin, written);
            }
            Command::Subscribe { queue, concurrency, observes_runs, job_timeout } => {
                let outlet = origin.outlet;
                fx.answer(
                    origin,
                    self.subscribe(outlet, &queue, concurrency, observes_runs, job_timeout),
                );
            }
            Command::Unsubscribe { subscription } => {
                self.unsubscribe(subscription);
                fx.answer(origin, Ok(Reply::Done));
            }
            Command::CancelJob { job_id } => {
                let cancelled = self.cancel_job(job_id, fx);
                fx.promise(origin, cancelled);
            }
            Command::WakeJob { job_id } => self.wake(origin, job_id, now, fx),
            Command::RequeueJob { job_id } => self.requeue(origin, job_id, fx),
            Command::PurgeDead { queue, older_than } => {
                fx.promise(origin, self.purge_dead(&queue, older_than, now));
            }
            Command::KvWrite { key, expected, value } => {
                self.write_value(origin, key, expected, value, fx);
            }
            Command::AwaitRoom => fx.promise(origin, Ok(Reply::Done)),
            look => self.look(origin, look, fx),
        }
    }

    /// Answers what changes nothing.
    fn look(&self, origin: Origin, command: Command, fx: &mut Effects) {
        match command {
            Command::GetJob { job_id } => self.get_job(origin, job_id, fx),
            Command::ListJobs { queue, state, after, count_max } => {
                let listed = self.list_jobs(origin, &queue, state, after, count_max, fx);
                fx.refuse(origin, listed);
            }
            Command::GetRun { run_id } => self.get_run(origin, &run_id, fx),
            Command::ListRuns { filter, before, count_max } => {
                let listed = self.list_runs(origin, &filter, before, count_max, fx);
                fx.refuse(origin, listed);
            }
            Command::GetResult { run_id } => self.get_result(origin, run_id, fx),
            Command::ListMemos { run_id, after, count_max } => {
                let listed = self.list_memos(origin, &run_id, after, count_max, fx);
                fx.refuse(origin, listed);
            }
            Command::ReadMemo { run_id, mark } => self.read_memo(origin, &run_id, mark, fx),
            Command::OldestPending { queue } => self.oldest_pending(origin, &queue, fx),
            Command::MemoGet { token, key } => self.memo_get(origin, token, key, fx),
            Command::KvGet { key } => fx.queries.push((origin, Query::Value(key))),
            Command::KvScan(range) => match check_count("limit", range.count_max, LIST_COUNT_MAX) {
                Ok(()) => fx.queries.push((origin, Query::Range(range))),
                Err(error) => fx.answer(origin, Err(error)),
            },
            Command::Owner => fx.queries.push((origin, Query::Owner)),
            Command::Stats => fx.answer(origin, Ok(Reply::Stats(self.stats()))),
            Command::Metrics => fx.answer(origin, Ok(Reply::Metrics(Box::new(self.metrics())))),
            other => unreachable!("`apply` decides {other:?}"),
        }
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty() || self.claim_rows.is_due
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Deliveries that are not settled yet.
    #[must_use]
    pub fn open_claim_count(&self) -> usize {
        self.leases.len()
    }

    /// Stages a row for the next commit.
    fn write(&mut self, row: Row) {
        self.row_bytes += row.size_bytes();
        self.rows.push(row);
    }

    /// The entry of a row that is known to be there.
    fn job(&self, row: u64) -> &JobEntry {
        self.jobs.get(row).expect("the caller holds the row")
    }

    fn job_mut(&mut self, row: u64) -> &mut JobEntry {
        self.jobs.get_mut(row).expect("the caller holds the row")
    }

    fn job_is(&self, row: u64, stage: Stage) -> bool {
        self.jobs.get(row).is_some_and(|entry| entry.stage == stage)
    }

    /// Takes the next number of the sequence.
    fn take_row(&mut self) -> u64 {
        let row = self.next_row;
        self.next_row += 1;
        row
    }
}

/// The first 128 bits of the SHA-256 of some text.
fn digest128(text: &str) -> Digest128 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// A small generator for jitter (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
/// Generators", 2014): seeded, so that a run can be repeated.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..=bound`; the bias is below 2⁻²⁰ for any delay that can be configured.
    fn up_to(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * (u128::from(bound) + 1);
        u64::try_from(wide >> 64).expect("the upper half of 128 bits")
    }
}

#[cfg(test)]
mod tests;
