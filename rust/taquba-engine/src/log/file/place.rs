//! Which databases have this log: new ones on a disk of this machine, and those that began with it.
//!
//! # Invariants
//!
//! 1. A database keeps the log that it began with: of two logs nobody could tell the order.
//! 2. An empty object stands where the storage engine's own log would be: whoever looks for that one, on a
//!    copy in a bucket or where `log` was deleted, does not take the database for one that has lost
//!    nothing.
//! 3. What must be seen by every process, locks and the names in a directory, is trusted on file systems of
//!    this machine alone.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path as FilePath;

use super::disk::{Disk, LOG_DIR};
use super::{Fault, FileLog};
use crate::error::{Error, Result};
use crate::log::failure::of_file;
use crate::log::target::LocalDir;

/// Where SlateDB keeps its own log, and its manifests.
const OBJECTS_DIR: &str = "wal";
const MANIFEST_DIR: &str = "manifest";

/// The name of that object.
pub(in crate::log) const SIGNPOST: &str = "log-is-a-file";

/// The log of a database that is there; `None` if it has SlateDB's own.
pub(in crate::log) fn find(dir: &LocalDir, name: &str) -> Result<Option<FileLog>> {
    let path = dir.path.join(LOG_DIR);
    if !is_dir(&path).map_err(|fault| of_file(name, &fault))? {
        return Ok(None);
    }
    if has_objects(dir).map_err(|fault| of_file(name, &fault))? {
        return Err(Error::Corrupted {
            path: name.to_owned(),
            detail: format!("it has two logs, `{LOG_DIR}` and `{OBJECTS_DIR}`"),
        });
    }
    if !is_of_this_machine(&path) {
        let remedy = "its log is a file, and this is a network file system: open it on the machine \
                      that has the disk";
        return Err(Error::InvalidStore { location: name.to_owned(), remedy: remedy.to_owned() });
    }
    Ok(Some(FileLog::new(Disk::new(path, dir.fsync))))
}

/// The same for somebody who may make the database.
pub(in crate::log) fn find_or_make(dir: &LocalDir, name: &str) -> Result<Option<FileLog>> {
    let is_new = is_new(dir).map_err(|fault| of_file(name, &fault))?;
    if is_of_this_machine(&dir.path) {
        let made = if is_new { make(dir) } else { Ok(()) };
        made.and_then(|()| make_dirs(dir)).map_err(|fault| of_file(name, &fault))?;
    }
    find(dir, name)
}

fn make(dir: &LocalDir) -> std::result::Result<(), Fault> {
    let objects = Disk::new(dir.path.join(OBJECTS_DIR), dir.fsync);
    objects.make_dir()?;
    objects.put_empty(SIGNPOST)?;
    Disk::new(dir.path.join(LOG_DIR), dir.fsync).make()
}

/// Makes the directories of objects. Of two who write the first objects of one at the same moment, only
/// the one who makes it would wait until it is durable.
fn make_dirs(dir: &LocalDir) -> std::result::Result<(), Fault> {
    for name in [MANIFEST_DIR, "compacted", "compactions", "payloads", "owner"] {
        Disk::new(dir.path.join(name), dir.fsync).make_dir()?;
    }
    // One who was killed may have made some, and not have come to this.
    Disk::new(dir.path.clone(), dir.fsync).sync_entries()
}

fn is_new(dir: &LocalDir) -> std::result::Result<bool, Fault> {
    Ok(!has_entry(&dir.path.join(MANIFEST_DIR), |_| true)? && !has_objects(dir)?)
}

/// Whether there is a log of the other kind.
fn has_objects(dir: &LocalDir) -> std::result::Result<bool, Fault> {
    has_entry(&dir.path.join(OBJECTS_DIR), |name| name != SIGNPOST)
}

/// Whether a directory has such an entry. One that cannot be read is not taken for one that is not
/// there: the database would get a second log.
fn has_entry(
    dir: &FilePath,
    is_meant: impl Fn(&OsStr) -> bool,
) -> std::result::Result<bool, Fault> {
    let failed = |source| Fault::Io { doing: "list", file: dir.display().to_string(), source };
    let Some(entries) = there(fs::read_dir(dir)).map_err(failed)? else { return Ok(false) };
    for entry in entries {
        if is_meant(&entry.map_err(failed)?.file_name()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_dir(path: &FilePath) -> std::result::Result<bool, Fault> {
    let failed = |source| Fault::Io { doing: "open", file: path.display().to_string(), source };
    let meta = there(fs::metadata(path)).map_err(failed)?;
    Ok(meta.is_some_and(|meta| meta.is_dir()))
}

/// `None` if there is nothing.
fn there<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        looked => looked.map(Some),
    }
}

/// Whether this is a file system that no other machine writes to. One that we do not know may be.
#[cfg(target_os = "linux")]
fn is_of_this_machine(path: &FilePath) -> bool {
    /// `f_type` of bcachefs, btrfs, ext2 to ext4, F2FS, overlayfs, ramfs, tmpfs, XFS, ZFS: statfs(2).
    const OURS: [u32; 9] = [
        0xCA45_1A4E,
        0x9123_683E,
        0xEF53,
        0xF2F5_2010,
        0x794C_7630,
        0x8584_58F6,
        0x0102_1994,
        0x5846_5342,
        0x2FC1_2FC1,
    ];
    let Some(there) = path.ancestors().find(|dir| dir.exists()) else { return false };
    let kind = rustix::fs::statfs(there).map(|found| found.f_type);
    // The type's width differs between machines; its values have 32 bits.
    kind.is_ok_and(|kind| {
        OURS.iter().any(|ours| i128::from(kind) & 0xFFFF_FFFF == i128::from(*ours))
    })
}

/// Whether this is a file system that no other machine writes to: not tried here.
#[cfg(not(target_os = "linux"))]
fn is_of_this_machine(_path: &FilePath) -> bool {
    false
}
