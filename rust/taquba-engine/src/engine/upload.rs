//! Large payloads on their way in: uploaded as objects of their own before their command is applied.
//!
//! # Invariants
//!
//! 1. An object is durable before the row that names it is decided.
//! 2. What was uploaded for a command that is refused is deleted again; what a crash leaves behind is
//!    swept at the next open.
//! 3. Other requests overtake an upload, but no barrier, no close and no end of a consumer does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::read::digested;
use crate::command::{Command, Effect, StepOutcome, Verdict};
use crate::error::Result;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::log::Log;
use crate::record::{Payload, PayloadName, PayloadRef};
use crate::state::{Origin, OutletId};

/// What has to wait for uploads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deferred {
    /// A barrier: its sender wants to know when all that it sent is durable.
    Room(Origin),
    /// A consumer goes: what it has settled must be settled before its claims are taken back.
    Detach(OutletId),
}

/// Uploads under way, and what waits for them.
#[derive(Debug)]
pub(super) struct Uploads {
    epoch: u32,
    threshold: usize,
    next_object: u64,
    /// Who asked, by the number of the request's first object.
    under_way: BTreeMap<u64, Origin>,
    /// With the last of the uploads that were under way when it came.
    deferred: VecDeque<(u64, Deferred)>,
}

impl Uploads {
    pub fn new(epoch: u32, threshold: usize) -> Self {
        let (under_way, deferred) = (BTreeMap::new(), VecDeque::new());
        Self { epoch, threshold, next_object: 1, under_way, deferred }
    }

    /// Requests that wait for an upload.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The payloads of a command that have to be uploaded first, with the names they will have. None
    /// if one of them is over its limit: then the command is refused, and nothing is uploaded.
    pub fn begin(&mut self, origin: Origin, command: &mut Command) -> Vec<(PayloadName, Bytes)> {
        let (mut named, mut is_refused) = (Vec::new(), false);
        each_payload(command, &mut |payload| match payload {
            Payload::Inline(data) if data.len() > self.threshold => {
                is_refused |= data.len() > PAYLOAD_BYTES_MAX;
                named.push((
                    PayloadName { epoch: self.epoch, number: self.next_object },
                    data.clone(),
                ));
                self.next_object += 1;
            }
            _ => {}
        });
        if is_refused {
            named.clear();
        }
        if let Some((first, _)) = named.first() {
            self.under_way.insert(first.number, origin);
        }
        named
    }

    /// The upload that began with this object has ended; the command names its objects now.
    pub fn end(&mut self, first: PayloadName, command: &mut Command, objects: Vec<PayloadRef>) {
        self.under_way.remove(&first.number);
        let (threshold, mut objects) = (self.threshold, objects.into_iter());
        each_payload(command, &mut |payload| {
            if payload.resident_bytes() > threshold
                && let Some(object) = objects.next()
            {
                *payload = Payload::Object(object);
            }
        });
    }

    /// Keeps something back until the uploads that are under way have ended; gives it back if there
    /// are none.
    pub fn defer(&mut self, deferred: Deferred) -> Option<Deferred> {
        let Some((&last, _)) = self.under_way.last_key_value() else { return Some(deferred) };
        self.deferred.push_back((last, deferred));
        None
    }

    /// What need not wait any more, in the order in which it came.
    pub fn pop_free(&mut self) -> Option<Deferred> {
        let first = self.under_way.first_key_value().map_or(u64::MAX, |(&number, _)| number);
        let is_free = self.deferred.front().is_some_and(|(last, _)| *last < first);
        if is_free { self.deferred.pop_front().map(|(_, deferred)| deferred) } else { None }
    }

    /// Everybody who waits; nothing is under way afterwards.
    pub fn fail(&mut self) -> Vec<Origin> {
        let rooms = self.deferred.drain(..).filter_map(|(_, deferred)| match deferred {
            Deferred::Room(origin) => Some(origin),
            Deferred::Detach(_) => None,
        });
        std::mem::take(&mut self.under_way).into_values().chain(rooms).collect()
    }
}

/// Objects of one command that are uploaded at once.
const UPLOADS_MAX: usize = 4;

/// Visits every payload that a command brings.
fn each_payload(command: &mut Command, visit: &mut dyn FnMut(&mut Payload)) {
    match command {
        Command::Enqueue { jobs, .. } => jobs.iter_mut().for_each(|job| visit(&mut job.payload)),
        Command::Submit { runs, .. } => runs.iter_mut().for_each(|run| visit(&mut run.input)),
        Command::MemoPut { value, .. } => visit(value),
        Command::Settle { verdict, effects, .. } => {
            for effect in effects {
                if let Effect::Enqueue { jobs, .. } = effect {
                    for job in jobs {
                        visit(&mut job.payload);
                    }
                }
            }
            if let Verdict::Step(
                StepOutcome::Continue { payload } | StepOutcome::ContinueAfter { payload, .. },
            ) = verdict
            {
                visit(payload);
            }
        }
        _ => {}
    }
}

/// Uploads payloads under these names, and gives back what refers to them.
pub(super) async fn upload(
    log: Arc<dyn Log>,
    payloads: Vec<(PayloadName, Bytes)>,
) -> Result<Vec<PayloadRef>> {
    use futures::{StreamExt as _, TryStreamExt as _};
    let uploads = payloads.into_iter().map(|(name, data)| {
        let log = Arc::clone(&log);
        async move {
            let hashed = data.clone();
            let object = digested(data.len(), move || PayloadRef::to(name, &hashed)).await;
            log.put_payload(name, data).await.map(|()| object)
        }
    });
    futures::stream::iter(uploads).buffered(UPLOADS_MAX).try_collect().await
}
