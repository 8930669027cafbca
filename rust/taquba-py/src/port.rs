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
//! 1. A turn hands out at most [`TURN_COUNT_MAX`] deliveries; the rest waits for the next one, so
//!    that other callbacks of the loop get their turn.
//! 2. A method that returns `True` has left something that its caller must see flushed.
//! 3. What fails for one arrival is reported and the others go on.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it has converted")]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use taquba_engine::command::{
    Claim as EngineClaim, Command, Delivery, Reply, SubscriptionId, Ticket, Verdict, Work,
};
use taquba_engine::engine::Request;
use taquba_engine::{Error, Result};

use crate::calls::{Call, Calls};
use crate::claim::Claim;
use crate::delivered::Delivered;
use crate::engine::{Engine, Opened, Unclaimed};
use crate::job::JobArguments;
use crate::line::{Flush, Line};
use crate::mailbox::{Arrival, Mailbox};
use crate::name::{QueueArgument, RunArgument};
use crate::notification::Notification;
use crate::opening::Opening;
use crate::options::OpenArguments;
use crate::run::{RunArguments, RunTerms};
use crate::runtime::{enter, runtime};
use crate::step::Step;
use crate::{error, outcome, reply, store};

/// Deliveries of one turn. Their first parts run inside the turn: 128 no-op steps take about
/// 0.3 ms, which other callbacks of the loop can bear.
const TURN_COUNT_MAX: usize = 128;

/// What one subscription gets in one turn: what starts them, and the deliveries.
type Batch = (Py<PyAny>, Vec<Py<PyAny>>);

/// Something that can be settled.
#[derive(FromPyObject)]
enum Settleable<'py> {
    Step(Bound<'py, Step>),
    Claim(Bound<'py, Claim>),
    Notification(Bound<'py, Notification>),
}

impl Settleable<'_> {
    fn delivered(&self) -> &Delivered {
        match self {
            Self::Step(step) => step.get().delivered(),
            Self::Claim(claim) => claim.get().delivered(),
            Self::Notification(notification) => notification.get().delivered(),
        }
    }
}

/// One event loop's door to the engine.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct Port {
    mailbox: Arc<Mailbox>,
    line: Arc<Line>,
    calls: Calls,
    watchers: Mutex<Vec<Call>>,
    starts: Mutex<HashMap<SubscriptionId, Py<PyAny>>>,
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
        enter(py, || {
            self.line.begin_turn();
            for arrival in self.mailbox.take() {
                self.accept(py, arrival).unwrap_or_else(|failed| failed.write_unraisable(py, None));
            }
            self.deal(py)
        })
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

    /// Open a store. Resolves to an `Engine`.
    fn open(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        store: &Bound<'_, PyAny>,
        path: String,
        options: OpenArguments,
        seed: u64,
    ) -> PyResult<()> {
        enter(py, || {
            let target = store::target(store, options.fsync())?;
            let options = options.to_engine(seed);
            let mut opening = Opening::line_up(format!("{}/{path}", store.str()?));
            let ticket = self.calls.add(Call { future, start: None });
            let mailbox = Arc::clone(&self.mailbox);
            runtime().spawn(async move {
                opening.wait().await;
                let result = Opened::open(target, path, options).await;
                mailbox.put([Arrival::Opened(ticket, result.map(Unclaimed::new))]);
            });
            Ok(())
        })
    }

    /// Connect to an open store, once.
    fn attach(&self, py: Python<'_>, engine: &Engine) -> PyResult<()> {
        enter(py, || {
            let connected = engine.0.join(&self.line);
            let outlet = connected.attach(Arc::clone(&self.mailbox) as _);
            self.line.connect(connected, outlet);
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
        enter(py, || {
            self.watchers.lock().push(Call { future, start: None });
            Ok(())
        })
    }

    /// Whether waiting work is below its bound.
    fn has_room(&self, py: Python<'_>) -> PyResult<bool> {
        enter(py, || Ok(self.line.engine().is_none_or(taquba_engine::Engine::has_room)))
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
            let queue = queue.0;
            Ok(self.call(future, Command::Claim { queue, count_max, lease }))
        })
    }

    /// Add runs, all or none. Resolves to `(run_id, newly_submitted)` pairs.
    #[pyo3(signature = (future, queue, runs, *, observed, retention))]
    fn submit(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        queue: QueueArgument,
        runs: Vec<(RunArgument, RunArguments<'_>)>,
        observed: bool,
        retention: Option<Duration>,
    ) -> PyResult<bool> {
        enter(py, || {
            let terms = RunTerms { observed, retention };
            let runs = runs.into_iter().map(|(run_id, run)| run.to_engine(py, run_id.0, terms));
            let runs = runs.collect::<PyResult<_>>()?;
            Ok(self.call(future, Command::Submit { queue: queue.0, runs }))
        })
    }

    /// Wait for the end of a run. Resolves to a `RunOutcome`.
    fn await_run(&self, py: Python<'_>, future: Py<PyAny>, run_id: RunArgument) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::AwaitRun { run_id: run_id.0 })))
    }

    /// Have jobs delivered to `start`. Resolves to the subscription's number.
    #[pyo3(signature = (future, start, queue, concurrency, *, observes_runs, job_timeout))]
    #[expect(clippy::too_many_arguments, reason = "one per field of the command")]
    fn subscribe(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        start: Py<PyAny>,
        queue: QueueArgument,
        concurrency: usize,
        observes_runs: bool,
        job_timeout: Option<Duration>,
    ) -> PyResult<bool> {
        enter(py, || {
            let queue = queue.0;
            let command = Command::Subscribe { queue, concurrency, observes_runs, job_timeout };
            let ticket = self.calls.add(Call { future, start: Some(start) });
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

    /// Count jobs. Resolves to the fields of `Stats`.
    fn stats(&self, py: Python<'_>, future: Py<PyAny>) -> PyResult<bool> {
        enter(py, || Ok(self.call(future, Command::Stats)))
    }

    /// Settle a step with what its runner returned, whatever that is.
    fn complete(&self, py: Python<'_>, step: &Step, outcome: &Bound<'_, PyAny>) -> PyResult<bool> {
        enter(py, || Ok(self.settle_once(step.delivered(), outcome::verdict(outcome))))
    }

    /// Settle as done. With a future: resolves to `None` when it is durable.
    fn ack(
        &self,
        py: Python<'_>,
        future: Option<Py<PyAny>>,
        work: Settleable<'_>,
    ) -> PyResult<bool> {
        self.settle(py, &work, Verdict::Ack, future)
    }

    /// Settle as failed for now. With a future: resolves to `None` when it is durable.
    fn nack(
        &self,
        py: Python<'_>,
        future: Option<Py<PyAny>>,
        work: Settleable<'_>,
        error: String,
    ) -> PyResult<bool> {
        self.settle(py, &work, Verdict::Nack { error }, future)
    }

    /// Settle as failed for good. With a future: resolves to `None` when it is durable.
    fn dead_letter(
        &self,
        py: Python<'_>,
        future: Option<Py<PyAny>>,
        work: Settleable<'_>,
        reason: String,
    ) -> PyResult<bool> {
        self.settle(py, &work, Verdict::DeadLetter { reason }, future)
    }

    /// Hand back unfinished: delivered again at once.
    fn release(&self, py: Python<'_>, work: Settleable<'_>) -> PyResult<bool> {
        self.settle(py, &work, Verdict::Release, None)
    }
}

impl Port {
    fn call(&self, future: Py<PyAny>, command: Command) -> bool {
        let ticket = self.calls.add(Call { future, start: None });
        self.push(Some(ticket), command)
    }

    fn push(&self, ticket: Option<Ticket>, command: Command) -> bool {
        is_due(self.line.push(Request { ticket, command }))
    }

    fn settle(
        &self,
        py: Python<'_>,
        work: &Settleable<'_>,
        verdict: Verdict,
        future: Option<Py<PyAny>>,
    ) -> PyResult<bool> {
        enter(py, || {
            let Some(future) = future else {
                return Ok(self.settle_once(work.delivered(), verdict));
            };
            work.delivered().end();
            Ok(self.call(future, work.delivered().settlement(verdict)))
        })
    }

    fn settle_once(&self, delivered: &Delivered, verdict: Verdict) -> bool {
        delivered.end() && self.push(None, delivered.settlement(verdict))
    }

    fn accept(&self, py: Python<'_>, arrival: Arrival) -> PyResult<()> {
        match arrival {
            Arrival::Delivery(Delivery::Reply { ticket, result }) => {
                self.answer(py, ticket, result)
            }
            Arrival::Delivery(Delivery::Claims { subscription, claims }) => {
                let claims = claims.into_iter().map(|claim| (subscription, claim));
                self.backlog.lock().extend(claims);
                Ok(())
            }
            Arrival::Delivery(Delivery::Broken(failed)) => self.tell_watchers(py, &failed),
            Arrival::Opened(ticket, result) => self.answer_open(py, ticket, result),
            Arrival::Closed(ticket, result) => {
                self.answer(py, ticket, result.map(|()| Reply::Done))
            }
        }
    }

    fn answer(&self, py: Python<'_>, ticket: Ticket, result: Result<Reply>) -> PyResult<()> {
        let Some(mut call) = self.calls.remove(ticket) else { return Ok(()) };
        if let (Ok(Reply::Subscribed(subscription)), Some(start)) = (&result, call.start.take()) {
            self.starts.lock().insert(*subscription, start);
        }
        let answer = result.map_err(|failed| error::to_py(py, &failed));
        call.resolve(py, answer.and_then(|reply| reply::to_py(py, reply, &self.line)))
    }

    fn end(&self) {
        self.line.end();
        self.mailbox.close();
    }

    fn tell_watchers(&self, py: Python<'_>, failed: &Error) -> PyResult<()> {
        let watchers = std::mem::take(&mut *self.watchers.lock());
        watchers.iter().try_for_each(|call| call.resolve(py, Err(error::to_py(py, failed))))
    }

    fn answer_open(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        result: Result<Unclaimed>,
    ) -> PyResult<()> {
        let Some(call) = self.calls.remove(ticket) else { return Ok(()) };
        match result {
            Ok(_) if call.is_done(py)? => Ok(()),
            Ok(opened) => call.resolve(py, Engine(opened.claim()).into_bound_py_any(py)),
            Err(failed) => call.resolve(py, Err(error::to_py(py, &failed))),
        }
    }

    /// Takes one turn's deliveries out of the backlog, those of one subscription together.
    fn deal(&self, py: Python<'_>) -> PyResult<Vec<Batch>> {
        let claims: Vec<_> = {
            let mut backlog = self.backlog.lock();
            let count = backlog.len().min(TURN_COUNT_MAX);
            backlog.drain(..count).collect()
        };
        let mut batches: Vec<Batch> = Vec::new();
        let mut last = None;
        for (subscription, claim) in claims {
            if last != Some(subscription) {
                batches.push((self.start_of(py, subscription)?, Vec::new()));
                last = Some(subscription);
            }
            let (_, works) = batches.last_mut().expect("a batch was begun above");
            works.push(self.work(py, claim)?);
        }
        Ok(batches)
    }

    fn start_of(&self, py: Python<'_>, subscription: SubscriptionId) -> PyResult<Py<PyAny>> {
        let starts = self.starts.lock();
        let start = starts.get(&subscription).map(|start| start.clone_ref(py));
        start.ok_or_else(|| {
            let detail = format!("subscription {subscription} got jobs before its answer");
            error::to_py(py, &Error::Internal { detail })
        })
    }

    fn work(&self, py: Python<'_>, mut claim: EngineClaim) -> PyResult<Py<PyAny>> {
        let line = Arc::clone(&self.line);
        match std::mem::replace(&mut claim.work, Work::Job) {
            Work::Job => Claim::pushed(claim, line).into_py_any(py),
            Work::Step { run_id, step_number } => {
                Step::new(claim, run_id, step_number, line).into_py_any(py)
            }
            Work::Notification(outcome) => Notification::new(claim, outcome, line).into_py_any(py),
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.end();
    }
}

const fn is_due(flush: Flush) -> bool {
    matches!(flush, Flush::Arrange)
}
