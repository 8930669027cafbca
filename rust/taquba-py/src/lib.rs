//! The binding: what Python and the engine say to each other, converted and nothing else.
//!
//! | module | owns |
//! |---|---|
//! | [`port`] | one event loop's door: calls out, replies and deliveries in |
//! | [`mailbox`], [`wake`] | what the engine has for a loop, and how the loop learns of it |
//! | [`line`], [`peer`], [`calls`] | what a loop has for the engine, and who waits for an answer |
//! | [`step`], [`claim`], [`notification`], [`delivered`] | deliveries, as Python sees them |
//! | [`cancel`] | requests to stop, and the tokens that hear of them |
//! | [`outcome`], [`run`], [`job`], [`effect`], [`name`], [`options`], [`text`] | values from Python |
//! | [`reply`], [`inspect`], [`measured`] | values for Python |
//! | [`memo`] | memos: of a delivery, and as objects of a store |
//! | [`verify`] | a scrub of a store, and what it found |
//! | [`webhook`] | rules for URLs, and deliveries under way |
//! | [`logs`] | what the native code says, for Python's `logging` |
//! | [`chaos`] | what `taquba.testing` needs of stores |
//! | [`store`], [`engine`], [`opening`], [`runtime`] | opening, closing, threads, fork, exit |
//! | [`error`], [`clock`], [`duration`], [`payload`], [`codec`] | errors, times and bytes, converted |
//!
//! # Invariants
//!
//! 1. No Rust thread ever attaches to Python: the engine fills a mailbox, the event loop empties
//!    it. So no thread can be caught inside the interpreter when that ends
//!    (python/cpython#87135), and none waits for the GIL.
//! 2. A call, once made, is sent: cancelling the task that awaits it changes nothing.
//! 3. No Rust lock is held while Python code runs.
//! 4. Nothing is decided here: no queue, no retry, no workflow rule.

#![forbid(unsafe_code)]

mod calls;
mod cancel;
mod chaos;
mod claim;
mod clock;
mod codec;
mod delivered;
mod duration;
mod effect;
mod engine;
mod error;
mod inspect;
mod job;
mod line;
mod logs;
mod mailbox;
mod measured;
mod memo;
mod name;
mod notification;
mod opening;
mod options;
mod outcome;
mod payload;
mod peer;
mod port;
mod probe;
mod reply;
mod run;
mod runtime;
mod step;
mod store;
mod text;
mod verify;
mod wake;
mod webhook;

use pyo3::prelude::*;

// The engine allocates small buffers on one thread and frees them on another; the system's
// allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The compiled part of `taquba`. Not public: import from `taquba`.
#[pymodule]
mod _taquba {
    use pyo3::prelude::*;
    use taquba_engine::{limits, options};

    #[pymodule_export]
    use crate::chaos::{ChaosStore, fork_memory};
    #[pymodule_export]
    use crate::claim::Claim;
    #[pymodule_export]
    use crate::clock::{MockClock, SystemClock};
    #[pymodule_export]
    use crate::duration::duration;
    #[pymodule_export]
    use crate::engine::{Engine, close_all};
    #[pymodule_export]
    use crate::job::check_headers;
    #[pymodule_export]
    use crate::logs::{set_log_level, start_logs, stop_logs, take_logs, wake_logs};
    #[pymodule_export]
    use crate::memo::{MemoScope, MemoStore, MemoSweep, read_memo};
    #[pymodule_export]
    use crate::name::{check_key, check_queue_name, check_run_id};
    #[pymodule_export]
    use crate::notification::Notification;
    #[pymodule_export]
    use crate::outcome::{Cancel, Continue, ContinueAfter, Fail, StepOutcome, Succeed};
    #[pymodule_export]
    use crate::port::Port;
    #[pymodule_export]
    use crate::probe::StoreProbe;
    #[pymodule_export]
    use crate::run::RunOutcome;
    #[pymodule_export]
    use crate::runtime::after_fork_in_child;
    #[pymodule_export]
    use crate::step::Step;
    #[pymodule_export]
    use crate::text::{check_text, shown};
    #[pymodule_export]
    use crate::verify::verify_store;
    #[pymodule_export]
    use crate::webhook::{WebhookClient, WebhookRequest, WebhookRules};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::outcome::link_classes(py)?;
        module.add("ERROR_CODES", crate::error::codes(py)?)?;
        module.add("BATCH_COUNT_MAX", limits::BATCH_COUNT_MAX)?;
        module.add("CLAIM_COUNT_MAX", limits::CLAIM_COUNT_MAX)?;
        module.add("CONCURRENCY_MAX", limits::CONCURRENCY_MAX)?;
        module.add("DEDUP_KEY_BYTES_MAX", limits::DEDUP_KEY_BYTES_MAX)?;
        module.add("DURATION_MAX", limits::DURATION_MAX)?;
        module.add("HEADER_RUN_ID", crate::claim::HEADER_RUN_ID)?;
        module.add("HEADER_STEP", crate::claim::HEADER_STEP)?;
        module.add("HEARTBEAT_MAX", limits::HEARTBEAT_MAX)?;
        module.add("HEARTBEAT_MIN", limits::HEARTBEAT_MIN)?;
        module.add("LIST_COUNT_MAX", limits::LIST_COUNT_MAX)?;
        module.add("MAX_ATTEMPTS_MAX", limits::MAX_ATTEMPTS_MAX)?;
        module.add("PAYLOAD_BYTES_MAX", limits::PAYLOAD_BYTES_MAX)?;
        module.add("PAYLOAD_INLINE_BYTES_MAX", limits::PAYLOAD_INLINE_BYTES_MAX)?;
        module.add("PRIORITY_HIGH", options::PRIORITY_HIGH)?;
        module.add("PRIORITY_NORMAL", options::PRIORITY_NORMAL)?;
        module.add("PRIORITY_LOW", options::PRIORITY_LOW)?;
        module.add("PURGE_COUNT_MAX", limits::PURGE_COUNT_MAX)?;
        module.add("RESERVED_HEADER_PREFIX", taquba_engine::record::RESERVED_HEADER_PREFIX)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::store::add_classes(module)?;
        // PyO3 lists all names; nobody imports them with a star.
        module.delattr("__all__")
    }
}
