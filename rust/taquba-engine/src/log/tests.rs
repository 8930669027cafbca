//! The log through its traits, on memory and on disk.

pub(crate) mod held;

use std::ops::Bound;
use std::sync::Arc;

use object_store::ObjectStoreExt as _;

use super::*;
use crate::error::Error;
use crate::options::OpenOptions;
use held::HeldStore;

/// A store of each kind, and the directory that goes with the test.
pub(super) fn targets() -> (Vec<Target>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let local = Target::local(dir.path(), Access::Own { fsync: true }).expect("it can be written");
    (vec![Target::in_memory(), local], dir)
}

pub(super) fn options() -> OpenOptions {
    OpenOptions { host: "here".into(), pid: 7, ..OpenOptions::default() }
}

pub(super) async fn open(target: &Target) -> SlateLog {
    SlateLog::open(target, "queue", &options()).await.expect("the store is fine")
}

pub(super) fn row(key: &'static str, value: &'static str) -> Row {
    Row::Put(key.into(), value.into())
}

fn range(start: Bound<&'static str>, end: Bound<&'static str>) -> ScanRange {
    let (start, end) = (start.map(Bytes::from), end.map(Bytes::from));
    ScanRange { start, end, reverse: false, extent: Extent::Page }
}

/// The keys of a scan that is broken off after `count_max` of them.
pub(super) async fn keys(rows: &dyn Rows, range: ScanRange, count_max: usize) -> Vec<String> {
    let mut keys = Vec::new();
    let mut visit = |key: Bytes, _| {
        keys.push(String::from_utf8(key.to_vec()).expect("text"));
        if keys.len() == count_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    rows.scan(range, &mut visit).await.expect("the store is fine");
    keys
}

#[tokio::test]
async fn a_scan_keeps_to_its_range_and_order_and_stops_when_told() {
    use Bound::{Excluded, Included, Unbounded};
    let (targets, _dir) = targets();
    for target in &targets {
        let log = open(target).await;
        let rows = ["a1", "k1", "k2", "k3", "k4", "x1"].map(|key| row(key, "value"));
        log.commit(rows.to_vec()).await.expect("the store is fine");

        let all = |range| keys(&log, range, usize::MAX);
        assert_eq!(all(ScanRange::of_tag(b'k')).await, ["k1", "k2", "k3", "k4"]);
        assert_eq!(all(ScanRange::of_tag(b'k').reversed()).await, ["k4", "k3", "k2", "k1"]);
        assert_eq!(all(range(Excluded("k1"), Excluded("k4"))).await, ["k2", "k3"]);
        assert_eq!(all(range(Included("k3"), Unbounded).reversed()).await, ["x1", "k4", "k3"]);
        assert_eq!(all(range(Excluded("k4"), Included("k2"))).await, [""; 0]);
        assert_eq!(all(range(Excluded("k2"), Included("k2"))).await, [""; 0]);
        assert_eq!(keys(&log, ScanRange::of_tag(b'k'), 2).await, ["k1", "k2"]);
        assert_eq!(keys(&log, ScanRange::of_tag(b'k').reversed(), 1).await, ["k4"]);
        log.close().await.expect("the store is fine");
    }
}

#[tokio::test]
async fn a_reopened_log_shows_what_was_committed() {
    let (targets, _dir) = targets();
    for target in &targets {
        let log = open(target).await;
        log.commit(vec![row("k1", "one"), row("k2", "two")]).await.expect("the store is fine");
        drop(log);

        let log = open(target).await;

        assert_eq!(log.get("k2".into()).await, Ok(Some("two".into())));
        let found = log.get_many(vec!["k2".into(), "k0".into(), "k1".into()]).await;
        let both = vec![("k1".into(), "one".into()), ("k2".into(), "two".into())];
        assert_eq!(found, Ok(both));
        log.close().await.expect("the store is fine");
    }
}

#[tokio::test]
async fn many_keys_are_found_dense_or_not() {
    let log = open(&Target::in_memory()).await;
    let job = crate::record::keys::job;
    let claim = crate::record::keys::claims;
    let put = |key: Bytes| Row::Put(key.clone(), key);
    let jobs = (0..100).map(|number| put(job(number)));
    log.commit(jobs.chain([put(claim(3)), put(job(1 << 40))]).collect()).await.expect("memory");

    for wanted in [
        vec![job(5), job(7), job(6)],
        vec![job(1 << 40), job(0)],
        vec![job(4), claim(3)],
        vec![job(9)],
        vec![],
    ] {
        let found = log.get_many(wanted.clone()).await.expect("memory");

        let mut expected: Vec<_> = wanted.into_iter().map(|key| (key.clone(), key)).collect();
        expected.sort();
        assert_eq!(found, expected);
    }
    log.close().await.expect("memory");
}

#[tokio::test]
async fn a_commit_that_is_not_durable_yet_is_not_shown() {
    let store = Arc::new(HeldStore::default());
    let target = Target::from_store(Arc::clone(&store) as _, "held://".into());
    let log = open(&target).await;
    log.commit(vec![row("k1", "old")]).await.expect("nothing is held yet");

    store.hold("/wal/");
    let commit = log.commit(vec![row("k1", "new"), row("k2", "new")]);
    tokio::pin!(commit);
    tokio::select! {
        _ = &mut commit => panic!("the log object is held"),
        () = store.wait() => {}
    }
    assert_eq!(log.get("k1".into()).await, Ok(Some("old".into())));
    assert_eq!(log.get_many(vec!["k2".into()]).await, Ok(vec![]));
    assert_eq!(keys(&log, ScanRange::of_tag(b'k'), usize::MAX).await, ["k1"]);

    store.release();
    commit.await.expect("nothing is held any more");
    assert_eq!(log.get("k1".into()).await, Ok(Some("new".into())));
    assert_eq!(keys(&log, ScanRange::of_tag(b'k'), usize::MAX).await, ["k1", "k2"]);
}

#[tokio::test]
async fn payloads_read_back_and_strangers_are_left_alone() {
    let (targets, _dir) = targets();
    for target in &targets {
        let log = open(target).await;
        let name = |epoch, number| PayloadName { epoch, number };
        assert_eq!(log.list_payloads().await, Ok(vec![]));

        for (number, data) in [(2, "second"), (1, "first"), (300, "")] {
            log.put_payload(name(1, number), data.into()).await.expect("the store is fine");
        }
        let stranger = object_store::path::Path::from("queue/payloads/notes.txt");
        target.store.put(&stranger, "keep".into()).await.expect("the store is fine");

        assert_eq!(log.get_payload(name(1, 2)).await, Ok(Some("second".into())));
        assert_eq!(log.get_payload(name(1, 300)).await, Ok(Some(Bytes::new())));
        assert_eq!(log.get_payload(name(2, 2)).await, Ok(None));
        let names = vec![name(1, 1), name(1, 2), name(1, 300)];
        assert_eq!(log.list_payloads().await, Ok(names));

        for _ in 0..2 {
            assert_eq!(log.delete_payload(name(1, 2)).await, Ok(()));
        }
        assert_eq!(log.get_payload(name(1, 2)).await, Ok(None));
        assert!(target.store.get(&stranger).await.is_ok());
        log.close().await.expect("the store is fine");
    }
}

#[tokio::test]
async fn a_payload_is_counted() {
    let log = open(&Target::in_memory()).await;
    let before = log.counts();

    let name = PayloadName { epoch: 1, number: 1 };
    log.put_payload(name, "ten bytes.".into()).await.expect("memory");

    let after = log.counts();
    assert_eq!(after.put_count, before.put_count + 1);
    assert_eq!(after.put_bytes, before.put_bytes + 10);
}

#[tokio::test]
async fn an_owner_that_is_alive_keeps_its_store_unless_it_is_taken() {
    let (targets, _dir) = targets();
    for target in &targets {
        let polite = OpenOptions { takeover: false, ..options() };
        let first = SlateLog::open(target, "queue", &polite).await.expect("nobody has it");
        assert_eq!(first.owner().await, Ok(None));
        first.start_heartbeat(1).await;

        let owner = first.owner().await.expect("the store is fine").expect("it has begun");
        assert_eq!((owner.host.as_str(), owner.pid, owner.is_alive), ("here", 7, true));
        let refused = SlateLog::open(target, "queue", &polite).await.err();
        let Some(Error::StoreOwned { host, pid, since, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((host.as_str(), pid), ("here", 7));
        assert!(since.starts_with("20") && since.ends_with('Z') && since.len() == 20, "{since}");
        first.commit(vec![row("k", "still mine")]).await.expect("it was not fenced");

        let second = open(target).await;
        second.start_heartbeat(2).await;
        let fenced = first.commit(vec![row("k", "not mine")]).await;
        assert!(matches!(fenced, Err(Error::Fenced { .. })), "{fenced:?}");

        second.close().await.expect("the store is fine");
        assert_eq!(second.owner().await, Ok(None));
        SlateLog::open(target, "queue", &polite).await.expect("its owner has closed in order");
    }
}

#[test]
fn a_tag_without_a_next_one_has_no_end() {
    assert_eq!(ScanRange::of_tag(0xFF).end, Bound::Unbounded);
    assert!(!ScanRange::of_tag(0xFF).is_empty());
}
