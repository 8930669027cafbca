//! One event loop's door to the engine.
//!
//! ```text
//!  loop: call, settle → Line  ── one send per turn ──▶  engine
//!  loop: begin_turn   ◀─ Mailbox ── one wake-up per batch ──  engine
//! ```
//!
//! A turn is what the loop does when the port's descriptor is readable: [`Port::begin_turn`]
//! answers calls and hands out deliveries, Python starts them, [`Port::end_turn`] sends what they
//! left behind.
//!
//! # Invariants
//!
//! 1. A turn hands out a bounded number of deliveries; the rest waits for the next one, so that
//!    other callbacks of the loop get their turn.
//! 2. A method that returns `True` has left something that its caller must see flushed; one that
//!    may be answered late also returns its ticket, for [`Port::withdraw`].
//! 3. What fails for one arrival is reported and the others go on.
//!
//! Here is what Python calls; what a turn does is in `port/turn.rs`, what a settlement and a write
//! are made of in `port/settle.rs`.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it has converted")]

mod beside;
mod settle;
mod turn;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use taquba_engine::Error;
use taquba_engine::command::{
    Claim as EngineClaim, Command, Expected, RunFilter, SubscriptionId, Ticket, Verdict,
};
use taquba_engine::log::Access;

use crate::calls::{Call, Calls, Makers, Starter};
use crate::effect::EffectArguments;
use crate::engine::{Engine, Opened, Unclaimed};
use crate::inspect::{
    JobCursor, KeyCursor, MemoCursor, RangeArguments, RunCursor, RunStatesArgument, StateArgument,
};
use crate::job::JobArguments;
use crate::line::Line;
use crate::mailbox::{Arrival, Mailbox};
use crate::name::{JobArgument, KeyArgument, QueueArgument, RunArgument};
use crate::opening::{Opening, Place};
use crate::options::{OpenArguments, Opener};
use crate::peer::Peer;
use crate::run::{RunArguments, RunTerms, StatusesArgument};
use crate::runtime::{enter, has_forked, runtime};
use crate::step::Step;
use crate::text::Reason;
use crate::{error, outcome, payload, store};

use settle::{Renewable, Settleable};
use turn::Batch;

/// One event loop's door to the engine.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct Port {
    mailbox: Arc<Mailbox>,
    line: Arc<Line>,
    calls: Calls,
    watchers: Mutex<Vec<Call>>,
    starts: Mutex<HashMap<SubscriptionId, Starter>>,
    backlog: Mutex<VecDeque<(SubscriptionId, EngineClaim)>>,
}

#[pymethods]
impl Port {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        enter(py, || {
            Ok(Self {
                mailbox: Arc::new(Mailbox::new()?),
                line: Arc::default(),
                calls: Calls::default(),
                watchers: Mutex::default(),
                starts: Mutex::default(),
                backlog: Mutex::default(),
            })
        })
    }

    /// The descriptor that is readable when a turn is due; `None` once the door is shut.
    fn fileno(&self) -> Option<i32> {
        self.mailbox.fileno()
    }

    /// Answer calls and take deliveries, by what starts them.
    fn begin_turn(&self, py: Python<'_>) -> PyResult<Vec<Batch>> {
        enter(py, || self.take_turn(py))
    }

    /// Send what the turn left behind. `True` if another turn is due at once.
    fn end_turn(&self, py: Python<'_>) -> PyResult<bool> {
        self.flush(py)?;
        Ok(self.has_backlog())
    }

    /// Whether deliveries wait for another turn.
    fn has_backlog(&self) -> bool {
        !self.backlog.lock().is_empty()
    }

    /// Send all requests there are.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        enter(py, || {
            self.line.flush();
            Ok(())
        })
    }

    /// Open a store as its owner. Resolves to an `Engine`.
    fn open(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        store: &Bound<'_, PyAny>,
        path: String,
        options: OpenArguments,
        opener: Opener,
    ) -> PyResult<()> {
        enter(py, || {
            let target = store::target(store, Access::Own { fsync: options.fsync() })?;
            let (clock, options) = (options.clock(), options.to_engine(opener));
            let place = Place { store: store::name(store)?, path };
            let mut opening = Opening::line_up(&place);
            let ticket = self.calls.add(Call { future, start: None });
            let mailbox = Arc::clone(&self.mailbox);
            runtime().spawn(async move {
                opening.wait().await;
                let result = Opened::open(target, place, options, clock).await;
                mailbox.put([Arrival::Opened(ticket, result.map(Unclaimed::new))]);
            });
            Ok(())
        })
    }

    /// Open a store for reading. Resolves to an `Engine`.
    fn open_reader(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        store: &Bound<'_, PyAny>,
        path: String,
        store_timeout: Duration,
    ) -> PyResult<()> {
        enter(py, || {
            let target = store::target(store, Access::Read)?;
            let place = Place { store: store::name(store)?, path };
            let ticket = self.calls.add(Call { future, start: None });
            let mailbox = Arc::clone(&self.mailbox);
            runtime().spawn(async move {
                let result = Opened::read(target, place, store_timeout).await;
                mailbox.put([Arrival::Opened(ticket, result.map(Unclaimed::new))]);
            });
            Ok(())
        })
    }

    /// Connect to an open store, once.
    fn attach(&self, py: Python<'_>, engine: &Engine) -> PyResult<()> {
        enter(py, || {
            engine.0.join(&self.line);
            let outlet = engine.0.peer().attach(Arc::clone(&self.mailbox) as _);
            self.line.connect(Arc::clone(&engine.0), outlet);
            Ok(())
        })
    }

    /// Commit what waits and close the store, for every loop.
    fn close(&self, py: Python<'_>, future: Py<PyAny>, engine: &Engine) -> PyResult<()> {
        enter(py, || {
            let ticket = self.calls.add(Call { future, start: None });
            let (mailbox, opened) = (Arc::clone(&self.mailbox), Arc::clone(&engine.0));
            runtime().spawn(async move {
                let result = opened.close().await;
                mailbox.put([Arrival::Closed(ticket, result)]);
            });
            Ok(())
        })
    }

    /// End this door: unsettled deliveries go back, calls under way fail as closed.
    fn detach(&self, py: Python<'_>, path: String) -> PyResult<()> {
        enter(py, || {
            self.end();
            let closed = Error::Closed { path };
            for call in self.calls.remove_all() {
                call.resolve(py, Err(error::to_py(py, &closed)))?;
            }
            self.tell_watchers(py, &closed)
        })
    }

    /// Resolve a future with the error that ends the engine, whenever that comes.
    fn watch(&self, py: Python<'_>, future: Py<PyAny>) -> PyResult<()> {
        enter(py, || self.add_watcher(py, Call { future, start: None }))
    }

    /// Whether waiting work is below its bound.
    fn has_room(&self, py: Python<'_>) -> PyResult<bool> {
        enter(py, || Ok(self.line.peer().is_none_or(Peer::has_room)))
    }

    /// Resolves to `None` once waiting work is below its bound.
    fn await_room(&self, py: Python<'_>, future: Py<PyAny>) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::AwaitRoom)))
    }

    /// Add jobs, all or none. Resolves to their ids.
    fn enqueue(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
        jobs: Vec<JobArguments<'_>>,
    ) -> PyResult<bool> {
        enter(py, || {
            let jobs = jobs.iter().map(|job| job.to_engine(py)).collect::<PyResult<_>>()?;
            Ok(self.call(future, Command::Enqueue { queue: queue.0, jobs }))
        })
    }

    /// Take jobs. Resolves to claims.
    fn claim(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
        count_max: usize,
        lease: Option<Duration>,
    ) -> PyResult<bool> {
        enter(py, || {
            let (queue, wait) = (queue.0, None);
            Ok(self.call(future, Command::Claim { queue, count_max, lease, wait }))
        })
    }

    /// Take a job, and wait for one. Resolves to claims: one, or none when the time is over.
    fn claim_with_wait(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
        lease: Option<Duration>,
        wait: Duration,
    ) -> PyResult<(Ticket, bool)> {
        enter(py, || {
            let (queue, wait, count_max) = (queue.0, Some(wait), 1);
            Ok(self.waiting_call(future, Command::Claim { queue, count_max, lease, wait }))
        })
    }

    /// Take back a call that waits, and send that at once. Any thread; its future stays as it is.
    fn withdraw(&self, ticket: Ticket) {
        // A forked child has dropped what its parent waits for; nobody else could have it.
        if has_forked() || self.calls.remove(ticket).is_none() {
            return;
        }
        if self.push(None, Command::Withdraw { ticket }) {
            self.line.flush();
        }
    }

    /// Prolong the lease of a delivery. Resolves to `None`.
    #[pyo3(signature = (future, work, lease, *, at_least))]
    fn renew(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        work: Renewable<'_>,
        lease: Duration,
        at_least: bool,
    ) -> PyResult<bool> {
        enter(py, || {
            let token = self.renewable(py, &work)?;
            Ok(self.call(future, Command::Renew { token, lease, at_least }))
        })
    }

    /// Remove a job, or ask its holder to stop. Resolves to the value of a `JobCancelled`.
    fn cancel_job(&self, py: Python<'_>, future: Py<PyAny>, job: JobArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::CancelJob { job_id: job.0 })))
    }

    /// Make a scheduled job claimable. Resolves to `None`.
    fn wake_job(&self, py: Python<'_>, future: Py<PyAny>, job: JobArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::WakeJob { job_id: job.0 })))
    }

    /// Make a dead job claimable. Resolves to `None`.
    fn requeue_job(&self, py: Python<'_>, future: Py<PyAny>, job: JobArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::RequeueJob { job_id: job.0 })))
    }

    /// Delete dead jobs, a bounded number. Resolves to how many.
    fn purge_dead(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
        older_than: Duration,
    ) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::PurgeDead { queue: queue.0, older_than })))
    }

    /// Read a job. Resolves to the fields of `JobInfo`.
    fn get_job(&self, py: Python<'_>, future: Py<PyAny>, job: JobArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::GetJob { job_id: job.0 })))
    }

    /// Read jobs. Resolves to the fields of each, and the cursor of the next page.
    fn list_jobs(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
        state: Option<StateArgument>,
        cursor: Option<JobCursor>,
        limit: usize,
    ) -> PyResult<bool> {
        enter(py, || {
            let (queue, state) = (queue.0, state.map(|state| state.0));
            let (after, count_max) = (cursor.map(|cursor| cursor.0), limit);
            Ok(self.call(future, Command::ListJobs { queue, state, after, count_max }))
        })
    }

    /// Read a key. Resolves to its value or `None`.
    fn kv_get(&self, py: Python<'_>, future: Py<PyAny>, key: KeyArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::KvGet { key: key.0 })))
    }

    /// Set a key, or remove it if there is no value. Resolves to `True`.
    fn kv_write(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        key: KeyArgument,
        value: Option<Bound<'_, PyBytes>>,
    ) -> PyResult<bool> {
        enter(py, || Ok(self.write(future, key, Expected::Anything, value)))
    }

    /// The same if the key holds what is expected. Resolves to whether it did.
    fn kv_compare_write(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        key: KeyArgument,
        expected: Option<Bound<'_, PyBytes>>,
        value: Option<Bound<'_, PyBytes>>,
    ) -> PyResult<bool> {
        enter(py, || {
            let expected = Expected::Value(expected.as_ref().map(payload::to_engine));
            Ok(self.write(future, key, expected, value))
        })
    }

    /// Read keys in order. Resolves to pairs, and the cursor of the next page.
    fn kv_scan(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        keys: RangeArguments,
        cursor: Option<KeyCursor>,
    ) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::KvScan(keys.into_engine(cursor)))))
    }

    /// Read who owns the store. Resolves to the fields of `Owner` or `None`.
    fn owner(&self, py: Python<'_>, future: Py<PyAny>) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::Owner)))
    }

    /// Add runs, all or none. Resolves to `(run_id, newly_submitted)` pairs.
    #[pyo3(signature = (future, queue, runs, *, observed, retention, memo_retention))]
    #[expect(clippy::too_many_arguments, reason = "one per field of the command")]
    fn submit(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
        runs: Vec<(RunArgument, RunArguments<'_>)>,
        observed: StatusesArgument,
        retention: Option<Duration>,
        memo_retention: Option<Duration>,
    ) -> PyResult<bool> {
        enter(py, || {
            let terms = RunTerms { observed: observed.0, retention, memo_retention };
            let runs = runs.into_iter().map(|(run_id, run)| run.to_engine(py, run_id.0, terms));
            let runs = runs.collect::<PyResult<_>>()?;
            Ok(self.call(future, Command::Submit { queue: queue.0, runs }))
        })
    }

    /// Wait for the end of a run. Resolves to a `RunOutcome`.
    fn await_run(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        run_id: RunArgument,
    ) -> PyResult<(Ticket, bool)> {
        enter(py, || Ok(self.waiting_call(future, Command::AwaitRun { run_id: run_id.0 })))
    }

    /// End a run for good. Resolves to whether it will be cancelled, or to a list with the
    /// notification for the caller's hook.
    #[pyo3(signature = (future, run_id, *, tells_hook))]
    fn cancel_run(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        run_id: RunArgument,
        tells_hook: bool,
    ) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::CancelRun { run_id: run_id.0, tells_hook })))
    }

    /// Read a run. Resolves to the fields of a `RunStatus`.
    fn get_run(&self, py: Python<'_>, future: Py<PyAny>, run_id: RunArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::GetRun { run_id: run_id.0 })))
    }

    /// Read runs. Resolves to the fields of each, and the cursor of the next page.
    #[expect(clippy::too_many_arguments, reason = "one per field of the command")]
    fn list_runs(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: Option<QueueArgument>,
        states: RunStatesArgument,
        id_prefix: Option<String>,
        cursor: Option<RunCursor>,
        limit: usize,
    ) -> PyResult<bool> {
        enter(py, || {
            let queue = queue.map(|queue| queue.0);
            let filter = RunFilter { queue, states: states.0, id_prefix };
            let before = cursor.map(|cursor| cursor.0);
            Ok(self.call(future, Command::ListRuns { filter, before, count_max: limit }))
        })
    }

    /// Read the result of a run. Resolves to `None` unless it succeeded.
    fn get_result(&self, py: Python<'_>, future: Py<PyAny>, run_id: RunArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::GetResult { run_id: run_id.0 })))
    }

    /// Read which memos of a run there are. Resolves to the fields of each, and the cursor of the
    /// next page.
    fn list_memos(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        run_id: RunArgument,
        cursor: Option<MemoCursor>,
        limit: usize,
    ) -> PyResult<bool> {
        let (run_id, after) = (run_id.0, cursor.map(|cursor| cursor.0));
        let list = Command::ListMemos { run_id, after, count_max: limit };
        enter(py, || Ok(self.call(future, list)))
    }

    /// Have jobs delivered to `start`. Resolves to the subscription's number.
    #[pyo3(signature = (
        future, start, queue, concurrency, *, observes_runs, memos, leases, job_timeout
    ))]
    #[expect(clippy::too_many_arguments, reason = "one per field of the command")]
    fn subscribe(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        start: Py<PyAny>,
        queue: QueueArgument,
        concurrency: usize,
        observes_runs: StatusesArgument,
        memos: Option<Py<PyAny>>,
        leases: Option<Py<PyAny>>,
        job_timeout: Option<Duration>,
    ) -> PyResult<bool> {
        enter(py, || {
            let (queue, observes_runs) = (queue.0, observes_runs.0);
            let command = Command::Subscribe { queue, concurrency, observes_runs, job_timeout };
            let makers = Arc::new(Makers { memos, leases });
            let ticket = self.calls.add(Call { future, start: Some(Starter { start, makers }) });
            Ok(self.push(Some(ticket), command))
        })
    }

    /// Deliver nothing new to a subscription. Resolves to `None`.
    fn unsubscribe(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        subscription: SubscriptionId,
    ) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::Unsubscribe { subscription })))
    }

    /// Forget a subscription that has ended and has no delivery left.
    fn forget(&self, subscription: SubscriptionId) {
        let start = self.starts.lock().remove(&subscription);
        drop(start);
    }

    /// Count jobs. Resolves to the fields of `Stats`.
    fn stats(&self, py: Python<'_>, future: Py<PyAny>) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::Stats)))
    }

    /// Read what is measured. Resolves to the fields of `Metrics`.
    fn metrics(&self, py: Python<'_>, future: Py<PyAny>) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::Metrics)))
    }

    /// Read the pending job that was enqueued first. Resolves to a page with one job or none.
    fn oldest_pending(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
    ) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::OldestPending { queue: queue.0 })))
    }

    /// Settle a step with what its runner returned, whatever that is.
    fn complete(&self, py: Python<'_>, step: &Step, outcome: &Bound<'_, PyAny>) -> PyResult<bool> {
        enter(py, || {
            let delivered = self.ours(py, step.delivered())?;
            let command = delivered.settle(outcome::verdict(outcome), Vec::new());
            Ok(self.push(None, command))
        })
    }

    /// Settle as done. With a future: resolves to `None` when it is durable.
    #[pyo3(signature = (future, work, effects=None))]
    fn ack(
        &self,
        py: Python<'_>,
        future: Option<Py<PyAny>>,
        work: Settleable<'_>,
        effects: Option<Vec<EffectArguments<'_>>>,
    ) -> PyResult<bool> {
        self.settle(py, future, &work, Verdict::Ack, effects)
    }

    /// Settle as failed for now. With a future: resolves to `None` when it is durable.
    #[pyo3(signature = (future, work, error, effects=None, retry_after=None))]
    fn nack(
        &self,
        py: Python<'_>,
        future: Option<Py<PyAny>>,
        work: Settleable<'_>,
        error: Reason,
        effects: Option<Vec<EffectArguments<'_>>>,
        retry_after: Option<Duration>,
    ) -> PyResult<bool> {
        let verdict = Verdict::Nack { error: error.0, retry_after };
        self.settle(py, future, &work, verdict, effects)
    }

    /// Settle as failed for good. With a future: resolves to `None` when it is durable.
    #[pyo3(signature = (future, work, reason, effects=None))]
    fn dead_letter(
        &self,
        py: Python<'_>,
        future: Option<Py<PyAny>>,
        work: Settleable<'_>,
        reason: Reason,
        effects: Option<Vec<EffectArguments<'_>>>,
    ) -> PyResult<bool> {
        self.settle(py, future, &work, Verdict::DeadLetter { reason: reason.0 }, effects)
    }

    /// Hand back unfinished: delivered again at once.
    fn release(&self, py: Python<'_>, work: Settleable<'_>) -> PyResult<bool> {
        self.settle(py, None, &work, Verdict::Release, None)
    }

    /// Hand back for later: its attempt does not count.
    fn postpone(&self, py: Python<'_>, work: Settleable<'_>, delay: Duration) -> PyResult<bool> {
        self.settle(py, None, &work, Verdict::Postpone { delay }, None)
    }

    /// Hand back unseen: as if it had not been claimed.
    fn unclaim(&self, py: Python<'_>, work: Settleable<'_>) -> PyResult<bool> {
        self.settle(py, None, &work, Verdict::Unseen, None)
    }
}
