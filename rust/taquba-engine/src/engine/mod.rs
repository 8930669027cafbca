//! The engine: commands in, commits out, replies when they are durable.
//!
//! One task owns the state and the log. Each turn it applies what has arrived, hands out what has
//! become claimable and, if no commit is in flight, cuts the next one. What arrives while a commit
//! is in flight shares the next: throughput is bounded by the cost of a row, not by the latency of
//! the store, and an idle engine writes nothing.
//!
//! # Invariants
//!
//! 1. A reply that promises something leaves when everything applied before it is durable.
//! 2. At most one commit is in flight, so commits become durable in the order of their numbers.
//! 3. A failed commit ends the engine: what memory has and the log lacks is thrown away. Every
//!    waiting and later call is answered with the failure.
//! 4. Whoever calls is answered, also by an engine that has ended.
//!
//! | file | owns |
//! |---|---|
//! | `inbox.rs` | the way in: consumers and their requests |
//! | `turn.rs` | the loop |
//! | `held.rs` | replies that wait for a commit |
//! | `gather.rs`, `commit.rs` | when to commit, and the commit on its way |
//! | `upload.rs` | large payloads on their way in |
//! | `errand.rs`, `read.rs` | what is read, uploaded and deleted beside the loop |

mod commit;
mod errand;
mod gather;
mod held;
mod inbox;
pub(crate) mod read;
mod turn;
mod upload;

use std::ops::ControlFlow;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::oneshot;

use crate::clock::{Clock, HybridClock};
use crate::command::{Command, Outlet, Ticket};
use crate::error::{Error, Result};
use crate::log::{Log, ScanRange, SlateLog, Target};
use crate::options::OpenOptions;
use crate::state::{Recovery, State};

use inbox::{Inbox, Message};
use turn::Turner;

pub use crate::state::OutletId;

/// One call: what is asked, and the caller's number for the reply.
#[derive(Clone, Debug)]
pub struct Request {
    /// `None` if no reply is wanted.
    pub ticket: Option<Ticket>,
    /// What is asked.
    pub command: Command,
}

/// A handle on an open store. Clones share it.
#[derive(Clone)]
pub struct Engine {
    inbox: Arc<Inbox>,
}

impl Engine {
    /// Opens the database at `path` of a store, takes ownership and recovers what is there. Must be
    /// called inside a tokio runtime, which the engine's task then lives on.
    ///
    /// # Errors
    ///
    /// An option out of its bounds; whatever keeps the store from being used, told within
    /// `store_timeout` if it does not answer; [`Error::UnsupportedFormat`] and
    /// [`Error::Corrupted`] for what is in it.
    pub async fn open(
        target: Target,
        path: &str,
        options: OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        options.validate()?;
        let log = SlateLog::open(&target, path, &options).await?;
        let name = log.path().to_owned();
        Self::start(Arc::new(log), name, options, clock).await
    }

    /// Serves from a log that is open already, after recovering what is in it: [`Engine::open`] for
    /// logs of another kind. `path` is what messages call it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// An option out of its bounds; what the log says; [`Error::UnsupportedFormat`] and
    /// [`Error::Corrupted`] for what is in it.
    pub async fn start(
        log: Arc<dyn Log>,
        path: String,
        options: OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        options.validate()?;
        let meta = read::meta(log.as_ref(), &path).await?;
        let sequence = read::sequence(log.as_ref(), &path).await?;
        let mut hybrid = HybridClock::new(clock.as_ref(), sequence.wall_floor_ms);
        let (was_clean, epoch) = meta.map_or((true, 1), |meta| (meta.clean, meta.epoch + 1));
        let now = hybrid.read(clock.as_ref());
        let threshold = options.payload_offload_threshold;
        let mut recovery = Recovery::new(Arc::new(options), was_clean, epoch, &sequence, now);
        for tag in Recovery::TAGS {
            let mut visit = |key, value| {
                recovery.add(key, value);
                ControlFlow::Continue(())
            };
            log.scan(ScanRange::of_tag(tag), &mut visit).await?;
        }
        let mut state = recovery.finish(epoch);
        commit_all(log.as_ref(), &mut state, &mut hybrid, clock.as_ref()).await?;
        log.start_heartbeat(epoch).await;
        let inbox = Arc::new(Inbox::new(path));
        clock.on_change(Arc::clone(&inbox.wake));
        let turner = Turner::new(Arc::clone(&inbox), state, log, hybrid, clock, epoch, threshold);
        spawn(turner);
        Ok(Self { inbox })
    }

    /// Registers a consumer: its replies and claims go to `outlet`.
    #[must_use]
    pub fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId {
        self.inbox.attach(outlet)
    }

    /// Ends a consumer: its subscriptions end, and what it has not settled is delivered to others.
    pub fn detach(&self, outlet: OutletId) {
        self.inbox.detach(outlet);
    }

    /// Hands over requests, in order. Never blocks and never fails: failures are replies. One lock
    /// and one wake-up, however many requests.
    pub fn send(&self, outlet: OutletId, requests: Vec<Request>) {
        self.inbox.send(outlet, requests);
    }

    /// Whether waiting work is below its bound. If not, send [`Command::AwaitRoom`] and wait for
    /// its reply before sending more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.inbox.has_room()
    }

    /// Hands back what is claimed, commits what waits, marks the store as closed in order and closes
    /// it. Later calls are answered with [`Error::Closed`]. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// What kept it from closing in order; nothing that was promised is lost by it. An engine that
    /// had ended before is closed already, and its users have been told why.
    pub async fn close(&self) -> Result<()> {
        let (done, closed) = oneshot::channel();
        if self.inbox.post(Message::Close(done)).is_err() {
            return Ok(());
        }
        closed.await.unwrap_or(Ok(()))
    }
}

/// Writes what recovery decided and waits for it: nothing is served before.
async fn commit_all(
    log: &dyn Log,
    state: &mut State,
    hybrid: &mut HybridClock,
    clock: &dyn Clock,
) -> Result<()> {
    let batch = state.cut(hybrid.read(clock));
    log.commit(batch.rows).await?;
    let mut effects = crate::state::Effects::default();
    state.on_durable(batch.number, hybrid.read(clock), &mut effects);
    assert!(effects.claims.is_empty(), "nobody has subscribed yet");
    Ok(())
}

/// Runs the loop to its end; a panic in it ends the engine as a failure does.
#[expect(clippy::disallowed_methods, reason = "the engine's one task")]
fn spawn(mut turner: Turner) {
    tokio::spawn(async move {
        let run = std::panic::AssertUnwindSafe(turner.run()).catch_unwind().await;
        if let Err(panic) = run {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let detail = text.unwrap_or("a panic without text").to_owned();
            turner.end(&Error::Internal { detail });
        }
    });
}

#[cfg(test)]
mod tests;
