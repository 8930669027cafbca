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
use slatedb_common::clock::{SystemClock, SystemClockTicker};
use tokio::time::Instant;

use super::activity::Activity;

/// Time that never jumps: what the wall clock showed at the start, carried on by the runtime's timers.
#[derive(Clone, Copy, Debug)]
struct Steady {
    started_at: DateTime<Utc>,
    started: Instant,
}

impl Steady {
    fn starting(wall_ms: u64) -> Self {
        let started_at = i64::try_from(wall_ms).ok().and_then(DateTime::from_timestamp_millis);
        // A calendar beyond all calendars is no better than one that was never set.
        Self { started_at: started_at.unwrap_or_default(), started: Instant::now() }
    }

    fn now(&self) -> DateTime<Utc> {
        self.started_at.checked_add_signed(self.elapsed()).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn elapsed(&self) -> TimeDelta {
        TimeDelta::from_std(self.started.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}

/// Monotonic time from the wall clock at start, moved forward past what the store remembers.
#[derive(Debug)]
pub(super) struct FlooredClock {
    steady: Steady,
    ahead_ms: AtomicI64,
    looks: LookClock,
}

impl FlooredClock {
    /// Starts at `wall_ms`, in milliseconds since the Unix epoch.
    pub fn new(activity: Arc<Activity>, wall_ms: u64) -> Self {
        let steady = Steady::starting(wall_ms);
        Self { steady, ahead_ms: AtomicI64::default(), looks: LookClock { steady, activity } }
    }

    /// No later reading is below `floor_ms`.
    pub fn raise_to(&self, floor_ms: i64) {
        let behind_ms = floor_ms.saturating_sub(self.steady.now().timestamp_millis());
        self.ahead_ms.fetch_max(behind_ms, Ordering::Relaxed);
    }
}

impl SystemClock for FlooredClock {
    fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::milliseconds(self.ahead_ms.load(Ordering::Relaxed));
        self.steady.now().checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn ticker(&self, duration: Duration) -> SystemClockTicker<'_> {
        SystemClockTicker::new(&self.looks, duration)
    }
}

/// What looks for work go by.
#[derive(Debug)]
struct LookClock {
    steady: Steady,
    activity: Arc<Activity>,
}

impl SystemClock for LookClock {
    fn now(&self) -> DateTime<Utc> {
        self.steady.now()
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

    const START_MS: u64 = 1_767_225_600_000;
    const DAY_MS: i64 = 86_400_000;

    fn clock() -> FlooredClock {
        FlooredClock::new(Arc::default(), START_MS)
    }

    fn now_ms(clock: &FlooredClock) -> i64 {
        clock.now().timestamp_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn it_starts_where_the_wall_clock_is_and_goes_on_with_the_timers() {
        let clock = clock();
        let start_ms = i64::try_from(START_MS).expect("a date of our days");
        assert_eq!(now_ms(&clock), start_ms);

        clock.sleep(Duration::from_secs(5)).await;

        assert_eq!(now_ms(&clock), start_ms + 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_has_seen_the_future_moves_the_clock_there() {
        let clock = clock();
        let tomorrow_ms = now_ms(&clock) + DAY_MS;

        clock.raise_to(tomorrow_ms);

        assert_eq!(now_ms(&clock), tomorrow_ms);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_of_the_past_leaves_the_clock_alone() {
        let clock = clock();
        let before_ms = now_ms(&clock);

        clock.raise_to(before_ms - DAY_MS);

        assert_eq!(now_ms(&clock), before_ms);
    }

    #[tokio::test(start_paused = true)]
    async fn a_calendar_beyond_all_calendars_does_no_harm() {
        let clock = FlooredClock::new(Arc::default(), u64::MAX);

        clock.raise_to(i64::MAX);

        assert!(clock.now() >= DateTime::<Utc>::UNIX_EPOCH);
    }
}
