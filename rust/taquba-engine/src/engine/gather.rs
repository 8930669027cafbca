//! When to commit: at once for one caller, together for many.
//!
//! Each commit is an object to pay for, and a fixed share of CPU. A commit sets callers free: their
//! next requests come back soon after it. If many were set free, it pays to wait for about half of
//! them, for a moment; if few were, there is nobody to wait for.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for company. The timer's own grain is a millisecond.
const GATHER_MAX: Duration = Duration::from_millis(2);

/// Fewer than this many are not worth waiting for.
const COMPANY_MIN: usize = 16;

/// Whether the batch that is being filled should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    Now,
    At(Instant),
}

/// Who may be about to come.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Set free since the last cut: replies, and jobs delivered.
    expected: usize,
    /// Come since the last cut.
    arrived: usize,
    since: Option<Instant>,
}

impl Gather {
    pub fn expect(&mut self, count: usize) {
        self.expected += count;
    }

    pub fn arrive(&mut self) {
        self.arrived += 1;
    }

    /// A batch has been cut.
    pub fn depart(&mut self) {
        *self = Self::default();
    }

    /// When the batch that has rows now should go. `now` is asked for only if it matters.
    pub fn departure(&mut self, now: impl FnOnce() -> Instant) -> Departure {
        if self.expected < COMPANY_MIN || self.arrived * 2 >= self.expected {
            return Departure::Now;
        }
        let now = now();
        let at = *self.since.get_or_insert(now) + GATHER_MAX;
        if at <= now { Departure::Now } else { Departure::At(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_caller_never_waits_for_company() {
        let mut gather = Gather::default();
        gather.expect(1);
        gather.arrive();

        assert_eq!(gather.departure(|| unreachable!("no clock is needed")), Departure::Now);
    }

    #[test]
    fn many_callers_share_a_commit_once_half_of_them_are_there() {
        let start = Instant::now();
        let mut gather = Gather::default();
        gather.expect(100);
        gather.arrive();

        assert_eq!(gather.departure(|| start), Departure::At(start + GATHER_MAX));
        for _ in 0..49 {
            gather.arrive();
        }
        assert_eq!(gather.departure(|| start), Departure::Now);
    }

    #[test]
    fn the_wait_for_company_is_bounded() {
        let start = Instant::now();
        let mut gather = Gather::default();
        gather.expect(100);
        gather.arrive();
        let _ = gather.departure(|| start);

        assert_eq!(gather.departure(|| start + GATHER_MAX), Departure::Now);
    }
}
