//! A reader beside an owner.

use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

use super::super::tests::held::HeldStore;
use super::super::tests::{keys, open, row, targets};
use super::super::{Log as _, Row, SlateLog};
use super::*;

const SOON: Duration = Duration::from_secs(8);

async fn reader(target: &Target) -> SlateReader {
    SlateReader::open(target, "queue", SOON).await.expect("there is a database")
}

async fn commit(log: &SlateLog, rows: Vec<Row>) {
    log.commit(rows).await.expect("the store is fine");
}

/// Every object with its size and when it was written.
async fn objects(target: &Target) -> Vec<(Path, u64, i64)> {
    let listed: Vec<_> = target.store.list(None).try_collect().await.expect("the store is fine");
    let fact = |object: object_store::ObjectMeta| {
        let at = object.last_modified.timestamp_micros();
        (object.location, object.size, at)
    };
    let mut facts: Vec<_> = listed.into_iter().map(fact).collect();
    facts.sort();
    facts
}

#[tokio::test]
async fn a_refresh_takes_in_every_commit_before_it() {
    let (targets, _dir) = targets();
    for target in &targets {
        let log = open(target).await;
        commit(&log, vec![row("k1", "one")]).await;
        let reader = reader(target).await;
        assert_eq!(reader.get("k1".into()).await, Ok(Some("one".into())));

        for value in ["a", "b", "c"] {
            commit(&log, vec![row("k1", value), row("k2", value)]).await;
            reader.refresh().await.expect("the store is fine");

            assert_eq!(reader.get("k1".into()).await, Ok(Some(value.into())));
        }
        commit(&log, vec![Row::Delete("k1".into())]).await;
        reader.refresh().await.expect("the store is fine");

        assert_eq!(reader.get_many(vec!["k1".into()]).await, Ok(vec![]));
        assert_eq!(keys(&reader, ScanRange::of_tag(b'k').reversed(), 9).await, ["k2"]);
        reader.close().await.expect("nothing can go wrong");
        commit(&log, vec![row("k1", "the owner was not fenced")]).await;
        log.close().await.expect("the store is fine");
    }
}

#[tokio::test]
async fn a_reader_follows_the_store_to_its_next_owner() {
    let (targets, _dir) = targets();
    for target in &targets {
        let first = open(target).await;
        commit(&first, vec![row("k1", "one")]).await;
        let reader = reader(target).await;

        let second = open(target).await;
        commit(&second, vec![row("k2", "two")]).await;
        second.close().await.expect("the store is fine");
        let third = open(target).await;
        commit(&third, vec![row("k3", "three")]).await;
        reader.refresh().await.expect("the store is fine");

        assert_eq!(keys(&reader, ScanRange::of_tag(b'k'), 9).await, ["k1", "k2", "k3"]);
        reader.close().await.expect("nothing can go wrong");
    }
}

#[tokio::test]
async fn a_reader_writes_nothing_and_deletes_nothing() {
    let (targets, _dir) = targets();
    for target in &targets {
        let log = open(target).await;
        commit(&log, vec![row("k1", "one")]).await;
        drop(log);
        // The storage engine of an owner that is gone without a word ends by itself.
        let log = open(target).await;
        log.close().await.expect("the store is fine");
        let before = objects(target).await;

        let reader = reader(target).await;
        for _ in 0..3 {
            reader.refresh().await.expect("the store is fine");
            reader.reopen().await.expect("the store is fine");
            assert_eq!(keys(&reader, ScanRange::of_tag(b'k'), 9).await, ["k1"]);
            assert_eq!(reader.owner().await, Ok(None));
        }
        reader.close().await.expect("nothing can go wrong");

        assert_eq!(reader.counts().put_count, 0);
        assert_eq!(objects(target).await, before);
    }
}

#[tokio::test]
async fn a_reader_sees_the_owner_and_its_payloads() {
    let (targets, _dir) = targets();
    for target in &targets {
        let log = open(target).await;
        log.start_heartbeat(5).await;
        let name = PayloadName { epoch: 5, number: 1 };
        log.put_payload(name, "large".into()).await.expect("the store is fine");
        let reader = reader(target).await;

        let owner = reader.owner().await.expect("the store is fine").expect("it is there");
        assert_eq!((owner.host.as_str(), owner.pid, owner.is_alive), ("here", 7, true));
        assert_eq!(reader.get_payload(name).await, Ok(Some("large".into())));
        log.close().await.expect("the store is fine");
        assert_eq!(reader.owner().await, Ok(None));
        reader.close().await.expect("nothing can go wrong");
    }
}

#[tokio::test]
async fn a_place_without_a_database_is_told_as_such() {
    let (targets, _dir) = targets();
    for target in &targets {
        let refused = SlateReader::open(target, "queue", SOON).await.err();

        assert!(matches!(refused, Some(Error::StoreNotFound { .. })), "{refused:?}");
        assert_eq!(objects(target).await, []);
    }
}

#[tokio::test]
async fn a_refresh_that_fails_says_so_and_the_next_one_goes_on() {
    let objects = Arc::new(InMemory::new());
    let log = open(&Target::from_store(Arc::clone(&objects) as _, "memory://".into())).await;
    commit(&log, vec![row("k1", "one")]).await;
    let store = Arc::new(HeldStore::over(&objects));
    let reader = reader(&Target::from_store(Arc::clone(&store) as _, "held://".into())).await;

    for part in ["/manifest", "/wal"] {
        store.deny(Some(part));
        let failed = reader.refresh().await;
        assert!(matches!(failed, Err(Error::PermissionDenied { .. })), "{part}: {failed:?}");
    }

    store.deny(None);
    commit(&log, vec![row("k2", "two")]).await;
    reader.refresh().await.expect("all is well again");
    assert_eq!(keys(&reader, ScanRange::of_tag(b'k'), 9).await, ["k1", "k2"]);
    reader.close().await.expect("nothing can go wrong");
}

#[tokio::test]
async fn a_view_that_was_left_alone_is_replaced() {
    let target = Target::in_memory();
    let log = open(&target).await;
    commit(&log, vec![row("k1", "one")]).await;
    let reader = reader(&target).await;
    // Owners come and go, and the last one tidies up: manifests but its own, and the log behind it.
    for value in ["a", "b", "c"] {
        let log = open(&target).await;
        commit(&log, vec![row("k1", value)]).await;
        log.close().await.expect("memory");
    }
    let all = objects(&target).await;
    let in_dir = |dir: &'static str| all.iter().filter(move |(at, ..)| at.as_ref().contains(dir));
    let newest = in_dir("/manifest/").max().expect("there are some");
    let log = in_dir("/wal/").filter(|(_, size_bytes, _)| *size_bytes > 0);
    for (at, ..) in in_dir("/manifest/").filter(|object| *object != newest).chain(log) {
        target.store.delete(at).await.expect("memory");
    }
    let mut long_ago = instants(&reader.clock);
    long_ago[0] -= 60_000;
    *reader.view().fresh_at.lock() = long_ago;
    reader.refresh().await.expect("memory");

    assert_eq!(reader.get("k1".into()).await, Ok(Some("c".into())));
    reader.close().await.expect("memory");
}

#[tokio::test]
async fn refreshes_that_come_together_share_a_look() {
    let target = Target::in_memory();
    let log = open(&target).await;
    commit(&log, vec![row("k1", "one")]).await;
    let reader = reader(&target).await;
    reader.refresh().await.expect("memory");

    let results = futures::future::join_all((0..100).map(|_| reader.refresh())).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(reader.view().pace.looks_begun() <= 3);
    reader.close().await.expect("memory");
}
