//! The bytes of a segment.
//!
//! ```text
//! segment = "taquba log 2\n" | length u32 | crc u32 | Header (postcard)
//!           record*
//!           zeros
//! record  = length u32 | crc u32 | id u64, mixed with the salt | kind u8 | body
//! ```
//!
//! Integers are little-endian. The checksum of a record covers its length, id, kind and body, and begins
//! with the segment's salt: neither another segment's bytes nor a payload can pass for a record. The id
//! is mixed with it as well, so that a payload cannot even have what looks like the beginning of one,
//! and nobody has to try the checksums of what it says.
//!
//! # Invariants
//!
//! 1. The ids of a segment's records ascend by one.
//! 2. Behind the last record are zeros, at least [`HEAD_BYTES`] of them, and the file's length is a
//!    multiple of [`STEP_BYTES`]. So a file that has lost its end is known by its length. A sealed
//!    segment says by itself that nothing follows.
//! 3. Bytes once written are never written again.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::str::FromStr;

use bytes::Bytes;
use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::Fault;

const MAGIC: &[u8; 13] = b"taquba log 2\n";

/// Largest header that is read. Ours have some 40 bytes for each older segment they name.
const HEADER_BYTES_MAX: usize = 1024 * 1024;

/// What precedes the body of a record.
pub(super) const HEAD_BYTES: usize = 17;

/// Files grow in steps of zeros, without blocks of the disk behind them.
pub(super) const STEP_BYTES: u64 = 256 * 1024;

/// A segment of this size is followed by another one. Whole segments are deleted, so this is about
/// what a log keeps beyond its need.
#[cfg(not(test))]
pub(super) const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Small, so that tests get to see several.
#[cfg(test)]
pub(super) const SEGMENT_BYTES_MAX: u64 = 64 * 1024;

/// Longest file that can be a segment: one that is almost full, the largest record whose length can be
/// written, the seal, and the zeros behind it.
pub(super) const LENGTH_MAX: u64 =
    HEADER_BYTES_MAX as u64 + SEGMENT_BYTES_MAX + u32::MAX as u64 + 4 * STEP_BYTES;

/// What a segment is called: whose it is, and the id of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub epoch: u64,
    pub first_id: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{:020}", self.epoch, self.first_id)
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, first_id) = text.split_once('-').ok_or(())?;
        let number = |digits: &str| digits.parse::<u64>().map_err(drop);
        let name = Self { epoch: number(epoch)?, first_id: number(first_id)? };
        // There is a record before the first one, by number, and one behind it.
        let is_possible = !matches!(name.first_id, 0 | u64::MAX);
        if is_possible && name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

/// What of an older owner's segment belongs to the log: its records up to this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub epoch: u64,
    pub first_id: u64,
    pub last_id: u64,
}

impl Part {
    pub const fn name(&self) -> Name {
        Name { epoch: self.epoch, first_id: self.first_id }
    }
}

/// How a segment came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Origin {
    /// Its owner has taken the store, and this is all that counts of what was there before.
    Taken(Vec<Part>),
    /// The segment before it, of the same owner, was full.
    Rolled,
}

/// The beginning of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub epoch: u64,
    pub first_id: u64,
    pub salt: u32,
    /// Whether its owner syncs what it writes.
    pub is_synced: bool,
    pub origin: Origin,
}

impl Header {
    pub const fn name(&self) -> Name {
        Name { epoch: self.epoch, first_id: self.first_id }
    }

    pub fn encode(&self) -> Vec<u8> {
        let body = postcard::to_stdvec(self).expect("a vector takes any value");
        let length = u32::try_from(body.len()).expect("headers are small");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows that became durable together.
    Rows,
    /// The end: the log goes on in the owner's next segment.
    Continued,
    /// The end: the owner has closed the log in order.
    Closed,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Rows),
            2 => Some(Self::Continued),
            3 => Some(Self::Closed),
            _ => None,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Rows => 1,
            Self::Continued => 2,
            Self::Closed => 3,
        }
    }
}

/// Fills in what precedes the body, which begins at [`HEAD_BYTES`] of `frame`.
pub(super) fn seal_frame(frame: &mut [u8], salt: u32, id: u64, kind: Kind) {
    let length = u32::try_from(frame.len() - HEAD_BYTES).expect("a group is bounded");
    frame[0..4].copy_from_slice(&length.to_le_bytes());
    frame[8..16].copy_from_slice(&(id ^ mask(salt)).to_le_bytes());
    frame[16] = kind.byte();
    let crc = checksum(salt, &frame[0..4], &frame[8..]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// What ids are mixed with.
fn mask(salt: u32) -> u64 {
    u64::from(salt) << 32 | u64::from(salt)
}

fn checksum(salt: u32, length: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(length);
    hasher.update(rest);
    hasher.finalize()
}

/// What precedes the body of a record, as read.
pub(super) struct Head {
    length: u32,
    crc: u32,
    id: u64,
    kind: u8,
}

impl Head {
    fn of(bytes: &[u8; HEAD_BYTES], salt: u32) -> Self {
        let [l0, l1, l2, l3, c0, c1, c2, c3, id @ .., kind] = *bytes;
        Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            id: u64::from_le_bytes(id) ^ mask(salt),
            kind,
        }
    }
}

/// One record, as read.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub id: u64,
    pub kind: Kind,
    pub body: Bytes,
}

/// Reads the records of one segment.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: BufReader<File>,
    name: Name,
    salt: u32,
    /// The file's length when it was opened.
    length: u64,
    /// Where the next record begins.
    at: u64,
}

impl SegmentReader {
    /// Opens a segment and reads its header.
    pub fn open(path: &Path, name: Name) -> Result<(Self, Header), Fault> {
        let (mut file, length) = open(path, name)?;
        let header = read_header(&mut file, name)?;
        let at = file.stream_position().map_err(|error| Fault::io("read", name, error))?;
        Ok((Self { file, name, salt: header.salt, length, at }, header))
    }

    /// Opens a segment at the beginning of one of its records.
    pub fn resume(path: &Path, name: Name, salt: u32, at: u64) -> Result<Self, Fault> {
        let (mut file, length) = open(path, name)?;
        file.seek(SeekFrom::Start(at)).map_err(|error| Fault::io("read", name, error))?;
        Ok(Self { file, name, salt, length, at })
    }

    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Makes durable what is there.
    pub fn sync(&self) -> Result<(), Fault> {
        self.file.get_ref().sync_data().map_err(|error| Fault::io("sync", self.name, error))
    }

    /// The record that begins here, if it is whole and has this id.
    pub fn next(&mut self, id: u64) -> Result<Option<Record>, Fault> {
        let mut bytes = [0; HEAD_BYTES];
        if !self.has(HEAD_BYTES as u64)? || self.read(&mut bytes)?.is_none() {
            return Ok(None);
        }
        let head = Head::of(&bytes, self.salt);
        if head.id != id {
            return Ok(None);
        }
        // A file grows before a record is written to it, and a torn length is not longer than a whole
        // one.
        let size_bytes = HEAD_BYTES as u64 + u64::from(head.length);
        if !self.has(size_bytes)? {
            return Err(self.too_short(id));
        }
        let Some(kind) = Kind::of(head.kind) else { return Ok(None) };
        let mut rest = vec![0; 9 + head.length as usize];
        rest[..9].copy_from_slice(&bytes[8..]);
        let is_read = self.read(&mut rest[9..])?.is_some();
        if !is_read || checksum(self.salt, &bytes[0..4], &rest) != head.crc {
            return Ok(None);
        }
        self.at += size_bytes;
        Ok(Some(Record { id, kind, body: Bytes::from(rest).slice(9..) }))
    }

    /// Whether the file goes on for so long. Its owner may have it grow.
    fn has(&mut self, size_bytes: u64) -> Result<bool, Fault> {
        if self.at + size_bytes > self.length {
            let meta = self.file.get_ref().metadata();
            self.length = meta.map_err(|error| Fault::io("read", self.name, error))?.len();
        }
        Ok(self.at + size_bytes <= self.length)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<Option<()>, Fault> {
        match self.file.read_exact(bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(Some).map_err(|error| Fault::io("read", self.name, error)),
        }
    }

    fn too_short(&self, id: u64) -> Fault {
        Fault::damaged(self.name, format!("ends too early, in record {id}"))
    }

    /// Reads the records of a segment that may have been cut short by a crash, the first one with
    /// this id. Its owner may be writing to it.
    ///
    /// A record that is not whole, and nothing behind it, was being written when its owner died. The
    /// same with a record behind it is damage: each one is durable before the next one is begun.
    pub fn tail(&mut self, first_id: u64) -> Result<Tail, Fault> {
        let mut tail = Tail { end: self.at, last: None, seal: None };
        let mut id = first_id;
        loop {
            while let Some(record) = self.next(id)? {
                if record.kind != Kind::Rows {
                    tail.seal = Some(record.kind);
                    return Ok(tail);
                }
                tail.end = self.at;
                tail.last = Some(record);
                id += 1;
            }
            if !self.has(HEAD_BYTES as u64)? || !self.length.is_multiple_of(STEP_BYTES) {
                return Err(self.too_short(id));
            }
            let is_last = !self.holds_record_behind(id)?;
            let at = SeekFrom::Start(self.at);
            self.file.seek(at).map_err(|error| Fault::io("read", self.name, error))?;
            if is_last {
                return Ok(tail);
            }
            // Both may have been written since we looked.
            let Some(record) = self.next(id)? else {
                return Err(Fault::damaged(self.name, format!("does not read at record {id}")));
            };
            tail.end = self.at;
            tail.last = Some(record);
            id += 1;
        }
    }

    /// Whether a record with a higher id is somewhere behind this place.
    fn holds_record_behind(&mut self, id: u64) -> Result<bool, Fault> {
        self.finds_record_behind(id).map_err(|error| Fault::io("read", self.name, error))
    }

    fn finds_record_behind(&mut self, id: u64) -> io::Result<bool> {
        const PIECE_BYTES: u64 = 256 * 1024;
        let end = self.file.get_ref().metadata()?.len();
        let count_max = end.saturating_sub(self.at) / HEAD_BYTES as u64;
        let (mut at, mut piece) = (self.at, Vec::new());
        loop {
            piece.clear();
            self.file.seek(SeekFrom::Start(at))?;
            self.file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
            for (place, head) in heads(&piece, self.salt, id, count_max) {
                let begin = at + place as u64;
                let is_within = begin + HEAD_BYTES as u64 + u64::from(head.length) <= end;
                if is_within && self.is_whole(begin, &head)? {
                    return Ok(true);
                }
            }
            if piece.len() < HEAD_BYTES {
                return Ok(false);
            }
            // The next piece begins with the first head that did not fit into this one.
            at += (piece.len() - (HEAD_BYTES - 1)) as u64;
        }
    }

    /// Whether the record that begins with this head is as it was written.
    fn is_whole(&mut self, begin: u64, head: &Head) -> io::Result<bool> {
        let mut bytes = [0; HEAD_BYTES];
        self.file.seek(SeekFrom::Start(begin))?;
        self.file.read_exact(&mut bytes)?;
        let mut hasher = Hasher::new_with_initial(self.salt);
        hasher.update(&bytes[0..4]);
        hasher.update(&bytes[8..]);
        let mut left = head.length as usize;
        while left > 0 {
            let read = self.file.fill_buf()?;
            let read = &read[..read.len().min(left)];
            if read.is_empty() {
                return Ok(false);
            }
            hasher.update(read);
            let count = read.len();
            self.file.consume(count);
            left -= count;
        }
        Ok(hasher.finalize() == head.crc)
    }
}

/// Where records with higher ids may begin in these bytes. A head ends with its kind, which is not
/// zero: the usual tail, zeros, is passed at once.
pub(super) fn heads(
    bytes: &[u8],
    salt: u32,
    id: u64,
    count_max: u64,
) -> impl Iterator<Item = (usize, Head)> {
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    bytes[..used].windows(HEAD_BYTES).enumerate().filter_map(move |(place, bytes)| {
        let head = Head::of(bytes.first_chunk()?, salt);
        let is_higher = (1..=count_max).contains(&head.id.wrapping_sub(id));
        (is_higher && Kind::of(head.kind).is_some()).then_some((place, head))
    })
}

/// What a segment holds that may have been cut short by a crash.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// Where the next record would begin.
    pub end: u64,
    /// The last record of rows; `None` if there is none.
    pub last: Option<Record>,
    /// How the segment was ended, if it was.
    pub seal: Option<Kind>,
}

fn open(path: &Path, name: Name) -> Result<(BufReader<File>, u64), Fault> {
    const BUFFER_BYTES: usize = 256 * 1024;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Fault::damaged(name, "is missing".to_owned()));
        }
        Err(error) => return Err(Fault::io("open", name, error)),
    };
    let meta = file.metadata().map_err(|error| Fault::io("open", name, error))?;
    // A record is held in memory, and its length is believed as far as the file goes.
    if meta.len() > LENGTH_MAX {
        return Err(Fault::damaged(name, "is longer than any segment"));
    }
    Ok((BufReader::with_capacity(BUFFER_BYTES, file), meta.len()))
}

fn read_header(file: &mut BufReader<File>, name: Name) -> Result<Header, Fault> {
    const PREFIX_BYTES: usize = MAGIC.len() + 8;
    let damaged = || Fault::damaged(name, "has no readable header".to_owned());
    let mut read = |bytes: &mut [u8]| match file.read_exact(bytes) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(damaged()),
        read => read.map_err(|error| Fault::io("read", name, error)),
    };
    let mut prefix = [0; PREFIX_BYTES];
    read(&mut prefix)?;
    let rest = prefix.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (length, crc) = rest.split_at(4);
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let length = number(length) as usize;
    if length > HEADER_BYTES_MAX {
        return Err(damaged());
    }
    let mut body = vec![0; length];
    read(&mut body)?;
    let header = postcard::from_bytes::<Header>(&body).ok();
    let is_whole = crc32fast::hash(&body) == number(crc);
    header.filter(|header| is_whole && header.name() == name).ok_or_else(damaged)
}
