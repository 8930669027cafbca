//! Keys: one tag byte, then what the scan orders by.
//!
//! Job keys are short and ascend with the sequence: such keys cost the storage engine half of
//! what scattered ones do.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{KvKey, MemoKey, RunId};
use crate::record::PayloadName;

/// Format, epoch, clean mark.
pub const META: &[u8] = b"m";
/// Next sequence number and time floor.
pub const SEQUENCE: &[u8] = b"n";
/// Queues.
pub const QUEUE: u8 = b'q';
/// Jobs.
pub const JOB: u8 = b'j';
/// Open claims.
pub const CLAIMS: u8 = b'c';
/// Requests to stop.
pub const CANCEL: u8 = b'd';
/// The key-value space.
pub const KV: u8 = b'k';
/// Runs.
pub const RUN: u8 = b'r';
/// Memos.
pub const MEMO: u8 = b'v';
/// Objects that memos name.
pub const MEMO_OBJECT: u8 = b'w';
/// When the memos of a run that has ended are deleted.
pub const MEMO_SWEEP: u8 = b'e';
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

/// The key of the claims that were open when a commit was cut.
#[must_use]
pub fn claims(batch: u64) -> Bytes {
    tagged(CLAIMS, &batch.to_be_bytes())
}

/// The key of a request to stop the holder of a job.
#[must_use]
pub fn cancel(row: u64) -> Bytes {
    tagged(CANCEL, &row.to_be_bytes())
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

/// The key of a memo: of the run in this row, of a step, and the digest of what the user named it.
#[must_use]
pub fn memo(row: u64, step_number: u32, key: &MemoKey) -> Bytes {
    let mut rest = Vec::with_capacity(8 + 4 + 32);
    rest.extend_from_slice(&row.to_be_bytes());
    rest.extend_from_slice(&step_number.to_be_bytes());
    rest.extend_from_slice(key.as_bytes());
    tagged(MEMO, &rest)
}

/// Reads the step and the key of a memo behind tag and row.
#[must_use]
pub fn memo_mark_of(key: &[u8]) -> Option<(u32, MemoKey)> {
    let (step_number, digest) = key.get(1 + 8..)?.split_first_chunk()?;
    Some((u32::from_be_bytes(*step_number), MemoKey::of_digest(digest.try_into().ok()?)))
}

/// What the keys of all memos of a run start with.
#[must_use]
pub fn memos_of(row: u64) -> Bytes {
    tagged(MEMO, &row.to_be_bytes())
}

/// The key that says that a memo of the run in this row names an object.
#[must_use]
pub fn memo_object(row: u64, name: PayloadName) -> Bytes {
    let mut rest = Vec::with_capacity(8 + 4 + 8);
    rest.extend_from_slice(&row.to_be_bytes());
    rest.extend_from_slice(&name.epoch.to_be_bytes());
    rest.extend_from_slice(&name.number.to_be_bytes());
    tagged(MEMO_OBJECT, &rest)
}

/// What the keys of all objects that a run's memos name start with.
#[must_use]
pub fn memo_objects_of(row: u64) -> Bytes {
    tagged(MEMO_OBJECT, &row.to_be_bytes())
}

/// Reads the object's name behind a tag and a row.
#[must_use]
pub fn memo_object_name_of(key: &[u8]) -> Option<PayloadName> {
    let name = key.get(9..21).filter(|_| key.len() == 21)?;
    Some(PayloadName {
        epoch: u32::from_be_bytes(name[..4].try_into().ok()?),
        number: u64::from_be_bytes(name[4..].try_into().ok()?),
    })
}

/// The key that says when the memos of the run in this row are deleted.
#[must_use]
pub fn memo_sweep(row: u64) -> Bytes {
    tagged(MEMO_SWEEP, &row.to_be_bytes())
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
