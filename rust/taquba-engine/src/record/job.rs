//! Jobs as stored: one row holds whatever job lives there now.
//!
//! A row is written by `enqueue`, overwritten in place by a retry, by the next step of a run, by
//! the notification of its end or by dead-lettering, and deleted by the last ack.

use std::borrow::{Borrow, Cow};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Headers, Payload, PayloadRef, Trail, Undecodable, decode, encode};
use crate::command::{Attempt, DedupScope, TerminalStatus};
use crate::ids::RunId;

/// From this size on a payload shares the memory that its row was read into.
const SHARED_BYTES_MIN: usize = 4 * 1024;

/// What a job carries. Shared, never changed: a change makes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// What the worker receives.
    pub payload: Payload,
    /// String metadata.
    pub headers: Headers,
    /// When the job was enqueued.
    pub enqueued_at_ms: u64,
    /// The dedup key that the job was given.
    pub dedup_key: Option<Box<str>>,
    /// Why the last delivery failed.
    pub last_error: Option<Box<str>>,
    /// The latest deliveries, oldest first.
    pub history: Vec<Attempt>,
    /// The latest steps before this one, oldest first; none if it is no step.
    pub trail: Trail,
    /// What the job is about.
    pub work: BodyWork,
}

impl Body {
    /// When its first delivery began. `under_way_ms` is when the one under way did, which is in no history
    /// yet; `None` if the first one is not known any more.
    #[must_use]
    pub fn first_began_at_ms(&self, under_way_ms: Option<u64>) -> Option<u64> {
        match self.history.first() {
            None => under_way_ms,
            Some(first) if first.number == 1 => first.started_at_ms,
            Some(_) => None,
        }
    }

    /// Bytes that keeping this body costs.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        const FIXED_BYTES: usize = 224;
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let error = match &self.work {
            BodyWork::Notification { error, .. } => text(error),
            BodyWork::Job | BodyWork::Step { .. } => 0,
        };
        FIXED_BYTES
            + self.payload.resident_bytes()
            + self.headers.size_bytes()
            + text(&self.dedup_key)
            + text(&self.last_error)
            + error
            + self.history.iter().map(Attempt::size_bytes).sum::<usize>()
            + self.trail.as_bytes().len()
    }
}

/// What the dedup key of a step starts with; its run and number follow: `run:{run_id}:{step_number}`.
pub const STEP_KEY_PREFIX: &str = "run:";

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

/// How a job ended that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEnd {
    /// Acked.
    Done,
    /// Dead-lettered.
    Dead,
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
    /// How and when it ended; `None` while it lives.
    pub ended: Option<(JobEnd, u64)>,
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
    enqueued_at_ms: u64,
    ended: Option<(JobEnd, u64)>,
    settled_scope: bool,
    #[serde(borrow)]
    dedup_key: Option<&'a str>,
    #[serde(borrow)]
    last_error: Option<&'a str>,
    #[serde(borrow)]
    work: StoredWork<'a>,
    history: Cow<'a, [Attempt]>,
    #[serde(borrow, with = "serde_bytes")]
    trail: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    headers: &'a [u8],
    #[serde(borrow)]
    payload: StoredPayload<'a>,
}

#[derive(Serialize, Deserialize)]
enum StoredPayload<'a> {
    #[serde(borrow, with = "serde_bytes")]
    Inline(&'a [u8]),
    Object(PayloadRef),
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

impl<B: Borrow<Body>> JobRow<B> {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        const FIXED_BYTES_MAX: usize = 128;
        let body = self.body.borrow();
        let text_bytes = body.last_error.as_deref().map_or(0, str::len)
            + body.dedup_key.as_deref().map_or(0, str::len)
            + body.history.iter().map(Attempt::size_bytes).sum::<usize>()
            + body.trail.as_bytes().len();
        encode(
            &Stored {
                queue: self.queue,
                order: self.order,
                priority: self.priority,
                turn: self.turn,
                attempts: self.attempts,
                max_attempts: self.max_attempts,
                run_at_ms: self.run_at_ms,
                enqueued_at_ms: body.enqueued_at_ms,
                ended: self.ended,
                settled_scope: self.dedup_scope == DedupScope::Settled,
                dedup_key: body.dedup_key.as_deref(),
                last_error: body.last_error.as_deref(),
                work: StoredWork::of(&body.work),
                history: Cow::Borrowed(&body.history),
                trail: body.trail.as_bytes(),
                headers: body.headers.as_bytes(),
                payload: match &body.payload {
                    Payload::Inline(data) => StoredPayload::Inline(data),
                    Payload::Object(object) => StoredPayload::Object(*object),
                },
            },
            FIXED_BYTES_MAX
                + text_bytes
                + body.payload.resident_bytes()
                + body.headers.as_bytes().len(),
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
            payload: match stored.payload {
                // A small one must not keep alive the block that it was read with.
                StoredPayload::Inline(data) if data.len() < SHARED_BYTES_MIN => {
                    Payload::Inline(Bytes::copy_from_slice(data))
                }
                StoredPayload::Inline(data) => Payload::Inline(bytes.slice_ref(data)),
                StoredPayload::Object(object) => Payload::Object(object),
            },
            headers,
            enqueued_at_ms: stored.enqueued_at_ms,
            dedup_key: stored.dedup_key.map(Box::from),
            last_error: stored.last_error.map(Box::from),
            history: stored.history.into_owned(),
            trail: Trail::of_stored(stored.trail),
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
            ended: stored.ended,
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
