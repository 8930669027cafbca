//! The storage engine's clock.
//!
//! It differs from the machine's in two ways:
//!
//! 1. The engine refuses writes that are older than the last flush it remembers, for as long as the wall
//!    clock says so. After a machine's clock was set back that could be hours. This clock starts no
//!    earlier than what the store remembers and goes on from there.
//! 2. What the engine does at intervals rests while nothing is written; see `activity.rs`. Its other
//!    sleeps, as those between the tries of a request, are left alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use slatedb_common::clock::{DefaultSystemClock, SystemClock, SystemClockTicker};

use super::activity::Activity;

/// Monotonic time from the wall clock at start, moved forward past what the store remembers.
#[derive(Debug)]
pub(super) struct FlooredClock {
    inner: DefaultSystemClock,
    ahead_ms: AtomicI64,
    looks: LookClock,
}

impl FlooredClock {
    pub fn new(activity: Arc<Activity>) -> Self {
        let looks = LookClock { inner: DefaultSystemClock::default(), activity };
        Self { inner: DefaultSystemClock::default(), ahead_ms: AtomicI64::default(), looks }
    }

    /// No later reading is below `floor_ms`.
    pub fn raise_to(&self, floor_ms: i64) {
        let behind_ms = floor_ms.saturating_sub(self.inner.now().timestamp_millis());
        self.ahead_ms.fetch_max(behind_ms, Ordering::Relaxed);
    }
}

impl SystemClock for FlooredClock {
    fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::milliseconds(self.ahead_ms.load(Ordering::Relaxed));
        self.inner.now().checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.inner.sleep(duration)
    }

    fn ticker(&self, duration: Duration) -> SystemClockTicker<'_> {
        SystemClockTicker::new(&self.looks, duration)
    }
}

/// What looks for work go by.
#[derive(Debug)]
struct LookClock {
    inner: DefaultSystemClock,
    activity: Arc<Activity>,
}

impl SystemClock for LookClock {
    fn now(&self) -> DateTime<Utc> {
        self.inner.now()
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.activity.await_look(duration))
    }

    fn ticker(&self, duration: Duration) -> SystemClockTicker<'_> {
        SystemClockTicker::new(self, duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_that_has_seen_the_future_moves_the_clock_there() {
        let clock = FlooredClock::new(Arc::default());
        let tomorrow_ms = clock.now().timestamp_millis() + 86_400_000;

        clock.raise_to(tomorrow_ms);

        assert!(clock.now().timestamp_millis() >= tomorrow_ms);
    }

    #[tokio::test]
    async fn a_store_of_the_past_leaves_the_clock_alone() {
        let clock = FlooredClock::new(Arc::default());
        let before = clock.now();

        clock.raise_to(before.timestamp_millis() - 86_400_000);

        assert!((clock.now() - before).num_seconds() < 3_600);
    }
}
