//! The segment that an owner writes to.
//!
//! # Invariants
//!
//! 1. The file is longer than what is written to it, by zeros that are durable before a record takes
//!    their place.
//! 2. After a write or a sync has failed nothing is written any more: nobody can tell what of it is
//!    on the disk, and another sync would not either.
//! 3. The next segment is there before this one says that it is.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write as _};

use super::Fault;
use super::disk::{Disk, Mark, Step, padded, unlock};
use super::segment::{
    HEAD_BYTES, Header, Kind, Name, Origin, SEGMENT_BYTES_MAX, STEP_BYTES, seal_frame,
};

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Tape {
    disk: Disk,
    pub file: File,
    name: Name,
    salt: u32,
    /// Where the next record goes.
    at: u64,
    /// The file's length.
    length: u64,
    is_broken: bool,
}

/// A record to begin a segment with: its id and its frame.
pub(super) type FirstRecord = (u64, Vec<u8>);

impl Drop for Tape {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

impl Tape {
    /// Makes a segment.
    pub fn create(
        disk: &Disk,
        name: Name,
        origin: Origin,
        first: Option<FirstRecord>,
    ) -> Result<Self, Fault> {
        let salt = random();
        let Name { epoch, first_id } = name;
        let header = Header { epoch, first_id, salt, is_synced: disk.fsync, origin };
        let record = first.map(|(id, mut frame)| {
            seal_frame(&mut frame, salt, id, Kind::Rows);
            frame
        });
        let (file, at) = disk.create(&header, &record.unwrap_or_default())?;
        let disk = disk.clone();
        Ok(Self { disk, file, name, salt, at, length: padded(at), is_broken: false })
    }

    pub const fn name(&self) -> Name {
        self.name
    }

    /// Whether the next record should go to another segment.
    pub const fn is_full(&self) -> bool {
        self.at >= SEGMENT_BYTES_MAX
    }

    /// Writes a record. It is durable when this returns, and if no newer owner had come by then,
    /// whoever comes will find it.
    pub fn append(&mut self, frame: &mut [u8], id: u64, kind: Kind) -> Result<(), Fault> {
        assert!(!self.is_broken, "nothing is written behind a failure");
        seal_frame(frame, self.salt, id, kind);
        let written = self.write(frame);
        self.is_broken = written.is_err();
        written.map_err(|error| Fault::io("write", self.name, error))?;
        if self.disk.has_mark(self.name.epoch, Mark::Live)? { Ok(()) } else { Err(Fault::Fenced) }
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let end = self.at + frame.len() as u64;
        if end + HEAD_BYTES as u64 > self.length {
            self.grow(padded(end))?;
            self.sync_all()?;
        }
        self.disk.reach(Step::Write)?;
        self.file.write_all(frame)?;
        self.at = end;
        self.disk.reach(Step::Written)?;
        // Ahead of need, so that one sync does for both.
        if self.length - self.at < STEP_BYTES / 2 {
            self.grow(self.length + STEP_BYTES)?;
            self.sync_all()?;
        } else if self.disk.fsync {
            self.file.sync_data()?;
        }
        self.disk.reach(Step::Synced)
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        if self.disk.fsync { self.file.sync_all() } else { Ok(()) }
    }

    /// Goes on in a new segment, whose first record will have this id.
    pub fn roll(&mut self, first_id: u64) -> Result<(), Fault> {
        let name = Name { epoch: self.name.epoch, first_id };
        let next = Self::create(&self.disk, name, Origin::Rolled, None);
        self.is_broken = next.is_err();
        let mut full = std::mem::replace(self, next?);
        full.end(first_id, Kind::Continued).inspect_err(|_| self.is_broken = true)
    }

    /// Says that nothing follows in this segment.
    pub fn end(&mut self, next_id: u64, kind: Kind) -> Result<(), Fault> {
        if self.is_broken {
            return Ok(());
        }
        self.append(&mut [0; HEAD_BYTES], next_id, kind)
    }
}

/// A number that nobody outside can know: what a payload would have to begin with to be taken for a
/// record.
pub(super) fn random() -> u32 {
    let number = RandomState::new().build_hasher().finish();
    u32::try_from(number & u64::from(u32::MAX)).expect("it is masked")
}
