//! Time that jumps, and time that must not.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[derive(Debug, Default)]
struct TwoHands {
    wall_ms: AtomicU64,
    mono_ms: AtomicU64,
}

impl TwoHands {
    fn set(&self, wall_ms: u64, mono_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::Relaxed);
        self.mono_ms.store(mono_ms, Ordering::Relaxed);
    }
}

impl Clock for TwoHands {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::Relaxed)
    }

    fn mono_ms(&self) -> u64 {
        self.mono_ms.load(Ordering::Relaxed)
    }
}

#[test]
fn a_wall_clock_set_back_goes_on_with_the_monotonic_one() {
    let clock = TwoHands::default();
    clock.set(10_000, 0);
    let mut hybrid = HybridClock::new(&clock, 0);

    clock.set(3_000, 50);

    assert_eq!(hybrid.read(&clock), Now { wall_ms: 10_050, mono_ms: 50 });
}

#[test]
fn a_forward_jump_moves_the_wall_part_only() {
    let clock = TwoHands::default();
    clock.set(10_000, 0);
    let mut hybrid = HybridClock::new(&clock, 0);

    clock.set(90_000, 1);

    assert_eq!(hybrid.read(&clock), Now { wall_ms: 90_000, mono_ms: 1 });
}

#[test]
fn time_starts_no_earlier_than_the_store_has_seen() {
    let clock = TwoHands::default();
    clock.set(5_000, 0);

    let mut hybrid = HybridClock::new(&clock, 8_000);

    assert_eq!(hybrid.read(&clock).wall_ms, 8_000);
}

#[test]
fn a_manual_clock_stands_until_it_is_moved() {
    let clock = ManualClock::new(10_000);
    assert!(clock.is_manual() && !SystemClock::new().is_manual());

    clock.advance(Duration::from_millis(500));
    assert_eq!((clock.wall_ms(), clock.mono_ms()), (10_500, 500));

    clock.set_wall_ms(3_000);
    assert_eq!((clock.wall_ms(), clock.mono_ms()), (3_000, 500));

    clock.advance(Duration::MAX);
    assert_eq!((clock.wall_ms(), clock.mono_ms()), (u64::MAX, u64::MAX));
}

#[tokio::test]
async fn whoever_waits_for_a_manual_clock_is_woken_by_every_move() {
    let clock = ManualClock::new(0);
    let wakes = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    for wake in &wakes {
        clock.on_change(Arc::clone(wake));
    }

    clock.advance(Duration::from_secs(1));
    for wake in &wakes {
        // Kept for it, though it did not wait yet.
        wake.notified().await;
    }
    clock.set_wall_ms(5);
    wakes[0].notified().await;
}

#[test]
fn a_manual_clock_forgets_who_is_gone() {
    let clock = ManualClock::new(0);
    clock.on_change(Arc::new(Notify::new()));
    let alive = Arc::new(Notify::new());
    clock.on_change(Arc::clone(&alive));

    clock.advance(Duration::from_secs(1));

    assert_eq!(clock.wakes.lock().len(), 1);
}
