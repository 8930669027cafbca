//! The loop: one turn applies, delivers and commits.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Request;
use super::gather::{Departure, Gather};
use super::held::{Held, HeldQueue};
use super::inbox::{Cost, Inbox, Message};
use crate::clock::{Clock, HybridClock, Now};
use crate::command::{Delivery, Reply};
use crate::error::{Error, Result};
use crate::ids::RunId;
use crate::limits::COMMIT_BYTES_MAX;
use crate::log::Log;
use crate::record::{RunRow, keys};
use crate::state::{Effects, Origin, OutletId, Release, State};

/// Longest sleep without looking at the clock: a wall clock that jumps is noticed by then.
const SLEEP_MAX: Duration = Duration::from_secs(1);

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A commit on its way.
struct InFlight {
    number: u64,
    commit: Work<Result<()>>,
}

/// The task that owns state and log.
pub(super) struct Turner {
    inbox: Arc<Inbox>,
    state: State,
    log: Arc<dyn Log>,
    hybrid: HybridClock,
    clock: Arc<dyn Clock>,
    epoch: u32,
    backlog: VecDeque<Message>,
    in_flight: Option<InFlight>,
    held: HeldQueue,
    gather: Gather,
    reads: FuturesUnordered<Work<Read>>,
    outgoing: BTreeMap<OutletId, Vec<Delivery>>,
    closing: Option<oneshot::Sender<Result<()>>>,
}

/// What was read for somebody.
enum Read {
    Bodies(Vec<u64>, Result<Vec<(Bytes, Bytes)>>),
    Run(Origin, Result<Reply>),
}

/// What woke the loop.
enum Woken {
    Arrived,
    Committed(Result<()>),
    Read(Read),
    Timer,
}

impl Turner {
    pub fn new(
        inbox: Arc<Inbox>,
        state: State,
        log: Arc<dyn Log>,
        hybrid: HybridClock,
        clock: Arc<dyn Clock>,
        epoch: u32,
    ) -> Self {
        Self {
            inbox,
            state,
            log,
            hybrid,
            clock,
            epoch,
            backlog: VecDeque::new(),
            in_flight: None,
            held: HeldQueue::default(),
            gather: Gather::default(),
            reads: FuturesUnordered::new(),
            outgoing: BTreeMap::new(),
            closing: None,
        }
    }

    /// Turns until the engine is closed or broken.
    pub async fn run(&mut self) {
        let mut fx = Effects::default();
        loop {
            let now = self.now();
            self.backlog.extend(self.inbox.take());
            self.apply_backlog(now, &mut fx);
            self.state.tick(now, &mut fx);
            if self.closing.is_none() {
                self.state.dispatch(now, &mut fx);
            }
            self.carry_out(&mut fx);
            let departs_at = self.commit_if_due(now);
            self.deliver();
            if self.closing.is_some() && self.in_flight.is_none() && !self.state.has_rows() {
                return self.close().await;
            }
            match self.wait(now, departs_at).await {
                Woken::Arrived | Woken::Timer => {}
                Woken::Committed(Ok(())) => self.on_durable(&mut fx),
                Woken::Committed(Err(error)) => return self.end(&error),
                Woken::Read(read) => {
                    if let Err(error) = self.on_read(read, &mut fx) {
                        return self.end(&error);
                    }
                }
            }
        }
    }

    fn now(&mut self) -> Now {
        self.hybrid.read(self.clock.as_ref())
    }

    /// Applies what has arrived, up to the size of a commit; the rest waits, and holds its
    /// senders back.
    fn apply_backlog(&mut self, now: Now, fx: &mut Effects) {
        while self.closing.is_none() && self.state.row_bytes() < COMMIT_BYTES_MAX {
            let Some(message) = self.backlog.pop_front() else { break };
            match message {
                Message::Requests(outlet, requests) => self.apply(outlet, requests, now, fx),
                Message::Detach(outlet) => self.state.detach(outlet, now, fx),
                Message::Close(done) => self.start_closing(done, now, fx),
            }
        }
    }

    fn apply(&mut self, outlet: OutletId, requests: Vec<Request>, now: Now, fx: &mut Effects) {
        let cost = Cost::of(&requests);
        for Request { ticket, command } in requests {
            self.gather.arrive();
            self.state.apply(Origin { outlet, ticket }, command, now, fx);
            // Each reply waits for the batch its own command went into.
            self.carry_out_replies(fx);
        }
        self.hold_or_release(Held::Cost(cost));
    }

    /// Turns effects into replies, deliveries and reads.
    fn carry_out(&mut self, fx: &mut Effects) {
        self.carry_out_replies(fx);
        for (outlet, subscription, claim) in fx.claims.drain(..) {
            self.gather.expect(1);
            let deliveries = self.outgoing.entry(outlet).or_default();
            match deliveries.last_mut() {
                Some(Delivery::Claims { subscription: last, claims }) if *last == subscription => {
                    claims.push(claim);
                }
                _ => deliveries.push(Delivery::Claims { subscription, claims: vec![claim] }),
            }
        }
        if !fx.loads.is_empty() {
            let mut rows = std::mem::take(&mut fx.loads);
            rows.extend(self.state.read_ahead(&rows));
            self.read_bodies(rows);
        }
    }

    fn carry_out_replies(&mut self, fx: &mut Effects) {
        for (origin, result, release) in fx.replies.drain(..) {
            match release {
                Release::Now => self.reply(origin, result),
                Release::Durable => self.hold_or_release(Held::Reply(origin, result)),
            }
        }
        for (origin, run_id) in fx.run_reads.drain(..) {
            self.hold_or_release(Held::RunRead(origin, run_id));
        }
    }

    /// Lets something go when everything applied so far is durable.
    fn hold_or_release(&mut self, held: Held) {
        if self.state.has_rows() {
            self.held.hold(self.state.open_batch(), held);
        } else if let Some(in_flight) = &self.in_flight {
            self.held.hold(in_flight.number, held);
        } else {
            self.release(held);
        }
    }

    fn release(&mut self, held: Held) {
        match held {
            Held::Reply(origin, result) => {
                self.gather.expect(1);
                self.reply(origin, result);
            }
            Held::RunRead(origin, run_id) => self.read_run(origin, run_id),
            Held::Cost(cost) => self.inbox.settle_cost(cost),
        }
    }

    fn reply(&mut self, origin: Origin, mut result: Result<Reply>) {
        let Some(ticket) = origin.ticket else { return };
        if let Ok(Reply::Stats(stats)) = &mut result {
            let counts = self.log.put_counts();
            (stats.put_count, stats.put_bytes) = (counts.put_count, counts.put_bytes);
        }
        self.outgoing.entry(origin.outlet).or_default().push(Delivery::Reply { ticket, result });
    }

    fn deliver(&mut self) {
        for (id, deliveries) in std::mem::take(&mut self.outgoing) {
            // A consumer that is gone has its claims taken back by the detach in the backlog.
            if let Some(outlet) = self.inbox.outlet(id) {
                outlet.deliver(deliveries);
            }
        }
    }

    /// Starts the next commit if it is time. Otherwise says when it will be.
    fn commit_if_due(&mut self, now: Now) -> Option<Instant> {
        if self.in_flight.is_some() || !self.state.has_rows() {
            return None;
        }
        let is_urgent = self.closing.is_some() || self.state.row_bytes() >= COMMIT_BYTES_MAX;
        if !is_urgent && let Departure::At(at) = self.gather.departure(Instant::now) {
            return Some(at);
        }
        let batch = self.state.cut(now);
        self.gather.depart();
        let log = Arc::clone(&self.log);
        let commit = Box::pin(async move { log.commit(batch.rows).await });
        self.in_flight = Some(InFlight { number: batch.number, commit });
        None
    }

    fn on_durable(&mut self, fx: &mut Effects) {
        let number = self.in_flight.take().expect("a commit was in flight").number;
        let now = self.now();
        // What waits already goes first; what this commit sets free goes with the one after.
        self.backlog.extend(self.inbox.take());
        while let Some(held) = self.held.pop(number) {
            self.release(held);
        }
        self.state.on_durable(number, now, fx);
    }

    async fn wait(&mut self, now: Now, departs_at: Option<Instant>) -> Woken {
        let timer = self.state.next_timer_ms(now).map(Duration::from_millis);
        let timer = timer.map(|timer| Instant::now() + timer.min(SLEEP_MAX));
        let wakes_at = [timer, departs_at].into_iter().flatten().min();
        let is_backlogged = !self.backlog.is_empty();
        tokio::select! {
            biased;
            done = committed(&mut self.in_flight) => Woken::Committed(done),
            Some(read) = self.reads.next() => Woken::Read(read),
            () = self.inbox.wait() => Woken::Arrived,
            () = sleep_until(wakes_at) => Woken::Timer,
            () = std::future::ready(()), if is_backlogged && self.state.row_bytes() < COMMIT_BYTES_MAX => {
                Woken::Arrived
            }
        }
    }

    fn read_bodies(&mut self, rows: Vec<u64>) {
        let log = Arc::clone(&self.log);
        self.reads.push(Box::pin(async move {
            let read = log.get_many(rows.iter().copied().map(keys::job).collect()).await;
            Read::Bodies(rows, read)
        }));
    }

    fn read_run(&mut self, origin: Origin, run_id: RunId) {
        let log = Arc::clone(&self.log);
        let path = self.inbox.path.clone();
        self.reads.push(Box::pin(async move {
            let read = log.get(keys::run(&run_id)).await;
            Read::Run(origin, read.and_then(|value| outcome_of(&path, &run_id, value.as_ref())))
        }));
    }

    fn on_read(&mut self, read: Read, fx: &mut Effects) -> Result<()> {
        match read {
            Read::Run(origin, result) => self.reply(origin, result),
            Read::Bodies(rows, read) => {
                let now = self.now();
                self.on_bodies(&rows, read, now, fx)?;
            }
        }
        Ok(())
    }

    fn on_bodies(
        &mut self,
        rows: &[u64],
        read: Result<Vec<(Bytes, Bytes)>>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<()> {
        let damaged = |row: u64, reason: &str| Error::Corrupted {
            path: self.inbox.path.clone(),
            detail: format!("job row {row}: {reason}"),
        };
        let mut found: BTreeMap<Bytes, Bytes> = read?.into_iter().collect();
        for &row in rows {
            match found.remove(&keys::job(row)) {
                Some(value) => self
                    .state
                    .loaded(row, &value, now, fx)
                    .map_err(|error| damaged(row, &error.0))?,
                None if self.state.is_awaited(row) => return Err(damaged(row, "it is gone")),
                None => {}
            }
        }
        Ok(())
    }

    fn start_closing(&mut self, done: oneshot::Sender<Result<()>>, now: Now, fx: &mut Effects) {
        self.state.release_all(now, fx);
        self.state.close_store(self.epoch);
        self.closing = Some(done);
    }

    async fn close(&mut self) {
        let closed = self.log.close().await;
        let error = Error::Closed { path: self.inbox.path.clone() };
        if let (Some(done), result) = (self.closing.take(), closed) {
            // The closer may have stopped waiting; the store is closed all the same.
            let _ = done.send(result);
        }
        self.end(&error);
    }

    /// The engine is done for: everybody who waits, and everybody who comes, is told why.
    pub fn end(&mut self, error: &Error) {
        let waiting: Vec<Message> = self.inbox.end(error.clone());
        for (origin, result) in self.held.fail(error) {
            self.reply(origin, result);
        }
        for origin in self.state.waiting_origins() {
            self.reply(origin, Err(error.clone()));
        }
        self.in_flight = None;
        self.reads.clear();
        for message in std::mem::take(&mut self.backlog).into_iter().chain(waiting) {
            match message {
                Message::Requests(outlet, requests) => self.inbox.refuse(outlet, &requests, error),
                Message::Close(done) => {
                    let _ = done.send(Ok(()));
                }
                Message::Detach(_) => {}
            }
        }
        if let Some(done) = self.closing.take() {
            let _ = done.send(Err(error.clone()));
        }
        self.deliver();
        for outlet in self.inbox.outlets() {
            outlet.deliver(vec![Delivery::Broken(error.clone())]);
        }
    }
}

async fn committed(in_flight: &mut Option<InFlight>) -> Result<()> {
    match in_flight {
        Some(in_flight) => in_flight.commit.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn outcome_of(path: &str, run_id: &RunId, value: Option<&Bytes>) -> Result<Reply> {
    let Some(value) = value else {
        return Err(Error::RunNotFound { run_id: run_id.to_string() });
    };
    let stored = RunRow::decode(value).map_err(|error| Error::Corrupted {
        path: path.to_owned(),
        detail: format!("the record of run `{run_id}`: {}", error.0),
    })?;
    let ended = stored.ended.ok_or_else(|| Error::Internal {
        detail: format!("run `{run_id}` has ended in memory and not in the log"),
    })?;
    Ok(Reply::Outcome(Arc::new(ended.outcome(run_id))))
}
