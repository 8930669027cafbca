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

use super::commit::Commits;
use super::errand::{self, Errand, Sweeps, Uploaded};
use super::gather::{Departure, Gather};
use super::held::{Held, HeldQueue};
use super::inbox::{Cost, Inbox, Message};
use super::upload::{Deferred, Uploads, upload};
use super::{Request, read};
use crate::clock::{Clock, HybridClock, Now};
use crate::command::{Command, Delivery, Reply, Verdict};
use crate::error::{Error, Result};
use crate::limits::COMMIT_BYTES_MAX;
use crate::log::Log;
use crate::record::{PayloadName, Undecodable, keys};
use crate::state::{Effects, Origin, OutletId, Release, State};

/// Longest sleep without looking at the clock: a wall clock that jumps is noticed by then.
const SLEEP_MAX: Duration = Duration::from_secs(1);

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The task that owns state and log.
pub(super) struct Turner {
    inbox: Arc<Inbox>,
    state: State,
    log: Arc<dyn Log>,
    hybrid: HybridClock,
    clock: Arc<dyn Clock>,
    epoch: u32,
    backlog: VecDeque<Message>,
    commits: Commits,
    held: HeldQueue,
    gather: Gather,
    errands: FuturesUnordered<Work<Errand>>,
    /// Queries that are being answered: who asked, by number.
    asking: BTreeMap<u64, Origin>,
    next_query: u64,
    uploads: Uploads,
    sweeps: Sweeps,
    outgoing: BTreeMap<OutletId, Vec<Delivery>>,
    /// A close that waits for uploads: what was sent before it is carried out before it.
    draining: Option<oneshot::Sender<Result<()>>>,
    closing: Option<oneshot::Sender<Result<()>>>,
}

/// What woke the loop.
enum Woken {
    Arrived,
    Committed(Result<()>),
    Back(Errand),
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
        offload_threshold: usize,
    ) -> Self {
        let turner = Self {
            inbox,
            state,
            log,
            hybrid,
            clock,
            epoch,
            backlog: VecDeque::new(),
            commits: Commits::default(),
            held: HeldQueue::default(),
            gather: Gather::default(),
            errands: FuturesUnordered::new(),
            asking: BTreeMap::new(),
            next_query: 0,
            uploads: Uploads::new(epoch, offload_threshold),
            sweeps: Sweeps::default(),
            outgoing: BTreeMap::new(),
            draining: None,
            closing: None,
        };
        turner.sweep_objects();
        turner
    }

    /// Deletes what a crash has left behind. What a damaged row named is not known, so as long as
    /// there is one nothing is deleted.
    fn sweep_objects(&self) {
        if !self.state.has_quarantine() {
            let named = self.state.named_objects().collect();
            let sweep = errand::sweep(Arc::clone(&self.log), self.epoch, named);
            self.errands.push(Box::pin(sweep));
        }
    }

    /// Turns until the engine is closed or broken.
    pub async fn run(&mut self) {
        let mut fx = Effects::default();
        loop {
            let now = self.now();
            self.backlog.extend(self.inbox.take());
            self.state.tick(now, &mut fx);
            self.apply_backlog(now, &mut fx);
            self.state.dispatch(now, &mut fx);
            self.carry_out(&mut fx);
            self.deliver(now);
            let departs_at = self.commit_if_due(now);
            if self.is_ready_to_close() {
                return self.close().await;
            }
            match self.wait(now, departs_at).await {
                Woken::Arrived | Woken::Timer => {}
                Woken::Committed(Ok(())) => self.on_durable(&mut fx),
                Woken::Committed(Err(error)) => return self.end(&error),
                Woken::Back(errand) => {
                    if let Err(error) = self.on_back(errand, &mut fx) {
                        self.carry_out_replies(&mut fx);
                        return self.end(&error);
                    }
                }
            }
        }
    }

    /// Whether nothing is under way any more that somebody was promised.
    fn is_ready_to_close(&self) -> bool {
        self.closing.is_some()
            && self.commits.number().is_none()
            && self.uploads.is_empty()
            && !self.state.has_rows()
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
                Message::Detach(outlet) => {
                    self.state.leave(outlet);
                    self.defer(Deferred::Detach(outlet), now, fx);
                }
                Message::Close(done) if self.draining.is_some() => drop(done.send(Ok(()))),
                Message::Close(done) if !self.uploads.is_empty() => {
                    self.state.stop_granting();
                    self.draining = Some(done);
                }
                Message::Close(done) => self.start_closing(done, now, fx),
            }
        }
    }

    fn apply(&mut self, outlet: OutletId, requests: Vec<Request>, now: Now, fx: &mut Effects) {
        let mut cost = Cost::of(&requests);
        for request in requests {
            self.gather.arrive();
            if let Some(begun) = self.begin_upload(outlet, request, now, fx) {
                cost.take_off(begun);
            }
        }
        self.hold_or_release(Held::Cost(cost));
    }

    /// Does something once the uploads that are under way have ended.
    fn defer(&mut self, deferred: Deferred, now: Now, fx: &mut Effects) {
        if let Some(deferred) = self.uploads.defer(deferred) {
            self.carry_out_deferred(deferred, now, fx);
        }
    }

    fn carry_out_deferred(&mut self, deferred: Deferred, now: Now, fx: &mut Effects) {
        match deferred {
            Deferred::Room(origin) => {
                self.state.apply(origin, Command::AwaitRoom, now, fx);
                self.carry_out_replies(fx);
            }
            Deferred::Detach(outlet) => self.state.detach(outlet, now, fx),
        }
    }

    fn apply_one(&mut self, outlet: OutletId, request: Request, now: Now, fx: &mut Effects) {
        let Request { ticket, command } = request;
        let origin = Origin { outlet, ticket };
        if matches!(command, Command::AwaitRoom) {
            return self.defer(Deferred::Room(origin), now, fx);
        }
        self.state.apply(origin, command, now, fx);
        // Each reply waits for the batch its own command went into.
        self.carry_out_replies(fx);
    }

    /// Applies a request, or, if it brings large payloads, has them uploaded first; then says what
    /// it weighs until that is done.
    fn begin_upload(
        &mut self,
        outlet: OutletId,
        mut request: Request,
        now: Now,
        fx: &mut Effects,
    ) -> Option<Cost> {
        let origin = Origin { outlet, ticket: request.ticket };
        let payloads = self.uploads.begin(origin, &mut request.command);
        if payloads.is_empty() {
            self.apply_one(outlet, request, now, fx);
            return None;
        }
        let cost = Cost::of(std::slice::from_ref(&request));
        let names: Vec<PayloadName> = payloads.iter().map(|(name, _)| *name).collect();
        let log = Arc::clone(&self.log);
        self.errands.push(Box::pin(async move {
            let result = upload(log, payloads).await;
            Errand::Uploaded(Box::new(Uploaded { outlet, request, cost, names, result }))
        }));
        Some(cost)
    }

    /// Applies a request whose payloads are objects now.
    fn end_upload(&mut self, uploaded: Uploaded, fx: &mut Effects) {
        let Uploaded { outlet, mut request, cost, names, result } = uploaded;
        let origin = Origin { outlet, ticket: request.ticket };
        let now = self.now();
        let (objects, failed) = result.map_or_else(|e| (Vec::new(), Some(e)), |o| (o, None));
        self.uploads.end(names[0], &mut request.command, objects);
        match failed {
            Some(error) => self.refuse_upload(origin, &request.command, error, now, fx),
            None => self.state.apply(origin, request.command, now, fx),
        }
        if fx.replies.last().is_some_and(|(_, result, _)| result.is_err()) {
            fx.unnamed.extend(names);
        }
        self.carry_out_replies(fx);
        self.hold_or_release(Held::Cost(cost));
        while let Some(deferred) = self.uploads.pop_free() {
            self.carry_out_deferred(deferred, now, fx);
        }
        if self.uploads.is_empty()
            && let Some(done) = self.draining.take()
        {
            self.start_closing(done, now, fx);
        }
    }

    /// A payload could not be uploaded. The delivery that it was to settle has failed for now: its
    /// holder may not look at the answer, and would hold the job for ever.
    fn refuse_upload(
        &mut self,
        origin: Origin,
        command: &Command,
        error: Error,
        now: Now,
        fx: &mut Effects,
    ) {
        if let Command::Settle { token, .. } = command {
            let error = format!("its outcome was not uploaded: {error}");
            let verdict = Verdict::Nack { error, retry_after: None };
            let nack = Command::Settle { token: *token, verdict, effects: Vec::new() };
            self.state.apply(Origin { ticket: None, ..origin }, nack, now, fx);
        }
        fx.replies.push((origin, Err(error), Release::Now));
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
        for (outlet, token) in fx.cancels.drain(..) {
            self.outgoing.entry(outlet).or_default().push(Delivery::CancelRequested { token });
        }
        if !fx.loads.is_empty() {
            let mut rows = std::mem::take(&mut fx.loads);
            rows.extend(self.state.read_ahead(&rows));
            self.load(rows);
        }
        if !fx.late_loads.is_empty() {
            self.hold_or_release(Held::Load(std::mem::take(&mut fx.late_loads)));
        }
        for (row, object) in fx.object_reads.drain(..) {
            self.errands.push(Box::pin(errand::object(Arc::clone(&self.log), row, object)));
        }
        for (key, number) in fx.value_reads.drain(..) {
            let (log, path) = (Arc::clone(&self.log), self.inbox.path.clone());
            self.errands.push(Box::pin(errand::value(log, path, key, number)));
        }
        if !fx.memo_sweeps.is_empty() {
            self.hold_or_release(Held::Sweep(std::mem::take(&mut fx.memo_sweeps)));
        }
        if !fx.unnamed.is_empty() {
            let names = std::mem::take(&mut fx.unnamed);
            self.errands.push(Box::pin(errand::delete(Arc::clone(&self.log), names)));
        }
    }

    /// Begins sweeps of memos, while there is room for what they delete.
    fn sweep(&mut self) {
        while self.state.row_bytes() < COMMIT_BYTES_MAX
            && let Some(row) = self.sweeps.begin()
        {
            self.errands.push(Box::pin(errand::memos(Arc::clone(&self.log), row)));
        }
    }

    fn load(&mut self, mut rows: Vec<u64>) {
        rows.sort_unstable();
        rows.dedup();
        self.errands.push(Box::pin(errand::bodies(Arc::clone(&self.log), rows)));
    }

    fn carry_out_replies(&mut self, fx: &mut Effects) {
        for (origin, result, release) in fx.replies.drain(..) {
            match release {
                Release::Now => self.reply(origin, result),
                Release::Durable => self.hold_or_release(Held::Reply(origin, result)),
            }
        }
        for (origin, query) in fx.queries.drain(..) {
            self.hold_or_release(Held::Query(origin, query));
        }
    }

    /// Lets something go when everything applied so far is durable.
    fn hold_or_release(&mut self, held: Held) {
        if self.state.has_rows() {
            self.held.hold(self.state.open_batch(), held);
        } else if let Some(number) = self.commits.number() {
            self.held.hold(number, held);
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
            Held::Query(origin, query) => {
                let (log, path) = (Arc::clone(&self.log), self.inbox.path.clone());
                let number = self.next_query;
                self.next_query += 1;
                self.asking.insert(number, origin);
                self.errands.push(Box::pin(errand::answer(log, path, number, query)));
            }
            Held::Load(rows) => self.load(rows),
            Held::Sweep(rows) => {
                self.sweeps.add(rows);
                self.sweep();
            }
            Held::Cost(cost) => self.inbox.settle_cost(cost),
        }
    }

    fn reply(&mut self, origin: Origin, mut result: Result<Reply>) {
        let Some(ticket) = origin.ticket else { return };
        if let Ok(Reply::Stats(stats)) = &mut result {
            stats.store = self.log.counts();
        }
        if let Ok(Reply::Metrics(metrics)) = &mut result {
            metrics.stats.store = self.log.counts();
            metrics.store = self.log.measures();
            metrics.commits = self.commits.measures().clone();
            metrics.upload_count = self.uploads.len() as u64;
        }
        self.outgoing.entry(origin.outlet).or_default().push(Delivery::Reply { ticket, result });
    }

    fn deliver(&mut self, now: Now) {
        let mut fx = Effects::default();
        for (id, deliveries) in std::mem::take(&mut self.outgoing) {
            match self.inbox.outlet(id) {
                Some(outlet) => outlet.deliver(deliveries),
                None => self.take_back(id, deliveries, now, &mut fx),
            }
        }
        self.carry_out_replies(&mut fx);
    }

    /// Takes back what was granted to a consumer that went before it could see it.
    fn take_back(&mut self, id: OutletId, deliveries: Vec<Delivery>, now: Now, fx: &mut Effects) {
        let origin = Origin { outlet: id, ticket: None };
        for delivery in deliveries {
            let (Delivery::Claims { claims, .. }
            | Delivery::Reply { result: Ok(Reply::Claimed(claims)), .. }) = delivery
            else {
                continue;
            };
            for claim in claims {
                let (verdict, effects) = (Verdict::Unseen, Vec::new());
                let unseen = Command::Settle { token: claim.token, verdict, effects };
                self.state.apply(origin, unseen, now, fx);
            }
        }
    }

    /// Starts the next commit if it is time. Otherwise says when it will be.
    fn commit_if_due(&mut self, now: Now) -> Option<Instant> {
        if self.commits.number().is_some() || !self.state.has_rows() {
            return None;
        }
        let is_urgent = self.closing.is_some() || self.state.row_bytes() >= COMMIT_BYTES_MAX;
        if !is_urgent && let Departure::At(at) = self.gather.departure(Instant::now) {
            return Some(at);
        }
        let row_bytes = self.state.row_bytes();
        let batch = self.state.cut(now);
        self.gather.depart();
        self.commits.begin(&self.log, batch, row_bytes);
        None
    }

    fn on_durable(&mut self, fx: &mut Effects) {
        let number = self.commits.take_durable();
        let now = self.now();
        // What waits already goes first; what this commit sets free goes with the one after.
        self.backlog.extend(self.inbox.take());
        while let Some(held) = self.held.pop(number) {
            self.release(held);
        }
        self.state.on_durable(number, now, fx);
        self.sweep();
    }

    async fn wait(&mut self, now: Now, departs_at: Option<Instant>) -> Woken {
        // A clock that is moved by hand tells when it has been; only what is due already is not told.
        let is_timed = |ms: &u64| *ms == 0 || !self.clock.is_manual();
        let timer = self.state.next_timer_ms(now).filter(is_timed);
        let timer = timer.map(|ms| Instant::now() + Duration::from_millis(ms).min(SLEEP_MAX));
        let wakes_at = [timer, departs_at].into_iter().flatten().min();
        // Once it closes, what comes is not applied any more: to wake for it would be to spin.
        let is_backlogged = self.closing.is_none() && !self.backlog.is_empty();
        tokio::select! {
            biased;
            done = self.commits.ended() => Woken::Committed(done),
            Some(errand) = self.errands.next() => Woken::Back(errand),
            () = self.inbox.wait() => Woken::Arrived,
            () = sleep_until(wakes_at) => Woken::Timer,
            () = std::future::ready(()), if is_backlogged && self.state.row_bytes() < COMMIT_BYTES_MAX => {
                Woken::Arrived
            }
        }
    }

    fn on_back(&mut self, errand: Errand, fx: &mut Effects) -> Result<()> {
        match errand {
            Errand::Answer(number, result) => {
                let origin = self.asking.remove(&number).expect("it is answered once");
                let lost = errand::lost_store(&result);
                self.reply(origin, result);
                return lost;
            }
            Errand::Bodies(rows, read) => {
                let now = self.now();
                self.on_bodies(&rows, read?, now, fx)?;
            }
            Errand::Object(row, object, read) => {
                let now = self.now();
                self.state.object_read(row, &object, read, now, fx);
            }
            Errand::Memos(row, found) => {
                let found = found.inspect_err(|error| tracing::warn!(%error, "memos stay for now"));
                let now = self.now();
                self.state.memos_found(row, found.ok(), now);
                self.sweeps.end();
                self.sweep();
            }
            Errand::Value(key, number, read) => {
                let lost = errand::lost_store(&read);
                self.state.value_read(&key, number, read, fx);
                return lost;
            }
            Errand::Uploaded(uploaded) => self.end_upload(*uploaded, fx),
            Errand::Deleted => {}
        }
        Ok(())
    }

    fn on_bodies(
        &mut self,
        rows: &[u64],
        read: Vec<(Bytes, Bytes)>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<()> {
        let damaged = |row: u64, error: &Undecodable| {
            read::damaged(&self.inbox.path, &format!("job row {row}"), error)
        };
        let mut found: BTreeMap<Bytes, Bytes> = read.into_iter().collect();
        for &row in rows {
            match found.remove(&keys::job(row)) {
                Some(value) => {
                    let loaded = self.state.loaded(row, &value, now, fx);
                    loaded.map_err(|error| damaged(row, &error))?;
                }
                None if self.state.is_awaited(row) => {
                    return Err(damaged(row, &Undecodable("it is gone".into())));
                }
                None => self.state.not_found(row, now, fx),
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
        let asking = std::mem::take(&mut self.asking).into_values();
        for origin in self.uploads.fail().into_iter().chain(asking) {
            self.reply(origin, Err(error.clone()));
        }
        self.commits.give_up();
        self.errands.clear();
        for message in std::mem::take(&mut self.backlog).into_iter().chain(waiting) {
            match message {
                Message::Requests(outlet, requests) => self.inbox.refuse(outlet, &requests, error),
                Message::Close(done) => {
                    let _ = done.send(Ok(()));
                }
                Message::Detach(_) => {}
            }
        }
        for done in [self.closing.take(), self.draining.take()].into_iter().flatten() {
            let _ = done.send(Err(error.clone()));
        }
        let now = self.now();
        self.deliver(now);
        for outlet in self.inbox.outlets() {
            outlet.deliver(vec![Delivery::Broken(error.clone())]);
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
