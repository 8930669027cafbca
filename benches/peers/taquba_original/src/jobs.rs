//! Jobs: enqueued one by one, enqueued in batches, and drained by one worker.
//!
//! Always holds: every payload carries the index of its job, so a worker can tell lost and repeated
//! jobs apart; what a store is said to hold was counted after it was closed and opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use object_store::local::LocalFileSystem;
use taquba::{JobRecord, LeaseHandle, Queue, Worker, WorkerError, run_worker_concurrent};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Arguments, End, Failure, begin, end, store, warm_up_count};

const PAYLOAD_BYTES: usize = 64;
const BATCH_COUNT: usize = 1_000;
const MEASURED: &str = "measured";
const WARM_UP: &str = "warm-up";
// Inserts wake a worker at once; nothing here waits for a poll.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// 64 bytes that begin with the index.
pub fn payload(index: usize) -> Vec<u8> {
    let mut bytes = vec![b'x'; PAYLOAD_BYTES];
    bytes[..8].copy_from_slice(&(index as u64).to_le_bytes());
    bytes
}

/// One call for each job, many callers at once, each waiting until its job is durable.
pub async fn enqueue(arguments: &Arguments) -> Result<(), Failure> {
    let objects = store::objects(&arguments.directory)?;
    let queue = store::open(&objects).await?;
    call_all(&queue, WARM_UP, warm_up_count(arguments.count), arguments.in_flight).await?;

    begin();
    let started = Instant::now();
    call_all(&queue, MEASURED, arguments.count, arguments.in_flight).await?;
    let took = started.elapsed();

    end_of_enqueue(arguments.count, took);
    check_all_kept(arguments.count, &objects, queue).await
}

async fn call_all(
    queue: &Arc<Queue>,
    name: &'static str,
    count: usize,
    callers: usize,
) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (queue, next) = (queue.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok::<(), taquba::Error>(());
                }
                queue.enqueue(name, payload(index)).await?;
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined??;
    }
    Ok(())
}

/// The same jobs, 1,000 a call, one caller.
pub async fn enqueue_batch(arguments: &Arguments) -> Result<(), Failure> {
    let objects = store::objects(&arguments.directory)?;
    let queue = store::open(&objects).await?;
    batch_all(&queue, WARM_UP, warm_up_count(arguments.count)).await?;

    begin();
    let started = Instant::now();
    batch_all(&queue, MEASURED, arguments.count).await?;
    let took = started.elapsed();

    end_of_enqueue(arguments.count, took);
    check_all_kept(arguments.count, &objects, queue).await
}

async fn batch_all(queue: &Queue, name: &str, count: usize) -> Result<(), Failure> {
    for first in (0..count).step_by(BATCH_COUNT) {
        let last = count.min(first + BATCH_COUNT);
        queue.enqueue_batch(name, (first..last).map(payload).collect()).await?;
    }
    Ok(())
}

fn end_of_enqueue(count: usize, took: Duration) {
    let verified = format!("{count} jobs pending after close and reopen");
    end(End { count, took, latencies: Vec::new(), verified });
}

async fn check_all_kept(
    count: usize,
    objects: &Arc<LocalFileSystem>,
    queue: Arc<Queue>,
) -> Result<(), Failure> {
    let kept = store::reopen_and_count(objects, queue, MEASURED).await?.pending;
    if usize::try_from(kept)? != count {
        return Err(format!("{kept} of {count} jobs are pending after a reopen").into());
    }
    Ok(())
}

/// A worker takes, handles and acknowledges all jobs that are there.
pub async fn drain(arguments: &Arguments) -> Result<(), Failure> {
    let objects = store::objects(&arguments.directory)?;
    let queue = store::open(&objects).await?;
    let warm_up = warm_up_count(arguments.count);
    batch_all(&queue, WARM_UP, warm_up).await?;
    batch_all(&queue, MEASURED, arguments.count).await?;
    drain_all(&queue, WARM_UP, warm_up, arguments.in_flight).await?;

    begin();
    let took = drain_all(&queue, MEASURED, arguments.count, arguments.in_flight).await?;

    let count = arguments.count;
    let verified = format!("{count} jobs handled once each, none left after close and reopen");
    end(End { count, took, latencies: Vec::new(), verified });
    let left = store::reopen_and_count(&objects, queue, MEASURED).await?;
    if (left.pending, left.claimed, left.scheduled, left.dead) != (0, 0, 0, 0) {
        return Err(format!("jobs are left after the drain: {left:?}").into());
    }
    Ok(())
}

/// From the first call of the handler until the loop has ended, which is when the last
/// acknowledgement was durable.
async fn drain_all(
    queue: &Arc<Queue>,
    name: &str,
    count: usize,
    concurrency: usize,
) -> Result<Duration, Failure> {
    let seen = Arc::new(Seen::new(count));
    let all = seen.clone();
    run_worker_concurrent(queue, name, seen.clone(), concurrency, POLL_EVERY, async move {
        all.complete.notified().await;
    })
    .await?;
    let took = seen.first.get().ok_or("no job was handled")?.elapsed();
    if let Some(index) = seen.times.iter().position(|times| times.load(Ordering::Relaxed) != 1) {
        return Err(format!("job {index} was not handled exactly once").into());
    }
    Ok(took)
}

/// The handler: does nothing but note which job it saw.
struct Seen {
    first: std::sync::OnceLock<Instant>,
    times: Vec<AtomicUsize>,
    left: AtomicUsize,
    complete: Notify,
}

impl Seen {
    fn new(count: usize) -> Self {
        Self {
            first: std::sync::OnceLock::new(),
            times: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            left: AtomicUsize::new(count),
            complete: Notify::new(),
        }
    }
}

impl Worker for Seen {
    async fn process(&self, job: &JobRecord, _lease: &LeaseHandle) -> Result<(), WorkerError> {
        self.first.get_or_init(Instant::now);
        let bytes: [u8; 8] = job.payload.get(..8).ok_or("short payload")?.try_into()?;
        let index = usize::try_from(u64::from_le_bytes(bytes))?;
        if job.payload != payload(index) {
            return Err("the payload is not the one that was enqueued".into());
        }
        self.times.get(index).ok_or("unknown job")?.fetch_add(1, Ordering::Relaxed);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.complete.notify_one();
        }
        Ok(())
    }
}
