//! When the storage engine's reader looks for news: when it is asked, and whether it found all of it.
//!
//! Its poller sleeps for an interval, looks, sleeps again, and keeps a failure to itself. So the
//! interval is [`NEVER`], and a sleep that long is ours to end: the look is over when the next one
//! begins. Each look that succeeds reads the manifest first and then the log, to its end, through
//! [`WatchedLog`], which is how we know.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use slatedb::wal::{WalError, WalFileRange, WalIterator, WalReader, WalRows};
use slatedb_common::clock::{DefaultSystemClock, SystemClock, SystemClockTicker};
use tokio::sync::watch;

/// An interval that nobody waits for.
pub(super) const NEVER: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Looks, by number.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    /// The last one that somebody waits for.
    asked: u64,
    /// The one under way, or the last one.
    begun: u64,
    /// The last one that is over.
    over: u64,
    /// Whether the one under way has found all there is, so far.
    complete: bool,
    /// The same of the last one that is over.
    was_complete: bool,
}

/// Says when to look, and knows what came of it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    looks: watch::Sender<Looks>,
}

impl Pace {
    /// Has the poller look and waits until it has: whether it has found all there is.
    pub async fn refresh(&self) -> bool {
        let mut mine = 0;
        self.looks.send_modify(|looks| {
            // One that is under way may have passed what we want to see.
            looks.asked = looks.begun + 1;
            mine = looks.asked;
        });
        let mut looks = self.looks.subscribe();
        let seen = looks.wait_for(|looks| looks.over >= mine).await;
        seen.expect("the sender is ours").was_complete
    }

    /// The poller is idle: its last look is over. Returns when the next one is to begin.
    async fn idle(&self) {
        self.looks.send_modify(|looks| {
            looks.over = looks.begun;
            looks.was_complete = looks.complete;
        });
        let mut asked = self.looks.subscribe();
        let asked = asked.wait_for(|looks| looks.asked > looks.begun).await;
        drop(asked.expect("the sender is ours"));
        self.looks.send_modify(|looks| {
            looks.begun = looks.asked;
            looks.complete = false;
        });
    }

    #[cfg(test)]
    pub fn looks_begun(&self) -> u64 {
        self.looks.borrow().begun
    }

    /// The look under way has come to the log, or failed in it.
    fn found(&self, complete: bool) {
        self.looks.send_modify(|looks| looks.complete = complete);
    }
}

/// The machine's clock, but for sleeps that nobody waits for.
#[derive(Debug)]
pub(super) struct PacedClock {
    inner: DefaultSystemClock,
    pace: Arc<Pace>,
}

impl PacedClock {
    pub fn new(pace: Arc<Pace>) -> Self {
        Self { inner: DefaultSystemClock::default(), pace }
    }
}

impl SystemClock for PacedClock {
    fn now(&self) -> DateTime<Utc> {
        self.inner.now()
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        // The rest of an interval, after a look that took some time. All other sleeps are pauses
        // between tries.
        if duration > NEVER / 2 {
            return Box::pin(self.pace.idle());
        }
        self.inner.sleep(duration)
    }

    fn ticker(&self, duration: Duration) -> SystemClockTicker<'_> {
        SystemClockTicker::new(self, duration)
    }
}

/// The log, and whether it was read to its end.
pub(super) struct WatchedLog {
    inner: Box<dyn WalReader>,
    pace: Arc<Pace>,
}

impl WatchedLog {
    pub fn new(inner: Box<dyn WalReader>, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

#[async_trait]
impl WalReader for WatchedLog {
    async fn iterator(&self, range: WalFileRange) -> Result<Box<dyn WalIterator>, WalError> {
        let inner = self.inner.iterator(range).await.inspect_err(|_| self.pace.found(false))?;
        Ok(Box::new(WatchedRows { inner, pace: Arc::clone(&self.pace) }))
    }

    async fn last_wal_file_id(&self, replay_after_wal_id: u64) -> Result<u64, WalError> {
        let last = self.inner.last_wal_file_id(replay_after_wal_id).await;
        self.pace.found(last.is_ok());
        last
    }
}

struct WatchedRows {
    inner: Box<dyn WalIterator>,
    pace: Arc<Pace>,
}

#[async_trait]
impl WalIterator for WatchedRows {
    async fn next(&mut self) -> Result<Option<WalRows>, WalError> {
        self.inner.next().await.inspect_err(|_| self.pace.found(false))
    }
}
