//! The log under a database.

use std::io;
use std::path::Path as FilePath;

use super::super::place::{find, find_or_make};
use super::*;
use crate::error::Error;
use crate::log::target::LocalDir;
use crate::log::tests::{keys, open, options, row};
use crate::log::{Access, Log as _, ScanRange, SlateLog, SlateReader, Target};

fn target(dir: &FilePath) -> Target {
    Target::local(dir, Access::Own { fsync: true }).expect("it can be written")
}

/// Copies a directory. A file that is renamed or deleted meanwhile makes it begin again: a copy without
/// it would be none of any instant.
fn copy(from: &FilePath, to: &FilePath) {
    const TRIES_MAX: usize = 100;
    let is_whole = |_| match try_copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::remove_dir_all(to).expect("the disk is fine");
            false
        }
        copied => {
            copied.expect("the disk is fine");
            true
        }
    };
    assert!((0..TRIES_MAX).any(is_whole), "something is always on its way");
}

fn try_copy(from: &FilePath, to: &FilePath) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().expect("it has a name");
        if path.is_dir() {
            try_copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn names(dir: &FilePath) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.expect("it is there").file_name().to_string_lossy().into()).collect()
}

#[tokio::test]
async fn a_commit_is_one_write_and_no_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(&target(dir.path())).await;
    let before = log.counts();

    for _ in 0..10 {
        log.commit(vec![row("k", "value")]).await.expect("the disk is fine");
    }

    let after = log.counts();
    assert_eq!(after.put_count - before.put_count, 10);
    assert!((300..1_000).contains(&(after.put_bytes - before.put_bytes)));
    assert_eq!(names(&dir.path().join("queue/wal")), [SIGNPOST]);
    assert_eq!(names(&dir.path().join("queue/log")).len(), 2, "a segment, a mark");
    log.close().await.expect("the disk is fine");
}

#[tokio::test]
async fn the_image_of_a_killed_process_has_every_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(&target(dir.path())).await;
    for number in 0..5 {
        log.commit(vec![row("k0", "0"), row(["k1", "k2", "k3", "k4", "k5"][number], "x")])
            .await
            .expect("the disk is fine");
        let image = tempfile::tempdir().expect("a directory");
        copy(dir.path(), image.path());

        let next = open(&target(image.path())).await;

        let found = keys(&next, ScanRange::of_tag(b'k'), 99).await;
        assert_eq!(found.len(), number + 2);
        next.close().await.expect("the disk is fine");
    }
    log.commit(vec![row("k6", "x")]).await.expect("nobody has taken it");
}

#[tokio::test]
async fn a_database_that_was_closed_goes_on_without_the_old_log() {
    let dir = tempfile::tempdir().expect("a directory");
    for number in 0..3 {
        let log = open(&target(dir.path())).await;
        assert_eq!(keys(&log, ScanRange::of_tag(b'k'), 99).await.len(), number);
        log.commit(vec![row(["k1", "k2", "k3"][number], "x")]).await.expect("the disk is fine");
        log.close().await.expect("the disk is fine");
        assert_eq!(names(&dir.path().join("queue/log")).len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_open_at_once_one_owns_the_store_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(&target(dir.path())).await;
    first.commit(vec![row("k0", "x")]).await.expect("the disk is fine");
    let opening = (0..8).map(|number: usize| {
        let target = target(dir.path());
        async move {
            let key = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"][number];
            let log = SlateLog::open(&target, "queue", &options()).await?;
            log.commit(vec![row(key, "x")]).await.map(|()| (key.to_owned(), log))
        }
    });
    let results = futures::future::join_all(opening).await;
    let mut reported: Vec<String> = vec!["k0".into()];
    for result in &results {
        match result {
            Ok((key, _)) => reported.push(key.clone()),
            Err(Error::Fenced { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(matches!(first.commit(vec![row("k9", "x")]).await, Err(Error::Fenced { .. })));

    let last = open(&target(dir.path())).await;

    let found = keys(&last, ScanRange::of_tag(b'k'), 99).await;
    assert!(reported.iter().all(|key| found.contains(key)), "{reported:?} {found:?}");
    last.commit(vec![row("ka", "x")]).await.expect("it is the newest one");
    last.close().await.expect("the disk is fine");
}

#[tokio::test]
async fn a_log_that_is_written_faster_than_tables_are_deletes_its_segments() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(&target(dir.path())).await;
    let value: &'static str = Box::leak("x".repeat(1024 * 1024).into_boxed_str());
    for number in 0..40 {
        let key: &'static str = Box::leak(format!("k{number:02}").into_boxed_str());
        log.commit(vec![row(key, value)]).await.expect("the disk is fine");
    }
    let image = tempfile::tempdir().expect("a directory");
    copy(dir.path(), image.path());
    assert!(names(&image.path().join("queue/log")).len() > 20, "segments are small in tests");

    let next = open(&target(image.path())).await;

    assert_eq!(keys(&next, ScanRange::of_tag(b'k'), 99).await.len(), 40);
    assert!(names(&image.path().join("queue/log")).len() < 40, "what is in tables was deleted");
    next.close().await.expect("the disk is fine");
}

/// What an owner and a reader are told.
async fn opened(dir: &FilePath) -> [Option<Error>; 2] {
    let target = target(dir);
    let owner = SlateLog::open(&target, "queue", &options()).await.err();
    let reader = SlateReader::open(&target, "queue", options().store_timeout).await.err();
    [owner, reader]
}

#[tokio::test]
async fn damage_and_other_mishaps_are_told_as_such() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(&target(dir.path())).await;
    log.commit(vec![row("k1", "x")]).await.expect("the disk is fine");
    log.commit(vec![row("k2", "x")]).await.expect("the disk is fine");
    let image = |damage: &dyn Fn(&FilePath)| {
        let image = tempfile::tempdir().expect("a directory");
        copy(dir.path(), image.path());
        damage(&image.path().join("queue"));
        image
    };
    let segment = |root: &FilePath| {
        let name = names(&root.join("log")).into_iter().find(|name| name.contains('-'));
        root.join("log").join(name.expect("there is one"))
    };

    let emptied = image(&|root| fs::write(segment(root), "").expect("the disk is fine"));
    for result in opened(emptied.path()).await {
        let Some(Error::Corrupted { detail, .. }) = result else { panic!("{result:?}") };
        assert!(detail.contains("`log/0000000001-"), "{detail}");
    }

    let without = image(&|root| fs::remove_dir_all(root.join("log")).expect("it is there"));
    for result in opened(without.path()).await {
        assert!(matches!(result, Some(Error::InvalidStore { .. })), "{result:?}");
    }

    let files = object_store::local::LocalFileSystem::new_with_prefix(dir.path());
    let bucket = Target::from_store(Arc::new(files.expect("it is there")), "s3://b".into());
    let result = SlateLog::open(&bucket, "queue", &options()).await.err();
    assert!(matches!(result, Some(Error::InvalidStore { .. })), "{result:?}");

    let twice = image(&|root| {
        fs::write(root.join("wal/00000000000000000001.sst"), "rows").expect("the disk is fine");
    });
    let result = SlateLog::open(&target(twice.path()), "queue", &options()).await.err();
    assert!(matches!(result, Some(Error::Corrupted { .. })), "{result:?}");
}

#[tokio::test]
async fn a_database_of_log_objects_keeps_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = object_store::local::LocalFileSystem::new_with_prefix(dir.path());
    let objects = Target::from_store(Arc::new(files.expect("it is there")), "objects".into());
    // As a release had it that knew no other log.
    open(&objects).await.close().await.expect("the disk is fine");
    assert_ne!(names(&dir.path().join("queue/wal")), [""; 0]);

    for number in 0..2 {
        let log = open(&target(dir.path())).await;
        assert_eq!(keys(&log, ScanRange::of_tag(b'k'), 9).await.len(), number);
        log.commit(vec![row(["k1", "k2"][number], "x")]).await.expect("the disk is fine");
        let target = target(dir.path());
        let reader = SlateReader::open(&target, "queue", options().store_timeout).await;
        let reader = reader.expect("it is there");
        assert_eq!(keys(&reader, ScanRange::of_tag(b'k'), 9).await.len(), number + 1);
        reader.close().await.expect("nothing can go wrong");
        log.close().await.expect("the disk is fine");
    }
    assert_eq!(names(&dir.path().join("queue/log")), [""; 0]);
}

#[test]
fn a_log_is_made_once_and_only_where_it_can_be_trusted() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = |name: &str| LocalDir { path: dir.path().join(name), fsync: true };
    assert!(find(&place("new"), "new").expect("nothing is wrong").is_none());
    assert!(!dir.path().join("new").exists(), "looking makes nothing");
    for _ in 0..2 {
        assert!(find_or_make(&place("new"), "new").expect("it can be made").is_some());
    }
    assert_eq!(names(&dir.path().join("new/log")).len(), 1);

    let elsewhere = LocalDir { path: "/proc/taquba".into(), fsync: true };
    assert!(find_or_make(&elsewhere, "proc").expect("it is not made").is_none());

    fs::write(dir.path().join("file"), "in the way").expect("the disk is fine");
    let refused = find_or_make(&place("file"), "file").err();
    assert!(matches!(refused, Some(Error::StoreUnavailable { .. })), "{refused:?}");
}

#[test]
fn a_directory_that_cannot_be_looked_into_is_not_taken_for_one_that_is_not_there() {
    for name in ["log", "wal", "manifest"] {
        let dir = tempfile::tempdir().expect("a directory");
        let place = LocalDir { path: dir.path().to_owned(), fsync: true };
        if name == "wal" {
            fs::create_dir(dir.path().join("log")).expect("the disk is fine");
        }
        // A link to itself leads nowhere.
        std::os::unix::fs::symlink(name, dir.path().join(name)).expect("the disk is fine");

        let made = find_or_make(&place, "name").err();

        assert!(matches!(made, Some(Error::StoreUnavailable { .. })), "{name}: {made:?}");
        if name != "manifest" {
            let found = find(&place, "name").err();
            assert!(matches!(found, Some(Error::StoreUnavailable { .. })), "{name}: {found:?}");
        }
        assert!(!dir.path().join("log/0000000000-00000000000000000001").exists());
    }
}
