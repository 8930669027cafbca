//! Time in a simulation: the runtime's, which jumps from timer to timer, and calendars that lie.

use std::sync::atomic::{AtomicI64, Ordering};

use taquba_engine::clock::Clock;
use tokio::time::Instant;

/// Where the calendars of all simulations begin: 2026-01-01.
pub const EPOCH_MS: u64 = 1_767_225_600_000;

/// The clocks of one machine. The steady one starts with the process, the calendar is off by so much.
#[derive(Debug)]
pub struct SimClock {
    world_began: Instant,
    process_began: Instant,
    skew_ms: AtomicI64,
}

impl SimClock {
    /// The clocks of a process that starts now.
    #[must_use]
    pub fn starting(world_began: Instant, skew_ms: i64) -> Self {
        let process_began = Instant::now();
        Self { world_began, process_began, skew_ms: AtomicI64::new(skew_ms) }
    }

    /// Somebody sets the calendar.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        let true_ms = EPOCH_MS.saturating_add(ms(self.world_began.elapsed()));
        true_ms.saturating_add_signed(self.skew_ms.load(Ordering::Relaxed))
    }

    fn mono_ms(&self) -> u64 {
        ms(self.process_began.elapsed())
    }
}

/// Carries work out on this thread alone, in a time that stands still and jumps from timer to timer.
pub fn simulated<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets needs nothing");
    runtime.block_on(work)
}

/// A span in milliseconds.
#[must_use]
pub fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
