//! What the engine has for one event loop, and the wake-up that tells the loop of it.
//!
//! # Invariants
//!
//! 1. The descriptor is written only when the mailbox turns from seen to unseen: one system call
//!    per batch, however many deliveries come meanwhile.
//! 2. No arrival is missed: what is put is seen by the next [`Mailbox::take`], and the descriptor
//!    is readable until then.
//! 3. A closed mailbox has no descriptor, whoever still holds it, and drops what is put.

use std::io;
use std::os::fd::RawFd;

use parking_lot::Mutex;
use taquba_engine::Result;
use taquba_engine::command::{Delivery, Outlet, Ticket};

use crate::calls::Answer;
use crate::engine::Unclaimed;
use crate::wake::Wake;

/// One thing for the loop.
pub enum Arrival {
    /// From the engine's own loop.
    Delivery(Delivery),
    /// The end of an `open`.
    Opened(Ticket, Result<Unclaimed>),
    /// The end of a `close`.
    Closed(Ticket, Result<()>),
    /// The end of work beside the engine.
    Answer(Ticket, Result<Box<dyn Answer>>),
}

/// Arrivals in order, and the wake-up. `None` once it is closed.
pub struct Mailbox(Mutex<Option<Contents>>);

struct Contents {
    arrivals: Vec<Arrival>,
    is_unseen: bool,
    wake: Wake,
}

impl Mailbox {
    /// Opens an empty one.
    pub fn new() -> io::Result<Self> {
        let contents = Contents { arrivals: Vec::new(), is_unseen: false, wake: Wake::new()? };
        Ok(Self(Mutex::new(Some(contents))))
    }

    /// The descriptor that is readable while something is unseen.
    pub fn fileno(&self) -> Option<RawFd> {
        self.0.lock().as_ref().map(|contents| contents.wake.fileno())
    }

    /// Puts arrivals in and wakes the loop. Any thread.
    pub fn put(&self, arrivals: impl IntoIterator<Item = Arrival>) {
        if let Some(contents) = self.0.lock().as_mut() {
            contents.arrivals.extend(arrivals);
            if !std::mem::replace(&mut contents.is_unseen, true) {
                contents.wake.notify();
            }
        }
    }

    /// Takes all there is. The loop's thread.
    pub fn take(&self) -> Vec<Arrival> {
        let mut contents = self.0.lock();
        let Some(contents) = contents.as_mut() else { return Vec::new() };
        if std::mem::replace(&mut contents.is_unseen, false) {
            contents.wake.clear();
        }
        std::mem::take(&mut contents.arrivals)
    }

    /// Drops what is there, and gives the descriptor back.
    pub fn close(&self) {
        let contents = self.0.lock().take();
        // Not inside the lock: an arrival that is dropped may close its store.
        drop(contents);
    }
}

impl Outlet for Mailbox {
    fn deliver(&self, deliveries: Vec<Delivery>) {
        self.put(deliveries.into_iter().map(Arrival::Delivery));
    }
}
