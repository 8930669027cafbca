//! Openers that stand still on the way, die there, or are watched.

use std::thread;

use super::super::disk::Mark;
use super::super::follow::Follower;
use super::follow::behind;
use super::owners::{TAKING, check_later_owners, keys, open, pause, start};
use super::*;

/// What a reader that does not wait sees.
fn look(store: &Store) -> Result<Vec<String>, WalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(behind(&Follower::impatient(store.disk()), 0))
}

#[test]
fn an_opener_that_stands_still_keeps_no_reader_from_the_log_of_a_newer_owner() {
    for at in TAKING {
        let store = Store::new();
        drop(start(&store));
        let (bounds, disk) = (store.bounds(), store.disk());
        let newest = bounds.epoch + 1;
        let taken = disk.clone();
        let older = pause(&disk, at, move || open(&taken, bounds, |b| b.epoch == newest).is_some());
        let unsettled = look(&store);
        assert!(matches!(unsettled, Err(WalError::Unavailable(_))), "{at:?}: {unsettled:?}");

        let new_disk = store.disk();
        let mut newer = open(&new_disk, store.bounds(), |_| true).expect("it is the newest one");
        assert!(newer.commit("b"));

        assert_eq!(look(&store).expect("a newer owner has it"), ["a", "b"], "{at:?}");
        assert!(!older.resume(), "{at:?}: its epoch was not the newest one any more");
        assert!(newer.commit("c"));
        assert_eq!(look(&store).expect("a newer owner has it"), ["a", "b", "c"], "{at:?}");
        assert!(disk.list().expect("it is there").openers.is_empty(), "{at:?}");
        // The newer owner deletes what it finds; this one comes late.
        let late = disk.enter(bounds.epoch).expect("the disk is fine");
        assert_eq!(look(&store).expect("a newer owner has it"), ["a", "b", "c"], "{at:?}");
        drop(late);
        check_later_owners(&store, &["a", "b", "c"].map(str::to_owned));
    }
}

#[test]
fn an_opener_that_is_killed_hides_nothing_and_what_it_leaves_is_deleted() {
    let store = Store::new();
    drop(start(&store));
    let (bounds, disk) = (store.bounds(), store.disk());
    let taken = disk.clone();
    let dying = pause(&disk, Step::Surveyed, move || take(&taken, bounds));
    // A process that is gone has no locks.
    let image = store.image();
    let half = format!("{:010}.1-a.new", bounds.epoch);
    fs::write(image.log_dir().join(half), "").expect("the disk is fine");
    assert_eq!(image.disk().list().expect("it is there").openers, [bounds.epoch].into());

    assert_eq!(look(&image).expect("nobody takes it over"), ["a"]);
    check_later_owners(&image, &["a".to_owned()]);

    let left = image.disk().list().expect("it is there");
    assert!(left.openers.is_empty() && left.unfinished.is_empty(), "{left:?}");
    drop(dying.resume().expect("nobody is in the way"));
}

#[test]
fn a_copy_of_a_file_of_ours_does_not_keep_its_lock() {
    let store = Store::new();
    let (disk, owner) = start(&store);
    let (name, epoch) = (owner.tape.name(), store.bounds().epoch);
    let entered = disk.enter(epoch).expect("the disk is fine");
    assert!(!disk.is_final(name).expect("it can be read"));
    assert!(!disk.is_quiet_since(epoch).expect("it can be read"));
    // As a child has it that was forked meanwhile.
    let copies = [&owner.tape.file, &entered.file].map(|file| file.try_clone().expect("open"));
    let opening = store.log_dir().join(format!("{epoch:010}.opening"));
    let kept = store.log_dir().join(format!("{:010}.opening", epoch + 1));
    fs::hard_link(opening, kept).expect("the disk is fine");

    drop((owner, entered));

    assert!(disk.is_final(name).expect("it can be read"));
    assert!(disk.is_quiet_since(0).expect("it can be read"), "the link to it has no lock");
    assert_eq!(disk.list().expect("it is there").openers, [epoch + 1].into());
    drop(copies);
}

#[test]
fn readers_that_look_at_the_same_moment_do_not_stop_each_other() {
    let store = Store::new();
    fs::write(store.log_dir().join("0000000005.opening"), "").expect("the disk is fine");
    let look = || {
        let disk = store.disk();
        (0..2_000).filter(|_| disk.is_quiet_since(1).expect("it can be read")).count()
    };

    let quiet_counts: Vec<usize> = thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(look)).collect();
        readers.into_iter().map(|reader| reader.join().expect("it does not panic")).collect()
    });

    assert_eq!(quiet_counts, [2_000; 4], "whoever had it had died");
}

#[test]
fn an_owner_whose_mark_comes_back_each_time_is_given_up() {
    const OWNERS: std::ops::Range<u64> = 1..20;
    let store = Store::new();
    drop(start(&store));
    let path = |epoch, mark| store.log_dir().join(format!("{epoch:010}.{mark}"));
    for epoch in OWNERS {
        // To move one name of a file onto another one does nothing: rename(2).
        fs::write(path(epoch, "live"), "").expect("the disk is fine");
        fs::hard_link(path(epoch, "live"), path(epoch, "past")).expect("the disk is fine");
        assert!(store.bounds().epoch > epoch);
    }
    let before = store.disk().list().expect("it is there");
    let all_live = OWNERS.map(|epoch| (epoch, Mark::Live)).collect();
    assert_eq!(before.marks, all_live, "with both it may write");

    let refused = take(&store.disk(), store.bounds()).expect_err("they may write");

    let Fault::Io { source, .. } = refused else { panic!("{refused}") };
    assert!(source.to_string().contains("come back"), "{source}");
    assert_eq!(store.disk().list().expect("it is there"), before, "nothing was taken");
    for epoch in OWNERS {
        fs::remove_file(path(epoch, "live")).expect("it is there");
        fs::remove_file(path(epoch, "past")).expect("it is there");
    }
    check_later_owners(&store, &["a".to_owned()]);
}

#[test]
fn what_a_takeover_names_is_durable_whatever_the_options() {
    let store = Store::new();
    let (old_disk, mut old) = start(&store);
    let begun = old_disk.script.synced();
    let first = old.tape.name();
    old.tape.roll(2).expect("the disk is fine");
    assert!(old.commit("b"));
    assert_eq!(old_disk.script.synced(), begun, "what goes on is as durable as was asked for");

    let disk = store.disk();
    let new = open(&disk, store.bounds(), |_| true).expect("nobody is in the way");

    assert_eq!(keys(&store, &new.parts), ["a", "b"]);
    let named = [disk.path(first), disk.path(new.tape.name()), store.log_dir()];
    assert_eq!(disk.script.synced(), named.into(), "the last record is in the new segment");
}

#[tokio::test]
async fn an_owner_whose_segments_a_newer_one_deletes_is_told_of_it_and_not_of_damage() {
    let store = written(&["a", "b"]).await;
    let (bounds, disk) = (store.bounds(), store.disk());
    let taken = take(&disk, bounds).expect("nobody is in the way");
    let replay = || {
        let (disk, parts) = (disk.clone(), taken.parts.clone());
        Replay::of_owner(disk, parts, bounds.after_id, bounds.epoch)
    };
    let (own, aside) = (disk.path(taken.tape.name()), store.log_dir().join("aside"));
    fs::rename(&own, &aside).expect("it is there");
    let damaged = replay().next().await.err();
    assert!(matches!(damaged, Some(WalError::DataError(_))), "{damaged:?}");
    fs::rename(&aside, &own).expect("it is there");

    drop(open(&store.disk(), store.bounds(), |_| true).expect("nobody is in the way"));

    assert!(!own.exists(), "the newer owner has a copy of what was in it");
    let told = replay().next().await.err();
    assert!(matches!(told, Some(WalError::Fenced)), "{told:?}");
}
