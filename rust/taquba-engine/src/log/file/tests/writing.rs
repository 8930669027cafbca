//! One owner: groups, ids, reports, failures, segments.

use std::time::Duration;

use slatedb::wal::{WalEvent, WalFileRange, WalGc as _};

use super::super::segment::SEGMENT_BYTES_MAX;
use super::*;

/// So large that two of them fill a segment.
fn large() -> Vec<u8> {
    vec![b'x'; usize::try_from(SEGMENT_BYTES_MAX).expect("it is small") * 5 / 8]
}

#[tokio::test]
async fn what_was_committed_is_replayed_by_every_later_owner() {
    let store = Store::new();
    let mut keys: Vec<String> = Vec::new();
    for number in 0..4 {
        let mut owner = store.open().await.expect("the disk is fine");
        assert_eq!(owner.replayed, keys);
        for key in [format!("{number}a"), format!("{number}b")] {
            let id = owner.commit(&key).await.expect("the disk is fine");
            keys.push(key);
            assert_eq!(id, keys.len() as u64, "ids ascend without gaps, from owner to owner");
        }
        if number == 2 {
            owner.writer.close().await.expect("the disk is fine");
        }
    }
    assert_eq!(store.rows().await.expect("the disk is fine"), keys);
}

#[tokio::test]
async fn an_open_that_finds_everything_in_tables_replays_nothing_and_goes_on_counting() {
    let mut store = written(&["a", "b", "c"]).await;
    (store.after_id, store.seen_id) = (3, 3);

    let mut owner = store.open().await.expect("the disk is fine");

    assert_eq!(owner.replayed, [""; 0]);
    assert_eq!(owner.commit("d").await.expect("the disk is fine"), 4);
    assert_eq!(store.segments().len(), 1, "what is not needed goes at once");
    assert_eq!(store.rows().await.expect("the disk is fine"), ["d"]);
}

#[tokio::test]
async fn every_kind_of_row_reads_back() {
    let rows = [
        row("put", b"value".to_vec(), 1),
        RowEntry { value: ValueDeletable::Tombstone, ..row("gone", vec![], u64::MAX) },
        RowEntry { value: ValueDeletable::Merge("m".into()), ..row("", vec![], 3) },
        row("same", vec![], 3),
        RowEntry { create_ts: None, ..row("other", vec![], 3) },
        RowEntry { create_ts: None, expire_ts: Some(-1), ..row("e", vec![0; 70_000], 4) },
    ];
    let mut body = Vec::new();
    rows::encode(&rows, &mut body);

    assert_eq!(rows::decode(body.clone().into()).expect("it is whole"), rows);
    for length in 1..90 {
        let _ = rows::decode(body[..length].to_vec().into());
    }
    assert!(rows::decode(body[..body.len() - 1].to_vec().into()).is_none());
}

#[tokio::test]
async fn groups_are_reported_in_order_and_waiting_bytes_go_back_to_nothing() {
    let store = Store::new();
    let mut owner = store.open().await.expect("the disk is fine");
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let observer = owner.writer.observer();
    let subscribed = observer.subscribe(Arc::new(move |event| {
        if let WalEvent::WalFlushed(status) = event {
            listener.lock().push((status.last_flushed_wal_id, status.last_flushed_seq));
        }
    }));
    subscribed.expect("it is open");

    let nothing = owner.writer.flush().await.expect("it is open");
    assert_eq!(nothing.wal_id, 0);
    let mut flushes = Vec::new();
    for key in ["a", "b", "c"] {
        owner.append(key, vec![0; 100]).await.expect("it is open");
        owner.append(key, vec![0; 100]).await.expect("it is open");
        assert!(observer.status().expect("it is open").estimated_bytes >= 200);
        flushes.push(owner.writer.flush().await.expect("it is open"));
    }
    for (number, flush) in flushes.into_iter().enumerate() {
        assert_eq!(flush.wal_id, number as u64 + 1);
        flush.completion.await.expect("the disk is fine");
    }

    assert_eq!(*told.lock(), [(1, Some(2)), (2, Some(4)), (3, Some(6))]);
    let status = observer.status().expect("it is open");
    assert_eq!((status.estimated_bytes, status.buffered_wal_entries_count), (0, 0));
    assert_eq!(store.rows().await.expect("the disk is fine"), ["a", "a", "b", "b", "c", "c"]);
}

#[tokio::test]
async fn a_closed_log_refuses_and_says_that_it_was_closed() {
    let store = Store::new();
    let mut owner = store.open().await.expect("the disk is fine");
    owner.commit("a").await.expect("the disk is fine");
    owner.append("never flushed", vec![]).await.expect("it is open");

    owner.writer.close().await.expect("the disk is fine");
    owner.writer.close().await.expect("once more does no harm");

    assert!(matches!(owner.commit("b").await, Err(WalError::Closed)));
    let closed = owner.writer.status().expect_err("it is closed");
    assert!(matches!(closed.closed_reason, Some(WalError::Closed)));
    assert_eq!(store.rows().await.expect("the disk is fine"), ["a"]);
}

#[tokio::test]
async fn a_write_that_fails_ends_the_log() {
    for at in [Step::Write, Step::Written, Step::Synced] {
        let store = written(&["before"]).await;
        let disk = store.disk();
        let script = disk.script.clone();
        let mut owner = store.open_on(disk).await.expect("the disk is fine");
        owner.commit("acked").await.expect("the disk is fine");
        script.once(at, || Err(io::Error::from(io::ErrorKind::StorageFull)));

        let failed = owner.commit("failed").await;
        let later = owner.commit("later").await;

        for result in [failed, later] {
            assert!(matches!(result, Err(WalError::Unavailable(_))), "{at:?}: {result:?}");
        }
        let status = owner.writer.status().expect_err("it has ended");
        assert_eq!((status.last_flushed_wal_id, status.estimated_bytes), (2, 0));
        owner.writer.close().await.expect("there is nothing to do");
        let rows = store.rows().await.expect("the disk is fine");
        assert_eq!(rows[..2], ["before", "acked"]);
        assert!(rows.len() == 2 || rows[2..] == ["failed"], "{rows:?}");
    }
}

#[tokio::test]
async fn a_disk_that_is_full_while_the_log_is_taken_leaves_it_as_it_was() {
    for at in [Step::Fenced, Step::Surveyed, Step::Published, Step::Marked] {
        let store = written(&["a", "b"]).await;
        let disk = store.disk();
        disk.script.once(at, || Err(io::Error::from(io::ErrorKind::StorageFull)));

        assert!(store.open_on(disk).await.is_err());

        let mut next = store.open().await.expect("there is room again");
        assert_eq!(next.replayed, ["a", "b"], "{at:?}");
        next.commit("c").await.expect("the disk is fine");
        assert_eq!(store.rows().await.expect("the disk is fine"), ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn segments_follow_each_other_and_the_oldest_go_when_they_are_not_needed() {
    let mut store = Store::new();
    let mut owner = store.open().await.expect("the disk is fine");
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        owner.commit_with(key, large()).await.expect("the disk is fine");
    }
    let firsts =
        |store: &Store| -> Vec<u64> { store.segments().iter().map(|name| name.first_id).collect() };
    assert_eq!(firsts(&store), [1, 3, 5, 7]);
    assert_eq!(store.rows().await.expect("the disk is fine").concat(), "abcdefg");

    let collector = Collector { disk: owner.disk.clone(), known: Arc::clone(&owner.known) };
    let from = |id: u64| vec![WalFileRange::from(id..)];
    let collect = |ranges, age| collector.collect(ranges, age, false);
    collect(from(4), Duration::from_secs(3_600)).await.expect("it only logs");
    assert_eq!(firsts(&store), [1, 3, 5, 7], "they are too young");
    collector.collect(from(4), Duration::ZERO, true).await.expect("it only logs");
    assert_eq!(firsts(&store), [1, 3, 5, 7], "nothing was to be done");
    collect(from(4), Duration::ZERO).await.expect("it only logs");
    assert_eq!(firsts(&store), [3, 5, 7]);
    let checkpoint = vec![WalFileRange::from(7..), WalFileRange::from(5..6)];
    collect(checkpoint, Duration::ZERO).await.expect("it only logs");
    assert_eq!(firsts(&store), [5, 7]);
    collect(vec![], Duration::ZERO).await.expect("it only logs");
    collect(from(1_000), Duration::ZERO).await.expect("it only logs");
    assert_eq!(firsts(&store), [7], "the one that is written to stays");

    store.after_id = 6;
    owner.commit("h").await.expect("the disk is fine");
    assert_eq!(store.rows().await.expect("the disk is fine").concat(), "gh");
    store.after_id = 5;
    let missing = store.rows().await.expect_err("record 6 is gone");
    assert!(missing.to_string().contains("are missing"), "{missing}");
}

#[tokio::test]
async fn a_long_log_asks_for_a_table() {
    let store = Store::new();
    let mut owner = store.open().await.expect("the disk is fine");
    let mut asked_at = None;
    for number in 1..=80 {
        owner.commit_with("key", vec![0; 1024 * 1024]).await.expect("the disk is fine");
        if asked_at.is_none() && owner.writer.should_flush_memtable(0) {
            asked_at = Some(number);
        }
    }
    assert_eq!(asked_at, Some(64));
    assert!(!owner.writer.should_flush_memtable(80), "there is a table now");
    assert!(!owner.writer.should_flush_memtable(80));

    let owner = store.open().await.expect("the disk is fine");
    assert!(owner.writer.should_flush_memtable(0), "what was replayed counts");
}

#[tokio::test]
async fn owners_that_come_and_go_without_a_table_are_noticed() {
    let store = Store::new();
    for _ in 0..70 {
        let mut owner = store.open().await.expect("the disk is fine");
        owner.commit("a").await.expect("the disk is fine");
        owner.commit("b").await.expect("the disk is fine");
    }
    let owner = store.open().await.expect("the disk is fine");

    assert_eq!(owner.replayed.len(), 140);
    assert!(owner.writer.should_flush_memtable(0));
    assert!(!owner.writer.should_flush_memtable(140));
}

#[test]
fn first_openers_do_not_share_a_file_and_what_they_leave_is_deleted() {
    let store = Store::new();
    let disk = store.disk();
    fs::remove_file(disk.path(store.segments()[0])).expect("it is there");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.disk().make().expect("the disk is fine"));
        }
    });
    let listing = disk.list().expect("it is there");
    assert_eq!((listing.segments.len(), listing.unfinished.len()), (1, 0));

    let name = |epoch| Name { epoch, first_id: 1 };
    assert_ne!(disk.unfinished(name(0)), disk.unfinished(name(0)));
    for file in [format!("{}.1-a.new", name(0)), format!("{}.new", name(1))] {
        fs::write(store.log_dir().join(file), "half").expect("the disk is fine");
    }
    fs::write(store.log_dir().join(format!("{}.1-b.new", name(2))), "half").expect("it is fine");
    assert_eq!(disk.list().expect("it is there").unfinished.len(), 3);
    disk.tidy(2, &[]).expect("the disk is fine");
    let left = disk.list().expect("it is there").unfinished;
    assert_eq!(left.into_iter().map(|(maker, _)| maker).collect::<Vec<_>>(), [2]);

    // What cannot be finished is not left either.
    fs::create_dir(disk.path(name(3))).expect("the disk is fine");
    let origin = segment::Origin::Rolled;
    assert!(tape::Tape::create(&disk, name(3), origin, None).is_err());
    assert_eq!(disk.list().expect("it is there").unfinished.len(), 1);
}
