//! Bodies: kept in memory while there is room, read again when they are needed; and the objects in
//! which large payloads are kept.
//!
//! # Invariants
//!
//! 1. The bodies of waiting jobs take at most [`BODY_CACHE_BYTES_MAX`]. Those that come last are
//!    claimed last, so it is theirs that are read again; so are those of jobs that wait for long.
//! 2. A payload object is deleted once no row names it, and not before that is durable.

use std::sync::Arc;

use super::durable::Activation;
use super::job::Stage;
use super::settle::Ended;
use super::{Effects, Origin, State};
use crate::clock::Now;
use crate::command::AttemptEnd;
use crate::error::Error;
use crate::ids::{ClaimToken, JobId};
use crate::limits::{BODY_CACHE_BYTES_MAX, BODY_CACHE_WAIT_MAX, READ_AHEAD_ROWS};
use crate::options::bounded_ms;
use crate::record::{Body, JobRow, Payload, PayloadFault, PayloadName, PayloadRef, Undecodable};

/// What is done to a waiting or dead job once its body has been read: its row is written anew.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Wake(JobId),
    Requeue(JobId),
    /// The run whose step is in this row ends.
    CancelRun {
        row: u64,
        tells_hook: bool,
    },
}

impl Change {
    const fn row(self) -> u64 {
        match self {
            Self::Wake(job_id) | Self::Requeue(job_id) => job_id.row,
            Self::CancelRun { row, .. } => row,
        }
    }
}

impl State {
    /// Keeps a waiting job's body in memory while there is room, unless it waits for long.
    pub(super) fn keep_body(&mut self, row: u64, body: Arc<Body>, now: Now) {
        let size_bytes = body.size_bytes();
        let is_wanted = self.job(row).due.wait_ms(now) <= bounded_ms(BODY_CACHE_WAIT_MAX);
        if !is_wanted || self.cached_bytes + size_bytes > BODY_CACHE_BYTES_MAX {
            return;
        }
        let entry = self.job_mut(row);
        if entry.body.is_none() {
            entry.body = Some(body);
            self.cached_bytes += size_bytes;
        }
    }

    /// Lets go of a waiting job's body.
    pub(super) fn drop_body(&mut self, row: u64) {
        if let Some(body) = self.job_mut(row).body.take() {
            self.cached_bytes -= body.size_bytes();
        }
    }

    /// Rows whose bodies will be wanted next, so that they can be read along with those that are
    /// wanted now.
    #[must_use]
    pub fn read_ahead(&self, loads: &[u64]) -> Vec<u64> {
        let wanted = loads.iter().find_map(|&row| self.jobs.get(row));
        let Some(queue) = wanted.map(|entry| entry.queue) else { return Vec::new() };
        if self.cached_bytes > BODY_CACHE_BYTES_MAX / 2 {
            return Vec::new();
        }
        let next = self.queues.at(queue).ready.rows().take(READ_AHEAD_ROWS);
        next.filter(|&row| self.job(row).body.is_none()).collect()
    }

    /// Whether somebody waits for this row's body.
    #[must_use]
    pub fn is_awaited(&self, row: u64) -> bool {
        self.loading.contains_key(&row)
    }

    /// Has a job changed when its body has been read.
    pub(super) fn park(&mut self, origin: Origin, change: Change, fx: &mut Effects) {
        let row = change.row();
        self.parked.entry(row).or_default().push((origin, change));
        // The row as it is now may still be on its way to the log.
        fx.late_loads.push(row);
    }

    /// Takes a body that was read.
    ///
    /// # Errors
    ///
    /// The row does not read: its job can neither be delivered nor told from others.
    pub fn loaded(
        &mut self,
        row: u64,
        value: &bytes::Bytes,
        now: Now,
        fx: &mut Effects,
    ) -> Result<(), Undecodable> {
        let stored = JobRow::<Body>::decode(value)?;
        let body = Arc::new(stored.body);
        let is_current = self.jobs.get(row).is_some_and(|entry| entry.turn == stored.turn);
        for (origin, change) in self.parked.remove(&row).unwrap_or_default() {
            let body = is_current.then(|| Arc::clone(&body));
            self.resume(origin, change, body, now, fx);
        }
        let Some(token) = self.loading.remove(&row) else {
            if is_current && self.job_is(row, Stage::Pending) {
                self.keep_body(row, body, now);
            }
            return Ok(());
        };
        if self.leases.get(token).is_none() {
            return Ok(());
        }
        if !is_current {
            return Err(Undecodable(format!("turn {} where another was expected", stored.turn)));
        }
        self.job_mut(row).body = Some(body);
        self.deliver(token, now, fx);
        Ok(())
    }

    /// The row is not there any more: answers the commands that waited for it.
    pub fn not_found(&mut self, row: u64, now: Now, fx: &mut Effects) {
        for (origin, change) in self.parked.remove(&row).unwrap_or_default() {
            self.resume(origin, change, None, now, fx);
        }
    }

    fn resume(
        &mut self,
        origin: Origin,
        change: Change,
        body: Option<Arc<Body>>,
        now: Now,
        fx: &mut Effects,
    ) {
        let result = match (change, body) {
            (Change::Wake(job_id), Some(body)) => self.wake_with(job_id, body, now),
            (Change::Requeue(job_id), Some(body)) => self.requeue_with(job_id, body, now),
            (Change::Wake(job_id) | Change::Requeue(job_id), None) => {
                Err(Error::JobNotFound { job_id: job_id.to_string() })
            }
            (Change::CancelRun { row, tells_hook }, body) => {
                let body = body.as_deref();
                return self.resume_cancel_run(origin, (row, tells_hook), body, now, fx);
            }
        };
        fx.promise(origin, result);
    }

    /// Takes the payload object of a granted job.
    pub fn object_read(
        &mut self,
        row: u64,
        object: &PayloadRef,
        read: Result<bytes::Bytes, PayloadFault>,
        now: Now,
        fx: &mut Effects,
    ) {
        let Some(&token) = self.loading.get(&row) else { return };
        let body = self.jobs.get(row).and_then(|entry| entry.body.clone());
        let is_current = body.as_ref().is_some_and(|body| body.payload.object() == Some(object));
        let (Some(body), true) = (body, is_current) else { return };
        self.loading.remove(&row);
        if self.leases.get(token).is_none() {
            return;
        }
        match read {
            Ok(data) => self.hand_over(token, &body, data, now, fx),
            Err(fault) => self.fail_delivery(token, object, &fault, now, fx),
        }
    }

    /// A job whose payload cannot be had: dead if it is gone, tried again if the store was silent.
    fn fail_delivery(
        &mut self,
        token: ClaimToken,
        object: &PayloadRef,
        fault: &PayloadFault,
        now: Now,
        fx: &mut Effects,
    ) {
        let lease = self.end_lease(token, now);
        self.forget_delivery(token, &lease, now, fx);
        if self.job(lease.row).is_cancel_requested {
            self.end_cancelled(lease.row, None, now, fx);
            return;
        }
        let name = object.name;
        match fault {
            PayloadFault::Damaged(detail) => {
                let error = format!("its payload object `payloads/{name}` is damaged: {detail}");
                let ended = Ended::of(&lease, AttemptEnd::DeadLettered, Some(&error));
                self.bury(lease.row, ended, now, fx);
            }
            PayloadFault::Unavailable(detail) => {
                let error = format!("its payload object `payloads/{name}` was not read: {detail}");
                let ended = Ended::of(&lease, AttemptEnd::Nacked, Some(&error));
                self.retry_with_backoff(lease.row, ended, now, fx);
            }
        }
    }

    /// Notes which object a row names from now on; the one it named before is not needed.
    pub(super) fn name_object(&mut self, row: u64, payload: &Payload) {
        let name = payload.object().map(|object| object.name);
        let before = match name {
            Some(name) => self.objects.insert(row, name),
            None => self.objects.remove(&row),
        };
        if let Some(before) = before.filter(|before| Some(*before) != name) {
            self.activate_when_durable(Activation::Unnamed(before));
        }
    }

    /// Every payload object that a row names.
    pub fn named_objects(&self) -> impl Iterator<Item = PayloadName> {
        self.objects.values().copied()
    }
}
