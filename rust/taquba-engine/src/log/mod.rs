//! The log: the one place where state becomes durable.
//!
//! # Invariants
//!
//! 1. [`Log::commit`] returns `Ok` only when the rows survive the end of this process, and on
//!    stores that promise it the end of the machine. There is no other way to write rows.
//! 2. Rows of one commit are there together or not at all.
//! 3. A log that another owner has fenced refuses every commit.
//! 4. [`Rows`] shows durable rows only: nothing that a failed commit could take back, and nothing of a
//!    commit that is still under way.
//!
//! | file | owns |
//! |---|---|
//! | `slate.rs` | the owner's database: open, fence, commit, close |
//! | `reader.rs` | the same database for somebody who owns nothing and writes nothing |
//! | `rows.rs` | reading rows, for both |
//! | `payloads.rs` | payloads that are objects of their own |
//! | `objects.rs` | objects beside a database, without one |
//! | `probe.rs` | a store asked directly, for those who ask what it can do |
//! | `scrub.rs` | reading every object, to find damage |
//! | `owner.rs` | who owns the store, and whether it is alive |
//! | `file/` | the write-ahead log of a database on a local disk |
//! | `guard.rs`, `fence.rs`, `seal.rs` | between storage engine and store |
//! | `activity.rs`, `slate_clock.rs` | what rests while nothing is written |
//! | `failure.rs`, `finality.rs` | failures, told as ours |
//! | `engine_metrics.rs` | what the storage engine counts, told as ours |
//!
//! # Not here
//!
//! What the rows mean is `record/`; when to commit is `engine/`.

mod activity;
mod engine_metrics;
mod failure;
mod fence;
mod file;
mod finality;
mod guard;
mod objects;
mod owner;
mod payloads;
mod probe;
mod reader;
mod rows;
mod scrub;
mod seal;
mod settings;
mod slate;
mod slate_clock;
mod target;

use std::ops::{Bound, ControlFlow};

use async_trait::async_trait;
use bytes::Bytes;

use crate::command::OwnerInfo;
use crate::error::Result;
use crate::metrics::StoreMeasures;
use crate::record::{PayloadName, Row};

pub(crate) use objects::{Object, Objects};
pub use probe::{ObjectVersion, Probe, ReadIf, Refusal, Said, Shown, WriteIf};
pub use reader::SlateReader;
pub(crate) use scrub::Scrubber;
pub use slate::SlateLog;
pub use target::{Access, Target};

/// What was asked of the object store since it was opened, by every part of the storage engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Objects, and parts of objects, that were written, and groups of rows in a log that is a file.
    pub put_count: u64,
    /// Their bytes.
    pub put_bytes: u64,
    /// Reads of objects, of parts of them, and of what is known about them.
    pub get_count: u64,
    /// Bytes that they returned.
    pub get_bytes: u64,
    /// Listings. One of many objects takes the store several requests.
    pub list_count: u64,
    /// Objects that were deleted. Stores delete several with one request.
    pub delete_count: u64,
}

/// How much of a range will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The beginning of it: blocks are fetched as they are needed, and kept for the next page.
    Page,
    /// All of it: blocks are fetched far ahead, and not kept.
    Whole,
}

/// Which rows to visit, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// Where the keys begin.
    pub start: Bound<Bytes>,
    /// Where the keys end.
    pub end: Bound<Bytes>,
    /// From the last key to the first.
    pub reverse: bool,
    /// How much of it will be read.
    pub extent: Extent,
}

impl ScanRange {
    /// Every key that starts with this byte.
    #[must_use]
    pub fn of_tag(tag: u8) -> Self {
        let end = match tag.checked_add(1) {
            Some(next) => Bound::Excluded(Bytes::copy_from_slice(&[next])),
            None => Bound::Unbounded,
        };
        let start = Bound::Included(Bytes::copy_from_slice(&[tag]));
        Self { start, end, reverse: false, extent: Extent::Whole }
    }

    /// The same keys, last first.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { reverse: true, ..self }
    }

    /// Whether no key can lie in it: the end is before the start, or on it and one of the two is
    /// excluded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        use Bound::{Excluded, Included, Unbounded};
        match (&self.start, &self.end) {
            (Unbounded, Excluded(end)) => end.is_empty(),
            (Unbounded, _) | (_, Unbounded) => false,
            (Included(start), Included(end)) => start > end,
            (Included(start) | Excluded(start), Included(end) | Excluded(end)) => start >= end,
        }
    }
}

/// Takes rows one by one; [`ControlFlow::Break`] ends the scan.
pub type Visit<'a> = dyn FnMut(Bytes, Bytes) -> ControlFlow<()> + Send + 'a;

/// A durable, ordered map, to be read.
#[async_trait]
pub trait Rows: Send + Sync {
    /// Reads one value.
    async fn get(&self, key: Bytes) -> Result<Option<Bytes>>;

    /// Reads the values of many keys, in key order; those that are not there are left out.
    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>>;

    /// Visits the rows of a range in its order, until it ends or the visitor breaks off. All of
    /// them are of one instant: between two commits, never inside one.
    async fn scan(&self, range: ScanRange, visit: &mut Visit<'_>) -> Result<()>;
}

/// A durable, ordered map with one writer.
#[async_trait]
pub trait Log: Rows {
    /// Writes rows in one atomic step and waits until they are durable.
    async fn commit(&self, rows: Vec<Row>) -> Result<()>;

    /// Writes a payload object and waits until it is durable.
    async fn put_payload(&self, name: PayloadName, data: Bytes) -> Result<()>;

    /// Reads a payload object; `None` if it is not there.
    async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>>;

    /// Deletes a payload object. One that is not there is as good as deleted.
    async fn delete_payload(&self, name: PayloadName) -> Result<()>;

    /// The names of all payload objects, in ascending order.
    async fn list_payloads(&self) -> Result<Vec<PayloadName>>;

    /// Shows from now on that the owner of this epoch is alive. The first sign is there when this
    /// returns; one that cannot be written is logged and tried again later.
    async fn start_heartbeat(&self, epoch: u32);

    /// Who owns the store, as others see it; `None` if the last owner closed it in order.
    async fn owner(&self) -> Result<Option<OwnerInfo>>;

    /// What was asked of the store so far.
    fn counts(&self) -> StoreCounts;

    /// What was measured so far.
    fn measures(&self) -> StoreMeasures {
        StoreMeasures::default()
    }

    /// Ends the log in order. What was committed stays.
    async fn close(&self) -> Result<()>;
}

#[cfg(test)]
pub(crate) mod tests;
