//! Runs as stored: where a live run's job is, and how an ended run ended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Headers, Trail, Undecodable, decode, encode};
use crate::command::{RunOutcome, TerminalStatus, TerminalStatuses};
use crate::ids::RunId;

/// A run's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Index of the queue of its steps.
    pub queue: u32,
    /// The row its jobs live in.
    pub row: u64,
    /// SHA-256 of its input.
    pub input_sha256: [u8; 32],
    /// When it was submitted.
    pub submitted_at_ms: u64,
    /// Of which ends a hook is to be told.
    pub observed: TerminalStatuses,
    /// How long its end stays known; `None` for good.
    pub retention_ms: Option<u64>,
    /// How long its memos are kept after its end; `None` for good.
    pub memo_retention_ms: Option<u64>,
    /// Whether memos of it may be there.
    pub has_memos: bool,
    /// How it ended; `None` while it is live.
    pub ended: Option<EndedRun>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// When.
    pub at_ms: u64,
    /// How.
    pub status: TerminalStatus,
    /// What it produced, if it succeeded.
    pub result: Option<Bytes>,
    /// Why, unless it succeeded.
    pub error: Option<Box<str>>,
    /// The submission's headers.
    pub headers: Headers,
    /// The step that ended it.
    pub final_step: u32,
    /// Deliveries of that step.
    pub attempts: u32,
    /// Its latest steps, oldest first; the last one ended it.
    pub trail: Trail,
}

impl EndedRun {
    /// What callers see.
    #[must_use]
    pub fn outcome(&self, run_id: &RunId) -> RunOutcome {
        RunOutcome {
            run_id: run_id.clone(),
            status: self.status,
            result: self.result.clone(),
            error: self.error.as_deref().map(str::to_owned),
            headers: self.headers.clone(),
            final_step: self.final_step,
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum StoredStatus {
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    queue: u32,
    row: u64,
    input_sha256: [u8; 32],
    submitted_at_ms: u64,
    observed: u8,
    retention_ms: Option<u64>,
    memo_retention_ms: Option<u64>,
    has_memos: bool,
    #[serde(borrow)]
    ended: Option<StoredEnd<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredEnd<'a> {
    at_ms: u64,
    status: StoredStatus,
    #[serde(borrow)]
    result: Option<&'a serde_bytes::Bytes>,
    error: Option<&'a str>,
    final_step: u32,
    attempts: u32,
    #[serde(borrow, with = "serde_bytes")]
    headers: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    trail: &'a [u8],
}

impl RunRow {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        const FIXED_BYTES_MAX: usize = 128;
        let ended = self.ended.as_ref();
        let size_hint = ended.map_or(0, |end| {
            end.result.as_ref().map_or(0, Bytes::len)
                + end.error.as_deref().map_or(0, str::len)
                + end.headers.as_bytes().len()
                + end.trail.as_bytes().len()
        });
        encode(
            &Stored {
                queue: self.queue,
                row: self.row,
                input_sha256: self.input_sha256,
                submitted_at_ms: self.submitted_at_ms,
                observed: self.observed.bits(),
                retention_ms: self.retention_ms,
                memo_retention_ms: self.memo_retention_ms,
                has_memos: self.has_memos,
                ended: ended.map(|end| StoredEnd {
                    at_ms: end.at_ms,
                    status: end.status.into(),
                    result: end.result.as_deref().map(serde_bytes::Bytes::new),
                    error: end.error.as_deref(),
                    final_step: end.final_step,
                    attempts: end.attempts,
                    headers: end.headers.as_bytes(),
                    trail: end.trail.as_bytes(),
                }),
            },
            FIXED_BYTES_MAX + size_hint,
        )
    }

    /// Reads a row's value.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, Undecodable> {
        let stored: Stored<'_> = decode(bytes)?;
        let read_end = |end: StoredEnd<'_>| {
            Ok(EndedRun {
                at_ms: end.at_ms,
                status: end.status.into(),
                result: end.result.map(|result| bytes.slice_ref(result)),
                error: end.error.map(Box::from),
                headers: Headers::from_stored(end.headers)
                    .ok_or_else(|| Undecodable("headers do not read to their end".into()))?,
                final_step: end.final_step,
                attempts: end.attempts,
                trail: Trail::of_stored(end.trail),
            })
        };
        Ok(Self {
            queue: stored.queue,
            row: stored.row,
            input_sha256: stored.input_sha256,
            submitted_at_ms: stored.submitted_at_ms,
            observed: TerminalStatuses::from_bits(stored.observed)
                .ok_or_else(|| Undecodable(format!("ways to end {:#x}", stored.observed)))?,
            retention_ms: stored.retention_ms,
            memo_retention_ms: stored.memo_retention_ms,
            has_memos: stored.has_memos,
            ended: stored.ended.map(read_end).transpose()?,
        })
    }
}

impl From<TerminalStatus> for StoredStatus {
    fn from(status: TerminalStatus) -> Self {
        match status {
            TerminalStatus::Succeeded => Self::Succeeded,
            TerminalStatus::Failed => Self::Failed,
            TerminalStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<StoredStatus> for TerminalStatus {
    fn from(status: StoredStatus) -> Self {
        match status {
            StoredStatus::Succeeded => Self::Succeeded,
            StoredStatus::Failed => Self::Failed,
            StoredStatus::Cancelled => Self::Cancelled,
        }
    }
}
