//! Fences and losses, told apart.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions};

use super::super::guard::{Attribution, GuardedStore};
use super::*;

async fn create(store: &dyn ObjectStore, place: &str, content: &'static str) {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(&Path::from(place), content.into(), options).await.expect("the place is free");
}

#[tokio::test]
async fn a_fence_is_announced_and_a_loss_is_not() {
    let inner = Arc::new(InMemory::new());
    let store = GuardedStore::new(Arc::clone(&inner) as _, Attribution::Kept);
    create(&store, "root/wal/1.sst", "rows").await;
    create(&store, "root/wal/2.sst", "").await;
    let root = Path::from("root");
    assert_eq!(unannounced(&store, &root).await.expect("memory"), []);

    let lost = Path::from("root/wal/1.sst");
    inner.put(&lost, "".into()).await.expect("memory");

    assert_eq!(unannounced(&store, &root).await.expect("memory"), [lost]);
}

#[test]
fn only_places_of_the_log_have_markers() {
    assert_eq!(marker_of(&Path::from("a/wal/1.sst")), Some(Path::from("a/fences/1.sst")));
    assert_eq!(marker_of(&Path::from("wal/1.sst")), Some(Path::from("fences/1.sst")));
    assert_eq!(marker_of(&Path::from("a/compacted/1.sst")), None);
    assert_eq!(marker_of(&Path::from("x")), None);
}
