//! Opening after the machine's clock was set back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::{Log as _, SlateLog, Target};
use crate::clock::ManualClock;
use crate::options::OpenOptions;
use crate::record::{Row, keys};

const TODAY_MS: u64 = 1_767_225_600_000;
const DAY: Duration = Duration::from_secs(86_400);

/// Opens the store on a machine whose calendar shows this.
async fn open(store: &Arc<InMemory>, wall_ms: u64, seed: u64) -> SlateLog {
    let target = Target::from_store(Arc::clone(store) as Arc<dyn ObjectStore>, "memory://".into());
    let target = target.on_machine(Arc::new(ManualClock::new(wall_ms)), seed);
    SlateLog::open(&target, "db", &OpenOptions::default()).await.expect("it opens")
}

/// As every commit does, it writes the sequence.
async fn commit(log: &SlateLog, value: &'static [u8]) {
    let rows = vec![Row::Put(keys::SEQUENCE.into(), Bytes::from_static(value))];
    log.commit(rows).await.expect("it is written");
}

#[tokio::test(start_paused = true)]
async fn a_store_can_be_written_after_a_crash_and_a_clock_that_was_set_back() {
    let store = Arc::new(InMemory::new());
    let ahead = open(&store, TODAY_MS + 86_400_000, 1).await;
    commit(&ahead, b"tomorrow").await;
    // Nothing was flushed, so the log alone has seen tomorrow.
    assert!(ahead.db.manifest().last_l0_clock_tick() <= 0);
    let began = tokio::time::Instant::now();

    let back = open(&store, TODAY_MS, 2).await;
    commit(&back, b"today").await;

    assert!(began.elapsed() < Duration::from_secs(5), "it did not wait for the calendar");
}

#[tokio::test(start_paused = true)]
async fn tables_can_be_written_after_a_clock_that_was_set_back() {
    let store = Arc::new(InMemory::new());
    let ahead = open(&store, TODAY_MS, 1).await;
    commit(&ahead, b"today").await;
    tokio::time::sleep(DAY).await;
    // This writes a table, a day after the commit.
    ahead.close().await.expect("it closes");

    let back = open(&store, TODAY_MS, 2).await;
    commit(&back, b"today again").await;

    back.close().await.expect("its own table is younger than the one that is there");
}
