//! Several owners, one of them paused at each step while the others go on.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::super::disk::Mark;
use super::super::segment::{HEAD_BYTES, Kind, Part};
use super::super::tape::Tape;
use super::*;

pub(super) const TAKING: [Step; 4] = [Step::Fenced, Step::Surveyed, Step::Published, Step::Marked];
const WRITING: [Step; 3] = [Step::Write, Step::Written, Step::Synced];

/// An owner that stands still at a step.
pub(super) struct Paused<T> {
    go: Sender<()>,
    thread: JoinHandle<T>,
}

impl<T> Paused<T> {
    pub fn resume(self) -> T {
        self.go.send(()).expect("it waits");
        self.thread.join().expect("it does not panic")
    }
}

/// Has an owner work until it comes to this step.
pub(super) fn pause<T: Send + 'static>(
    disk: &Disk,
    at: Step,
    work: impl FnOnce() -> T + Send + 'static,
) -> Paused<T> {
    let (reached, waiting) = channel();
    let (go, gone): (_, Receiver<()>) = channel();
    disk.script.once(at, move || {
        reached.send(()).expect("the test waits");
        gone.recv().expect("the test goes on");
        Ok(())
    });
    let thread = thread::spawn(work);
    waiting.recv().expect("it comes to that step");
    Paused { go, thread }
}

/// An owner without a thread of its own.
pub(super) struct Plain {
    pub tape: Tape,
    pub parts: Vec<Part>,
    next_id: u64,
}

/// Takes the log as a database does; `None` if a newer owner came in between.
pub(super) fn open(
    disk: &Disk,
    bounds: Bounds,
    is_newest: impl Fn(Bounds) -> bool,
) -> Option<Plain> {
    let taken = take(disk, bounds);
    if !is_newest(bounds) {
        return None;
    }
    let taken = taken.expect("nobody was in the way");
    disk.tidy(bounds.epoch, &taken.older()).expect("the disk is fine");
    Some(Plain { tape: taken.tape, parts: taken.parts, next_id: taken.last_id + 1 })
}

impl Plain {
    /// Commits a row; whether it was reported.
    pub fn commit(&mut self, key: &str) -> bool {
        let mut frame = vec![0; HEAD_BYTES];
        rows::encode(&[row(key, b"value".to_vec(), self.next_id)], &mut frame);
        match self.tape.append(&mut frame, self.next_id, Kind::Rows) {
            Ok(()) => {
                self.next_id += 1;
                true
            }
            Err(Fault::Fenced) => false,
            Err(fault) => panic!("{fault}"),
        }
    }
}

pub(super) fn keys(store: &Store, parts: &[Part]) -> Vec<String> {
    futures::executor::block_on(async {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let disk = store.disk();
        let (parts, after_id) = (parts.to_vec(), store.after_id);
        runtime.block_on(async move { replay(&disk, &parts, after_id).await.expect("it is whole") })
    })
}

pub(super) fn start(store: &Store) -> (Disk, Plain) {
    let disk = store.disk();
    let mut owner = open(&disk, store.bounds(), |_| true).expect("nobody is in the way");
    assert!(owner.commit("a"));
    (disk, owner)
}

/// Opens the store once more: what later owners find must be this, and then what they write.
pub(super) fn check_later_owners(store: &Store, expected: &[String]) {
    let mut expected = expected.to_vec();
    for key in ["later", "latest"] {
        let disk = store.disk();
        let mut owner = open(&disk, store.bounds(), |_| true).expect("nobody is in the way");
        assert_eq!(keys(store, &owner.parts), expected);
        assert!(owner.commit(key));
        expected.push(key.to_owned());
    }
}

#[test]
fn an_owner_that_is_paused_in_a_write_while_another_one_takes_over_is_told_so() {
    for at in WRITING {
        let store = Store::new();
        let (disk, mut old) = start(&store);
        let writing = pause(&disk, at, move || (old.commit("b"), old));

        let mut new = open(&store.disk(), store.bounds(), |_| true).expect("it can be taken");
        let (is_reported, mut old) = writing.resume();
        let mut expected = keys(&store, &new.parts);
        assert!(new.commit("c"));

        assert!(!is_reported, "{at:?}: the new owner had been there");
        assert_eq!(expected.contains(&"b".to_owned()), at != Step::Write);
        for key in ["never 1", "never 2"] {
            assert!(!old.commit(key));
        }
        assert_eq!(keys(&store, &new.parts), expected, "{at:?}");
        expected.push("c".to_owned());
        check_later_owners(&store, &expected);
    }
}

#[test]
fn what_an_old_owner_writes_while_a_new_one_stands_still_is_never_promised() {
    for at in TAKING {
        for paused_at in [None, Some(Step::Write), Some(Step::Written), Some(Step::Synced)] {
            let store = Store::new();
            let (old_disk, mut old) = start(&store);
            let (bounds, disk) = (store.bounds(), store.disk());
            let (taken, new_disk) = (disk.clone(), disk.clone());
            let writing = match paused_at {
                None => None,
                Some(step) => {
                    let old = std::mem::replace(&mut old, dummy(&store));
                    Some(pause(&old_disk, step, move || {
                        let mut old = old;
                        (old.commit("b"), old)
                    }))
                }
            };
            let taking = pause(&disk, at, move || open(&taken, bounds, |_| true));
            let (is_reported, mut old) = match writing {
                Some(writing) => writing.resume(),
                None => (old.commit("b"), old),
            };
            let is_reported_too = old.commit("c");
            let mut new = taking.resume().expect("nobody else came");

            assert!(!is_reported && !is_reported_too, "{at:?}: its mark had been moved");
            let mut expected = keys(&store, &new.parts);
            assert!(["a", "ab", "abc"].contains(&expected.concat().as_str()), "{expected:?}");
            assert!(!old.commit("d"));
            assert_eq!(keys(&store, &new.parts), expected);
            assert!(new.commit("e"));
            expected.push("e".to_owned());
            check_later_owners(&store, &expected);
            drop(new_disk);
        }
    }
}

/// Stands in for an owner that a thread has.
fn dummy(store: &Store) -> Plain {
    let disk = Disk::new(store.log_dir().join("elsewhere"), false);
    disk.make().expect("the disk is fine");
    let name = Name { epoch: 1, first_id: 1 };
    let tape = Tape::create(&disk, name, segment::Origin::Taken(vec![]), None);
    Plain { tape: tape.expect("the disk is fine"), parts: vec![], next_id: 1 }
}

#[test]
fn of_two_that_open_at_once_the_newer_one_gets_it_wherever_the_older_one_stands() {
    for at in TAKING {
        let store = Store::new();
        let (_, mut first) = start(&store);
        let (bounds, disk) = (store.bounds(), store.disk());
        let newest = bounds.epoch + 1;
        let taken = disk.clone();
        let older = pause(&disk, at, move || open(&taken, bounds, |b| b.epoch == newest).is_some());
        let reported = first.commit("b");

        let new_disk = store.disk();
        let mut newer = open(&new_disk, store.bounds(), |_| true).expect("it is the newest one");
        let mut expected = keys(&store, &newer.parts);
        assert!(newer.commit("c"));
        let older_has_it = older.resume();

        assert!(!older_has_it, "{at:?}: its epoch was not the newest one any more");
        assert!(!reported);
        assert!(!first.commit("d"));
        assert!(newer.commit("e"), "{at:?}: whoever came before cannot fence it");
        expected.extend(["c".to_owned(), "e".to_owned()]);
        check_later_owners(&store, &expected);
    }
}

#[test]
fn an_owner_that_dies_while_it_opens_leaves_the_log_to_the_next_one() {
    for at in TAKING {
        for again_at in TAKING {
            let store = Store::new();
            let (_, mut first) = start(&store);
            for step in [at, again_at] {
                let disk = store.disk();
                disk.script.once(step, || Err(io::Error::other("it dies here")));
                assert!(take(&disk, store.bounds()).is_err());
            }
            assert!(!first.commit("b"), "it was fenced");

            let disk = store.disk();
            let mut third = open(&disk, store.bounds(), |_| true).expect("nobody is in the way");
            let mut expected = keys(&store, &third.parts);
            assert!(["a", "ab"].contains(&expected.concat().as_str()), "{expected:?}");
            assert!(!first.commit("c"));
            assert!(third.commit("d"));
            expected.push("d".to_owned());
            check_later_owners(&store, &expected);
        }
    }
}

#[test]
fn a_name_that_is_nearly_that_of_a_mark_or_a_segment_is_nothing() {
    let store = Store::new();
    drop(start(&store));
    let before = store.disk().list().expect("it is there");
    let first_ids = [0, u64::MAX].map(|first_id| Name { epoch: 9, first_id }.to_string());
    let names = ["0.live", "00000000000.live", "+0000000001.live", "9.past", "0000000009.lives"];
    let openers = ["9.opening", "0000000009.openings", "9.1-a.new", "opening", "new"];
    for name in names.into_iter().chain(openers).chain(first_ids.iter().map(String::as_str)) {
        fs::write(store.log_dir().join(name), "").expect("the disk is fine");
    }

    assert_eq!(store.disk().list().expect("it is there"), before);
    assert_eq!(before.marks.into_iter().collect::<Vec<_>>(), [(1, Mark::Live)]);
    check_later_owners(&store, &["a".to_owned()]);
}
