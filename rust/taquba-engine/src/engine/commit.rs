//! The commit on its way, and what is measured of commits.
//!
//! There is at most one: what is decided meanwhile shares the next.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use crate::error::Result;
use crate::log::Log;
use crate::metrics::{CommitMeasures, micros};
use crate::state::Batch;

/// A commit on its way.
struct InFlight {
    number: u64,
    started: Instant,
    commit: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
}

/// The commit on its way, if there is one.
#[derive(Default)]
pub(super) struct Commits {
    in_flight: Option<InFlight>,
    measures: CommitMeasures,
}

impl Commits {
    /// Begins one; `row_bytes` is what its rows weigh.
    pub fn begin(&mut self, log: &Arc<dyn Log>, batch: Batch, row_bytes: usize) {
        assert!(self.in_flight.is_none(), "one commit at a time");
        self.measures.rows.observe(batch.rows.len() as u64);
        self.measures.bytes.observe(row_bytes as u64);
        let (number, started, log) = (batch.number, Instant::now(), Arc::clone(log));
        let commit = Box::pin(async move { log.commit(batch.rows).await });
        self.in_flight = Some(InFlight { number, started, commit });
    }

    /// The number of the one on its way.
    pub fn number(&self) -> Option<u64> {
        self.in_flight.as_ref().map(|in_flight| in_flight.number)
    }

    /// Waits for the end of the one on its way; without one, for ever.
    pub async fn ended(&mut self) -> Result<()> {
        match &mut self.in_flight {
            Some(in_flight) => in_flight.commit.as_mut().await,
            None => std::future::pending().await,
        }
    }

    /// The one on its way is durable: its number.
    pub fn take_durable(&mut self) -> u64 {
        let ended = self.in_flight.take().expect("a commit was in flight");
        self.measures.us.observe(micros(ended.started.elapsed()));
        ended.number
    }

    /// Gives up the one on its way.
    pub fn give_up(&mut self) {
        self.in_flight = None;
    }

    /// What was measured so far.
    pub const fn measures(&self) -> &CommitMeasures {
        &self.measures
    }
}
