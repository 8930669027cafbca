//! Telling a fence from a loss.
//!
//! A new owner writes an empty object at the end of the write-ahead log, so that an older owner's next
//! commit finds its place taken. A log object that has lost its bytes looks just the same, and would be
//! passed over without a word. So every fence is announced first, by a marker beside the log.
//!
//! # Invariants
//!
//! 1. Whoever finds a fence finds its marker: the marker is written before.
//! 2. An empty log object without a marker has lost its rows, and the store is not opened.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, Result};

/// Where the storage engine keeps its log, and where the markers are.
const LOG_DIR: &str = "wal";
const MARKER_DIR: &str = "fences";

/// Markers have a byte, so that a marker cannot be taken for a loss itself.
pub(super) const MARKER: &str = "fence\n";

/// Where a fence at this place of the log is announced; `None` for any other place.
pub(super) fn marker_of(location: &Path) -> Option<Path> {
    let parts: Vec<_> = location.parts().collect();
    let [root @ .., dir, file] = parts.as_slice() else { return None };
    (dir.as_ref() == LOG_DIR).then(|| {
        let root: Path = root.iter().cloned().collect();
        root.join(MARKER_DIR).join(file.as_ref())
    })
}

/// The empty objects of the log that nobody announced.
pub(super) async fn unannounced(store: &dyn ObjectStore, root: &Path) -> Result<Vec<Path>> {
    let log = root.clone().join(LOG_DIR);
    let empty: Vec<Path> = store
        .list(Some(&log))
        .try_filter(|object| std::future::ready(object.size == 0))
        .map_ok(|object| object.location)
        .try_collect()
        .await?;
    if empty.is_empty() {
        return Ok(empty);
    }
    let markers = store.list(Some(&root.clone().join(MARKER_DIR)));
    let markers: BTreeSet<Path> =
        markers.map(|marker| marker.map(|object| object.location)).try_collect().await?;
    let is_announced =
        |place: &Path| marker_of(place).is_some_and(|marker| markers.contains(&marker));
    Ok(empty.into_iter().filter(|place| !is_announced(place)).collect())
}

#[cfg(test)]
mod tests;
