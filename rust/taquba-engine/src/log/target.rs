//! Which store, and how to reach it.

use std::fs::File;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use super::guard::Attribution;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};

/// What a store is, as far as settings care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// This process's memory: gone with it.
    Memory,
    /// A directory.
    Local,
    /// Behind a network.
    Remote,
}

/// What a local directory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To own it: it is made if it is not there. With `fsync` a commit survives the loss of power;
    /// without, only the end of the process.
    Own {
        /// Whether files and directories are synced.
        fsync: bool,
    },
    /// To keep objects in it that somebody deletes again: it is made if it is not there, and its
    /// directories go with their last file.
    Beside {
        /// Whether files and directories are synced.
        fsync: bool,
    },
    /// To read it: nothing is made.
    Read,
}

/// A directory on a disk.
#[derive(Clone, Debug)]
pub(super) struct LocalDir {
    pub path: PathBuf,
    /// Whether files and directories are synced.
    pub fsync: bool,
}

/// What the storage engine takes from the machine it runs on.
#[derive(Debug)]
pub(super) struct Machine {
    /// Shows the same time as the clock that dates the objects.
    pub clock: Arc<dyn Clock>,
    /// What it draws numbers from; `None`: from the system.
    pub seed: Option<u64>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::new()), seed: None }
    }
}

/// A store, and what to call it in messages.
#[derive(Debug)]
pub struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) kind: Kind,
    pub(super) machine: Machine,
    /// The files of a local directory.
    files: Option<(Arc<LocalFileSystem>, bool)>,
    location: String,
}

impl Target {
    /// A store by its address: `s3://bucket/prefix`, `gs://bucket/prefix`,
    /// `az://container/prefix` (credentials from the environment), `file:///dir`, `memory://` (a
    /// fresh one each time), or a path of the file system.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if the address does not read or a setting is missing.
    pub fn from_url(url: &str, access: Access) -> Result<Self> {
        if !url.contains("://") {
            return Self::local(FilePath::new(url), access);
        }
        let parsed = Url::parse(url).map_err(|error| refused(url, &error.to_string()))?;
        let store: Arc<dyn ObjectStore> = match parsed.scheme() {
            "memory" => return Ok(Self::in_memory()),
            "file" => {
                let not_local = |()| refused(url, "write `file:///directory`, with three slashes");
                let dir = parsed.to_file_path().map_err(not_local)?;
                return Self::local(&dir, access);
            }
            "s3" | "s3a" => built(url, AmazonS3Builder::from_env().with_url(url).build())?,
            "gs" => built(url, GoogleCloudStorageBuilder::from_env().with_url(url).build())?,
            "az" | "azure" | "abfs" | "abfss" => {
                built(url, MicrosoftAzureBuilder::from_env().with_url(url).build())?
            }
            other => {
                let remedy = format!(
                    "`{other}://` is not known; use `s3://`, `gs://`, `az://`, `file://`, \
                     `memory://` or a path"
                );
                return Err(refused(url, &remedy));
            }
        };
        let prefix = parsed.path().trim_matches('/');
        let store =
            if prefix.is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) };
        Ok(Self::from_store(store, shown(&parsed)))
    }

    /// A directory.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if there is something else in its place, or it cannot be made;
    /// [`Error::StoreNotFound`] if it is to be read and is not there.
    pub fn local(dir: &FilePath, access: Access) -> Result<Self> {
        let location = dir.display().to_string();
        let failed = |error: &dyn std::fmt::Display| {
            let remedy = format!("give a directory that can be written: {error}");
            invalid(&location, &remedy)
        };
        if location.is_empty() {
            return Err(invalid("", "give a directory"));
        }
        match access {
            Access::Own { fsync } | Access::Beside { fsync } => {
                make_dir(dir, fsync).map_err(|error| failed(&error))?;
            }
            Access::Read if !dir.exists() => {
                let detail = "there is no such directory".to_owned();
                return Err(Error::StoreNotFound { path: location, detail });
            }
            Access::Read => {}
        }
        let files = LocalFileSystem::new_with_prefix(dir).map_err(|error| failed(&error))?;
        let syncs = matches!(access, Access::Own { fsync: true } | Access::Beside { fsync: true });
        let tidies = matches!(access, Access::Beside { .. });
        let files = Arc::new(files.with_fsync(syncs).with_automatic_cleanup(tidies));
        let store = Arc::clone(&files) as _;
        let files = Some((files, syncs));
        Ok(Self { store, kind: Kind::Local, machine: Machine::default(), files, location })
    }

    /// A store in memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::from_store(Arc::new(InMemory::new()), "memory://".into())
    }

    /// A store that was made elsewhere. `location` is what messages call it.
    #[must_use]
    pub fn from_store(store: Arc<dyn ObjectStore>, location: String) -> Self {
        let is_memory = store.to_string().starts_with("InMemory");
        let kind = if is_memory { Kind::Memory } else { Kind::Remote };
        Self { store, kind, machine: Machine::default(), files: None, location }
    }

    /// The same store, reached from a machine that is simulated: the storage engine goes by this clock
    /// instead of the real one, and draws from this seed what it would draw at random. Each open needs a
    /// seed of its own: two owners that draw alike take each other's writes for their own.
    #[must_use]
    pub fn on_machine(self, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { machine: Machine { clock, seed: Some(seed) }, ..self }
    }

    /// Where a path of this store is on a disk, if it is on one.
    pub(super) fn dir_of(&self, path: &Path) -> Option<LocalDir> {
        let (files, fsync) = self.files.as_ref()?;
        let path = files.path_to_filesystem(path).ok()?;
        Some(LocalDir { path, fsync: *fsync })
    }

    /// What messages call the database at `path` of this store.
    pub(super) fn name_of(&self, path: &str) -> String {
        format!("{}/{path}", self.location.trim_end_matches('/'))
    }

    pub(super) fn attribution(&self) -> Attribution {
        match self.kind {
            Kind::Local => Attribution::Dropped,
            Kind::Memory | Kind::Remote => Attribution::Kept,
        }
    }
}

/// Makes a directory and those that it is in. With `fsync` their names are durable, also that of one
/// which somebody made who was killed before it was.
fn make_dir(dir: &FilePath, fsync: bool) -> io::Result<()> {
    let dir = std::path::absolute(dir)?;
    let missing_count = dir.ancestors().take_while(|dir| !dir.exists()).count();
    std::fs::create_dir_all(&dir)?;
    if !fsync {
        return Ok(());
    }
    let sync = |parent: &FilePath| File::open(parent)?.sync_all();
    match dir.parent() {
        // It was there, and so may be what it is in, without the right to read that.
        Some(parent) if missing_count == 0 => sync(parent).or(Ok(())),
        _ => dir.ancestors().skip(1).take(missing_count).try_for_each(sync),
    }
}

fn built<S: ObjectStore>(
    url: &str,
    store: object_store::Result<S>,
) -> Result<Arc<dyn ObjectStore>> {
    store.map(|store| Arc::new(store) as _).map_err(|error| refused(url, &error.to_string()))
}

fn invalid(location: &str, remedy: &str) -> Error {
    Error::InvalidStore { location: location.to_owned(), remedy: remedy.to_owned() }
}

/// The error for an address that cannot be used. What may be a password is not told, neither where the
/// address is shown nor where somebody repeats it.
fn refused(url: &str, remedy: &str) -> Error {
    let told = without_secrets(url);
    invalid(&told, &remedy.replace(url, &told))
}

/// An address that may not read, without what stands before the last `@` or behind the first `?` or `#`.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let place = rest.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{place}")
}

/// An address without user, password and query.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_does_not_tell_a_password() {
        for url in [
            "s3://AKIA:SECRET/x@bucket/p",
            "nope://u:SECRET@h/p",
            "file://u:SECRET@/x",
            "nope://h/p?X-Amz-Signature=SECRET",
            "nope://h/p#SECRET",
            "nope://u:SECRET@h/p?",
        ] {
            let error = Target::from_url(url, Access::Read).expect_err("nobody knows it");

            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn a_refused_address_is_told_apart_from_that() {
        assert_eq!(without_secrets("s3://u:p@bucket/a/b?x=1"), "s3://bucket/a/b");
        assert_eq!(without_secrets("gs://bucket/a"), "gs://bucket/a");
    }
}
