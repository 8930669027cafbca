//! The observer of a simulation: it notes what happens, in the order in which it happens.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::ms;
use crate::history::{Event, What};

/// Notes events.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// Begins with time 0 at `began`.
    #[must_use]
    pub fn new(began: Instant) -> Self {
        Self { began, events: Mutex::default() }
    }

    /// Notes that something happens now, with the calendar of the machine it happens on.
    pub fn note(&self, wall_ms: u64, what: What) {
        let event = Event { at_ms: self.now_ms(), wall_ms, what };
        self.events.lock().push(event);
    }

    /// Milliseconds since the beginning.
    pub fn now_ms(&self) -> u64 {
        ms(self.began.elapsed())
    }

    /// All that was noted.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock())
    }
}
