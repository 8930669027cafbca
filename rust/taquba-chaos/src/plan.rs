//! Plans: how often each fault happens, and to what.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::fault::{Fault, Operation};

/// How often a fault happens, and to which requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    odds: f64,
    count_max: Option<u64>,
    operations: Vec<Operation>,
    paths: Vec<String>,
}

impl Rule {
    /// To each request with this probability, 0 to 1. What lies outside is taken for the nearer end.
    #[must_use]
    pub fn odds(odds: f64) -> Self {
        // A number that is none is no reason for a fault.
        let odds = if odds.is_nan() { 0.0 } else { odds.clamp(0.0, 1.0) };
        Self { odds, count_max: None, operations: Vec::new(), paths: Vec::new() }
    }

    /// To every request.
    #[must_use]
    pub fn always() -> Self {
        Self::odds(1.0)
    }

    /// That many times at most, counted from when the store has got the plan.
    #[must_use]
    pub fn at_most(mut self, count: u64) -> Self {
        self.count_max = Some(count);
        self
    }

    /// Only to such requests. Called again: to those as well.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Only where the path contains this text; of a listing, its prefix. Called again: that text or
    /// the other.
    #[must_use]
    pub fn at(mut self, path_part: impl Into<String>) -> Self {
        self.paths.push(path_part.into());
        self
    }

    pub(crate) fn probability(&self) -> f64 {
        self.odds
    }

    pub(crate) fn covers(&self, operation: Operation, path: &str, count: u64) -> bool {
        self.count_max.is_none_or(|count_max| count < count_max)
            && (self.operations.is_empty() || self.operations.contains(&operation))
            && (self.paths.is_empty() || self.paths.iter().any(|part| path.contains(part)))
    }
}

/// What goes wrong. The default is nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    rules: BTreeMap<Fault, Rule>,
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) bytes_per_second: u64,
    pub(crate) requests_per_second: u32,
    pub(crate) burst: u32,
    pub(crate) deny_window: Duration,
    pub(crate) hang_limit: Option<Duration>,
    pub(crate) delay: RangeInclusive<Duration>,
    pub(crate) stale_window: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rules: BTreeMap::new(),
            // What a store in the same region takes.
            latency: Duration::from_millis(1)..=Duration::from_millis(20),
            bytes_per_second: 10 * 1024 * 1024,
            requests_per_second: 100,
            burst: 100,
            deny_window: Duration::from_secs(5),
            hang_limit: None,
            // A slow put has been seen to arrive this late, behind a second try and a restart.
            delay: Duration::from_secs(1)..=Duration::from_secs(120),
            stale_window: Duration::from_secs(5),
        }
    }
}

impl Plan {
    /// With this fault, by this rule. A second rule for one fault takes the place of the first.
    #[must_use]
    pub fn with(mut self, fault: Fault, rule: Rule) -> Self {
        self.rules.insert(fault, rule);
        self
    }

    /// Extra time of a request under [`Fault::Latency`]. Default: 1 to 20 ms.
    #[must_use]
    pub fn latency(mut self, range: RangeInclusive<Duration>) -> Self {
        self.latency = range;
        self
    }

    /// How fast bodies pass under [`Fault::Bandwidth`]; at least 1. Default: 10 MiB per second.
    #[must_use]
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bytes_per_second = bytes_per_second.max(1);
        self
    }

    /// Above how many requests per second [`Fault::Throttle`] begins, and how many may come at once before
    /// that; each at least 1. Default: 100 and 100.
    #[must_use]
    pub fn throttle(mut self, requests_per_second: u32, burst: u32) -> Self {
        self.requests_per_second = requests_per_second.max(1);
        self.burst = burst.max(1);
        self
    }

    /// How long everything is refused from a [`Fault::Deny403`] on. Default: 5 s.
    #[must_use]
    pub fn deny_window(mut self, window: Duration) -> Self {
        self.deny_window = window;
        self
    }

    /// After how long a [`Fault::Hang`] becomes a timeout. Default: never, as by a client without one.
    #[must_use]
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.hang_limit = Some(limit);
        self
    }

    /// How late a put of [`Fault::DetachPut`] and the copy of [`Fault::DuplicatePut`] arrive.
    /// Default: 1 to 120 s.
    #[must_use]
    pub fn delay(mut self, range: RangeInclusive<Duration>) -> Self {
        self.delay = range;
        self
    }

    /// How old at most the view of a [`Fault::StaleList`] is. Default: 5 s.
    #[must_use]
    pub fn stale_window(mut self, window: Duration) -> Self {
        self.stale_window = window;
        self
    }

    /// The rule of a fault, if it has one.
    pub fn rule(&self, fault: Fault) -> Option<&Rule> {
        self.rules.get(&fault)
    }
}
