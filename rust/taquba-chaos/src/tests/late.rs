//! Puts that arrive late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt as _, PutMode};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::{body, fault_of, once, path, put, seeded, stores};
use crate::{ChaosStore, Fault};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_detached_put_fails_and_arrives_later() {
    let stores = stores(once(Fault::DetachPut).delay(MINUTE..=MINUTE));

    assert_eq!(fault_of(put(&stores.chaos, &path(), PutMode::Create).await), Fault::DetachPut);
    tokio::time::sleep(MINUTE).await;

    assert_eq!(body(&stores.chaos, &path()).await, Some("body".into()), "the next request sees it");
    assert_eq!(stores.chaos.counts().late_puts(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_caller_of_a_detached_put_is_told_at_once_or_after_the_effect() {
    let mut told_at_once = 0;

    for seed in 0..100 {
        let stores = seeded(once(Fault::DetachPut).delay(MINUTE..=MINUTE), seed);
        let waited = timeout(MINUTE / 2, put(&stores.chaos, &path(), PutMode::Create)).await;
        told_at_once += usize::from(waited.is_ok());
        assert_eq!(stores.chaos.late_puts_waiting(), 1, "a caller that gives up changes nothing");
    }

    assert!((30..70).contains(&told_at_once), "{told_at_once} of 100: about half");
}

#[tokio::test(start_paused = true)]
async fn a_late_put_keeps_its_condition() {
    let stores = stores(once(Fault::DetachPut).delay(MINUTE..=MINUTE));
    drop(put(&stores.chaos, &path(), PutMode::Create).await);
    stores.inner.put(&path(), "newer".into()).await.expect("memory takes it");

    stores.chaos.settle().await;

    assert_eq!(body(stores.inner.as_ref(), &path()).await, Some("newer".into()));
    assert_eq!(stores.chaos.counts().late_puts(), 1, "it was tried");
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_put_that_arrives_late_undoes_what_came_between() {
    let stores = stores(once(Fault::DuplicatePut).delay(MINUTE..=MINUTE));
    put(&stores.chaos, &path(), PutMode::Overwrite).await.expect("it is done and answered");
    stores.chaos.put(&path(), "newer".into()).await.expect("memory takes it");
    assert_eq!(body(&stores.chaos, &path()).await, Some("newer".into()));

    tokio::time::sleep(MINUTE).await;

    assert_eq!(body(&stores.chaos, &path()).await, Some("body".into()));
}

#[test]
fn a_late_put_outlives_the_runtime_of_its_caller() {
    let elapsed_s = Arc::new(AtomicU64::new(0));
    let hand = Arc::clone(&elapsed_s);
    let clock = move || Duration::from_secs(hand.load(Ordering::Relaxed));
    let plan = once(Fault::DetachPut).delay(MINUTE..=MINUTE);
    let store = ChaosStore::with_clock(Arc::new(InMemory::new()), plan, 7, Arc::new(clock));

    let first = runtime();
    let write = async { timeout(MINUTE / 2, put(&store, &path(), PutMode::Create)).await };
    drop(first.block_on(write));
    drop(first);
    let second = runtime();
    assert_eq!(second.block_on(body(&store, &path())), None);
    elapsed_s.store(60, Ordering::Relaxed);

    assert_eq!(second.block_on(body(&store, &path())), Some("body".into()));
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime needs no resources")
}
