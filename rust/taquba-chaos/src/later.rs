//! Puts that arrive late: on their way, whoever sent them.
//!
//! They are kept in the store and not in a task, so they are there after the end of their caller, of its
//! runtime, and of its right to write.

use std::collections::BTreeMap;
use std::time::Duration;

use object_store::path::Path;
use object_store::{PutOptions, PutPayload};

use crate::store::Shared;

/// A put that is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub location: Path,
    pub payload: PutPayload,
    pub options: PutOptions,
}

/// The puts that are on their way, by the instant of arrival.
#[derive(Debug, Default)]
pub(crate) struct Later {
    puts: BTreeMap<(Duration, u64), Put>,
    sent_count: u64,
}

impl Later {
    pub fn send(&mut self, due: Duration, put: Put) {
        self.sent_count += 1;
        self.puts.insert((due, self.sent_count), put);
    }

    pub fn len(&self) -> usize {
        self.puts.len()
    }

    fn take_due(&mut self, now: Duration) -> Option<((Duration, u64), Put)> {
        let first = self.puts.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove_entry())
    }
}

/// A put that is arriving. If whoever lets it arrive is dropped on the way, somebody else will.
struct Arrival<'a> {
    shared: &'a Shared,
    key: (Duration, u64),
    put: Option<Put>,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if let Some(put) = self.put.take() {
            self.shared.state.lock().later.puts.insert(self.key, put);
        }
    }
}

impl Shared {
    /// Lets everything arrive that is due by `now`.
    pub(crate) async fn let_arrive(&self, now: Duration) {
        loop {
            let Some((key, put)) = self.state.lock().later.take_due(now) else { return };
            let mut arrival = Arrival { shared: self, key, put: Some(put.clone()) };
            // Nobody waits for the answer: refused or done, it has arrived.
            drop(self.perform(put).await);
            arrival.put = None;
            self.state.lock().counts.late_count += 1;
        }
    }
}
