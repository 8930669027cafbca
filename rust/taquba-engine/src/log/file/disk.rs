//! The directory of the log: segments, and the marks of their owners.
//!
//! | name | what |
//! |---|---|
//! | `{epoch}-{first id}` | a segment |
//! | `{epoch}-{first id}.{maker}.new` | one that is being made: nothing to anybody else |
//! | `{epoch}.{maker}.new` | an opener's file that is being made: the same |
//! | `{epoch}.live` | the mark of an owner; empty, its name is all there is to it |
//! | `{epoch}.past` | the same mark, after a newer owner took the store |
//! | `{epoch}.opening` | locked by the opener of that epoch while it takes the log over |
//!
//! # Invariants
//!
//! 1. A segment appears with its header, its zeros and its lock, or not at all.
//! 2. With `fsync`, what a method has made is durable when it returns, and without it an owner's first
//!    segment is: it takes the place of what an older owner may have synced. Moving a mark is not: it
//!    speaks to living processes, and those end with the machine.
//! 3. The file of a segment is locked for as long as its owner may write to it.
//! 4. The file of an opener appears with its lock, or not at all, and goes when its opener is through.
//!    One without a lock is of an opener that died, or failed to delete it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Fault;
use super::segment::{HEAD_BYTES, Header, Name, Origin, Part, STEP_BYTES};
use super::tape::random;

/// Where the log is, below the database's path.
pub(super) const LOG_DIR: &str = "log";

/// What the file of an opener is called behind its epoch.
const OPENING: &str = "opening";

/// Whether an owner may still write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Live,
    Past,
}

/// What is in the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub segments: BTreeSet<Name>,
    pub marks: BTreeMap<u64, Mark>,
    /// Openers that are taking the log over, or died of it.
    pub openers: BTreeSet<u64>,
    /// Files that were never finished, and the epochs of those who made them.
    pub unfinished: BTreeSet<(u64, String)>,
}

impl Listing {
    /// An owner with both marks may write: it looks for the one.
    fn add_mark(&mut self, name: &str) {
        if let Some(epoch) = parse_epoch(name, kind_of(Mark::Live)) {
            self.marks.insert(epoch, Mark::Live);
        } else if let Some(epoch) = parse_epoch(name, kind_of(Mark::Past)) {
            self.marks.entry(epoch).or_insert(Mark::Past);
        }
    }
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    pub fsync: bool,
    #[cfg(test)]
    pub script: super::tests::Script,
}

/// Shows that an opener is taking the log over.
#[derive(Debug)]
pub(super) struct Entered {
    pub file: File,
    path: PathBuf,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // If this fails, a later owner deletes it: without the lock it says nothing.
        let _ = fs::remove_file(&self.path);
        unlock(&self.file);
    }
}

/// Places at which tests interfere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Fenced,
    Surveyed,
    Published,
    Marked,
    Write,
    Written,
    Synced,
}

impl Disk {
    pub fn new(dir: PathBuf, fsync: bool) -> Self {
        Self {
            dir,
            fsync,
            #[cfg(test)]
            script: super::tests::Script::default(),
        }
    }

    pub fn path(&self, name: Name) -> PathBuf {
        self.dir.join(name.to_string())
    }

    /// Makes the log of a new database, with an empty segment in it that belongs to nobody: a log
    /// without segments has lost them.
    pub fn make(&self) -> Result<(), Fault> {
        self.make_dir()?;
        if self.list()?.segments.is_empty() {
            let origin = Origin::Taken(Vec::new());
            let header = Header { epoch: 0, first_id: 1, salt: 0, is_synced: self.fsync, origin };
            // Somebody may be making the same.
            let made = self.create(&header, &[]);
            if made.is_err() && self.list()?.segments.is_empty() {
                return made.map(drop);
            }
        }
        Ok(())
    }

    /// Makes the directory and those that it is in.
    pub fn make_dir(&self) -> Result<(), Fault> {
        let missing: Vec<&Path> = self.dir.ancestors().take_while(|dir| !dir.exists()).collect();
        fs::create_dir_all(&self.dir).map_err(|error| self.failed("make", error))?;
        missing.into_iter().filter_map(Path::parent).try_for_each(|parent| self.sync_dir(parent))
    }

    /// Makes the names in the directory durable.
    pub fn sync_entries(&self) -> Result<(), Fault> {
        self.sync_dir(&self.dir)
    }

    /// Makes a file whose name is all there is to it.
    pub fn put_empty(&self, name: &str) -> Result<(), Fault> {
        File::create(self.dir.join(name)).map_err(|error| self.failed("make", error))?;
        self.sync_dir(&self.dir)
    }

    pub fn list(&self) -> Result<Listing, Fault> {
        let failed = |error| self.failed("list", error);
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            match name.split_once('.') {
                None => listing.segments.extend(name.parse::<Name>()),
                Some((_, rest)) if rest.rsplit('.').next() == Some("new") => {
                    let maker = parse_maker(name);
                    listing.unfinished.extend(maker.map(|epoch| (epoch, name.to_owned())));
                }
                Some((_, OPENING)) => listing.openers.extend(parse_epoch(name, OPENING)),
                Some(_) => listing.add_mark(name),
            }
        }
        Ok(listing)
    }

    /// Makes a segment that begins with these records. It is there, whole, or it is not.
    pub fn create(&self, header: &Header, records: &[u8]) -> Result<(File, u64), Fault> {
        let unfinished = self.unfinished(header.name());
        let made = self.create_as(&unfinished, header, records);
        if made.is_err() {
            // Nobody comes back to it. If this fails, a later owner deletes it.
            let _ = fs::remove_file(&unfinished);
        }
        made
    }

    /// Where a segment is made. Two that make the first one of a database do not share a file. Of a
    /// forked process the child has the parent's random numbers, but not its id.
    pub fn unfinished(&self, name: impl fmt::Display) -> PathBuf {
        let maker = format!("{}-{:08x}", std::process::id(), random());
        self.dir.join(format!("{name}.{maker}.new"))
    }

    fn create_as(
        &self,
        unfinished: &Path,
        header: &Header,
        records: &[u8],
    ) -> Result<(File, u64), Fault> {
        let name = header.name();
        let failed = |error| Fault::io("make", name, error);
        let mut file = File::create_new(unfinished).map_err(failed)?;
        let bytes = [&header.encode(), records].concat();
        file.write_all(&bytes).map_err(failed)?;
        file.set_len(padded(bytes.len() as u64)).map_err(failed)?;
        file.lock().map_err(failed)?;
        // An owner that does not sync takes over from one that did: if the machine fails, what that
        // one has reported must be found, here or where it was before.
        let is_taken = matches!(header.origin, Origin::Taken(_));
        if self.fsync || is_taken {
            self.sync_all(&file, &self.path(name)).map_err(failed)?;
        }
        fs::rename(unfinished, self.path(name)).map_err(failed)?;
        if self.fsync || is_taken {
            self.sync_names(&self.dir)?;
        }
        Ok((file, bytes.len() as u64))
    }

    /// Shows that the opener of this epoch is taking the log over, for as long as the value lives.
    pub fn enter(&self, epoch: u64) -> Result<Entered, Fault> {
        let unfinished = self.unfinished(padded_epoch(epoch));
        let path = self.dir.join(name_of(epoch, OPENING));
        let entered = File::create_new(&unfinished).and_then(|file| {
            // Nobody else knows this file: it does not wait.
            file.lock()?;
            fs::rename(&unfinished, &path)?;
            Ok(Entered { file, path })
        });
        if entered.is_err() {
            // Nobody comes back to it. If this fails, a later owner deletes it.
            let _ = fs::remove_file(&unfinished);
        }
        entered.map_err(|error| self.failed("make", error))
    }

    /// Whether neither the owner of this epoch nor a newer one is taking the log over at this moment. An
    /// older one has nothing to say any more, wherever it stands.
    pub fn is_quiet_since(&self, epoch: u64) -> Result<bool, Fault> {
        for opener in self.list()?.openers.range(epoch..) {
            let file = match File::open(self.dir.join(name_of(*opener, OPENING))) {
                // It is through.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file.map_err(|error| self.failed("lock", error))?,
            };
            // Side by side with other readers.
            let tried = is_locked_by_us(file.try_lock_shared());
            unlock(&file);
            if !tried.map_err(|error| self.failed("lock", error))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Shows that the owner of this epoch has its first segment and may write.
    pub fn mark(&self, epoch: u64) -> Result<(), Fault> {
        self.put_empty(&mark_name(epoch, Mark::Live))
    }

    /// Has every owner before this one find that it must not write any more.
    pub fn fence_before(&self, epoch: u64, listing: &Listing) -> Result<bool, Fault> {
        let older = listing.marks.range(..epoch).filter(|(_, mark)| **mark == Mark::Live);
        let mut found = false;
        for (&older, _) in older {
            found = true;
            let (live, past) =
                (self.mark_path(older, Mark::Live), self.mark_path(older, Mark::Past));
            match fs::rename(live, past) {
                // Somebody else has done it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                moved => moved.map_err(|error| self.failed("fence", error))?,
            }
        }
        Ok(found)
    }

    /// Whether the owner of this epoch has this mark.
    pub fn has_mark(&self, epoch: u64, mark: Mark) -> Result<bool, Fault> {
        self.mark_path(epoch, mark).try_exists().map_err(|error| self.failed("list", error))
    }

    /// Whether the owner of this segment has ended: then nobody will ever write to it.
    pub fn is_final(&self, name: Name) -> Result<bool, Fault> {
        let failed = |error| Fault::io("lock", name, error);
        let file = File::open(self.path(name)).map_err(failed)?;
        let tried = is_locked_by_us(file.try_lock_shared());
        unlock(&file);
        tried.map_err(failed)
    }

    /// Bytes of a segment.
    pub fn size_bytes(&self, name: Name) -> Result<u64, Fault> {
        let meta = fs::metadata(self.path(name));
        meta.map(|meta| meta.len()).map_err(|error| Fault::io("open", name, error))
    }

    /// Makes durable what an owner that did not sync has left, whatever the options of this one: the
    /// list that names it is durable too, and would promise what is not there.
    pub fn sync(&self, name: Name) -> Result<(), Fault> {
        let path = self.path(name);
        let synced = File::open(&path).and_then(|file| self.sync_all(&file, &path));
        synced.map_err(|error| Fault::io("sync", name, error))
    }

    /// Whether a segment was last written so long ago.
    pub fn is_older_than(&self, name: Name, age: Duration) -> bool {
        let written = fs::metadata(self.path(name)).and_then(|meta| meta.modified());
        written.is_ok_and(|at| at.elapsed().is_ok_and(|passed| passed > age))
    }

    pub fn remove(&self, name: Name) -> io::Result<()> {
        gone(fs::remove_file(self.path(name)))
    }

    /// Deletes what older owners have left and the log does not name. Only for one who is known to be
    /// the owner: others may need what it does not know of.
    pub fn tidy(&self, epoch: u64, parts: &[Part]) -> io::Result<()> {
        let listing = self.list().map_err(io::Error::other)?;
        let is_named = |name: &Name| parts.iter().any(|part| part.name() == *name);
        let is_past = |name: &&Name| name.epoch < epoch && !is_named(name);
        for name in listing.segments.iter().filter(is_past) {
            self.remove(*name)?;
        }
        for (_, file) in listing.unfinished.iter().filter(|(maker, _)| *maker < epoch) {
            gone(fs::remove_file(self.dir.join(file)))?;
        }
        for opener in listing.openers.range(..epoch) {
            gone(fs::remove_file(self.dir.join(name_of(*opener, OPENING))))?;
        }
        for (older, mark) in listing.marks.range(..epoch) {
            gone(fs::remove_file(self.mark_path(*older, *mark)))?;
        }
        Ok(())
    }

    fn mark_path(&self, epoch: u64, mark: Mark) -> PathBuf {
        self.dir.join(mark_name(epoch, mark))
    }

    /// Makes the names in a directory durable.
    fn sync_names(&self, dir: &Path) -> Result<(), Fault> {
        let synced = File::open(dir).and_then(|file| self.sync_all(&file, dir));
        synced.map_err(|error| self.failed("sync", error))
    }

    /// Makes a file or a directory durable. Tests look at what was.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "it is for tests"))]
    fn sync_all(&self, file: &File, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.script.note_synced(path);
        #[cfg(not(test))]
        let _ = path;
        file.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), Fault> {
        if self.fsync { self.sync_names(dir) } else { Ok(()) }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Fault {
        Fault::Io { doing, file: self.dir.display().to_string(), source }
    }

    /// Lets a test stop here, or fail.
    #[cfg(test)]
    pub fn reach(&self, step: Step) -> io::Result<()> {
        self.script.reach(step)
    }

    /// Lets a test stop here, or fail.
    #[cfg(not(test))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "it is for tests")]
    pub const fn reach(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }
}

/// The length of a file with so many bytes in use.
pub(super) const fn padded(used_bytes: u64) -> u64 {
    (used_bytes + HEAD_BYTES as u64).next_multiple_of(STEP_BYTES)
}

fn is_locked_by_us(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Closing the file is not enough: a child that was forked meanwhile has it open, and would keep the
/// lock. There is nothing to be done about a failure, and nothing that is known to cause one.
pub(super) fn unlock(file: &File) {
    let _ = file.unlock();
}

/// The epoch of a file that has exactly the name that we would give it. One with another name would
/// not be found when it is to be moved or deleted.
fn parse_epoch(name: &str, kind: &str) -> Option<u64> {
    let epoch = name.split_once('.')?.0.parse().ok()?;
    (name_of(epoch, kind) == name).then_some(epoch)
}

/// The epoch of an owner who began to make a file.
fn parse_maker(name: &str) -> Option<u64> {
    let (made, _) = name.split_once('.')?;
    let segment = made.parse::<Name>().ok().map(|segment| segment.epoch);
    segment.or_else(|| made.parse().ok().filter(|epoch| padded_epoch(*epoch) == made))
}

fn mark_name(epoch: u64, mark: Mark) -> String {
    name_of(epoch, kind_of(mark))
}

const fn kind_of(mark: Mark) -> &'static str {
    match mark {
        Mark::Live => "live",
        Mark::Past => "past",
    }
}

fn name_of(epoch: u64, kind: &str) -> String {
    format!("{}.{kind}", padded_epoch(epoch))
}

fn padded_epoch(epoch: u64) -> String {
    format!("{epoch:010}")
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
