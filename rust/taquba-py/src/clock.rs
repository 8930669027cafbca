//! Clocks: the machine's, and one that only moves when a test moves it.
//!
//! The engine reads a clock; nothing else of the package knows what time it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::PyType;
use taquba_engine::clock::{Clock, ManualClock, SystemClock as EngineClock};
use taquba_engine::limits::INSTANT_MS_MAX;

use crate::duration::duration;
use crate::{error, text};

/// 2030-01-01, where a clock for tests begins if nobody says otherwise.
const MOCK_START: Duration = Duration::from_secs(1_893_456_000);

/// The machine's clocks.
#[pyclass(frozen, module = "taquba")]
pub struct SystemClock(Arc<EngineClock>);

/// A clock for tests: it stands still until it is advanced.
///
/// One clock may serve several queues.
#[pyclass(frozen, module = "taquba")]
pub struct MockClock(Arc<ManualClock>);

/// An argument that is a clock.
#[derive(FromPyObject)]
pub enum ClockArgument {
    System(Py<SystemClock>),
    Mock(Py<MockClock>),
}

impl ClockArgument {
    /// The engine's form.
    pub fn to_engine(&self) -> Arc<dyn Clock> {
        match self {
            Self::System(system) => Arc::clone(&system.get().0) as _,
            Self::Mock(mock) => Arc::clone(&mock.get().0) as _,
        }
    }
}

#[pymethods]
impl SystemClock {
    #[new]
    fn new() -> Self {
        Self(Arc::new(EngineClock::new()))
    }

    /// Pickle and copy: all of them show the same.
    fn __reduce__<'py>(clock: &Bound<'py, Self>) -> (Bound<'py, PyType>, ()) {
        (clock.get_type(), ())
    }

    #[expect(clippy::unused_self, reason = "Python calls it on an object")]
    fn __repr__(&self) -> &'static str {
        "SystemClock()"
    }
}

#[pymethods]
impl MockClock {
    #[new]
    #[pyo3(signature = (now=None))]
    fn new(now: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let since = now.map_or(Ok(MOCK_START), since_epoch)?;
        Ok(Self(Arc::new(ManualClock::new(milliseconds(since)))))
    }

    /// Move the clock forward, for every queue that uses it.
    ///
    /// What becomes due is done by the engines afterwards, on their own threads.
    ///
    /// Args:
    ///     seconds: How far: `float` seconds or a `timedelta`.
    fn advance(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.advance(duration("seconds", seconds)?);
        Ok(())
    }

    /// What the clock shows, in UTC.
    fn now(&self) -> SystemTime {
        instant(self.0.wall_ms())
    }

    fn __repr__(&self) -> String {
        format!("MockClock({} ms)", self.0.wall_ms())
    }
}

/// A stored instant, as Python's aware `datetime` is made of.
pub fn instant(epoch_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(epoch_ms.min(INSTANT_MS_MAX))
}

fn since_epoch(now: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let since = now.extract::<SystemTime>().ok();
    since.and_then(|instant| instant.duration_since(UNIX_EPOCH).ok()).ok_or_else(|| {
        let remedy = "give an aware `datetime` after 1970, such as `datetime.now(UTC)`";
        error::invalid_argument(now.py(), "now", &text::shown(now), remedy)
    })
}

fn milliseconds(since: Duration) -> u64 {
    u64::try_from(since.as_millis()).unwrap_or(INSTANT_MS_MAX)
}
