//! What is measured of an open store: counts and histograms, kept all the time and read in one piece.
//!
//! # Invariants
//!
//! 1. Everything counts since the store was opened, and only grows.
//! 2. To measure is to add to a number that is there: no lock on the way of a job, no allocation.

use std::time::Duration;

use crate::command::Stats;
use crate::ids::QueueName;

/// Bounds of durations in milliseconds, as a job lives them: 1 ms to a day.
pub const JOB_MS_BOUNDS: &[u64] = &[
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
    1_800_000, 7_200_000, 86_400_000,
];

/// Bounds of durations in microseconds, as a store takes them: 100 µs to a minute.
pub const STORE_US_BOUNDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// Bounds of rows of one commit.
pub const ROWS_BOUNDS: &[u64] =
    &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384, 65_536];

/// Bounds of bytes of one commit: 256 B to the size at which a commit is cut.
pub const BYTES_BOUNDS: &[u64] =
    &[256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 8_388_608];

/// How often a value was in which range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: Box<[u64]>,
    sum: u64,
}

impl Histogram {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1].into_boxed_slice(), sum: 0 }
    }

    /// Counts one value.
    pub fn observe(&mut self, value: u64) {
        let range = self.bounds.partition_point(|bound| *bound < value);
        self.counts[range] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// The upper ends of the ranges, inclusive, ascending; what is above the last is one range more.
    pub const fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// How often, by range: one more than there are bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All values together.
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What is measured of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMeasures {
    /// Jobs delivered.
    pub claimed_total: u64,
    /// Deliveries whose lease ran out.
    pub expired_total: u64,
    /// From the moment in which a job could be claimed to its delivery, in milliseconds.
    pub wait_ms: Histogram,
    /// From its delivery to its settlement, in milliseconds.
    pub run_ms: Histogram,
}

impl Default for QueueMeasures {
    fn default() -> Self {
        Self {
            claimed_total: 0,
            expired_total: 0,
            wait_ms: Histogram::new(JOB_MS_BOUNDS),
            run_ms: Histogram::new(JOB_MS_BOUNDS),
        }
    }
}

/// What is measured of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMeasures {
    /// From the start to the moment in which it was durable, in microseconds.
    pub us: Histogram,
    /// Rows of each.
    pub rows: Histogram,
    /// Bytes of these rows.
    pub bytes: Histogram,
}

impl Default for CommitMeasures {
    fn default() -> Self {
        Self {
            us: Histogram::new(STORE_US_BOUNDS),
            rows: Histogram::new(ROWS_BOUNDS),
            bytes: Histogram::new(BYTES_BOUNDS),
        }
    }
}

/// What the storage engine counts of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageMetric {
    /// Its name, as the storage engine has it.
    pub name: String,
    /// What tells it from others of that name.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: StorageValue,
}

/// What such a count may be.
#[derive(Clone, Debug, PartialEq)]
pub enum StorageValue {
    /// It only grows.
    Counter(u64),
    /// It goes up and down.
    Gauge(i64),
    /// Ranges as in [`Histogram`].
    Histogram {
        /// The upper ends.
        bounds: Vec<f64>,
        /// One more than there are bounds.
        counts: Vec<u64>,
        /// All values together.
        sum: f64,
    },
}

/// What is measured of the store below.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreMeasures {
    /// How long a write took, in microseconds.
    pub put_us: Histogram,
    /// How long a read took to be answered, in microseconds.
    pub get_us: Histogram,
    /// What the storage engine counts.
    pub storage: Vec<StorageMetric>,
}

impl Default for StoreMeasures {
    fn default() -> Self {
        let us = Histogram::new(STORE_US_BOUNDS);
        Self { put_us: us.clone(), get_us: us, storage: Vec::new() }
    }
}

/// Everything, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Counts of jobs and requests.
    pub stats: Stats,
    /// By queue, in the order of their names.
    pub queues: Vec<(QueueName, QueueMeasures)>,
    /// Of commits.
    pub commits: CommitMeasures,
    /// Of the store below.
    pub store: StoreMeasures,
    /// Bytes of waiting jobs that are held in memory.
    pub body_bytes: u64,
    /// Requests whose large payloads are being uploaded.
    pub upload_count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_range_that_holds_it() {
        let mut histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, u64::MAX] {
            histogram.observe(value);
        }

        assert_eq!(histogram.counts(), [2, 2, 2]);
        assert_eq!(histogram.sum(), u64::MAX);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [JOB_MS_BOUNDS, STORE_US_BOUNDS, ROWS_BOUNDS, BYTES_BOUNDS] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }
}
