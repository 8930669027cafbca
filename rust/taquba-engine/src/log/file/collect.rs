//! Deleting what is no longer needed.
//!
//! # Invariants
//!
//! 1. Whole segments go, oldest first, and never the one that is written to.
//! 2. Only segments that this owner knows to be the log are looked at: the ids of any other say nothing.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use slatedb::wal::{WalError, WalFileRange, WalGc};

use super::blocking;
use super::disk::Disk;
use super::segment::Name;

/// The segments of the log, in the order of their records; the last one is written to.
pub(super) type Known = Arc<Mutex<Vec<Name>>>;

/// Deletes segments.
pub(super) struct Collector {
    pub disk: Disk,
    pub known: Known,
}

impl Collector {
    /// Deletes the segments that end before this record.
    fn collect_before(&self, needed_id: u64, min_age: Duration) {
        loop {
            let oldest = {
                let known = self.known.lock();
                let [oldest, next, ..] = known[..] else { return };
                if next.first_id > needed_id || !self.disk.is_older_than(oldest, min_age) {
                    return;
                }
                oldest
            };
            if let Err(error) = self.disk.remove(oldest) {
                tracing::warn!(segment = %oldest, %error, "cannot delete a segment of the log");
                return;
            }
            self.known.lock().remove(0);
        }
    }
}

#[async_trait]
impl WalGc for Collector {
    async fn collect(
        &self,
        referenced_ranges: Vec<WalFileRange>,
        min_age: Duration,
        dry_run: bool,
    ) -> Result<(), WalError> {
        let starts = referenced_ranges.iter().map(|range| match range.0 {
            Bound::Included(id) => id,
            Bound::Excluded(id) => id.saturating_add(1),
            Bound::Unbounded => 0,
        });
        if let (Some(needed_id), false) = (starts.min(), dry_run) {
            let this = Self { disk: self.disk.clone(), known: Arc::clone(&self.known) };
            blocking(move || this.collect_before(needed_id, min_age)).await;
        }
        Ok(())
    }
}
