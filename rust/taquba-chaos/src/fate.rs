//! One request: what it asks for, and what becomes of it.

use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, PutMode, Result};

use crate::error::Injected;
use crate::fault::{Condition, Fault, Operation};

/// What is asked.
#[derive(Debug)]
pub(crate) struct Request {
    pub operation: Operation,
    pub condition: Condition,
    /// Of an object, or the prefix of a listing.
    pub path: String,
}

impl Request {
    pub fn new(operation: Operation, path: &Path) -> Self {
        Self { operation, condition: Condition::None, path: path.to_string() }
    }

    pub fn put(path: &Path, mode: &PutMode) -> Self {
        let condition = match mode {
            PutMode::Overwrite => Condition::None,
            PutMode::Create => Condition::Create,
            PutMode::Update(_) => Condition::Update,
        };
        Self { condition, ..Self::new(Operation::Put, path) }
    }

    pub fn failed(&self, fault: Fault) -> Error {
        let injected = Injected::new(fault, self.operation, &self.path);
        injected.told(self.condition == Condition::Update)
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) struct Fate {
    pub request: Request,
    /// What befalls it, apart from delays.
    pub fault: Option<Fault>,
    /// Chance for the details of that.
    pub draw: u64,
    /// Passes before the effect.
    pub before: Duration,
    /// Passes after it.
    pub after: Duration,
    pub bytes_per_second: Option<u64>,
    pub hang_limit: Option<Duration>,
    /// How late it, or its copy, arrives.
    pub delay: Duration,
}

impl Fate {
    /// Nothing happens to it.
    pub fn kind(request: Request) -> Self {
        Self {
            request,
            fault: None,
            draw: 0,
            before: Duration::ZERO,
            after: Duration::ZERO,
            bytes_per_second: None,
            hang_limit: None,
            delay: Duration::ZERO,
        }
    }

    pub fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn failed(&self, fault: Fault) -> Error {
        self.request.failed(fault)
    }

    /// The way to the store: returns when the request has arrived with its body.
    pub async fn admit(&self, body_bytes: usize) -> Result<()> {
        pass(self.before + self.transfer_of(body_bytes)).await;
        if self.is(Fault::Hang) {
            match self.hang_limit {
                Some(limit) => pass(limit).await,
                None => std::future::pending().await,
            }
        }
        match self.fault.filter(|fault| fault.refuses()) {
            Some(fault) => Err(self.failed(fault)),
            None => Ok(()),
        }
    }

    /// The way back: returns when the answer is there with its body.
    pub async fn answer(&self, body_bytes: usize) {
        pass(self.after + self.transfer_of(body_bytes)).await;
    }

    fn transfer_of(&self, body_bytes: usize) -> Duration {
        let Some(bytes_per_second) = self.bytes_per_second else { return Duration::ZERO };
        let us = (body_bytes as u64).saturating_mul(1_000_000) / bytes_per_second;
        Duration::from_micros(us)
    }
}

/// Waits. No time at all is no wait: a store without delays works outside a runtime, too.
pub(crate) async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
