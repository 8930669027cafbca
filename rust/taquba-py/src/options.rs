//! Settings, from Python's dataclasses; they were checked when they were made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use taquba_engine::clock::Clock;
use taquba_engine::options::{Jitter, OpenOptions, QueueConfig};

use crate::clock::ClockArgument;
use crate::name::QueueArgument;

/// Who opens a store: machine, process, and what decides how retries spread.
pub type Opener = (String, u32, u64);

/// A `taquba.OpenOptions`, read by its attributes.
#[derive(FromPyObject)]
pub struct OpenArguments {
    fsync: bool,
    queue_configs: BTreeMap<QueueArgument, QueueArguments>,
    default_queue_config: QueueArguments,
    store_timeout: Duration,
    payload_offload_threshold: usize,
    heartbeat_interval: Duration,
    takeover: bool,
    clock: ClockArgument,
}

/// A `taquba.QueueConfig`, read by its attributes.
#[derive(FromPyObject)]
struct QueueArguments {
    max_attempts: u32,
    lease_duration: Duration,
    default_priority: u32,
    retry_backoff_base: Duration,
    retry_backoff_max: Duration,
    #[pyo3(attribute("_retry_jitter"))]
    retry_jitter: PyBackedStr,
    keep_done_jobs: Option<Duration>,
    dead_retention: Option<Duration>,
}

impl OpenArguments {
    /// Whether writes to a local disk are made to last.
    pub const fn fsync(&self) -> bool {
        self.fsync
    }

    /// Where the time comes from.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.to_engine()
    }

    /// The engine's form.
    pub fn to_engine(&self, (host, pid, seed): Opener) -> OpenOptions {
        let queue_configs = self.queue_configs.iter();
        let queue_configs =
            queue_configs.map(|(name, config)| (name.0.clone(), config.to_engine()));
        OpenOptions {
            queue_configs: queue_configs.collect(),
            default_queue_config: self.default_queue_config.to_engine(),
            store_timeout: self.store_timeout,
            payload_offload_threshold: self.payload_offload_threshold,
            heartbeat_interval: self.heartbeat_interval,
            takeover: self.takeover,
            host,
            pid,
            seed,
        }
    }
}

impl QueueArguments {
    fn to_engine(&self) -> QueueConfig {
        QueueConfig {
            max_attempts: self.max_attempts,
            lease_duration: self.lease_duration,
            default_priority: self.default_priority,
            retry_backoff_base: self.retry_backoff_base,
            retry_backoff_max: self.retry_backoff_max,
            retry_jitter: match &*self.retry_jitter {
                "none" => Jitter::None,
                _ => Jitter::Full,
            },
            keep_done_jobs: self.keep_done_jobs,
            dead_retention: self.dead_retention,
        }
    }
}
