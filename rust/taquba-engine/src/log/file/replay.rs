//! Reading the log in order.
//!
//! # Invariants
//!
//! 1. Every record from the first to the last one asked for is returned, in order, or it is an error that
//!    names the file.
//! 2. An owner whom a newer one has followed is told so, and not of damage: the newer one deletes what
//!    it does not need.

use std::collections::VecDeque;

use async_trait::async_trait;
use slatedb::wal::{WalError, WalIterator, WalRows};

use super::disk::{Disk, Mark};
use super::segment::{Kind, Part, SegmentReader};
use super::{Fault, blocking, rows};

/// What is read at once.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Returns the rows of some records.
pub(super) struct Replay {
    /// `None` while a chunk is being read.
    source: Option<Source>,
    ready: VecDeque<WalRows>,
}

impl Replay {
    /// The records behind `after_id`, up to the end of the last part.
    pub fn new(disk: Disk, parts: Vec<Part>, after_id: u64) -> Self {
        let source = Source { disk, parts: parts.into(), after_id, open: None, owner: None };
        Self { source: Some(source), ready: VecDeque::new() }
    }

    /// The same for the owner of this epoch, which has its mark.
    pub fn of_owner(disk: Disk, parts: Vec<Part>, after_id: u64, epoch: u64) -> Self {
        let source = Source { disk, parts: parts.into(), after_id, open: None, owner: Some(epoch) };
        Self { source: Some(source), ready: VecDeque::new() }
    }

    /// The same, of which the first segment is open already, at this record.
    pub fn resumed(
        disk: Disk,
        parts: Vec<Part>,
        after_id: u64,
        open: (SegmentReader, u64),
    ) -> Self {
        let source = Source { disk, parts: parts.into(), after_id, open: Some(open), owner: None };
        Self { source: Some(source), ready: VecDeque::new() }
    }
}

#[async_trait]
impl WalIterator for Replay {
    async fn next(&mut self) -> Result<Option<WalRows>, WalError> {
        if self.ready.is_empty() {
            let mut source = self.source.take().ok_or(WalError::Closed)?;
            let (source, chunk) = blocking(move || {
                let chunk = source.chunk().map_err(|fault| source.explained(fault));
                (source, chunk)
            })
            .await;
            self.ready = chunk?;
            self.source = Some(source);
        }
        Ok(self.ready.pop_front())
    }
}

#[derive(Debug)]
struct Source {
    disk: Disk,
    parts: VecDeque<Part>,
    after_id: u64,
    /// The first part, and its next record.
    open: Option<(SegmentReader, u64)>,
    /// Who reads, if it is the owner.
    owner: Option<u64>,
}

impl Source {
    /// A newer owner explains whatever was found. It moves the mark before it deletes anything.
    fn explained(&self, fault: Fault) -> Fault {
        let has_mark = self.owner.map(|epoch| self.disk.has_mark(epoch, Mark::Live));
        if matches!(has_mark, Some(Ok(false))) { Fault::Fenced } else { fault }
    }

    fn chunk(&mut self) -> Result<VecDeque<WalRows>, Fault> {
        let mut chunk = VecDeque::new();
        let mut size_bytes = 0;
        while let (Some(part), true) = (self.parts.front().copied(), size_bytes < CHUNK_BYTES) {
            let name = part.name();
            let (mut reader, id) = match self.open.take() {
                Some(open) => open,
                None => (SegmentReader::open(&self.disk.path(name), name)?.0, part.first_id),
            };
            if id > part.last_id {
                self.parts.pop_front();
                continue;
            }
            let unreadable = || Fault::damaged(name, format!("does not read at record {id}"));
            let record = reader.next(id)?.filter(|record| record.kind == Kind::Rows);
            let record = record.ok_or_else(unreadable)?;
            if id > self.after_id {
                size_bytes += record.body.len();
                let rows = rows::decode(record.body).ok_or_else(unreadable)?;
                chunk.push_back(WalRows { rows, last_consumed_wal_file_id: id });
            }
            self.open = Some((reader, id + 1));
        }
        Ok(chunk)
    }
}
