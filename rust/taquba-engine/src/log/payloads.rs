//! Payloads that are objects of their own, beside the database.
//!
//! # Invariants
//!
//! 1. Whatever is in the directory and is not named like ours is left alone.

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, Result};

use crate::record::PayloadName;

/// Where they are, below the database's path.
const PAYLOAD_DIR: &str = "payloads";

fn place_of(root: &Path, name: PayloadName) -> Path {
    root.clone().join(PAYLOAD_DIR).join(name.to_string())
}

pub(super) async fn put(
    store: &dyn ObjectStore,
    root: &Path,
    name: PayloadName,
    data: Bytes,
) -> Result<()> {
    store.put(&place_of(root, name), data.into()).await.map(drop)
}

pub(super) async fn get(
    store: &dyn ObjectStore,
    root: &Path,
    name: PayloadName,
) -> Result<Option<Bytes>> {
    match store.get(&place_of(root, name)).await {
        Ok(found) => found.bytes().await.map(Some),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn delete(store: &dyn ObjectStore, root: &Path, name: PayloadName) -> Result<()> {
    match store.delete(&place_of(root, name)).await {
        Err(Error::NotFound { .. }) => Ok(()),
        deleted => deleted,
    }
}

/// In ascending order: stores list in an order of their own.
pub(super) async fn list(store: &dyn ObjectStore, root: &Path) -> Result<Vec<PayloadName>> {
    let objects = store.list(Some(&root.clone().join(PAYLOAD_DIR)));
    let names = objects.try_filter_map(|object| std::future::ready(Ok(name_of(&object.location))));
    let mut names: Vec<_> = names.try_collect().await?;
    names.sort_unstable();
    Ok(names)
}

fn name_of(location: &Path) -> Option<PayloadName> {
    let name = location.filename().and_then(|text| text.parse().ok());
    if name.is_none() {
        tracing::warn!(object = %location, "not a payload of ours: left alone");
    }
    name
}
