//! Where owners open their store: what differs between the lanes.

use std::sync::Arc;

use async_trait::async_trait;
use taquba_engine::clock::Clock;
use taquba_engine::options::OpenOptions;
use taquba_engine::verify::Report;
use taquba_engine::{Engine, Result};

use crate::history::Owner;

/// A store, its weather, and the processes that open it.
///
/// # Invariants
///
/// 1. What [`Site::kill`] names has no effect on the store any more, but for requests that are on
///    their way already.
/// 2. After [`Site::calm`] nothing goes wrong by itself.
#[async_trait(?Send)]
pub trait Site {
    /// Opens the store for an owner; the one before it is fenced by that.
    async fn open(
        &mut self,
        owner: Owner,
        options: OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine>;

    /// Ends an owner's process where it is.
    fn kill(&mut self, owner: Owner);

    /// Damages a stored record that is chosen by `choice`, while nobody has the store open; says which
    /// job and which run it was. `None` if this site cannot, or has nothing to damage.
    fn damage(&mut self, choice: u64) -> Option<(Option<String>, Option<String>)>;

    /// Nothing goes wrong any more.
    fn calm(&mut self);

    /// Holds everything that is stored against itself; `None` if this site cannot.
    async fn scrub(&self) -> Option<Report>;
}
