//! The taquba engine: a durable task queue and workflow runtime on an object store.
//!
//! A pure state machine decides ([`state`]), one log makes it durable ([`log`]), one loop joins
//! the two ([`engine`]). There is no Python here, no global and no lock around the state.
//!
//! | module | owns |
//! |---|---|
//! | [`state`] | every decision about jobs and runs; no I/O, no clock, no randomness |
//! | [`record`] | the bytes of rows |
//! | [`log`] | SlateDB: open, fence, commit, scan, close |
//! | [`engine`] | commands in, commits out, replies when they are durable |
//! | [`reader`] | questions answered from the rows alone, for who does not own the store |
//! | [`memo`] | memos that are objects of their own, without a queue |
//! | [`verify`] | finding damage, in rows, payload objects and what the storage engine keeps |
//! | [`metrics`] | what is measured of an open store |
//! | [`command`] | what can be asked and what comes back |
//! | [`ids`], [`options`], [`limits`], [`error`], [`clock`] | names, settings, bounds, failures, time |

pub mod clock;
pub mod command;
pub mod engine;
pub mod error;
pub mod ids;
pub mod limits;
pub mod log;
pub mod memo;
pub mod metrics;
pub mod options;
pub mod reader;
pub mod record;
pub mod state;
pub mod verify;

pub use engine::Engine;
pub use error::{Error, Result};
pub use reader::Reader;
