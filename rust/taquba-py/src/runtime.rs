//! The threads behind the engine, and the door that every call from Python passes.
//!
//! # Invariants
//!
//! 1. The threads start with the first queue, not with the import, so that a process may import
//!    and then fork.
//! 2. The runtime is never dropped: dropping it would wait for threads while the interpreter ends.
//! 3. In a child forked after the start there are no threads; every call there is refused, because
//!    it would wait for ever.
//! 4. A panic never leaves through Python's `BaseException`: [`enter`] turns it into an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::error;

/// One for the engine's loop, one for the storage engine's uploads; more gained nothing.
const WORKER_COUNT: usize = 2;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static FORKED: AtomicBool = AtomicBool::new(false);

/// The runtime, started by the first caller.
pub fn runtime() -> &'static Runtime {
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKER_COUNT)
            .thread_name("taquba")
            .enable_all()
            .build()
            .expect("the process may start threads")
    })
}

/// Runs one call from Python: refused in a forked child, a panic becomes an error.
pub fn enter<T>(py: Python<'_>, call: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    if has_forked() {
        return Err(error::forked(py));
    }
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(error::panicked(py, panic.as_ref())))
}

/// Whether this process is a child forked after the threads were started.
pub fn has_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Notes that this process is a forked child. Registered with `os.register_at_fork`.
#[pyfunction]
pub fn after_fork_in_child() {
    if RUNTIME.get().is_some() {
        FORKED.store(true, Ordering::Relaxed);
    }
}
