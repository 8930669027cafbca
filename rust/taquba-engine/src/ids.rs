//! Identifiers: what names a queue, a job, a run and one delivery.
//!
//! # Invariants
//!
//! 1. A [`JobId`] orders like the job's enqueue: its text form sorts the same way.
//! 2. A [`ClaimToken`] is never handed out twice, not even after a restart: it starts with the
//!    owner epoch, which only grows.
//! 3. A [`RunId`] is safe as a path segment: no text of it can leave its prefix.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;
use crate::limits::{KV_KEY_BYTES_MAX, QUEUE_NAME_BYTES_MAX, RUN_ID_BYTES_MAX};

/// A queue's name: 1 to 255 characters of `[A-Za-z0-9._-]`, the first one a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.len() > QUEUE_NAME_BYTES_MAX || !starts_well || !text.chars().all(valid) {
            return Err(Error::InvalidQueueName { name: clip(text) });
        }
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run's name: 1 to 128 characters of `[A-Za-z0-9_-]`, the caller's or generated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Arc<str>);

impl RunId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if text.is_empty() || text.len() > RUN_ID_BYTES_MAX || !text.chars().all(valid) {
            return Err(Error::InvalidRunId { run_id: clip(text) });
        }
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key of the key-value space: 1 to 1,024 bytes of any text. Ordered by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KvKey(Arc<str>);

impl KvKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KvKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if !(1..=KV_KEY_BYTES_MAX).contains(&text.len()) {
            return Err(Error::InvalidKey { size_bytes: text.len() });
        }
        Ok(Self(Arc::from(text)))
    }
}

/// A job's id: the row it lives in, and its turn in that row.
///
/// The steps of one run take over each other's row, so a step's id is the run's row and the
/// step number. Every other job has turn 0. Text: 16 hexadecimal digits, then `-turn` if the turn
/// is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    /// The sequence number under which the row was created.
    pub row: u64,
    /// How often the row was taken over before this job.
    pub turn: u32,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.row)?;
        if self.turn > 0 {
            write!(f, "-{}", self.turn)?;
        }
        Ok(())
    }
}

impl FromStr for JobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidJobId { job_id: clip(text) };
        let (row, turn) = match text.split_once('-') {
            Some((row, turn)) => (row, turn.parse().map_err(|_| invalid())?),
            None => (text, 0),
        };
        let id = Self { row: u64::from_str_radix(row, 16).map_err(|_| invalid())?, turn };
        // Only as it is printed: an id has one text, and no sign or capital slips through.
        if id.to_string() != text {
            return Err(invalid());
        }
        Ok(id)
    }
}

/// The SHA-256 of a memo's key: any key at all has one, and it is safe as a path segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoKey([u8; 32]);

impl MemoKey {
    /// The first of them all.
    pub(crate) const MIN: Self = Self([0; 32]);

    /// The digest of a key's bytes.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(key).into())
    }

    /// The key of a digest that was computed earlier.
    #[must_use]
    pub const fn of_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for MemoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MemoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoKey({self})")
    }
}

/// One delivery's fencing number: only its holder may settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimToken(pub u64);

/// Shortens hostile input for an error message and escapes its control characters.
pub(crate) fn clip(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
