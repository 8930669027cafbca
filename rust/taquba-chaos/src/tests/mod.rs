//! Each fault: what its request gets, and what it leaves in the store.

mod conflicts;
mod delays;
mod late;
mod listings;
mod plans;
mod reads;
mod uploads;
mod writes;

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutResult, Result};

use crate::{ChaosStore, Fault, Injected, Plan, Rule};

const SEED: u64 = 7;

/// A store with faults, and the one below it.
pub(super) struct Stores {
    pub chaos: ChaosStore,
    pub inner: Arc<InMemory>,
}

pub(super) fn stores(plan: Plan) -> Stores {
    seeded(plan, SEED)
}

pub(super) fn seeded(plan: Plan, seed: u64) -> Stores {
    let inner = Arc::new(InMemory::new());
    let chaos = ChaosStore::new(Arc::clone(&inner) as _, plan, seed);
    Stores { chaos, inner }
}

/// A plan in which one fault befalls the first request that can meet it.
pub(super) fn once(fault: Fault) -> Plan {
    Plan::default().with(fault, Rule::always().at_most(1))
}

pub(super) fn path() -> Path {
    Path::from("some/object")
}

pub(super) async fn put(store: &dyn ObjectStore, path: &Path, mode: PutMode) -> Result<PutResult> {
    let options = PutOptions { mode, ..PutOptions::default() };
    store.put_opts(path, "body".into(), options).await
}

/// What an object holds; `None` if it is not there.
pub(super) async fn body(store: &dyn ObjectStore, path: &Path) -> Option<Bytes> {
    let got = store.get(path).await.ok()?;
    Some(got.bytes().await.expect("a body that is there is read"))
}

/// Which fault an error tells of.
pub(super) fn fault_of<T: std::fmt::Debug>(result: Result<T>) -> Fault {
    let error = result.expect_err("the fault is told");
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(injected) = inner.downcast_ref::<Injected>() {
            return injected.fault;
        }
        cause = inner.source();
    }
    panic!("not injected: {error}");
}
