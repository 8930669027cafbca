//! Reading rows, the same for an owner and for a reader.
//!
//! # Invariants
//!
//! 1. Every read is of durable rows only. The storage engine shows a row as soon as it is in memory
//!    unless it is told otherwise.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use futures::StreamExt as _;
use slatedb::config::{DurabilityLevel, ReadOptions, ScanOptions};
use slatedb::{DbReadOps, Error, IterationOrder};

use super::{Extent, ScanRange, Visit};
use crate::record::keys;

/// Reading in runs pays when at least one row in this many is wanted.
const SPARSE_ROWS_MAX: u64 = 8;

/// Single reads under way at once.
const READS_MAX: usize = 32;

/// What a scan that reads everything fetches at once: a request's latency costs more than its bytes.
const READ_AHEAD_BYTES: usize = 1024 * 1024;

/// Such fetches under way at once.
const FETCHES_MAX: usize = 4;

/// What a page fetches at once. With the read-ahead of a whole scan a page of one row took 2 ms
/// instead of 70 µs; with single blocks a long page would take a request for each.
const PAGE_BYTES: usize = 32 * 1024;

pub(super) async fn get(db: &(impl DbReadOps + Sync), key: &Bytes) -> Result<Option<Bytes>, Error> {
    let options =
        ReadOptions { durability_filter: DurabilityLevel::Remote, ..ReadOptions::default() };
    db.get_with_options(key, &options).await
}

pub(super) async fn get_many(
    db: &(impl DbReadOps + Sync),
    mut keys: Vec<Bytes>,
) -> Result<Vec<(Bytes, Bytes)>, Error> {
    keys.sort_unstable();
    let mut found = Vec::with_capacity(keys.len());
    if let Some(range) = dense_range(&keys) {
        let mut visit = |key: Bytes, value| {
            if keys.binary_search(&key).is_ok() {
                found.push((key, value));
            }
            ControlFlow::Continue(())
        };
        scan(db, range, &mut visit).await?;
        return Ok(found);
    }
    let reads = keys
        .into_iter()
        .map(|key| async move { get(db, &key).await.map(|value| value.map(|value| (key, value))) });
    let mut reads = futures::stream::iter(reads).buffered(READS_MAX);
    while let Some(read) = reads.next().await {
        found.extend(read?);
    }
    Ok(found)
}

pub(super) async fn scan(
    db: &(impl DbReadOps + Sync),
    range: ScanRange,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    // The storage engine takes an empty range for a bug of its caller.
    if range.is_empty() {
        return Ok(());
    }
    let options = scan_options(&range);
    let mut rows = db.scan_with_options((range.start, range.end), &options).await?;
    while let Some(row) = rows.next().await? {
        if visit(row.key, row.value).is_break() {
            break;
        }
    }
    Ok(())
}

fn scan_options(range: &ScanRange) -> ScanOptions {
    let order = if range.reverse { IterationOrder::Descending } else { IterationOrder::Ascending };
    let whole = range.extent == Extent::Whole;
    ScanOptions {
        durability_filter: DurabilityLevel::Remote,
        order,
        read_ahead_bytes: if whole { READ_AHEAD_BYTES } else { PAGE_BYTES },
        max_fetch_tasks: if whole { FETCHES_MAX } else { 1 },
        cache_blocks: !whole,
        ..ScanOptions::default()
    }
}

/// The run in which to read these keys, which are sorted, if they are close enough together.
fn dense_range(keys: &[Bytes]) -> Option<ScanRange> {
    let (first, last) = (keys.first()?, keys.last()?);
    if first.first() != last.first() {
        return None;
    }
    let spread = keys::row_of(last)?.checked_sub(keys::row_of(first)?)?;
    (keys.len() > 1 && spread < keys.len() as u64 * SPARSE_ROWS_MAX).then(|| ScanRange {
        start: Bound::Included(first.clone()),
        end: Bound::Included(last.clone()),
        reverse: false,
        extent: Extent::Whole,
    })
}
