//! Settings of the storage engine, each with the reason it is not the default.

use std::sync::Arc;
use std::time::Duration;

use slatedb::config::{
    CompactionWorkerOptions, CompactorOptions, GarbageCollectorDirectoryOptions,
    GarbageCollectorOptions, Settings,
};
use slatedb::db_cache::DbCache;
use slatedb::db_cache::moka::{MokaCache, MokaCacheOptions};

use super::target::Kind;

/// Decoded blocks kept in memory: bodies that are read again come in runs of neighbours.
const BLOCK_CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Longest wait for one commit. A store that is silent for so long is lost to this process;
/// nobody can tell whether the commit got there, so the engine ends and is opened again.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for the open itself, once the store has answered: a long log is read in full.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

const MIB: usize = 1024 * 1024;

/// Tries of one request on top of the store client's own.
const RETRIES_MAX: u32 = 8;

/// How old a manifest is at least when it is deleted. Readers find the next one by its number, so they
/// must come by more often than that.
pub(super) const MANIFEST_AGE_MIN_S: u64 = 300;

/// The cache of blocks of one database.
pub(super) fn block_cache() -> Arc<dyn DbCache> {
    Arc::new(MokaCache::new_with_opts(MokaCacheOptions {
        max_capacity: BLOCK_CACHE_BYTES,
        time_to_live: None,
        time_to_idle: None,
    }))
}

pub(super) fn settings(kind: Kind) -> Settings {
    let is_local = kind != Kind::Remote;
    Settings {
        // The engine says when to flush: no timer between a caller and its commit.
        flush_interval: None,
        // Each poll is two requests; a fenced owner learns it from its next commit anyway.
        manifest_poll_interval: Duration::from_secs(if is_local { 5 } else { 30 }),
        // A memtable's resident size is three and a half times this, and what a burst needed stays with
        // the allocator: with 32 and 128 MiB a million waiting jobs kept 130 MB more, for 5 to 10 %
        // less CPU. Behind a network larger objects cost fewer requests.
        l0_sst_size_bytes: if is_local { 8 * MIB } else { 16 * MIB },
        max_unflushed_bytes: if is_local { 32 * MIB } else { 64 * MIB },
        // Bounds how many log objects an open after a crash has to read.
        max_wal_flushes_before_l0_flush: if is_local { 8192 } else { 4096 },
        // With the default of 8 a burst of writes once stalled for 11.5 s.
        l0_max_ssts: 24,
        l0_max_ssts_per_key: 24,
        l0_flush_parallelism: if is_local { 2 } else { 4 },
        compactor_options: Some(compactor(is_local)),
        garbage_collector_options: Some(collector(kind)),
        object_store_max_retries: Some(RETRIES_MAX),
        ..Settings::default()
    }
}

fn compactor(is_local: bool) -> CompactorOptions {
    let poll =
        |local_ms, remote_ms| Duration::from_millis(if is_local { local_ms } else { remote_ms });
    CompactorOptions {
        poll_interval: poll(1_000, 5_000),
        commit_compacted_interval: poll(200, 1_000),
        max_concurrent_compactions: 2,
        worker: Some(CompactionWorkerOptions {
            compactions_poll_interval: poll(500, 5_000),
            max_concurrent_compactions: 2,
            max_subcompactions: 1,
            ..CompactionWorkerOptions::default()
        }),
        ..CompactorOptions::default()
    }
}

pub(super) fn collector(kind: Kind) -> GarbageCollectorOptions {
    let every = |interval_s, min_age_s| {
        Some(GarbageCollectorDirectoryOptions {
            interval: Some(Duration::from_secs(interval_s)),
            min_age: Duration::from_secs(min_age_s),
            ..GarbageCollectorDirectoryOptions::default()
        })
    };
    GarbageCollectorOptions {
        wal_options: every(60, 60),
        manifest_options: every(300, MANIFEST_AGE_MIN_S),
        compacted_options: every(300, 300),
        compactions_options: every(300, 300),
        // Fence objects are empty and one per open. They are what keeps an owner that was paused
        // for long from writing behind its successor's back, so they stay.
        wal_fence_options: None,
        detach_options: None,
        // Needs conditional overwrites, which the local file system lacks; without them the
        // collector would stop there for good.
        boundary_files_enabled: kind == Kind::Remote,
        ..GarbageCollectorOptions::default()
    }
}
