//! Settings of a queue and of an open store: defaults, units, bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ids::QueueName;
use crate::limits::{
    DURATION_MAX, HEARTBEAT_MAX, HEARTBEAT_MIN, MAX_ATTEMPTS_MAX, PAYLOAD_INLINE_BYTES_MAX,
};

/// Claimed before normal jobs.
pub const PRIORITY_HIGH: u32 = 100;
/// What a job has if nobody says otherwise.
pub const PRIORITY_NORMAL: u32 = 1_000;
/// Claimed after normal jobs.
pub const PRIORITY_LOW: u32 = 10_000;

/// How the delay before a retry is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Exactly the backoff.
    None,
    /// Uniform between zero and the backoff, so that retries of one outage spread out
    /// (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    Full,
}

/// How one queue treats its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Deliveries before a job is dead-lettered.
    pub max_attempts: u32,
    /// How long a claim lasts if the claimer does not say.
    pub lease_duration: Duration,
    /// Priority of a job that gives none; lower is claimed first.
    pub default_priority: u32,
    /// Delay before the first retry; doubles with each further one.
    pub retry_backoff_base: Duration,
    /// The delay never grows beyond this.
    pub retry_backoff_max: Duration,
    /// How the delay is spread.
    pub retry_jitter: Jitter,
    /// How long an acked job stays readable; `None` deletes it with the ack.
    pub keep_done_jobs: Option<Duration>,
    /// How long a dead job stays readable; `None` keeps it for good.
    pub dead_retention: Option<Duration>,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            lease_duration: Duration::from_secs(30),
            default_priority: PRIORITY_NORMAL,
            retry_backoff_base: Duration::from_secs(1),
            retry_backoff_max: Duration::from_secs(300),
            retry_jitter: Jitter::Full,
            keep_done_jobs: None,
            dead_retention: Some(Duration::from_secs(7 * 86_400)),
        }
    }
}

impl QueueConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] names the first field out of its bounds.
    pub fn validate(&self) -> Result<()> {
        check_attempts(self.max_attempts)?;
        check_duration("lease_duration", self.lease_duration)?;
        if self.lease_duration.is_zero() {
            return Err(Error::InvalidArgument {
                name: "lease_duration",
                value: "zero".into(),
                remedy: "give a job's holder at least 1 ms".into(),
            });
        }
        check_duration("retry_backoff_base", self.retry_backoff_base)?;
        check_duration("retry_backoff_max", self.retry_backoff_max)?;
        check_duration("keep_done_jobs", self.keep_done_jobs.unwrap_or_default())?;
        check_duration("dead_retention", self.dead_retention.unwrap_or_default())
    }
}

/// Checks a number of deliveries.
pub(crate) fn check_attempts(max_attempts: u32) -> Result<()> {
    if (1..=MAX_ATTEMPTS_MAX).contains(&max_attempts) {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        name: "max_attempts",
        value: max_attempts.to_string(),
        remedy: format!("use 1 to {MAX_ATTEMPTS_MAX}"),
    })
}

/// Checks a span of time.
pub(crate) fn check_duration(name: &'static str, duration: Duration) -> Result<()> {
    if duration <= DURATION_MAX {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        name,
        value: format!("{} seconds", duration.as_secs()),
        remedy: format!("use at most {} seconds (100 years)", DURATION_MAX.as_secs()),
    })
}

fn check_heartbeat(interval: Duration) -> Result<()> {
    if (HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&interval) {
        return Ok(());
    }
    let (min, max) = (HEARTBEAT_MIN.as_secs(), HEARTBEAT_MAX.as_secs());
    Err(Error::InvalidArgument {
        name: "heartbeat_interval",
        value: format!("{interval:?}"),
        remedy: format!("use {min} to {max} seconds"),
    })
}

fn check_threshold(threshold: usize) -> Result<()> {
    if threshold <= PAYLOAD_INLINE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        name: "payload_offload_threshold",
        value: format!("{threshold} bytes"),
        remedy: format!("use at most {PAYLOAD_INLINE_BYTES_MAX}: a row must fit a commit"),
    })
}

/// Checks for how long somebody holds a job.
pub(crate) fn check_lease(name: &'static str, lease: Option<Duration>) -> Result<()> {
    let Some(lease) = lease else { return Ok(()) };
    if lease < Duration::from_millis(1) {
        let remedy = "give the holder at least 1 ms".to_owned();
        return Err(Error::InvalidArgument { name, value: format!("{lease:?}"), remedy });
    }
    check_duration(name, lease)
}

/// Checks a number of things.
pub(crate) fn check_count(name: &'static str, count: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    let remedy = format!("use 1 to {max}");
    Err(Error::InvalidArgument { name, value: count.to_string(), remedy })
}

/// A span of time that [`check_duration`] has let pass, in milliseconds.
pub(crate) fn bounded_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("checked when it was given")
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Settings of the queues that need their own.
    pub queue_configs: BTreeMap<QueueName, QueueConfig>,
    /// Settings of all other queues.
    pub default_queue_config: QueueConfig,
    /// How long the store may take to answer the first request of an open.
    pub store_timeout: Duration,
    /// Payloads above this many bytes become objects of their own.
    pub payload_offload_threshold: usize,
    /// How often the owner shows that it is alive; each time is one request.
    pub heartbeat_interval: Duration,
    /// Whether the store is taken away from an owner that is alive.
    pub takeover: bool,
    /// Who we are, for others to read.
    pub host: String,
    /// Our process, the same.
    pub pid: u32,
    /// Seed of the retry jitter; two engines with one seed and one history retry alike.
    pub seed: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            queue_configs: BTreeMap::new(),
            default_queue_config: QueueConfig::default(),
            store_timeout: Duration::from_secs(8),
            payload_offload_threshold: 256 * 1024,
            heartbeat_interval: Duration::from_secs(60),
            takeover: true,
            host: "unknown".to_owned(),
            pid: 0,
            seed: 0,
        }
    }
}

impl OpenOptions {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] names the first field out of its bounds.
    pub fn validate(&self) -> Result<()> {
        self.default_queue_config.validate()?;
        self.queue_configs.values().try_for_each(QueueConfig::validate)?;
        check_duration("store_timeout", self.store_timeout)?;
        check_heartbeat(self.heartbeat_interval)?;
        check_threshold(self.payload_offload_threshold)
    }

    /// The settings of one queue.
    #[must_use]
    pub fn queue_config(&self, queue: &QueueName) -> &QueueConfig {
        self.queue_configs.get(queue).unwrap_or(&self.default_queue_config)
    }
}
