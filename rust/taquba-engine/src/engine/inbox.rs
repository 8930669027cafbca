//! The way in: consumers, and the requests that wait for the loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::Request;
use crate::command::{Command, Delivery, Effect, NewJob, NewRun, Outlet, StepOutcome, Verdict};
use crate::error::{Error, Result};
use crate::limits::{WAITING_BYTES_MAX, WAITING_COUNT_MAX};
use crate::state::OutletId;

/// What the loop is told.
pub(super) enum Message {
    Requests(OutletId, Vec<Request>),
    Detach(OutletId),
    Close(oneshot::Sender<Result<()>>),
}

struct Waiting {
    messages: Vec<Message>,
    outlets: BTreeMap<OutletId, Arc<dyn Outlet>>,
    next_outlet: OutletId,
    /// Why the loop has ended.
    ended: Option<Error>,
}

/// Shared by every handle and the loop.
pub(super) struct Inbox {
    /// What messages call the store.
    pub path: String,
    waiting: Mutex<Waiting>,
    /// Notified when something has arrived, or the clock was moved.
    pub wake: Arc<Notify>,
    waiting_count: AtomicUsize,
    waiting_bytes: AtomicUsize,
}

impl Inbox {
    pub fn new(path: String) -> Self {
        Self {
            path,
            waiting: Mutex::new(Waiting {
                messages: Vec::new(),
                outlets: BTreeMap::new(),
                next_outlet: 1,
                ended: None,
            }),
            wake: Arc::new(Notify::new()),
            waiting_count: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
        }
    }

    pub fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId {
        let mut waiting = self.waiting.lock();
        let id = waiting.next_outlet;
        waiting.next_outlet += 1;
        waiting.outlets.insert(id, outlet);
        id
    }

    pub fn detach(&self, id: OutletId) {
        self.waiting.lock().outlets.remove(&id);
        // An ended loop holds nothing of the consumer.
        let _ = self.post(Message::Detach(id));
    }

    pub fn outlet(&self, id: OutletId) -> Option<Arc<dyn Outlet>> {
        self.waiting.lock().outlets.get(&id).cloned()
    }

    pub fn outlets(&self) -> Vec<Arc<dyn Outlet>> {
        self.waiting.lock().outlets.values().cloned().collect()
    }

    pub fn send(&self, id: OutletId, requests: Vec<Request>) {
        let cost = Cost::of(&requests);
        self.waiting_count.fetch_add(cost.count, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(cost.size_bytes, Ordering::Relaxed);
        if let Err((Message::Requests(id, requests), error)) =
            self.post(Message::Requests(id, requests))
        {
            self.settle_cost(cost);
            self.refuse(id, &requests, &error);
        }
    }

    /// Answers requests that nobody will apply.
    pub fn refuse(&self, id: OutletId, requests: &[Request], error: &Error) {
        let reply = |ticket| Delivery::Reply { ticket, result: Err(error.clone()) };
        let replies: Vec<_> = requests.iter().filter_map(|r| r.ticket).map(reply).collect();
        if let (false, Some(outlet)) = (replies.is_empty(), self.outlet(id)) {
            outlet.deliver(replies);
        }
    }

    /// Tells the loop something; gives it back if the loop has ended.
    pub fn post(&self, message: Message) -> std::result::Result<(), (Message, Error)> {
        let mut waiting = self.waiting.lock();
        if let Some(error) = &waiting.ended {
            return Err((message, error.clone()));
        }
        waiting.messages.push(message);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes everything that waits.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.waiting.lock().messages)
    }

    /// Waits until something arrives; at once if it has since the last wait.
    pub async fn wait(&self) {
        self.wake.notified().await;
    }

    /// From now on everything is refused. Gives back what still waits.
    pub fn end(&self, error: Error) -> Vec<Message> {
        let mut waiting = self.waiting.lock();
        waiting.ended.get_or_insert(error);
        std::mem::take(&mut waiting.messages)
    }

    pub fn has_room(&self) -> bool {
        self.waiting_count.load(Ordering::Relaxed) < WAITING_COUNT_MAX
            && self.waiting_bytes.load(Ordering::Relaxed) < WAITING_BYTES_MAX
    }

    /// Requests are answered: they do not wait any more.
    pub fn settle_cost(&self, cost: Cost) {
        self.waiting_count.fetch_sub(cost.count, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(cost.size_bytes, Ordering::Relaxed);
    }
}

/// What requests weigh while they wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    count: usize,
    size_bytes: usize,
}

impl Cost {
    pub fn of(requests: &[Request]) -> Self {
        let size_bytes = requests.iter().map(|request| size_bytes(&request.command)).sum();
        Self { count: requests.len(), size_bytes }
    }

    /// What is left without `part`, which is accounted for elsewhere.
    pub fn take_off(&mut self, part: Self) {
        self.count -= part.count;
        self.size_bytes -= part.size_bytes;
    }
}

fn size_bytes(command: &Command) -> usize {
    const FIXED_BYTES: usize = 128;
    match command {
        Command::Enqueue { jobs, .. } => jobs.iter().map(job_bytes).sum(),
        Command::Submit { runs, .. } => {
            let size = |run: &NewRun| run.input.resident_bytes() + run.headers.size_bytes();
            runs.iter().map(|run| FIXED_BYTES + size(run)).sum()
        }
        Command::Settle { verdict, effects, .. } => {
            let effects: usize = effects.iter().map(effect_bytes).sum();
            FIXED_BYTES + verdict_bytes(verdict) + effects
        }
        Command::MemoPut { value, .. } => FIXED_BYTES + value.resident_bytes(),
        Command::KvWrite { value, .. } => FIXED_BYTES + value.as_ref().map_or(0, Bytes::len),
        _ => FIXED_BYTES,
    }
}

fn job_bytes(job: &NewJob) -> usize {
    const FIXED_BYTES: usize = 128;
    FIXED_BYTES + job.payload.resident_bytes() + job.headers.size_bytes()
}

fn verdict_bytes(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Step(
            StepOutcome::Continue { payload } | StepOutcome::ContinueAfter { payload, .. },
        ) => payload.resident_bytes(),
        Verdict::Step(StepOutcome::Succeed { result }) => result.len(),
        Verdict::Step(
            StepOutcome::Fail { reason: text } | StepOutcome::Cancel { reason: text },
        )
        | Verdict::Nack { error: text, .. }
        | Verdict::DeadLetter { reason: text } => text.len(),
        Verdict::Ack | Verdict::Release | Verdict::Unseen | Verdict::Postpone { .. } => 0,
    }
}

fn effect_bytes(effect: &Effect) -> usize {
    match effect {
        Effect::Enqueue { jobs, .. } => jobs.iter().map(job_bytes).sum(),
        Effect::Kv { value, .. } => value.as_ref().map_or(0, Bytes::len),
    }
}
