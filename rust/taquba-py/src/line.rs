//! What one event loop has for the engine: requests, gathered and sent once per turn of the loop.
//!
//! # Invariants
//!
//! 1. Requests leave in the order in which they came.
//! 2. After every [`Line::push`] a flush follows: the turn that is running ends with one, or the
//!    caller was told to arrange it.
//! 3. The end of a line sends what it still has, then gives the engine back what was delivered
//!    over it and not settled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use taquba_engine::engine::{OutletId, Request};

use crate::cancel::Cancels;
use crate::engine::Opened;
use crate::peer::Peer;

/// Whether the caller of [`Line::push`] has to see to a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Call [`Line::flush`] before the loop waits again.
    Arrange,
    /// Someone will.
    Arranged,
}

/// Requests on their way to the engine.
#[derive(Default)]
pub struct Line {
    requests: Mutex<Vec<Request>>,
    is_flush_arranged: AtomicBool,
    end: OnceLock<(Arc<Opened>, OutletId)>,
    cancels: Cancels,
}

impl Line {
    /// Connects the line, once.
    pub fn connect(&self, opened: Arc<Opened>, outlet: OutletId) {
        assert!(self.end.set((opened, outlet)).is_ok(), "a line is connected once");
    }

    /// What it leads to.
    pub fn opened(&self) -> Option<&Arc<Opened>> {
        self.end.get().map(|(opened, _)| opened)
    }

    /// Whether both lead to the same open store: numbers that came over one hold for the other.
    pub fn is_beside(&self, other: &Self) -> bool {
        let pair = || Some(Arc::ptr_eq(self.opened()?, other.opened()?));
        std::ptr::eq(self, other) || pair().unwrap_or(false)
    }

    /// What is at the other end.
    pub fn peer(&self) -> Option<&Peer> {
        self.opened().map(|opened| opened.peer())
    }

    /// Requests to stop for what was delivered over it.
    pub const fn cancels(&self) -> &Cancels {
        &self.cancels
    }

    /// Says that a turn has begun that ends with a flush.
    pub fn begin_turn(&self) {
        self.is_flush_arranged.store(true, Ordering::Release);
    }

    /// Adds a request.
    pub fn push(&self, request: Request) -> Flush {
        self.requests.lock().push(request);
        if self.is_flush_arranged.swap(true, Ordering::AcqRel) {
            return Flush::Arranged;
        }
        Flush::Arrange
    }

    /// Sends all there is.
    pub fn flush(&self) {
        self.is_flush_arranged.store(false, Ordering::Release);
        let Some((opened, outlet)) = self.end.get() else { return };
        let requests = std::mem::take(&mut *self.requests.lock());
        if !requests.is_empty() {
            opened.peer().send(*outlet, requests);
        }
    }

    /// Ends the line.
    pub fn end(&self) {
        self.flush();
        if let Some((opened, outlet)) = self.end.get() {
            opened.peer().detach(*outlet);
        }
    }
}
