//! Which records are the log.
//!
//! The newest owner's first segment says what counts of its predecessors'; what an older owner wrote
//! beside or behind that was never promised to anybody, and stays out for good.
//!
//! # Invariants
//!
//! 1. Whoever looks finds the same records in front of the newest owner's own, whatever an older owner
//!    that was paused writes meanwhile.
//! 2. From the first record that is needed on no id is missing, or it is an error that names the file.

use super::Fault;
use super::disk::{Disk, Listing};
use super::segment::{Kind, Name, Origin, Part, SegmentReader, Tail};

/// The segments from the first one that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Segments of which the last record is known.
    pub parts: Vec<Part>,
    /// The newest one, which may grow.
    pub newest: Name,
}

/// A chain, and how it ends.
#[derive(Debug)]
pub(super) struct Survey {
    pub chain: Chain,
    pub tail: Tail,
    /// The last record; the one before the newest segment's first if that has none.
    pub last_id: u64,
}

impl Chain {
    /// The segments with the records behind `after_id`.
    pub fn find(disk: &Disk, after_id: u64) -> Result<Self, Fault> {
        let listing = list(disk)?;
        let Some(newest) = listing.segments.last().copied() else {
            return Err(Fault::lost("there are no segments in the log".to_owned()));
        };
        let own = Name { epoch: newest.epoch, first_id: 0 }..;
        let own: Vec<Name> = listing.segments.range(own).copied().collect();
        let first = own[0];
        let mut parts = Vec::new();
        if first.first_id > after_id + 1 {
            let (_, header) = SegmentReader::open(&disk.path(first), first)?;
            let Origin::Taken(taken) = header.origin else {
                return Err(Fault::lost(format!("the segments before `{first}` are missing")));
            };
            parts = taken;
        }
        parts.extend(own.windows(2).map(|pair| Part {
            epoch: pair[0].epoch,
            first_id: pair[0].first_id,
            last_id: pair[1].first_id - 1,
        }));
        parts.retain(|part| part.last_id > after_id && part.last_id >= part.first_id);
        let chain = Self { parts, newest };
        chain.check(&listing, after_id)?;
        Ok(chain)
    }

    /// Whether every record behind `after_id` has its segment.
    fn check(&self, listing: &Listing, after_id: u64) -> Result<(), Fault> {
        let mut next_id = after_id + 1;
        for part in &self.parts {
            let name = part.name();
            if !listing.segments.contains(&name) {
                return Err(Fault::damaged(name, "is missing".to_owned()));
            }
            if part.first_id > next_id {
                return Err(missing_before(name, next_id));
            }
            next_id = part.last_id + 1;
        }
        if self.newest.first_id > next_id {
            return Err(missing_before(self.newest, next_id));
        }
        Ok(())
    }

    /// The chain with the end of its newest segment.
    pub fn survey(disk: &Disk, after_id: u64) -> Result<Survey, Fault> {
        let mut chain = Self::find(disk, after_id)?;
        loop {
            let newest = chain.newest;
            let (mut reader, _) = SegmentReader::open(&disk.path(newest), newest)?;
            let tail = reader.tail(newest.first_id)?;
            if tail.seal != Some(Kind::Continued) {
                let last_id = tail.last.as_ref().map_or(newest.first_id - 1, |last| last.id);
                return Ok(Survey { chain, tail, last_id });
            }
            // The next segment is there before this one is ended.
            chain = Self::find(disk, after_id)?;
            if chain.newest == newest {
                return Err(Fault::lost(format!("the segment that follows `{newest}` is missing")));
            }
        }
    }
}

fn missing_before(name: Name, id: u64) -> Fault {
    Fault::lost(format!("record {id} is in no segment, and `{name}` begins behind it"))
}

/// Lists the directory. An owner that has left its mark has a segment too.
fn list(disk: &Disk) -> Result<Listing, Fault> {
    let listing = disk.list()?;
    let Some(marked) = ahead(&listing) else { return Ok(listing) };
    // A listing is not of one instant: the segment may have come after its place was passed.
    let listing = disk.list()?;
    match ahead(&listing) {
        Some(again) if again == marked => {
            Err(Fault::lost(format!("the segments of owner {marked} are missing")))
        }
        _ => Ok(listing),
    }
}

/// An owner with a mark that is newer than any segment.
fn ahead(listing: &Listing) -> Option<u64> {
    let (&marked, _) = listing.marks.last_key_value()?;
    let newest = listing.segments.last().map(|name| name.epoch);
    (newest < Some(marked)).then_some(marked)
}
