//! Memos as objects, on memory and on disk.

use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::log::Access;
use crate::log::tests::held::HeldStore;

fn stores() -> (Vec<MemoObjects>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let access = Access::Beside { fsync: true };
    let local = Target::local(dir.path(), access).expect("it can be written");
    let made = |target| MemoObjects::new(&target, "some/where").expect("a path");
    (vec![made(Target::in_memory()), made(local)], dir)
}

fn run(id: &str) -> RunId {
    id.parse().expect("a run id")
}

fn marker(terminal_at_ms: u64, id: &str) -> TerminalMarker {
    TerminalMarker { terminal_at_ms, run_id: run(id) }
}

fn key(text: &str) -> MemoKey {
    MemoKey::of(text.as_bytes())
}

#[tokio::test]
async fn a_value_is_found_by_its_run_step_and_key_alone() {
    let (stores, _dir) = stores();
    for store in &stores {
        let places = [("run", 0, "a"), ("run", 0, ""), ("run", 1, "a"), ("run-1", 0, "a")];
        for (id, step, text) in places {
            let value = Bytes::from(format!("{id} {step} {text}"));
            store.put(&run(id), step, &key(text), value).await.expect("the store is fine");
        }

        for (id, step, text) in places {
            let value = store
                .get(&run(id), step, &key(text), Reader::Other)
                .await
                .expect("the store is fine");
            assert_eq!(value, Some(Bytes::from(format!("{id} {step} {text}"))));
        }
        assert_eq!(store.get(&run("run"), 2, &key("a"), Reader::Other).await, Ok(None));
    }
}

#[tokio::test]
async fn clearing_a_run_leaves_those_alone_whose_id_begins_like_it() {
    let (stores, dir) = stores();
    for store in &stores {
        for id in ["run", "run-suffix", "ru"] {
            for step in [0, 1, 10] {
                let value = Bytes::from_static(b"value");
                store.put(&run(id), step, &key("k"), value).await.expect("the store is fine");
            }
        }

        let cleared = store.clear_run(&run("run")).await.expect("the store is fine");

        assert_eq!(cleared, Cleared { count: 3, ..Cleared::default() });
        assert_eq!(store.get(&run("run"), 0, &key("k"), Reader::Other).await, Ok(None));
        for id in ["run-suffix", "ru"] {
            assert!(
                store
                    .get(&run(id), 10, &key("k"), Reader::Other)
                    .await
                    .is_ok_and(|value| value.is_some())
            );
        }
        assert_eq!(store.clear_run(&run("run")).await, Ok(Cleared::default()));
    }
    // Nothing is left of it on disk, not even a directory.
    assert!(!dir.path().join("some/where/memos/run").exists());
}

#[tokio::test]
async fn one_memo_that_cannot_be_deleted_does_not_keep_the_others() {
    let held = Arc::new(HeldStore::default());
    let target = Target::from_store(Arc::clone(&held) as _, "memory://".into());
    let store = MemoObjects::new(&target, "p").expect("a path");
    for step in 0..40 {
        let value = Bytes::from_static(b"value");
        store.put(&run("r"), step, &key("k"), value).await.expect("the store is fine");
    }
    held.deny(Some("/r/7/"));

    let cleared = store.clear_run(&run("r")).await.expect("it can be listed");

    assert_eq!(cleared.count, 39);
    let [(place, Error::PermissionDenied { .. })] = &cleared.failed[..] else {
        panic!("{cleared:?}");
    };
    assert_eq!(*place, format!("memory:/p/memos/r/7/{}", key("k")));
    held.deny(Some("p/memos/r"));
    let told = store.clear_run(&run("r")).await;
    assert!(matches!(told, Err(Error::PermissionDenied { .. })), "{told:?}");
}

#[tokio::test]
async fn a_large_value_comes_back_and_one_that_is_too_large_is_refused() {
    let (stores, _dir) = stores();
    for store in &stores {
        let large = Bytes::from(vec![7; 1024 * 1024]);
        store.put(&run("r"), 0, &key("k"), large.clone()).await.expect("the store is fine");
        assert_eq!(store.get(&run("r"), 0, &key("k"), Reader::Other).await, Ok(Some(large)));

        let size_bytes = PAYLOAD_BYTES_MAX + 1;
        let refused = store.put(&run("r"), 0, &key("k"), vec![0; size_bytes].into()).await;
        assert_eq!(refused, Err(Error::MemoTooLarge { size_bytes }));
    }
}

#[tokio::test]
async fn a_damaged_object_is_told_by_its_place() {
    let (stores, _dir) = stores();
    for store in &stores {
        let (run, key) = (run("r"), key("k"));
        store.put(&run, 3, &key, Bytes::from_static(b"value")).await.expect("the store is fine");
        let at = store.place_of(&run, 3, &key);
        let Ok(Object::Read(whole)) = store.objects.get(&at, u64::MAX).await else {
            panic!("it was written");
        };
        let mut flipped = whole.to_vec();
        *flipped.last_mut().expect("it has bytes") ^= 1;
        let other_version = [&[1], &whole[1..]].concat();
        let cut = whole.slice(..whole.len() - 1);
        for damaged in [Bytes::new(), "foreign".into(), flipped.into(), other_version.into(), cut] {
            store.objects.put(&at, damaged.into()).await.expect("the store is fine");
            let told = store.get(&run, 3, &key, Reader::Other).await;
            let Err(Error::MemoCorrupted { place, .. }) = told else { panic!("{told:?}") };
            assert!(place.ends_with(&format!("some/where/memos/r/3/{key}")), "{place}");
        }
    }
}

#[tokio::test]
async fn marks_come_oldest_first_and_what_is_none_is_skipped() {
    let (stores, _dir) = stores();
    for store in &stores {
        let marks = [marker(2, "b"), marker(10, "a"), marker(1, "c_d"), marker(u64::MAX, "z")];
        for mark in &marks {
            store.write_marker(mark).await.expect("the store is fine");
            store.write_marker(mark).await.expect("the store is fine");
        }
        for name in ["readme", "1_a", "00000000000000000001_", "99999999999999999999_a"] {
            let at = store.objects.root().clone().join(MARKER_DIR).join(name);
            store.objects.put(&at, PutPayload::new()).await.expect("the store is fine");
        }

        let listed = store.list_markers().await.expect("the store is fine");

        let sorted = [marker(1, "c_d"), marker(2, "b"), marker(10, "a"), marker(u64::MAX, "z")];
        assert_eq!(listed.markers, sorted);
        assert_eq!(listed.skipped.len(), 4);
        assert!(listed.skipped.iter().all(|place| place.contains("some/where/terminals/")));
        for mark in [&marks[0], &marks[0]] {
            assert_eq!(store.delete_marker(mark).await, Ok(()));
        }
        let listed = store.list_markers().await.expect("the store is fine");
        assert_eq!(listed.markers.len(), 3);
    }
}

#[tokio::test]
async fn writing_beside_the_end_of_a_directory_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = Target::local(dir.path(), Access::Beside { fsync: false }).expect("a directory");
    let store = MemoObjects::new(&target, "p").expect("a path");
    for round in 0..200 {
        let (old, new) = (marker(round, "old"), marker(round, "new"));
        store.write_marker(&old).await.expect("the store is fine");
        let (deleted, written) = tokio::join!(store.delete_marker(&old), store.write_marker(&new));
        assert_eq!((deleted, written), (Ok(()), Ok(())));
        store.delete_marker(&new).await.expect("the store is fine");
    }
    assert_eq!(store.list_markers().await, Ok(Markers::default()));
}

#[test]
fn a_mark_reads_as_it_was_written() {
    let names: HashSet<_> = ["a", "a_b", "_", "0"]
        .iter()
        .flat_map(|id| [0, 1, u64::MAX].map(|at_ms| marker(at_ms, id)))
        .map(|mark| {
            assert_eq!(mark.to_string().parse(), Ok(mark.clone()));
            mark.to_string()
        })
        .collect();

    assert_eq!(names.len(), 12);
    assert!(names.contains("00000000000000000001_a_b"));
}

async fn swept(store: &MemoObjects, mark: &TerminalMarker) -> Cleared {
    let sweep = store.begin_sweep(mark, 0).await.expect("the store is fine");
    store.finish_sweep(sweep.expect("nobody else sweeps it")).await
}

#[tokio::test]
async fn a_sweep_takes_what_was_there_when_it_looked_and_no_other() {
    let (stores, _dir) = stores();
    for store in &stores {
        let (run, mark, value) = (run("r"), marker(1, "r"), Bytes::from_static(b"value"));
        store.put(&run, 0, &key("k"), value.clone()).await.expect("the store is fine");
        store.write_marker(&mark).await.expect("the store is fine");

        let first =
            store.begin_sweep(&mark, 0).await.expect("the store is fine").expect("it is free");
        assert!(store.begin_sweep(&mark, 0).await.is_ok_and(|second| second.is_none()));
        store.put(&run, 0, &key("k"), value.clone()).await.expect("the store is fine");
        let cleared = store.finish_sweep(first).await;

        assert_eq!(cleared, Cleared { kept_count: 1, ..Cleared::default() }, "it was written");
        for (reader, count) in [(Reader::Step, 0), (Reader::Other, 1)] {
            let sweep = store.begin_sweep(&mark, 0).await.expect("the store is fine");
            let found = store.get(&run, 0, &key("k"), reader).await;
            assert_eq!(found, Ok(Some(value.clone())));
            let cleared = store.finish_sweep(sweep.expect("nobody else sweeps it")).await;
            assert_eq!(cleared, Cleared { count, failed: Vec::new(), kept_count: 1 - count });
        }
        store.delete_marker(&mark).await.expect("the store is fine");
        assert!(store.begin_sweep(&mark, 0).await.is_ok_and(|gone| gone.is_none()), "no mark");
        assert_eq!(store.gate.begin(&run).map(drop), Some(()), "nothing is left in the gate");
    }
}

#[tokio::test]
async fn what_another_process_wrote_anew_after_the_look_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let opened = || {
        let target = Target::local(dir.path(), Access::Beside { fsync: false });
        MemoObjects::new(&target.expect("a directory"), "p").expect("a path")
    };
    let (ours, theirs) = (opened(), opened());
    let (run, mark) = (run("r"), marker(1, "r"));
    for step in 0..2 {
        let value = Bytes::from_static(b"old");
        ours.put(&run, step, &key("k"), value).await.expect("the store is fine");
    }
    ours.write_marker(&mark).await.expect("the store is fine");

    let sweep = ours.begin_sweep(&mark, 0).await.expect("the store is fine").expect("it is free");
    let at = dir.path().join(theirs.place_of(&run, 1, &key("k")).as_ref());
    let before = std::fs::metadata(&at).and_then(|file| file.modified()).expect("it is there");
    // The file system's clock may tick slowly.
    while std::fs::metadata(&at).and_then(|file| file.modified()).expect("it is there") == before {
        let value = Bytes::from_static(b"new");
        theirs.put(&run, 1, &key("k"), value).await.expect("the store is fine");
    }
    let cleared = ours.finish_sweep(sweep).await;

    assert_eq!(cleared, Cleared { count: 1, kept_count: 1, ..Cleared::default() });
    assert_eq!(
        ours.get(&run, 1, &key("k"), Reader::Other).await,
        Ok(Some(Bytes::from_static(b"new")))
    );
}

#[tokio::test]
async fn what_is_dated_after_the_end_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = Target::local(dir.path(), Access::Beside { fsync: false }).expect("a directory");
    let store = MemoObjects::new(&target, "p").expect("a path");
    let (run, mark) = (run("r"), marker(1, "r"));
    for (step, age) in [(0, 0), (1, 30), (2, 90)] {
        let value = Bytes::from_static(b"value");
        store.put(&run, step, &key("k"), value).await.expect("the store is fine");
        let at = dir.path().join(store.place_of(&run, step, &key("k")).as_ref());
        let file = std::fs::File::options().write(true).open(at).expect("it is there");
        let dated = file.metadata().and_then(|file| file.modified()).expect("files have dates");
        file.set_modified(dated + std::time::Duration::from_secs(age)).expect("it is ours");
    }
    store.write_marker(&mark).await.expect("the store is fine");

    let cleared = swept(&store, &mark).await;

    assert_eq!(cleared, Cleared { count: 2, kept_count: 1, ..Cleared::default() });
    assert!(store.get(&run, 2, &key("k"), Reader::Other).await.is_ok_and(|value| value.is_some()));
}

#[tokio::test]
async fn who_uses_memos_waits_while_a_sweep_deletes_them() {
    let (stores, _dir) = stores();
    let gate = &stores[0].gate;
    let entry = gate.begin(&run("r")).expect("it is free");
    assert!(entry.may_delete(), "nobody has used them");

    let id = run("r");
    let mut waiting = std::pin::pin!(gate.pass(&id));
    assert!(futures::poll!(&mut waiting).is_pending());
    gate.pass(&run("other")).await;
    drop(entry);
    waiting.await;

    let entry = gate.begin(&run("r")).expect("it is free again");
    gate.pass(&run("r")).await;
    assert!(!entry.may_delete(), "somebody has");
}
