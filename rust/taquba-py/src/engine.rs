//! Open stores: opened, shared between event loops, closed, and closed at exit if nobody did.
//!
//! # Invariants
//!
//! 1. Every store that was opened and not closed is in [`OPEN`], so that the end of the process
//!    commits what still waits.
//! 2. An open that nobody awaits any more is closed again: a store is never owned by accident.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use taquba_engine::clock::Clock;
use taquba_engine::error::Recovery;
use taquba_engine::log::Target;
use taquba_engine::options::OpenOptions;
use taquba_engine::{Engine as TaqubaEngine, Error, Reader, Result};
use tokio::task::JoinError;

use crate::error;
use crate::line::Line;
use crate::opening::{Opening, Place};
use crate::peer::Peer;
use crate::runtime::{enter, has_forked, runtime};

/// How long the end of the process may be held up by queues that were left open.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a wait at exit looks for Ctrl-C.
const SIGNAL_CHECK_EVERY: Duration = Duration::from_millis(50);

/// Stores that are open.
static OPEN: Mutex<Vec<Arc<Opened>>> = Mutex::new(Vec::new());

/// An open store and the lines that lead to it.
pub struct Opened {
    place: Place,
    peer: Peer,
    lines: Mutex<Vec<Weak<Line>>>,
}

/// An open store, owned or only read, shared by the event loops that use it.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct Engine(pub Arc<Opened>);

/// An open store that nobody has taken yet; closed again if nobody ever does.
pub struct Unclaimed(Option<Arc<Opened>>);

impl Unclaimed {
    /// Notes that someone has to take it.
    pub const fn new(opened: Arc<Opened>) -> Self {
        Self(Some(opened))
    }

    /// Takes it.
    pub fn claim(mut self) -> Arc<Opened> {
        self.0.take().expect("it is taken once, by value")
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(opened) = self.0.take() {
            opened.abandon();
        }
    }
}

#[pymethods]
impl Engine {
    /// Close it, without waiting for that: whoever opened it has given up.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        enter(py, || {
            Arc::clone(&self.0).abandon();
            Ok(())
        })
    }
}

impl Opened {
    /// Opens a store as its owner and notes it.
    pub async fn open(
        target: Target,
        place: Place,
        options: OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let path = place.path.clone();
        let opening = async move { TaqubaEngine::open(target, &path, options, clock).await };
        Self::note(place, async move { opening.await.map(Peer::Engine) }).await
    }

    /// Opens a store for reading and notes it.
    pub async fn read(target: Target, place: Place, store_timeout: Duration) -> Result<Arc<Self>> {
        let path = place.path.clone();
        let opening = async move { Reader::open(target, &path, store_timeout).await };
        Self::note(place, async move { opening.await.map(Peer::Reader) }).await
    }

    async fn note(
        place: Place,
        opening: impl Future<Output = Result<Peer>> + Send + 'static,
    ) -> Result<Arc<Self>> {
        let peer = runtime().spawn(opening).await.unwrap_or_else(|dead| Err(internal(dead)))?;
        let opened = Arc::new(Self { place, peer, lines: Mutex::default() });
        OPEN.lock().push(Arc::clone(&opened));
        Ok(opened)
    }

    /// Notes a line that leads to it from now on.
    pub fn join(&self, line: &Arc<Line>) {
        let mut lines = self.lines.lock();
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(line));
    }

    /// What requests go to.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Which store, and where in it.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Closes the store, which nobody took. Opens of the same place that come later wait for that.
    fn abandon(self: Arc<Self>) {
        let mut turn = Opening::line_up(&self.place);
        runtime().spawn(async move {
            // Its users would have been told of a failure; there are none.
            let _ = self.close().await;
            turn.wait().await;
        });
    }

    /// Sends what is on its way, commits it and closes the store.
    pub async fn close(&self) -> Result<()> {
        self.lines.lock().iter().filter_map(Weak::upgrade).for_each(|line| line.flush());
        let peer = self.peer.clone();
        let closing = runtime().spawn(async move { peer.close().await });
        let result = closing.await.unwrap_or_else(|dead| Err(internal(dead)));
        OPEN.lock().retain(|open| !std::ptr::eq(Arc::as_ptr(open), self));
        result
    }
}

/// Close every queue that is still open, within a bound. Registered with `atexit`.
#[pyfunction]
pub fn close_all(py: Python<'_>) -> PyResult<()> {
    if has_forked() || OPEN.lock().is_empty() {
        return Ok(());
    }
    let mut closing = runtime().spawn(async {
        let open: Vec<_> = OPEN.lock().clone();
        let mut result = Ok(());
        for opened in open {
            result = result.and(opened.close().await.or_else(told));
        }
        result
    });
    let mut waited = Duration::ZERO;
    while waited < EXIT_TIMEOUT {
        let slice = async { tokio::time::timeout(SIGNAL_CHECK_EVERY, &mut closing).await };
        if let Ok(ended) = py.detach(|| runtime().block_on(slice)) {
            let result = ended.unwrap_or_else(|dead| Err(internal(dead)));
            return result.map_err(|failed: Error| error::to_py(py, &failed));
        }
        py.check_signals()?;
        waited += SIGNAL_CHECK_EVERY;
    }
    Ok(())
}

/// Forgets the failure of an engine that had ended before: its users have been told then.
fn told(failed: Error) -> Result<()> {
    if failed.recovery() == Recovery::Reopen { Ok(()) } else { Err(failed) }
}

/// The error for a task that panicked.
pub fn internal(dead: JoinError) -> Error {
    let detail = match dead.try_into_panic() {
        Ok(panic) => error::panic_text(&*panic),
        Err(dead) => dead.to_string(),
    };
    Error::Internal { detail }
}
