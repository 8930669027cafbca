//! A reader beside owners.

use slatedb::wal::{WalFileRange, WalReader as _};

use super::super::disk::Mark;
use super::*;

/// What a reader sees behind a record.
pub(super) async fn behind(reader: &Follower, after_id: u64) -> Result<Vec<String>, WalError> {
    let last_id = reader.last_wal_file_id(after_id).await?;
    let mut rows = reader.iterator(WalFileRange::from(after_id + 1..last_id + 1)).await?;
    let mut keys = Vec::new();
    while let Some(found) = rows.next().await? {
        let key = |row: RowEntry| String::from_utf8(row.key.to_vec()).expect("text");
        keys.extend(found.rows.into_iter().map(key));
    }
    assert_eq!(keys.len() as u64, last_id - after_id, "one row is one record here");
    Ok(keys)
}

#[tokio::test]
async fn a_reader_sees_each_commit_through_segments_and_owners() {
    let store = Store::new();
    let reader = Follower::new(store.disk());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut owner = store.open().await.expect("the disk is fine");
        for number in 0..7 {
            let key = format!("{}", seen.len());
            let value = vec![3; if number % 2 == 0 { 50_000 } else { 5 }];
            owner.commit_with(&key, value).await.expect("the disk is fine");
            let news = behind(&reader, seen.len() as u64).await.expect("it is whole");
            assert_eq!(news, [key]);
            seen.extend(news);
        }
        let all = behind(&Follower::new(store.disk()), 0).await.expect("it is whole");
        assert_eq!(all, seen);
        assert_eq!(behind(&reader, seen.len() as u64).await.expect("it is whole"), [""; 0]);
        let middle = seen.len() as u64 - 5;
        assert_eq!(behind(&reader, middle).await.expect("it is whole").len(), 5);
    }
    assert_eq!(store.rows().await.expect("the disk is fine"), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_up_with_an_owner_that_does_not_stop() {
    const COMMIT_COUNT: u64 = 3_000;
    let store = Arc::new(Store::new());
    let mut owner = store.open().await.expect("the disk is fine");
    owner.commit("first").await.expect("the disk is fine");
    let reported = Arc::new(AtomicU64::new(1));
    let (reader, progress) = (Follower::new(store.disk()), Arc::clone(&reported));
    let writing = async move {
        for number in 1..COMMIT_COUNT {
            let value = vec![9; if number % 50 == 0 { 300_000 } else { 300 }];
            let id = owner.commit_with("key", value).await.expect("the disk is fine");
            progress.store(id, Ordering::SeqCst);
        }
        owner
    };
    let reading = async {
        let (mut seen_id, mut look_count) = (0, 0);
        while seen_id < COMMIT_COUNT {
            let due_id = reported.load(Ordering::SeqCst);
            let fresh = Follower::new(store.disk());
            let reader = if look_count % 20 == 0 { &fresh } else { &reader };
            seen_id += behind(reader, seen_id).await.expect("it is whole").len() as u64;
            assert!(seen_id >= due_id, "{due_id} was reported, {seen_id} is seen");
            look_count += 1;
        }
        look_count
    };
    #[expect(clippy::disallowed_methods, reason = "it is awaited")]
    let writing = tokio::spawn(writing);
    let look_count = reading.await;

    drop(writing.await.expect("it does not panic"));
    assert!(look_count > 10, "{look_count}");
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let store = written(&["a", "b"]).await;
    let before = store.disk().list().expect("it is there");

    behind(&Follower::new(store.disk()), 0).await.expect("it is whole");

    assert_eq!(store.disk().list().expect("it is there"), before);
    assert_eq!(before.marks.values().collect::<Vec<_>>(), [&Mark::Live]);
}

#[tokio::test]
async fn a_record_that_is_being_written_is_not_there_yet() {
    let store = written(&["a", "b"]).await;
    let name = *store.segments().last().expect("there is one");
    let path = store.disk().path(name);
    let whole = fs::read(&path).expect("it is there");
    let end = whole.iter().rposition(|byte| *byte != 0).expect("there are some");
    let reader = Follower::new(store.disk());
    assert_eq!(behind(&reader, 0).await.expect("it is whole"), ["a", "b"]);

    let mut torn = whole.clone();
    torn[end - 3..].fill(0);
    fs::write(&path, torn).expect("the disk is fine");

    assert_eq!(behind(&Follower::new(store.disk()), 0).await.expect("no damage"), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fenced_owner_has_written_is_not_shown_until_it_is_settled() {
    let store = written(&["a"]).await;
    let old_disk = store.disk();
    let mut old = store.open_on(old_disk).await.expect("the disk is fine");
    old.commit("b").await.expect("the disk is fine");
    let (bounds, disk) = (store.bounds(), store.disk());
    let reader = Follower::impatient(store.disk());
    let (zombie, watching) = (Arc::new(Mutex::new(Some(old))), store.disk());
    let paused = Arc::clone(&zombie);
    let handle = tokio::runtime::Handle::current();
    disk.script.once(Step::Surveyed, move || {
        let mut old = paused.lock().take().expect("it is there");
        let written = handle.block_on(old.commit("never"));
        assert!(matches!(written, Err(WalError::Fenced)), "{written:?}");
        *paused.lock() = Some(old);
        Ok(())
    });
    disk.fence_before(bounds.epoch, &watching.list().expect("it is there")).expect("it moves");
    let unsettled = behind(&reader, 0).await;
    assert!(matches!(unsettled, Err(WalError::Unavailable(_))), "{unsettled:?}");

    let taking = disk.clone();
    let taken = blocking(move || take(&taking, bounds)).await.expect("the disk is fine");

    assert_eq!(behind(&reader, 0).await.expect("it is settled"), ["a", "b"]);
    assert_eq!(replay(&disk, &taken.parts, 0).await.expect("it is whole"), ["a", "b"]);
    drop(zombie);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_writes_after_its_successor_has_read_is_not_shown_though_it_is_gone() {
    let store = written(&["a"]).await;
    let old_disk = store.disk();
    let mut old = store.open_on(old_disk).await.expect("the disk is fine");
    old.commit("b").await.expect("the disk is fine");
    let (bounds, disk) = (store.bounds(), store.disk());
    let reader = Follower::impatient(store.disk());
    let (seen, looked) = (Arc::new(Mutex::new(None)), reader.clone());
    let (noted, handle) = (Arc::clone(&seen), tokio::runtime::Handle::current());
    let name = *store.segments().last().expect("there is one");
    let watching = store.disk();
    disk.script.once(Step::Surveyed, move || {
        let written = handle.block_on(old.commit("never"));
        assert!(matches!(written, Err(WalError::Fenced)), "{written:?}");
        drop(old);
        while !watching.is_final(name).expect("it can be locked") {
            std::thread::yield_now();
        }
        *noted.lock() = Some(handle.block_on(behind(&looked, 0)));
        Ok(())
    });

    let taken = blocking(move || take(&disk, bounds)).await.expect("the disk is fine");

    let seen = seen.lock().take().expect("it has looked");
    assert!(matches!(seen, Err(WalError::Unavailable(_))), "{seen:?}");
    assert_eq!(behind(&reader, 0).await.expect("it is settled"), ["a", "b"]);
    drop(taken);
}

#[tokio::test]
async fn an_owner_that_died_in_opening_does_not_hide_the_log_of_a_dead_one() {
    let store = written(&["a", "b"]).await;
    let disk = store.disk();
    disk.script.once(Step::Surveyed, || Err(io::Error::other("it dies here")));
    assert!(take(&disk, store.bounds()).is_err());
    // A process that is gone has no locks.
    let image = store.image();

    let seen = behind(&Follower::impatient(image.disk()), 0).await;

    assert_eq!(seen.expect("nobody can write to it"), ["a", "b"]);
}

#[tokio::test]
async fn a_segment_that_goes_away_is_told() {
    let store = written(&["a"]).await;
    let reader = Follower::new(store.disk());
    assert_eq!(reader.last_wal_file_id(0).await.expect("it is whole"), 1);
    fs::remove_file(store.disk().path(store.segments()[0])).expect("it is there");

    assert!(matches!(reader.last_wal_file_id(0).await, Err(WalError::DataError(_))));
    let range = WalFileRange::from(1..2);
    assert!(matches!(reader.iterator(range).await.err(), Some(WalError::DataError(_))));
    let endless = WalFileRange::from(1..);
    assert!(matches!(reader.iterator(endless).await.err(), Some(WalError::InternalError(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_opener_has_copied_is_not_shown_while_a_newer_one_says_what_counts() {
    // With its mark and without.
    for dies_at in [None, Some(Step::Published)] {
        let store = written(&["a"]).await;
        let mut old = store.open().await.expect("the disk is fine");
        old.commit("b").await.expect("the disk is fine");
        let (older, newer) = (store.bounds(), store.bounds());
        let (disk, older_disk) = (store.disk(), store.disk());
        let reader = Follower::impatient(store.disk());
        let (seen, looked) = (Arc::new(Mutex::new(None)), reader.clone());
        let (noted, handle) = (Arc::clone(&seen), tokio::runtime::Handle::current());
        disk.script.once(Step::Surveyed, move || {
            let written = handle.block_on(old.commit("never"));
            assert!(matches!(written, Err(WalError::Fenced)), "{written:?}");
            if let Some(step) = dies_at {
                older_disk.script.once(step, || Err(io::Error::other("it dies here")));
            }
            let taken = take(&older_disk, older);
            assert_eq!(taken.is_ok(), dies_at.is_none());
            let copy = older_disk.list().expect("it is there").segments.pop_last();
            assert_eq!(copy.map(|name| (name.epoch, name.first_id)), Some((older.epoch, 3)));
            *noted.lock() = Some(handle.block_on(behind(&looked, 0)));
            Ok(())
        });

        let taken = blocking(move || take(&disk, newer)).await.expect("the disk is fine");

        let seen = seen.lock().take().expect("it has looked");
        assert!(matches!(seen, Err(WalError::Unavailable(_))), "{dies_at:?}: {seen:?}");
        assert_eq!(behind(&reader, 0).await.expect("it is settled"), ["a", "b"]);
        drop(taken);
    }
}
