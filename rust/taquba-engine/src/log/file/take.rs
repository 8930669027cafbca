//! Taking the log over.
//!
//! 1. The marks of older owners are moved: none of them reports a write as durable from here on.
//! 2. The log is read. Everything that was reported is in it, because a writer looks for its mark
//!    after its write is durable.
//! 3. The new owner's first segment appears, with the list of what was read: now that is the log.
//! 4. It gets its own mark. Only then does SlateDB look whether its epoch is still the newest one, and
//!    only then does it write.
//!
//! # Why this holds
//!
//! Epochs come from SlateDB's manifest, so they are different and ascend. Let `a < b` be two owners.
//! If `b` finds the mark of `a` in step 1, `a` reports nothing after that, and `b` reads all of it in
//! step 2. If it does not, `a` makes its mark after `b` has got its epoch; so `a` finds in step 4 that it
//! is outdated and never writes. The same with three, and in any order.
//!
//! What a paused owner writes after step 2 was not reported. It lies behind the last id that the list
//! of step 3 names, so no later owner replays it either.
//!
//! An owner that ends before step 3 leaves nothing that counts: the next one reads again. One that
//! ends behind it leaves a list which the next one builds on, whether or not it has its mark.
//!
//! Until step 3 nobody else can know what will count. Readers that come then see by a locked file with
//! its epoch that somebody is at it, and wait. Not so if there is a newer owner's segment: what an older
//! opener says later is nothing to anybody, so one that was stopped on the way keeps no reader from it.
//!
//! The last record of a segment that was not ended may not have reached the disk: its owner may have
//! died, or failed, in its sync, and another sync of the same file would not tell. It is copied into
//! the new segment, with the same id.

use std::io;

use super::Fault;
use super::chain::Chain;
use super::disk::{Disk, LOG_DIR, Step};
use super::segment::{HEAD_BYTES, Name, Origin, Part};
use super::tape::Tape;

/// Looks for marks of older owners. Each of them makes one mark, so that each further look is due to
/// one more that opened at this moment.
const LOOKS_MAX: u32 = 1_000;

/// What SlateDB's manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The new owner's epoch.
    pub epoch: u64,
    /// Rows up to this record are in tables.
    pub after_id: u64,
    /// This record was durable when the manifest was written.
    pub seen_id: u64,
}

/// The log in new hands.
#[derive(Debug)]
pub(super) struct Taken {
    pub tape: Tape,
    /// What is to be replayed, in its order.
    pub parts: Vec<Part>,
    /// The last record of it.
    pub last_id: u64,
    /// Bytes of the segments that it is in.
    pub size_bytes: u64,
}

impl Taken {
    /// The parts that lie in older owners' segments.
    pub fn older(&self) -> Vec<Part> {
        let own = self.tape.name();
        self.parts.iter().filter(|part| part.name() != own).copied().collect()
    }
}

/// Takes the log over. Whoever calls this makes sure that its epoch is still the newest one before it
/// writes, and before it calls a failure damage: a newer owner may have been tidying up.
pub(super) fn take(disk: &Disk, bounds: Bounds) -> Result<Taken, Fault> {
    let Bounds { epoch, after_id, seen_id } = bounds;
    let _entered = disk.enter(epoch)?;
    let mut look_count = 0;
    loop {
        let listing = disk.list()?;
        let newest = listing.segments.last().map_or(0, |name| name.epoch);
        if newest.max(listing.marks.keys().last().copied().unwrap_or(0)) >= epoch {
            return Err(Fault::Fenced);
        }
        if !disk.fence_before(epoch, &listing)? {
            break;
        }
        look_count += 1;
        if look_count == LOOKS_MAX {
            return Err(refused(io::Error::other("the marks of older owners come back")));
        }
    }
    reach(disk, Step::Fenced)?;
    let survey = Chain::survey(disk, after_id)?;
    let newest = survey.chain.newest;
    if survey.last_id < seen_id && after_id < seen_id {
        return Err(Fault::damaged(newest, format!("ends before record {seen_id}")));
    }
    reach(disk, Step::Surveyed)?;
    let copied = survey.tail.last.filter(|last| survey.tail.seal.is_none() && last.id > after_id);
    let mut parts = survey.chain.parts;
    let last_kept = copied.as_ref().map_or(survey.last_id, |record| record.id - 1);
    if last_kept > after_id && last_kept >= newest.first_id {
        let Name { epoch, first_id } = newest;
        parts.push(Part { epoch, first_id, last_id: last_kept });
    }
    let mut size_bytes = 0;
    for part in &parts {
        disk.sync(part.name())?;
        size_bytes += disk.size_bytes(part.name())?;
    }
    let last_id = survey.last_id.max(after_id);
    let first_id = copied.as_ref().map_or(last_id + 1, |record| record.id);
    let name = Name { epoch, first_id };
    let first = copied.map(|record| (record.id, [&[0; HEAD_BYTES], &record.body[..]].concat()));
    if let Some((id, frame)) = &first {
        size_bytes += frame.len() as u64;
        debug_assert!(*id == last_id, "only the last record is copied");
    }
    let has_copy = first.is_some();
    let tape = Tape::create(disk, name, Origin::Taken(parts.clone()), first)?;
    if has_copy {
        parts.push(Part { epoch, first_id, last_id: first_id });
    }
    reach(disk, Step::Published)?;
    disk.mark(epoch)?;
    reach(disk, Step::Marked)?;
    Ok(Taken { tape, parts, last_id, size_bytes })
}

fn reach(disk: &Disk, step: Step) -> Result<(), Fault> {
    disk.reach(step).map_err(refused)
}

fn refused(source: io::Error) -> Fault {
    Fault::Io { doing: "take over", file: LOG_DIR.to_owned(), source }
}
