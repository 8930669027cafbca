//! Stored forms: the bytes of every row.
//!
//! # Invariants
//!
//! 1. A value starts with its version byte. A reader that meets a newer one says so instead of
//!    guessing.
//! 2. Encoding is positional and deterministic: one value, one byte string.
//! 3. What is read is validated before it is believed; a bad row is an `Err`, never a panic.
//!
//! | key | value | file |
//! |---|---|---|
//! | `m` | format, owner epoch, clean mark | `meta.rs` |
//! | `n` | next sequence number, time floor | `meta.rs` |
//! | `q` queue index (4 bytes, big-endian) | name and totals of a queue | `meta.rs` |
//! | `j` row (8 bytes, big-endian) | a job: plain, step or notification, live or ended | `job.rs`, `payload.rs`, `trail.rs` |
//! | `c` commit (8 bytes, big-endian) | claims that were open when it was cut | `meta.rs` |
//! | `d` row (8 bytes, big-endian) | the job's holder was asked to stop | `meta.rs` |
//! | `k` key | a value of the key-value space | `kv.rs` |
//! | `r` run id | a run: live or ended | `run.rs`, `trail.rs` |
//! | `v` row, step, digest (8, 4, 32 bytes) | a memo of the run that was submitted under this row | `memo.rs` |
//! | `w` row, epoch, number (8, 4, 8 bytes) | nothing: a memo of that run names this object | `keys.rs` |
//! | `e` row | when the memos of that run, which has ended, are deleted | `memo.rs` |
//! | `x` damaged key | the damaged value, moved aside | `keys.rs` |

mod headers;
mod job;
pub mod keys;
mod kv;
mod memo;
mod meta;
mod payload;
mod run;
mod trail;

pub use headers::{Headers, RESERVED_HEADER_PREFIX};
pub use job::{Body, BodyWork, JobEnd, JobRow, STEP_KEY_PREFIX};
pub use kv::{decode_value, encode_value};
pub use memo::{MemoSweepRow, decode_memo, encode_memo};
pub use meta::{CancelRow, ClaimsRow, Meta, OpenClaim, QueueCounts, QueueRow, Sequence};
pub use payload::{NotAPayloadName, Payload, PayloadFault, PayloadName, PayloadRef};
pub use run::{EndedRun, RunRow};
pub use trail::{PastStep, Trail};

use bytes::Bytes;
use serde::de::Deserialize;
use serde::ser::Serialize;

/// The format this version writes and reads.
pub const FORMAT: u32 = 6;

/// The first byte of every value.
const VERSION: u8 = 1;

/// One change to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Sets a key.
    Put(Bytes, Bytes),
    /// Removes a key.
    Delete(Bytes),
}

impl Row {
    /// Bytes of key and value.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

/// A value that cannot be read: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable(pub String);

/// Writes a value behind its version byte.
fn encode<T: Serialize>(value: &T, size_hint: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(size_hint + 1);
    bytes.push(VERSION);
    let bytes = postcard::to_extend(value, bytes).expect("a vector takes any value");
    Bytes::from(bytes)
}

/// Reads a value behind its version byte, to its last byte.
fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Undecodable> {
    let (&version, rest) = bytes.split_first().ok_or_else(|| Undecodable("empty value".into()))?;
    if version != VERSION {
        return Err(Undecodable(format!("version {version}, this version reads {VERSION}")));
    }
    let (value, rest) =
        postcard::take_from_bytes(rest).map_err(|error| Undecodable(error.to_string()))?;
    if !rest.is_empty() {
        return Err(Undecodable(format!("{} bytes too many", rest.len())));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
