//! Time: the one place the engine may ask what time it is.
//!
//! # Invariants
//!
//! 1. [`Now::mono_ms`] never goes back inside a process and no clock change moves it: leases and
//!    backoffs are measured with it.
//! 2. [`Now::wall_ms`] never goes back, not even over a restart: it is the larger of the wall
//!    clock and what was seen before, carried on by the monotonic clock. A forward jump is
//!    followed at once, a backward one is waited out (hybrid logical clock, after Kulkarni et al.,
//!    "Logical Physical Clocks", 2014).

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A source of time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch, as the machine's calendar has it; may jump.
    fn wall_ms(&self) -> u64;
    /// Milliseconds since some fixed instant of this process; never jumps.
    fn mono_ms(&self) -> u64;

    /// Whether it stands still until it is moved: then no timer of the machine tells when an
    /// instant has come, only [`Clock::on_change`].
    fn is_manual(&self) -> bool {
        false
    }

    /// Has `wake` notified whenever the clock is moved, for as long as somebody else holds it. A
    /// clock that runs by itself has nothing to tell.
    fn on_change(&self, wake: Arc<Notify>) {
        drop(wake);
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic part at 0.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one door to the machine's clocks")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one door to the machine's clocks")]
    fn wall_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: the floor below carries time on from there.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn mono_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is moved: tests of what happens in a week take no time.
#[derive(Debug)]
pub struct ManualClock {
    hands: Mutex<Now>,
    wakes: Mutex<Vec<Weak<Notify>>>,
}

impl ManualClock {
    /// Stands at `wall_ms`, with the monotonic part at 0.
    #[must_use]
    pub fn new(wall_ms: u64) -> Self {
        let hands = Mutex::new(Now { wall_ms, mono_ms: 0 });
        Self { hands, wakes: Mutex::default() }
    }

    /// Time passes, on both clocks.
    pub fn advance(&self, duration: Duration) {
        let passed_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.change(|hands| {
            hands.wall_ms = hands.wall_ms.saturating_add(passed_ms);
            hands.mono_ms = hands.mono_ms.saturating_add(passed_ms);
        });
    }

    /// Somebody sets the machine's clock, forward or back. No time passes.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.change(|hands| hands.wall_ms = wall_ms);
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.hands.lock());
        self.wakes.lock().retain(|wake| {
            // A permit is kept for a waiter that is busy now.
            wake.upgrade().map(|wake| wake.notify_one()).is_some()
        });
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.hands.lock().wall_ms
    }

    fn mono_ms(&self) -> u64 {
        self.hands.lock().mono_ms
    }

    fn is_manual(&self) -> bool {
        true
    }

    fn on_change(&self, wake: Arc<Notify>) {
        self.wakes.lock().push(Arc::downgrade(&wake));
    }
}

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since the Unix epoch, never going back.
    pub wall_ms: u64,
    /// Milliseconds of this process, never jumping.
    pub mono_ms: u64,
}

/// Turns a [`Clock`] that may jump into instants that keep the invariants above.
#[derive(Debug)]
pub struct HybridClock {
    last: Now,
}

impl HybridClock {
    /// Starts no earlier than `floor_ms`, the latest instant the store has seen.
    #[must_use]
    pub fn new(clock: &dyn Clock, floor_ms: u64) -> Self {
        let wall_ms = clock.wall_ms().max(floor_ms);
        Self { last: Now { wall_ms, mono_ms: clock.mono_ms() } }
    }

    /// The current instant.
    pub fn read(&mut self, clock: &dyn Clock) -> Now {
        let mono_ms = clock.mono_ms().max(self.last.mono_ms);
        let carried_ms = self.last.wall_ms.saturating_add(mono_ms - self.last.mono_ms);
        self.last = Now { wall_ms: clock.wall_ms().max(carried_ms), mono_ms };
        self.last
    }
}

#[cfg(test)]
mod tests;
