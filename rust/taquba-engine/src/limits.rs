//! Every bound of the engine, in one place.
//!
//! A bound that callers can cross is checked before anything is written, and its error names it.

use std::time::Duration;

/// Longest queue name. One length byte, and room for tenant and purpose.
pub const QUEUE_NAME_BYTES_MAX: usize = 255;

/// Most queues of one store. An index beyond it, read from a row, is damage.
pub const QUEUES_COUNT_MAX: u32 = 65_536;

/// Longest run id: it is a path segment of memo objects, where stores allow 1,024 for the whole.
pub const RUN_ID_BYTES_MAX: usize = 128;

/// Longest dedup key.
pub const DEDUP_KEY_BYTES_MAX: usize = 1024;

/// Most headers of one job.
pub const HEADERS_COUNT_MAX: usize = 64;

/// All header keys and values of one job together.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// Largest payload that is stored inside its job's row. Larger ones need an object of their own.
pub const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest error text kept with a job; the rest is cut.
pub const ERROR_TEXT_BYTES_MAX: usize = 4 * 1024;

/// Most jobs of one `enqueue_batch` and most runs of one `submit_many`: the batch is one commit.
pub const BATCH_COUNT_MAX: usize = 10_000;

/// Most jobs of one `claim_batch`.
pub const CLAIM_COUNT_MAX: usize = 10_000;

/// Most deliveries of one job that can be asked for.
pub const MAX_ATTEMPTS_MAX: u32 = 1_000_000;

/// Most steps of one subscription in flight.
pub const CONCURRENCY_MAX: usize = 100_000;

/// Deliveries of the end of a run to its hook: with the default backoff about an hour and a half.
pub const NOTIFICATION_ATTEMPTS: u32 = 25;

/// Longest delay, lease or retention: about 100 years, so that no sum of instants overflows.
pub const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Latest instant that can be stored: the year 9999, the last one that calendars print.
pub const INSTANT_MS_MAX: u64 = 253_402_300_799_999;

/// Bytes of commands that may wait for a commit before callers are held back.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Commands that may wait for a commit before callers are held back.
pub const WAITING_COUNT_MAX: usize = 200_000;

/// Rows of one commit after which the next commit takes over: bounds a WAL object.
pub const COMMIT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Payload bytes of waiting jobs kept in memory, so that the usual claim reads nothing.
pub const BODY_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows read ahead when a claim meets a job whose payload is not in memory.
pub const READ_AHEAD_ROWS: usize = 512;

const _: () = assert!(PAYLOAD_BYTES_MAX < COMMIT_BYTES_MAX, "one job must fit one commit");
const _: () =
    assert!(COMMIT_BYTES_MAX < WAITING_BYTES_MAX, "waiting work fills more than a commit");
