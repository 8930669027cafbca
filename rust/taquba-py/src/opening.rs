//! Opens of one place, one after the other in the order of the calls.
//!
//! Cancelling the task that awaits an open does not stop it half-way. Without an order it could
//! end after a later open of the same place, and take the store away from that one.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::oneshot::{self, Receiver, Sender};

/// The end of the last open of each place that is under way.
static LAST: Mutex<BTreeMap<Place, Receiver<()>>> = Mutex::new(BTreeMap::new());

/// What is opened.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The store's name, from [`crate::store::name`].
    pub store: String,
    /// Where in it.
    pub path: String,
}

/// One open in that order. Dropping it lets the next one go.
pub struct Opening {
    previous: Option<Receiver<()>>,
    _done: Sender<()>,
}

impl Opening {
    /// Lines up behind the opens of a place that were asked for before.
    pub fn line_up(place: &Place) -> Self {
        let (done, ended) = oneshot::channel();
        let mut last = LAST.lock();
        last.retain(|_, ended| ended.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        Self { previous: last.insert(place.clone(), ended), _done: done }
    }

    /// Waits for the one before.
    pub async fn wait(&mut self) {
        if let Some(previous) = self.previous.take() {
            // Nothing is ever sent: the other end is dropped.
            let _ = previous.await;
        }
    }
}
