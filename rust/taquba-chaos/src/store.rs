//! The store, and its switches.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutResult, Result};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::counts::Counts;
use crate::fate::{Fate, Request};
use crate::history::Change;
use crate::later::Put;
use crate::plan::Plan;
use crate::state::State;

/// How much time has passed since some fixed instant. It must not go back.
pub type Elapsed = Arc<dyn Fn() -> Duration + Send + Sync>;

/// An object store with faults: a plan says which, a seed says when.
///
/// Clones share everything: keep one to hold the switches, and hand on another as the store.
#[derive(Clone)]
pub struct ChaosStore {
    pub(crate) shared: Arc<Shared>,
}

/// What all clones share.
pub(crate) struct Shared {
    pub inner: Arc<dyn ObjectStore>,
    elapsed: Elapsed,
    pub state: Mutex<State>,
}

impl ChaosStore {
    /// Puts faults before a store. Time is tokio's: it stands still where a test has paused it, and starts
    /// anew with each paused runtime; see [`ChaosStore::with_clock`].
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, plan: Plan, seed: u64) -> Self {
        let started = Instant::now();
        Self::with_clock(inner, plan, seed, Arc::new(move || started.elapsed()))
    }

    /// The same with a clock of the caller's, for a store that outlives runtimes. Waiting is done with tokio's
    /// timers all the same.
    #[must_use]
    pub fn with_clock(
        inner: Arc<dyn ObjectStore>,
        plan: Plan,
        seed: u64,
        elapsed: Elapsed,
    ) -> Self {
        let state = Mutex::new(State::new(plan, seed));
        Self { shared: Arc::new(Shared { inner, elapsed, state }) }
    }

    /// Ends all faults: requests that begin from now on are served as by the store below. What is on its
    /// way, late puts and requests that have begun, goes on.
    pub fn calm(&self) {
        self.shared.state.lock().set_calm(true);
    }

    /// Faults again, by the plan.
    pub fn resume(&self) {
        self.shared.state.lock().set_calm(false);
    }

    /// Another plan from now on, with budgets that are full again. Calm or not stays as it is.
    pub fn set_plan(&self, plan: Plan) {
        self.shared.state.lock().set_plan(plan);
    }

    /// Refuses every request that begins within `window`, as if the credentials were wrong, whatever the plan
    /// says. Does nothing while the store is calm.
    pub fn deny_for(&self, window: Duration) {
        let now = self.shared.now();
        self.shared.state.lock().deny_until(now + window);
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.state.lock().counts.clone()
    }

    /// How many late puts are on their way.
    pub fn late_puts_waiting(&self) -> usize {
        self.shared.state.lock().later.len()
    }

    /// Lets every late put arrive now, in the order of their times.
    pub async fn settle(&self) {
        self.shared.let_arrive(Duration::MAX).await;
    }
}

impl Shared {
    pub fn now(&self) -> Duration {
        (self.elapsed)()
    }

    pub fn decide(&self, request: Request) -> Fate {
        let now = self.now();
        self.state.lock().decide(request, now)
    }

    pub fn send_later(&self, delay: Duration, put: Put) {
        let due = self.now() + delay;
        self.state.lock().later.send(due, put);
    }

    /// Has a put done by the store below.
    pub async fn perform(&self, put: Put) -> Result<PutResult> {
        let Put { location, payload, options } = put;
        let is_new = self.is_watched() && self.inner.head(&location).await.is_err();
        let done = self.inner.put_opts(&location, payload, options).await?;
        if is_new {
            self.note(Change::Created(location));
        }
        Ok(done)
    }

    /// Has a deletion done by the store below.
    pub async fn delete(&self, location: &Path) -> Result<()> {
        let watched = if self.is_watched() { self.inner.head(location).await.ok() } else { None };
        self.inner.delete(location).await?;
        if let Some(meta) = watched {
            self.note(Change::Deleted(meta));
        }
        Ok(())
    }

    /// Whether it matters what was there before a change.
    fn is_watched(&self) -> bool {
        self.state.lock().stale_window().is_some()
    }

    fn note(&self, change: Change) {
        let now = self.now();
        let mut state = self.state.lock();
        if let Some(window) = state.stale_window() {
            state.history.note(now, window, change);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChaosStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosStore").field("inner", &self.shared.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for ChaosStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChaosStore({})", self.shared.inner)
    }
}
