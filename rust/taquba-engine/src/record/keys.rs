//! Keys: one tag byte, then what the scan orders by.
//!
//! Job keys are short and ascend with the sequence: such keys cost the storage engine half of
//! what scattered ones do.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{KvKey, RunId};

/// Format, epoch, clean mark.
pub const META: &[u8] = b"m";
/// Next sequence number and time floor.
pub const SEQUENCE: &[u8] = b"n";
/// Queues.
pub const QUEUE: u8 = b'q';
/// Jobs.
pub const JOB: u8 = b'j';
/// Open claims.
pub const CLAIM: u8 = b'c';
/// The key-value space.
pub const KV: u8 = b'k';
/// Runs.
pub const RUN: u8 = b'r';
/// Damaged rows, moved aside.
pub const QUARANTINE: u8 = b'x';

/// The key of a queue.
#[must_use]
pub fn queue(index: u32) -> Bytes {
    tagged(QUEUE, &index.to_be_bytes())
}

/// The key of a job.
#[must_use]
pub fn job(row: u64) -> Bytes {
    tagged(JOB, &row.to_be_bytes())
}

/// The key of an open claim.
#[must_use]
pub fn claim(row: u64) -> Bytes {
    tagged(CLAIM, &row.to_be_bytes())
}

/// The key of a run.
#[must_use]
pub fn run(run_id: &RunId) -> Bytes {
    tagged(RUN, run_id.as_str().as_bytes())
}

/// The key of a value of the key-value space.
#[must_use]
pub fn kv(key: &KvKey) -> Bytes {
    tagged(KV, key.as_str().as_bytes())
}

/// Reads the user's key behind a tag.
#[must_use]
pub fn kv_of(key: &[u8]) -> Option<KvKey> {
    std::str::from_utf8(key.get(1..)?).ok()?.parse().ok()
}

/// Where a damaged row is moved to.
#[must_use]
pub fn quarantine(key: &[u8]) -> Bytes {
    tagged(QUARANTINE, key)
}

/// Reads the number behind a tag.
#[must_use]
pub fn row_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

/// Reads the queue index behind a tag.
#[must_use]
pub fn queue_index_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

/// Reads the run id behind a tag.
#[must_use]
pub fn run_of(key: &[u8]) -> Option<RunId> {
    std::str::from_utf8(key.get(1..)?).ok()?.parse().ok()
}

fn tagged(tag: u8, rest: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + rest.len());
    key.put_u8(tag);
    key.put_slice(rest);
    key.freeze()
}
