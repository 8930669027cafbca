//! Settings, from Python's dataclasses; they were checked when they were made.

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use taquba_engine::options::{Jitter, OpenOptions, QueueConfig};

use crate::name::QueueArgument;

/// A `taquba.OpenOptions`, read by its attributes.
#[derive(FromPyObject)]
pub struct OpenArguments {
    fsync: bool,
    queue_configs: BTreeMap<QueueArgument, QueueArguments>,
    default_queue_config: QueueArguments,
    store_timeout: Duration,
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
    dead_retention: Option<Duration>,
}

impl OpenArguments {
    /// Whether writes to a local disk are made to last.
    pub const fn fsync(&self) -> bool {
        self.fsync
    }

    /// The engine's form. `seed` decides how retries spread.
    pub fn to_engine(&self, seed: u64) -> OpenOptions {
        let queue_configs = self.queue_configs.iter();
        let queue_configs =
            queue_configs.map(|(name, config)| (name.0.clone(), config.to_engine()));
        OpenOptions {
            queue_configs: queue_configs.collect(),
            default_queue_config: self.default_queue_config.to_engine(),
            store_timeout: self.store_timeout,
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
            dead_retention: self.dead_retention,
        }
    }
}
