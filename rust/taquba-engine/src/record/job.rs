//! Jobs as stored: one row holds whatever job lives there now.
//!
//! A row is written by `enqueue`, overwritten in place by a retry, by the next step of a run, by
//! the notification of its end or by dead-lettering, and deleted by the last ack.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Headers, Undecodable, decode, encode};
use crate::command::{DedupScope, TerminalStatus};
use crate::ids::RunId;

/// What a job carries. Shared, never changed: a change makes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// What the worker receives.
    pub payload: Bytes,
    /// String metadata.
    pub headers: Headers,
    /// The dedup key that the job was given.
    pub dedup_key: Option<Box<str>>,
    /// Why the last delivery failed.
    pub last_error: Option<Box<str>>,
    /// What the job is about.
    pub work: BodyWork,
}

impl Body {
    /// Bytes that keeping this body costs.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        const FIXED_BYTES: usize = 160;
        FIXED_BYTES + self.payload.len() + self.headers.as_bytes().len()
    }
}

/// What a job is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyWork {
    /// A plain job.
    Job,
    /// A step of this run; the row's turn is the step number.
    Step {
        /// The run.
        run_id: RunId,
    },
    /// The end of this run, for the hook. The payload is the result.
    Notification {
        /// The run.
        run_id: RunId,
        /// How it ended.
        status: TerminalStatus,
        /// Why, unless it succeeded.
        error: Option<Box<str>>,
        /// The step that ended it.
        final_step: u32,
    },
}

/// A job's row: the body and what the state machine needs to place it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow<B> {
    /// Index of the queue.
    pub queue: u32,
    /// Place among jobs of one priority.
    pub order: u64,
    /// Lower is claimed first.
    pub priority: u32,
    /// How often the row was taken over.
    pub turn: u32,
    /// Deliveries so far.
    pub attempts: u32,
    /// Deliveries before it is dead-lettered.
    pub max_attempts: u32,
    /// Not claimable before; 0 for at once.
    pub run_at_ms: u64,
    /// When it was dead-lettered; `None` while it lives.
    pub dead_at_ms: Option<u64>,
    /// How long the dedup key stays taken.
    pub dedup_scope: DedupScope,
    /// The rest.
    pub body: B,
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    queue: u32,
    order: u64,
    priority: u32,
    turn: u32,
    attempts: u32,
    max_attempts: u32,
    run_at_ms: u64,
    dead_at_ms: Option<u64>,
    settled_scope: bool,
    #[serde(borrow)]
    dedup_key: Option<&'a str>,
    #[serde(borrow)]
    last_error: Option<&'a str>,
    #[serde(borrow)]
    work: StoredWork<'a>,
    #[serde(borrow, with = "serde_bytes")]
    headers: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    payload: &'a [u8],
}

#[derive(Serialize, Deserialize)]
enum StoredWork<'a> {
    Job,
    Step(&'a str),
    Notification {
        run_id: &'a str,
        status: super::run::StoredStatus,
        error: Option<&'a str>,
        final_step: u32,
    },
}

impl JobRow<&Body> {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        const FIXED_BYTES_MAX: usize = 96;
        let body = self.body;
        let text_bytes = body.last_error.as_deref().map_or(0, str::len)
            + body.dedup_key.as_deref().map_or(0, str::len);
        encode(
            &Stored {
                queue: self.queue,
                order: self.order,
                priority: self.priority,
                turn: self.turn,
                attempts: self.attempts,
                max_attempts: self.max_attempts,
                run_at_ms: self.run_at_ms,
                dead_at_ms: self.dead_at_ms,
                settled_scope: self.dedup_scope == DedupScope::Settled,
                dedup_key: body.dedup_key.as_deref(),
                last_error: body.last_error.as_deref(),
                work: StoredWork::of(&body.work),
                headers: body.headers.as_bytes(),
                payload: &body.payload,
            },
            FIXED_BYTES_MAX + text_bytes + body.payload.len() + body.headers.as_bytes().len(),
        )
    }
}

impl JobRow<Body> {
    /// Reads a row's value.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, Undecodable> {
        let stored: Stored<'_> = decode(bytes)?;
        let headers = Headers::from_stored(stored.headers)
            .ok_or_else(|| Undecodable("headers do not read to their end".into()))?;
        if stored.max_attempts == 0 {
            return Err(Undecodable("a job of no attempts".into()));
        }
        let body = Body {
            // Shares the value's allocation: it is as long-lived as the payload.
            payload: bytes.slice_ref(stored.payload),
            headers,
            dedup_key: stored.dedup_key.map(Box::from),
            last_error: stored.last_error.map(Box::from),
            work: stored.work.read()?,
        };
        Ok(Self {
            queue: stored.queue,
            order: stored.order,
            priority: stored.priority,
            turn: stored.turn,
            attempts: stored.attempts,
            max_attempts: stored.max_attempts,
            run_at_ms: stored.run_at_ms,
            dead_at_ms: stored.dead_at_ms,
            dedup_scope: if stored.settled_scope {
                DedupScope::Settled
            } else {
                DedupScope::Waiting
            },
            body,
        })
    }
}

impl<'a> StoredWork<'a> {
    fn of(work: &'a BodyWork) -> Self {
        match work {
            BodyWork::Job => Self::Job,
            BodyWork::Step { run_id } => Self::Step(run_id.as_str()),
            BodyWork::Notification { run_id, status, error, final_step } => Self::Notification {
                run_id: run_id.as_str(),
                status: (*status).into(),
                error: error.as_deref(),
                final_step: *final_step,
            },
        }
    }

    fn read(self) -> Result<BodyWork, Undecodable> {
        let id =
            |text: &str| text.parse().map_err(|_| Undecodable("run id breaks its rule".into()));
        Ok(match self {
            Self::Job => BodyWork::Job,
            Self::Step(run_id) => BodyWork::Step { run_id: id(run_id)? },
            Self::Notification { run_id, status, error, final_step } => BodyWork::Notification {
                run_id: id(run_id)?,
                status: status.into(),
                error: error.map(Box::from),
                final_step,
            },
        })
    }
}
