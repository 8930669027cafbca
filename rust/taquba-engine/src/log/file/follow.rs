//! Following the log of an owner in another process.
//!
//! # Invariants
//!
//! 1. Nothing is written.
//! 2. What is shown is durable: the file is synced before its end is told.
//! 3. What is shown stays: bytes of an owner that has been fenced are shown only when it is settled which
//!    of them count. An owner whose mark stands after its segment was read had not been fenced
//!    before, and whoever fences it will find what was read. Nothing is shown while the owner of the
//!    newest segment or a newer one is taking the log over: the segment may not be durable yet, or be
//!    that of an older opener, who has copied what the newer one has not seen and will leave out.
//!
//! If a new owner dies before it has said what counts while the old one still runs, nobody can say it:
//! reading is refused until the next one opens.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use slatedb::wal::{WalError, WalFileRange, WalIterator, WalReader};

use super::chain::Chain;
use super::disk::{Disk, LOG_DIR, Mark};
use super::replay::Replay;
use super::segment::{Kind, Name, Part, SegmentReader};
use super::{Fault, blocking};

/// Looks at a log that changes hands, and the pause between two of them. An owner takes it within
/// milliseconds, or with a long log within a second.
const LOOKS_MAX: u32 = 500;
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Where a record begins in the newest segment.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: Name,
    salt: u32,
    is_synced: bool,
    id: u64,
    at: u64,
}

/// What the newest segment's owner is to those who have read it.
enum Standing {
    /// What was read counts.
    Sound,
    /// There is a newer owner's segment.
    Superseded,
    /// A newer owner is about to say what counts.
    Unsettled,
}

/// The log of somebody else.
#[derive(Clone)]
pub(super) struct Follower {
    disk: Disk,
    /// Places of the last look: a log that is followed is not read from its beginning each time.
    places: Arc<Mutex<Vec<Place>>>,
    looks_max: u32,
    look_pause: Duration,
}

impl Follower {
    pub fn new(disk: Disk) -> Self {
        Self { disk, places: Arc::default(), looks_max: LOOKS_MAX, look_pause: LOOK_PAUSE }
    }

    /// One that does not wait for a log to come to rest.
    #[cfg(test)]
    pub fn impatient(disk: Disk) -> Self {
        Self { looks_max: 3, look_pause: Duration::from_millis(1), ..Self::new(disk) }
    }

    /// The last record that is durable and stays; `after_id` if there is none behind it.
    fn last_id(&self, after_id: u64) -> Result<u64, Fault> {
        for _ in 0..self.looks_max {
            let newest = Chain::find(&self.disk, after_id)?.newest;
            let (mut reader, begin) = self.open(newest, after_id + 1)?;
            let tail = reader.tail(begin.id)?;
            let last_id = tail.last.map_or(begin.id - 1, |record| record.id);
            if begin.is_synced && last_id > after_id {
                reader.sync()?;
            }
            match self.standing(newest)? {
                Standing::Sound if tail.seal != Some(Kind::Continued) => {
                    let end = Place { id: last_id + 1, at: tail.end, ..begin };
                    *self.places.lock() = vec![begin, end];
                    return Ok(last_id.max(after_id));
                }
                Standing::Sound | Standing::Superseded => {}
                Standing::Unsettled => std::thread::sleep(self.look_pause),
            }
        }
        let source = io::Error::new(io::ErrorKind::TimedOut, "it is being taken over");
        Err(Fault::Io { doing: "read", file: LOG_DIR.to_owned(), source })
    }

    /// The newest segment, at a place as near before this record as is known.
    fn open(&self, name: Name, id: u64) -> Result<(SegmentReader, Place), Fault> {
        let path = self.disk.path(name);
        let places = self.places.lock().clone();
        let known = places.into_iter().filter(|place| place.name == name && place.id <= id);
        if let Some(place) = known.max_by_key(|place| place.id) {
            return Ok((SegmentReader::resume(&path, name, place.salt, place.at)?, place));
        }
        let (reader, header) = SegmentReader::open(&path, name)?;
        let (salt, is_synced, at) = (header.salt, header.is_synced, reader.at());
        Ok((reader, Place { name, salt, is_synced, id: name.first_id, at }))
    }

    fn standing(&self, newest: Name) -> Result<Standing, Fault> {
        // An owner that never had its mark has written nothing of its own. Of one that was fenced all
        // counts if it is gone. Whichever it is, somebody may have read the log before, and be about
        // to say what counts. In this order: whoever comes later finds the segment as it is, and
        // whoever was there and is through is in the listing.
        let may_count = self.disk.has_mark(newest.epoch, Mark::Live)?
            || !self.disk.has_mark(newest.epoch, Mark::Past)?
            || self.disk.is_final(newest)?;
        let is_settled = may_count && self.disk.is_quiet_since(newest.epoch)?;
        if self.disk.list()?.segments.last() != Some(&newest) {
            return Ok(Standing::Superseded);
        }
        Ok(if is_settled { Standing::Sound } else { Standing::Unsettled })
    }

    fn replay(&self, first_id: u64, last_id: u64) -> Result<Replay, Fault> {
        let chain = Chain::find(&self.disk, first_id - 1)?;
        let mut parts = chain.parts;
        let Name { epoch, first_id: newest_id } = chain.newest;
        parts.push(Part { epoch, first_id: newest_id, last_id });
        parts.retain(|part| part.first_id <= last_id);
        for part in &mut parts {
            part.last_id = part.last_id.min(last_id);
        }
        let disk = self.disk.clone();
        if parts.first().map(Part::name) == Some(chain.newest) {
            let (reader, place) = self.open(chain.newest, first_id)?;
            return Ok(Replay::resumed(disk, parts, first_id - 1, (reader, place.id)));
        }
        Ok(Replay::new(disk, parts, first_id - 1))
    }
}

#[async_trait]
impl WalReader for Follower {
    async fn iterator(&self, range: WalFileRange) -> Result<Box<dyn WalIterator>, WalError> {
        let first_id = match range.0 {
            Bound::Included(id) => Some(id),
            Bound::Excluded(id) => id.checked_add(1),
            Bound::Unbounded => None,
        };
        let last_id = match range.1 {
            Bound::Included(id) => Some(id),
            Bound::Excluded(id) => id.checked_sub(1),
            Bound::Unbounded => None,
        };
        let (Some(first_id @ 1..), Some(last_id)) = (first_id, last_id) else {
            let reason = format!("the storage engine asked for records {range:?}");
            return Err(WalError::InternalError(Arc::new(Fault::lost(reason))));
        };
        let this = self.clone();
        let replay = blocking(move || this.replay(first_id, last_id)).await?;
        Ok(Box::new(replay))
    }

    async fn last_wal_file_id(&self, replay_after_wal_id: u64) -> Result<u64, WalError> {
        let this = self.clone();
        Ok(blocking(move || this.last_id(replay_after_wal_id)).await?)
    }
}
