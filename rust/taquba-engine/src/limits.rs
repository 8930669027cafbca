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

/// Largest payload. It is uploaded in one request and held in memory while it is delivered.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest payload that may be stored inside its job's row; larger ones become objects.
pub const PAYLOAD_INLINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest result of a run: it is stored inside the run's row.
pub const RESULT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest key of the key-value space.
pub const KV_KEY_BYTES_MAX: usize = 1024;

/// Largest value of the key-value space: it is stored inside its row.
pub const KV_VALUE_BYTES_MAX: usize = 256 * 1024;

/// Most effects of one settlement, jobs counted one by one: they are one commit.
pub const EFFECTS_COUNT_MAX: usize = 1_000;

/// Most jobs or keys of one page.
pub const LIST_COUNT_MAX: usize = 1_000;

/// Bytes of values after which a page of keys ends early.
pub const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Index entries looked at for one page of jobs: bounds how long a page holds up everybody else.
pub const LIST_EXAMINED_MAX: usize = 10_000;

/// Priorities looked at for the job that has waited longest: whoever has more of them uses them as dates.
pub const LANES_EXAMINED_MAX: usize = 1_024;

/// Rows of memos deleted at once after a run's end.
pub const MEMO_SWEEP_COUNT_MAX: usize = 10_000;

/// How long to wait before memos that could not be read are looked for again.
pub const MEMO_SWEEP_RETRY: Duration = Duration::from_secs(60);

/// Dead jobs deleted by one command: they are one commit.
pub const PURGE_COUNT_MAX: usize = 10_000;

/// Deliveries of a job that are kept in its history, the latest ones.
pub const ATTEMPTS_KEPT_MAX: usize = 20;

/// Longest error text in a job's history; the last one is kept longer, see below.
pub const ATTEMPT_ERROR_BYTES_MAX: usize = 512;

/// Steps behind a run that are kept for those who look at it, the latest ones. Each is about 12 bytes of a
/// row that is written anyway.
pub const STEPS_KEPT_MAX: usize = 32;

/// Longest error text kept with a step that is behind its run.
pub const STEP_ERROR_BYTES_MAX: usize = 128;

/// Longest interval between two signs of life of an owner.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(3600);

/// Shortest one: each costs a request.
pub const HEARTBEAT_MIN: Duration = Duration::from_secs(1);

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
pub const BODY_CACHE_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Longest wait of a scheduled job whose payload is kept in memory.
pub const BODY_CACHE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Rows read ahead when a claim meets a job whose payload is not in memory.
pub const READ_AHEAD_ROWS: usize = 512;

const _: () = assert!(PAYLOAD_INLINE_BYTES_MAX < COMMIT_BYTES_MAX, "one job must fit one commit");
const _: () =
    assert!(COMMIT_BYTES_MAX < WAITING_BYTES_MAX, "waiting work fills more than a commit");
