//! The store that all workloads use: a directory, every object synced before its write is done.
//!
//! Always holds: what the queue has acknowledged has been through `fsync`, file and directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use taquba::{OpenOptions, Queue};

use crate::Failure;

// SlateDB's own default is 100 ms, and every enqueue and every acknowledgement waits for this tick.
const FLUSH_EVERY: Duration = Duration::from_millis(1);
const DATABASE: &str = "queue";

/// Opens the directory as an object store.
pub fn objects(directory: &Path) -> Result<Arc<LocalFileSystem>, Failure> {
    Ok(Arc::new(LocalFileSystem::new_with_prefix(directory)?.with_fsync(true)))
}

/// Opens the queue in it; also after a close, to see what was kept.
pub async fn open(objects: &Arc<LocalFileSystem>) -> Result<Arc<Queue>, Failure> {
    let options = OpenOptions::default().flush_interval(FLUSH_EVERY);
    Ok(Arc::new(Queue::open_with_options(objects.clone(), DATABASE, options).await?))
}

/// Closes the queue, which nobody else may hold any more.
pub async fn close(queue: Arc<Queue>) -> Result<(), Failure> {
    let queue = Arc::into_inner(queue).ok_or("the queue is still in use")?;
    Ok(queue.close().await?)
}

/// Closes and opens again; gives the counters that the store has kept for one queue.
pub async fn reopen_and_count(
    objects: &Arc<LocalFileSystem>,
    queue: Arc<Queue>,
    name: &str,
) -> Result<taquba::QueueStats, Failure> {
    close(queue).await?;
    let queue = open(objects).await?;
    let stats = queue.view().stats(name).await?;
    close(queue).await?;
    Ok(stats)
}
