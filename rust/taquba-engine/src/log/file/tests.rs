//! The log without a database: a test plays SlateDB, whose manifest is a number.

mod damage;
mod database;
mod follow;
mod openers;
mod owners;
mod random;
mod writing;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use slatedb::wal::{WalIterator as _, WalWriter as _};
use slatedb::{RowEntry, ValueDeletable};

use super::disk::Step;
use super::*;

type Act = Box<dyn FnMut(Step) -> io::Result<()> + Send>;

/// What a test does at the steps of an owner, and what it sees of it.
#[derive(Clone, Default)]
pub(super) struct Script {
    act: Arc<Mutex<Option<Act>>>,
    synced: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    pub fn reach(&self, step: Step) -> io::Result<()> {
        let act = self.act.lock().take();
        let Some(mut act) = act else { return Ok(()) };
        let reached = act(step);
        self.act.lock().get_or_insert(act);
        reached
    }

    pub fn note_synced(&self, path: &Path) {
        self.synced.lock().insert(path.to_owned());
    }

    /// Files and directories that were made durable whole.
    pub fn synced(&self) -> BTreeSet<PathBuf> {
        self.synced.lock().clone()
    }

    /// From now on.
    pub fn set(&self, act: impl FnMut(Step) -> io::Result<()> + Send + 'static) {
        *self.act.lock() = Some(Box::new(act));
    }

    /// Once, at this step.
    pub fn once(&self, at: Step, act: impl FnOnce() -> io::Result<()> + Send + 'static) {
        let mut act = Some(act);
        self.set(move |step| match act.take_if(|_| step == at) {
            Some(act) => act(),
            None => Ok(()),
        });
    }
}

/// A directory, and what a manifest would say.
pub(super) struct Store {
    dir: tempfile::TempDir,
    epoch: AtomicU64,
    after_id: u64,
    seen_id: u64,
}

impl Store {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Self { dir, epoch: AtomicU64::new(0), after_id: 0, seen_id: 0 };
        store.disk().make().expect("the disk is fine");
        store
    }

    /// The same files, as a process that was killed has left them.
    pub fn image(&self) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join(LOG_DIR)).expect("the disk is fine");
        for entry in fs::read_dir(self.log_dir()).expect("it is there") {
            let path = entry.expect("it is there").path();
            let name = path.file_name().expect("it has a name").to_owned();
            fs::copy(path, dir.path().join(LOG_DIR).join(name)).expect("the disk is fine");
        }
        let epoch = AtomicU64::new(self.epoch.load(Ordering::SeqCst));
        Self { dir, epoch, after_id: self.after_id, seen_id: self.seen_id }
    }

    pub fn log_dir(&self) -> std::path::PathBuf {
        self.dir.path().join(LOG_DIR)
    }

    /// As another process has it. Not synced: what a process sees does not depend on it.
    pub fn disk(&self) -> Disk {
        Disk::new(self.log_dir(), false)
    }

    /// An epoch of its own for a new owner.
    pub fn bounds(&self) -> Bounds {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        Bounds { epoch, after_id: self.after_id, seen_id: self.seen_id }
    }

    /// Whether SlateDB would let this owner go on.
    pub fn is_newest(&self, bounds: Bounds) -> bool {
        self.epoch.load(Ordering::SeqCst) == bounds.epoch
    }

    /// Opens the log as a database does.
    pub async fn open(&self) -> Result<Owner, Fault> {
        self.open_on(self.disk()).await
    }

    pub async fn open_on(&self, disk: Disk) -> Result<Owner, Fault> {
        let bounds = self.bounds();
        let taken = take(&disk, bounds)?;
        assert!(self.is_newest(bounds), "nobody else is opening it");
        disk.tidy(bounds.epoch, &taken.older()).expect("the disk is fine");
        let replayed = replay(&disk, &taken.parts, bounds.after_id).await?;
        let mut names: Vec<Name> = taken.older().iter().map(segment::Part::name).collect();
        names.push(taken.tape.name());
        let known = Known::new(Mutex::new(names));
        let next_seq = replayed.len() as u64 + 1;
        let writer = Writer::start(taken, bounds.after_id, Arc::clone(&known), Arc::default())?;
        Ok(Owner { writer, known, disk, replayed, next_seq })
    }

    /// What the next owner finds.
    pub async fn rows(&self) -> Result<Vec<String>, Fault> {
        self.image().open().await.map(|owner| owner.replayed)
    }

    pub fn segments(&self) -> Vec<Name> {
        self.disk().list().expect("it is there").segments.into_iter().collect()
    }
}

/// An owner of the log.
pub(super) struct Owner {
    pub writer: Writer,
    pub known: Known,
    pub disk: Disk,
    /// The keys that it found.
    pub replayed: Vec<String>,
    next_seq: u64,
}

impl Owner {
    pub async fn append(&mut self, key: &str, value: Vec<u8>) -> Result<(), WalError> {
        let row = row(key, value, self.next_seq);
        self.next_seq += 1;
        self.writer.append(&[row]).await
    }

    /// Commits a row and waits until it is durable.
    pub async fn commit(&mut self, key: &str) -> Result<u64, WalError> {
        self.commit_with(key, b"value".to_vec()).await
    }

    pub async fn commit_with(&mut self, key: &str, value: Vec<u8>) -> Result<u64, WalError> {
        self.append(key, value).await?;
        let flushed = self.writer.flush().await?;
        flushed.completion.await?;
        Ok(flushed.wal_id)
    }
}

pub(super) fn row(key: &str, value: Vec<u8>, seq: u64) -> RowEntry {
    let (key, value) = (key.to_owned().into(), ValueDeletable::Value(value.into()));
    RowEntry { key, value, seq, create_ts: Some(7), expire_ts: None }
}

/// The keys of some parts of the log.
pub(super) async fn replay(
    disk: &Disk,
    parts: &[segment::Part],
    after_id: u64,
) -> Result<Vec<String>, Fault> {
    let mut replay = Replay::new(disk.clone(), parts.to_vec(), after_id);
    let mut keys = Vec::new();
    let mut last_id = after_id;
    loop {
        match replay.next().await {
            Ok(Some(rows)) => {
                assert_eq!(rows.last_consumed_wal_file_id, last_id + 1);
                last_id += 1;
                let key = |row: RowEntry| String::from_utf8(row.key.to_vec()).expect("text");
                keys.extend(rows.rows.into_iter().map(key));
            }
            Ok(None) => return Ok(keys),
            Err(error) => return Err(Fault::Damaged(error.to_string())),
        }
    }
}

/// A store whose last owner has committed these keys and died.
pub(super) async fn written(keys: &[&str]) -> Store {
    let store = Store::new();
    let mut owner = store.open().await.expect("nothing is in the way");
    for key in keys {
        owner.commit(key).await.expect("the disk is fine");
    }
    store
}
