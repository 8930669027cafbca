//! Listings that do not show what is there.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::{Stores, fault_of, once, seeded, stores};
use crate::{Fault, Plan, Rule};

async fn filled(plan: Plan) -> Stores {
    let stores = stores(plan);
    for name in 0..20 {
        let path = Path::from(format!("dir/{name:02}"));
        stores.inner.put(&path, "1".into()).await.expect("memory takes it");
    }
    stores
}

async fn names(store: &dyn ObjectStore) -> Vec<String> {
    let listed = store.list(Some(&Path::from("dir"))).map_ok(|meta| meta.location.to_string());
    listed.try_collect().await.expect("the listing comes")
}

#[tokio::test]
async fn an_entry_can_come_twice() {
    let stores = filled(once(Fault::ListDuplicate)).await;

    let listed = names(&stores.chaos).await;

    assert_eq!(listed.len(), 21);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>().len(), 20);
}

#[tokio::test]
async fn entries_can_come_in_any_order() {
    let stores = filled(once(Fault::ListReorder)).await;
    let in_order = names(stores.inner.as_ref()).await;

    let mut listed = names(&stores.chaos).await;

    assert_ne!(listed, in_order);
    listed.sort();
    assert_eq!(listed, in_order);
}

#[tokio::test]
async fn a_listing_can_break_off_halfway() {
    let stores = filled(once(Fault::DropStream)).await;

    let mut listed: Vec<_> = stores.chaos.list(None).collect().await;

    assert_eq!(listed.len(), 11);
    assert_eq!(fault_of(listed.pop().expect("the last is the error")), Fault::DropStream);
    assert!(listed.iter().all(Result::is_ok));
}

#[tokio::test]
async fn one_level_of_a_listing_comes_whole_or_not_at_all() {
    let stores = filled(once(Fault::DropStream)).await;
    let prefix = Path::from("dir");

    assert_eq!(fault_of(stores.chaos.list_with_delimiter(Some(&prefix)).await), Fault::DropStream);

    let level = stores.chaos.list_with_delimiter(Some(&prefix)).await.expect("the next comes");
    assert_eq!(level.objects.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_stale_listing_lacks_what_is_new_and_has_what_is_gone() {
    let window = Duration::from_secs(10);
    let (mut lacked, mut had) = (false, false);

    for seed in 0..50 {
        let plan = Plan::default().with(Fault::StaleList, Rule::always()).stale_window(window);
        let stores = seeded(plan, seed);
        let (old, new) = (Path::from("dir/old"), Path::from("dir/new"));
        stores.chaos.put(&old, "1".into()).await.expect("memory takes it");
        tokio::time::sleep(window * 2).await;
        stores.chaos.put(&new, "1".into()).await.expect("memory takes it");
        stores.chaos.delete(&old).await.expect("memory takes it");
        tokio::time::sleep(window / 2).await;

        let listed = names(&stores.chaos).await;
        lacked |= !listed.contains(&new.to_string());
        had |= listed.contains(&old.to_string());
        assert_eq!(listed.len(), 1, "one instant or the other, never a mix: {listed:?}");

        tokio::time::sleep(window).await;
        assert_eq!(names(&stores.chaos).await, ["dir/new"], "no view is older than the window");
    }

    assert!(lacked && had);
}

#[tokio::test]
async fn a_listing_from_an_offset_starts_behind_it() {
    let stores = filled(Plan::default()).await;

    let listed = stores.chaos.list_with_offset(None, &Path::from("dir/17"));
    let listed: Vec<_> = listed.try_collect().await.expect("the listing comes");

    let names: Vec<_> = listed.iter().map(|meta| meta.location.as_ref()).collect();
    assert_eq!(names, ["dir/18", "dir/19"]);
}
