//! Objects beside a database: asked one by one, each within a time, failures told as ours.
//!
//! # Invariants
//!
//! 1. Every request ends within [`COMMIT_TIMEOUT`], with an answer or a typed error.
//! 2. What was put is durable when [`Objects::put`] returns, as far as the store promises it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Error as StoreError, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutPayload,
};

use super::failure;
use super::finality::causes;
use super::guard::GuardedStore;
use super::settings::COMMIT_TIMEOUT;
use super::slate::{place, within};
use super::target::Target;
use crate::error::{Error, Result};

/// Tries of a write into a directory that goes away meanwhile, with its last file.
const PUT_TRIES_MAX: u32 = 4;

/// What a read finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// Nothing.
    Missing,
    /// More bytes than were asked for; none of them was read.
    TooLarge(u64),
    /// These bytes.
    Read(Bytes),
}

/// The objects below one prefix of a store.
#[derive(Debug)]
pub(crate) struct Objects {
    store: Arc<GuardedStore>,
    root: Path,
    name: String,
}

impl Objects {
    /// Those below `prefix`. Asks the store nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if `prefix` is no path.
    pub fn new(target: &Target, prefix: &str) -> Result<Self> {
        let (root, name) = place(target, prefix)?;
        let store = GuardedStore::new(Arc::clone(&target.store), target.attribution());
        Ok(Self { store: Arc::new(store), root, name })
    }

    /// The prefix.
    pub const fn root(&self) -> &Path {
        &self.root
    }

    /// What messages call the prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes an object, over one that is there.
    pub async fn put(&self, at: &Path, payload: PutPayload) -> Result<()> {
        let mut tries = 1;
        loop {
            let put = within(&self.name, COMMIT_TIMEOUT, self.store.put(at, payload.clone()));
            match put.await? {
                Ok(_) => return Ok(()),
                Err(error) if tries < PUT_TRIES_MAX && lost_its_directory(&error) => tries += 1,
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// Reads an object of up to `size_max` bytes.
    pub async fn get(&self, at: &Path, size_max: u64) -> Result<Object> {
        let reading = async {
            let found = self.store.get(at).await?;
            if found.meta.size > size_max {
                return Ok(Object::TooLarge(found.meta.size));
            }
            found.bytes().await.map(Object::Read)
        };
        match within(&self.name, COMMIT_TIMEOUT, reading).await? {
            Ok(object) => Ok(object),
            Err(error) => failure::of_probe(&self.name, &error).map_or(Ok(Object::Missing), Err),
        }
    }

    /// Asks for the date and the size of an object. `None` if there is none.
    pub async fn head(&self, at: &Path) -> Result<Option<ObjectMeta>> {
        match within(&self.name, COMMIT_TIMEOUT, self.store.head(at)).await? {
            Ok(found) => Ok(Some(found)),
            Err(error) => failure::of_probe(&self.name, &error).map_or(Ok(None), Err),
        }
    }

    /// Deletes an object. `false` if there is none.
    pub async fn delete(&self, at: &Path) -> Result<bool> {
        match within(&self.name, COMMIT_TIMEOUT, self.store.delete(at)).await? {
            Ok(()) => Ok(true),
            Err(error) => failure::of_probe(&self.name, &error).map_or(Ok(false), Err),
        }
    }

    /// Everything below a directory, which is a whole segment of the path: `run` is not the
    /// beginning of `run-suffix`.
    pub async fn list(&self, directory: &Path) -> Result<Vec<ObjectMeta>> {
        let mut listed = self.store.list(Some(directory));
        let mut found = Vec::new();
        loop {
            let next = within(&self.name, COMMIT_TIMEOUT, listed.try_next()).await?;
            match next.map_err(|error| self.failed(&error))? {
                Some(object) => found.push(object),
                None => return Ok(found),
            }
        }
    }

    fn failed(&self, error: &StoreError) -> Error {
        failure::of_store(&self.name, error)
    }
}

fn lost_its_directory(error: &StoreError) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::NotFound)
}
