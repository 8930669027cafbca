//! Memos as objects of their own, in any store: values of steps, and marks of the ends of runs.
//!
//! ```text
//! <prefix>/memos/<run id>/<step number>/<SHA-256 of the key, in hex>
//! <prefix>/terminals/<milliseconds, 20 digits>_<run id>
//! ```
//!
//! # Invariants
//!
//! 1. Two keys never share an object: what names it is the digest of the key, and run ids and step
//!    numbers are path segments of their own.
//! 2. A value that was damaged is never returned: it is told as [`Error::MemoCorrupted`].
//! 3. What belongs to a run is found by its whole id, never by the beginning of one.
//! 4. A sweep deletes nothing that was written after it looked, or after the run's end.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | what can be asked |
//! | `envelope.rs` | the bytes of an object |
//! | `marker.rs` | marks of the ends of runs, and their names |
//! | `sweep.rs` | what may go of a run that has ended, and who has to wait meanwhile |
//!
//! # Not here
//!
//! Memos that are rows of a queue's log are the state machine's. Who may write, and when a run's
//! memos go, is decided by whoever asks.

mod envelope;
mod marker;
mod sweep;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{ObjectMeta, PutPayload};

use crate::error::{Error, Result};
use crate::ids::{MemoKey, RunId};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::log::{Object, Objects, Target};

use envelope::Belonging;
pub use marker::{Markers, TerminalMarker};
pub use sweep::Sweep;

/// Where the values are, below the prefix.
const MEMO_DIR: &str = "memos";

/// Where the marks are.
const MARKER_DIR: &str = "terminals";

/// Requests at a time while a run is cleared. Enough to hide the way to a store, few enough not to be
/// throttled.
const DELETES_AT_ONCE: usize = 16;

/// Checks the size of a memo's value.
///
/// # Errors
///
/// [`Error::MemoTooLarge`] over [`PAYLOAD_BYTES_MAX`].
pub const fn check_size(size_bytes: usize) -> Result<()> {
    if size_bytes > PAYLOAD_BYTES_MAX { Err(Error::MemoTooLarge { size_bytes }) } else { Ok(()) }
}

/// Memos and marks below one prefix of a store.
#[derive(Debug)]
pub struct MemoObjects {
    objects: Objects,
    gate: Arc<sweep::Gate>,
}

/// Who reads a memo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The step itself: its run goes on, so a sweep of that lets go.
    Step,
    /// Somebody else, who keeps no sweep from its work.
    Other,
}

/// What became of the memos of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Those that were deleted.
    pub count: usize,
    /// Those that could not be, with the reason.
    pub failed: Vec<(String, Error)>,
    /// Those that a sweep left alone, because they are younger than it or the run's end.
    pub kept_count: usize,
}

impl MemoObjects {
    /// Those below `prefix`. Asks the store nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if `prefix` is no path.
    pub fn new(target: &Target, prefix: &str) -> Result<Self> {
        Ok(Self { objects: Objects::new(target, prefix)?, gate: Arc::default() })
    }

    /// What messages call the prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        self.objects.name()
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`Error::MemoCorrupted`] if its bytes are not what was written; what keeps the store from
    /// being read.
    pub async fn get(
        &self,
        run_id: &RunId,
        step: u32,
        key: &MemoKey,
        reader: Reader,
    ) -> Result<Option<Bytes>> {
        if reader == Reader::Step {
            self.gate.pass(run_id).await;
        }
        let at = self.place_of(run_id, step, key);
        let damaged = |detail| Error::MemoCorrupted { place: self.name_of(&at), detail };
        match self.objects.get(&at, envelope::SIZE_MAX).await? {
            Object::Missing => Ok(None),
            Object::TooLarge(size) => Err(damaged(format!("{size} bytes are more than any has"))),
            Object::Read(bytes) => {
                let place = Belonging::of(run_id, step, key);
                envelope::open(place, bytes).await.map(Some).map_err(damaged)
            }
        }
    }

    /// Writes a value, over one that is there. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::MemoTooLarge`]; what keeps the store from being written.
    pub async fn put(&self, run_id: &RunId, step: u32, key: &MemoKey, value: Bytes) -> Result<()> {
        check_size(value.len())?;
        let sealed = envelope::seal(Belonging::of(run_id, step, key), value).await;
        self.gate.pass(run_id).await;
        self.objects.put(&self.place_of(run_id, step, key), sealed).await
    }

    /// Deletes the memos of a run, of all its steps. One that cannot be deleted does not keep the
    /// others.
    ///
    /// # Errors
    ///
    /// What keeps the store from being listed.
    pub async fn clear_run(&self, run_id: &RunId) -> Result<Cleared> {
        let found = self.objects.list(&self.run_dir(run_id)).await?;
        Ok(self.delete_each(found, Which::Any).await)
    }

    /// Looks for what may go of a run that has ended, by the last mark of its end. `None` if another
    /// sweep has it, or has deleted that mark. What is dated before `due_ms`, by the store, may go
    /// whatever that mark says.
    ///
    /// Whether the run goes on again is to be asked between this and [`Self::finish_sweep`].
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn begin_sweep(&self, last: &TerminalMarker, due_ms: u64) -> Result<Option<Sweep>> {
        let Some(entry) = self.gate.begin(&last.run_id) else { return Ok(None) };
        let Some(marker) = self.objects.head(&self.marker_place(last)).await? else {
            return Ok(None);
        };
        let found = self.objects.list(&self.run_dir(&last.run_id)).await?;
        Ok(Some(Sweep::new(entry, &marker, due_ms, found)))
    }

    /// Deletes what a sweep has found, unless somebody has used the run's memos since. One that
    /// cannot be deleted does not keep the others.
    pub async fn finish_sweep(&self, sweep: Sweep) -> Cleared {
        let Sweep { entry, objects, kept_count } = sweep;
        if !entry.may_delete() {
            return Cleared { kept_count: kept_count + objects.len(), ..Cleared::default() };
        }
        let mut cleared = self.delete_each(objects, Which::Unchanged).await;
        cleared.kept_count += kept_count;
        // Until here others had to wait.
        drop(entry);
        cleared
    }

    /// Marks that a run has ended. Marking it again changes nothing.
    ///
    /// # Errors
    ///
    /// What keeps the store from being written.
    pub async fn write_marker(&self, marker: &TerminalMarker) -> Result<()> {
        self.objects.put(&self.marker_place(marker), PutPayload::new()).await
    }

    /// All marks, oldest first.
    ///
    /// # Errors
    ///
    /// What keeps the store from being listed.
    pub async fn list_markers(&self) -> Result<Markers> {
        let found = self.objects.list(&self.objects.root().clone().join(MARKER_DIR)).await?;
        let mut listed = Markers::default();
        for at in found.into_iter().map(|object| object.location) {
            let marker = at.filename().and_then(|name| name.parse().ok());
            match marker.filter(|marker| self.marker_place(marker) == at) {
                Some(marker) => listed.markers.push(marker),
                None => listed.skipped.push(self.name_of(&at)),
            }
        }
        listed.markers.sort_unstable();
        Ok(listed)
    }

    /// Deletes a mark. One that is not there is as good as deleted.
    ///
    /// # Errors
    ///
    /// What keeps the store from being written.
    pub async fn delete_marker(&self, marker: &TerminalMarker) -> Result<()> {
        self.objects.delete(&self.marker_place(marker)).await.map(drop)
    }

    async fn delete_each(&self, found: Vec<ObjectMeta>, which: Which) -> Cleared {
        let mut cleared = Cleared::default();
        let mut left = found.into_iter();
        let mut deleting = FuturesUnordered::new();
        loop {
            let room = DELETES_AT_ONCE - deleting.len();
            deleting.extend(left.by_ref().take(room).map(|object| self.delete(object, which)));
            let Some((at, deleted)) = deleting.next().await else { return cleared };
            match deleted {
                Ok(Deleted::Yes) => cleared.count += 1,
                Ok(Deleted::WasGone) => {}
                Ok(Deleted::IsKept) => cleared.kept_count += 1,
                Err(error) => cleared.failed.push((self.name_of(&at), error)),
            }
        }
    }

    async fn delete(&self, object: ObjectMeta, which: Which) -> (Path, Result<Deleted>) {
        let deleted = match which {
            Which::Any => self.delete_any(&object).await,
            Which::Unchanged => self.delete_unchanged(&object).await,
        };
        (object.location, deleted)
    }

    async fn delete_any(&self, object: &ObjectMeta) -> Result<Deleted> {
        let was_there = self.objects.delete(&object.location).await?;
        Ok(if was_there { Deleted::Yes } else { Deleted::WasGone })
    }

    /// Leaves one alone that was written anew meanwhile, by a process that does not wait for us.
    async fn delete_unchanged(&self, object: &ObjectMeta) -> Result<Deleted> {
        match self.objects.head(&object.location).await? {
            None => Ok(Deleted::WasGone),
            Some(now) if now.last_modified > object.last_modified => Ok(Deleted::IsKept),
            Some(_) => self.delete_any(object).await,
        }
    }

    fn run_dir(&self, run_id: &RunId) -> Path {
        self.objects.root().clone().join(MEMO_DIR).join(run_id.as_str())
    }

    fn place_of(&self, run_id: &RunId, step: u32, key: &MemoKey) -> Path {
        self.run_dir(run_id).join(step.to_string()).join(key.to_string())
    }

    fn marker_place(&self, marker: &TerminalMarker) -> Path {
        self.objects.root().clone().join(MARKER_DIR).join(marker.to_string())
    }

    /// What messages call an object: its place in the store, below the store's own name.
    fn name_of(&self, at: &Path) -> String {
        let root = self.objects.root().as_ref();
        let below = at.as_ref().strip_prefix(root).unwrap_or(at.as_ref());
        format!("{}/{}", self.name().trim_end_matches('/'), below.trim_start_matches('/'))
    }
}

/// Which of the memos that were listed go.
#[derive(Clone, Copy)]
enum Which {
    Any,
    Unchanged,
}

/// What became of one memo.
enum Deleted {
    Yes,
    WasGone,
    IsKept,
}

#[cfg(test)]
mod tests;
