//! The rows of a record.
//!
//! ```text
//! row  = flags u8 | [when] | key length u32 | value length u32 | key | value
//! when = seq u64 | [created i64] | [expires i64]
//! ```
//!
//! Rows of one batch have one sequence number and one date: what a row shares with the one before it is
//! left out.

use bytes::{Buf as _, Bytes};
use slatedb::{RowEntry, ValueDeletable};

const PUT: u8 = 1;
const MERGE: u8 = 2;
const CREATED: u8 = 4;
const EXPIRES: u8 = 8;
const SAME: u8 = 16;

/// Sequence number, date of creation, date of expiry.
type When = (u64, Option<i64>, Option<i64>);

/// Appends rows.
pub(super) fn encode(rows: &[RowEntry], into: &mut Vec<u8>) {
    let mut last = None;
    for row in rows {
        encode_one(row, last, into);
        last = Some(when(row));
    }
}

const fn when(row: &RowEntry) -> When {
    (row.seq, row.create_ts, row.expire_ts)
}

fn encode_one(row: &RowEntry, last: Option<When>, into: &mut Vec<u8>) {
    let (kind, value): (u8, &[u8]) = match &row.value {
        ValueDeletable::Value(value) => (PUT, value),
        ValueDeletable::Merge(value) => (MERGE, value),
        ValueDeletable::Tombstone => (0, &[]),
    };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("keys and values are bounded");
    if last == Some(when(row)) {
        into.push(kind | SAME);
    } else {
        let flag = |instant: Option<i64>, flag: u8| instant.map_or(0, |_| flag);
        into.push(kind | flag(row.create_ts, CREATED) | flag(row.expire_ts, EXPIRES));
        into.extend_from_slice(&row.seq.to_le_bytes());
        for instant in [row.create_ts, row.expire_ts].into_iter().flatten() {
            into.extend_from_slice(&instant.to_le_bytes());
        }
    }
    into.extend_from_slice(&length(&row.key).to_le_bytes());
    into.extend_from_slice(&length(value).to_le_bytes());
    into.extend_from_slice(&row.key);
    into.extend_from_slice(value);
}

/// Reads all rows of a record. `None` if they do not read.
pub(super) fn decode(mut body: Bytes) -> Option<Vec<RowEntry>> {
    let mut rows: Vec<RowEntry> = Vec::new();
    while body.has_remaining() {
        rows.push(decode_one(&mut body, rows.last().map(when))?);
    }
    Some(rows)
}

fn decode_one(body: &mut Bytes, last: Option<When>) -> Option<RowEntry> {
    let flags = body.try_get_u8().ok()?;
    let (seq, create_ts, expire_ts) = if flags & SAME != 0 { last? } else { read(body, flags)? };
    let key_bytes = body.try_get_u32_le().ok()? as usize;
    let value_bytes = body.try_get_u32_le().ok()? as usize;
    if body.remaining() < key_bytes.checked_add(value_bytes)? {
        return None;
    }
    let (key, value) = (body.split_to(key_bytes), body.split_to(value_bytes));
    let value = match flags & !(CREATED | EXPIRES | SAME) {
        0 => ValueDeletable::Tombstone,
        PUT => ValueDeletable::Value(value),
        MERGE => ValueDeletable::Merge(value),
        _ => return None,
    };
    Some(RowEntry { key, value, seq, create_ts, expire_ts })
}

fn read(body: &mut Bytes, flags: u8) -> Option<When> {
    let seq = body.try_get_u64_le().ok()?;
    let mut instant = |flag| match flags & flag {
        0 => Some(None),
        _ => body.try_get_i64_le().ok().map(Some),
    };
    Some((seq, instant(CREATED)?, instant(EXPIRES)?))
}
