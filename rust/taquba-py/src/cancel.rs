//! Requests to stop: which deliveries of a line have been asked, and who wants to hear of it.
//!
//! # Invariants
//!
//! 1. A request is seen by a token that is read later: until then it is kept here.
//! 2. While nobody has been asked and nobody looks, a delivery costs one atomic load.
//! 3. Nothing is kept for a delivery that is gone: its token and request go with it, and requests
//!    that came too late for theirs are bounded by [`REQUESTED_COUNT_MAX`].
//! 4. No lock is held while Python runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use taquba_engine::ids::ClaimToken;

/// Requests kept. One may come for a delivery that went a moment ago; beyond this many the oldest
/// are dropped, whose deliveries are the least likely to be there.
const REQUESTED_COUNT_MAX: usize = 100_000;

/// The requests of one line.
#[derive(Default)]
pub struct Cancels {
    has_entries: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    requested: BTreeSet<ClaimToken>,
    readers: HashMap<ClaimToken, Py<PyAny>>,
}

impl Cancels {
    /// Notes a request, and fires the token if it was read.
    pub fn request(&self, py: Python<'_>, claim: ClaimToken) -> PyResult<()> {
        let reader = self.change(|table| {
            table.requested.insert(claim);
            if table.requested.len() > REQUESTED_COUNT_MAX {
                table.requested.pop_first();
            }
            table.readers.get(&claim).map(|reader| reader.clone_ref(py))
        });
        reader.map_or(Ok(()), |reader| fire(reader.bind(py)))
    }

    /// The token of a delivery, fired if the request was there before.
    pub fn read(&self, py: Python<'_>, claim: ClaimToken) -> PyResult<Py<PyAny>> {
        let made = token_class(py)?.call0()?;
        let (token, is_requested) = self.change(|table| {
            let token = table.readers.entry(claim).or_insert_with(|| made.clone().unbind());
            (token.clone_ref(py), table.requested.contains(&claim))
        });
        if is_requested {
            fire(token.bind(py))?;
        }
        Ok(token)
    }

    /// Forgets a delivery that is gone.
    pub fn forget(&self, claim: ClaimToken) {
        if self.has_entries.load(Ordering::Acquire) {
            let reader = self.change(|table| {
                table.requested.remove(&claim);
                table.readers.remove(&claim)
            });
            drop(reader);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table.lock();
        let changed = change(&mut table);
        let has_entries = !(table.requested.is_empty() && table.readers.is_empty());
        self.has_entries.store(has_entries, Ordering::Release);
        changed
    }
}

fn fire(token: &Bound<'_, PyAny>) -> PyResult<()> {
    token.call_method0(intern!(token.py(), "_fire")).map(|_| ())
}

/// The Python class `CancelToken`.
fn token_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        let module = py.import(intern!(py, "taquba.queue._cancel"))?;
        let class = module.getattr(intern!(py, "CancelToken"))?;
        Ok::<_, PyErr>(class.cast_into::<PyType>()?.unbind())
    })?;
    Ok(class.bind(py))
}
