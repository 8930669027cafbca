//! The log: the one place where state becomes durable.
//!
//! # Invariants
//!
//! 1. [`Log::commit`] returns `Ok` only when the rows survive the end of this process, and on
//!    stores that promise it the end of the machine. There is no other way to write.
//! 2. Rows of one commit are there together or not at all.
//! 3. A log that another owner has fenced refuses every commit.
//!
//! # Not here
//!
//! What the rows mean is `record/`; when to commit is `engine.rs`.

mod failure;
mod fence;
mod finality;
mod guard;
mod settings;
mod slate;
mod slate_clock;
mod target;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::record::Row;

pub use slate::SlateLog;
pub use target::Target;

/// What was written to the object store since it was opened, by every part of the storage engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutCounts {
    /// Objects and parts of objects.
    pub put_count: u64,
    /// Their bytes.
    pub put_bytes: u64,
}

/// A durable, ordered map with one writer.
#[async_trait]
pub trait Log: Send + Sync {
    /// Writes rows in one atomic step and waits until they are durable.
    async fn commit(&self, rows: Vec<Row>) -> Result<()>;

    /// Reads one value.
    async fn get(&self, key: Bytes) -> Result<Option<Bytes>>;

    /// Reads the values of many keys; those that are not there are left out.
    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>>;

    /// Visits every row in key order.
    async fn scan(&self, visit: &mut (dyn FnMut(Bytes, Bytes) + Send)) -> Result<()>;

    /// What was written so far.
    fn put_counts(&self) -> PutCounts;

    /// Ends the log in order. What was committed stays.
    async fn close(&self) -> Result<()>;
}
