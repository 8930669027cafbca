//! The write-ahead log of a database on a local disk: a file that grows, one sync for each commit.
//!
//! SlateDB's own log makes an object of each commit. On a disk that is a file to create, write, sync,
//! link and unlink, and a directory to sync. Here a commit is one write and one `fdatasync`.
//!
//! ```text
//! log/                                    0000000007.live
//!   0000000007-00000000000000004242       owner 7 took the log at record 4242, has its mark,
//!   0000000007-00000000000000009001       and went on in a second segment at record 9001
//! ```
//!
//! A record holds the rows of one flush; its id is what SlateDB calls the id of a WAL file. Ids ascend
//! without gaps, from owner to owner.
//!
//! # Invariants
//!
//! 1. What was reported as durable is replayed by the next owner, and by every one after it.
//! 2. What was never reported is replayed by every later owner or by none.
//! 3. Records that are needed and do not read, or are not there, are an error that names the file.
//!    One thing cannot be told: whether the last record of an owner that did not close was torn
//!    by a crash or damaged later. It is taken for torn.
//!
//! | file | owns |
//! |---|---|
//! | `segment.rs`, `rows.rs` | the bytes of a segment |
//! | `disk.rs` | the directory: segments appear, marks move |
//! | `chain.rs` | which records are the log |
//! | `take.rs` | taking it over, and why two owners cannot have it |
//! | `tape.rs`, `writer.rs` | writing it |
//! | `replay.rs` | reading it in order |
//! | `follow.rs` | reading it beside its owner |
//! | `scrub.rs` | reading all of it, to find damage |
//! | `collect.rs` | deleting what is no longer needed |
//! | `place.rs` | which databases have it |

mod chain;
mod collect;
mod disk;
mod follow;
mod place;
mod replay;
mod rows;
mod scrub;
mod segment;
mod take;
mod tape;
mod writer;

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use slatedb::wal::{WalError, WalGc, WalReader, WriterInit, WriterInitResult, WriterManifest};

use super::guard::Counters;
use collect::{Collector, Known};
use disk::{Disk, LOG_DIR};
use follow::Follower;
use replay::Replay;
use segment::Name;
use take::{Bounds, take};
use writer::Writer;

pub(super) use place::{SIGNPOST, find, find_or_make};

/// What is wrong with the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// A newer owner has it.
    #[error("a newer owner has the log")]
    Fenced,
    /// It has lost something.
    #[error("{0}")]
    Damaged(String),
    /// The file system refuses.
    #[error("cannot {doing} `{file}`")]
    Io {
        doing: &'static str,
        file: String,
        #[source]
        source: io::Error,
    },
}

impl Fault {
    fn damaged(name: Name, what: impl fmt::Display) -> Self {
        Self::Damaged(format!("`{LOG_DIR}/{name}` {what}"))
    }

    fn lost(what: String) -> Self {
        Self::Damaged(what)
    }

    fn io(doing: &'static str, name: Name, source: io::Error) -> Self {
        Self::Io { doing, file: format!("{LOG_DIR}/{name}"), source }
    }
}

impl From<Fault> for WalError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Fenced => Self::Fenced,
            Fault::Damaged(_) => Self::DataError(Arc::new(fault)),
            Fault::Io { .. } => Self::Unavailable(Arc::new(fault)),
        }
    }
}

/// The log of one database.
#[derive(Clone, Debug)]
pub(super) struct FileLog {
    disk: Disk,
    /// What its owner knows to be in it.
    known: Known,
}

impl FileLog {
    fn new(disk: Disk) -> Self {
        Self { disk, known: Known::default() }
    }

    /// What opens it, for an owner.
    pub fn opener(&self, counters: Arc<Counters>) -> Box<dyn WriterInit> {
        Box::new(Opener { log: self.clone(), counters })
    }

    /// What deletes of it.
    pub fn collector(&self) -> Arc<dyn WalGc> {
        Arc::new(Collector { disk: self.disk.clone(), known: Arc::clone(&self.known) })
    }

    /// What reads it, for somebody else.
    pub fn reader(&self) -> Box<dyn WalReader> {
        Box::new(Follower::new(self.disk.clone()))
    }
}

struct Opener {
    log: FileLog,
    counters: Arc<Counters>,
}

#[async_trait]
impl WriterInit for Opener {
    async fn fence_and_init(
        &self,
        manifest: &mut WriterManifest,
    ) -> Result<WriterInitResult, WalError> {
        let bounds = Bounds {
            epoch: manifest.epoch(),
            after_id: manifest.replay_after_wal_id(),
            seen_id: manifest.manifest().next_wal_sst_id() - 1,
        };
        let disk = self.log.disk.clone();
        let taken = blocking(move || take(&disk, bounds)).await;
        // A newer owner explains whatever was found. From here on whoever comes builds on what this
        // one has written down.
        manifest.refresh().await?;
        let taken = taken?;
        let (disk, older) = (self.log.disk.clone(), taken.older());
        let named = older.clone();
        if let Err(error) = blocking(move || disk.tidy(bounds.epoch, &named)).await {
            tracing::warn!(%error, "cannot delete what older owners have left in the log");
        }
        let mut known: Vec<Name> = older.iter().map(segment::Part::name).collect();
        known.push(taken.tape.name());
        *self.log.known.lock() = known;
        let (disk, parts) = (self.log.disk.clone(), taken.parts.clone());
        let replay = Replay::of_owner(disk, parts, bounds.after_id, bounds.epoch);
        let (known, counters) = (Arc::clone(&self.log.known), Arc::clone(&self.counters));
        let writer = Writer::start(taken, bounds.after_id, known, counters)?;
        Ok(WriterInitResult { replay_iterator: Box::new(replay), wal_writer: Box::new(writer) })
    }
}

/// Has a thread do what may wait for a disk.
#[expect(clippy::disallowed_methods, reason = "it is awaited at once")]
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("reading a log does not panic")
}

#[cfg(test)]
mod tests;
