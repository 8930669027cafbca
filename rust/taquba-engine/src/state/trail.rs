//! What is behind a run when its present step ends: the steps, and how the last one ended it.

use super::State;
use crate::clock::Now;
use crate::command::TerminalStatus;
use crate::record::{Body, EndedRun, PastStep, Trail};

impl State {
    /// The trail of a run with its present step at the end. `began_at_ms` is when its delivery under
    /// way began; an earlier one is in its history.
    pub(super) fn trail_behind(
        &self,
        row: u64,
        body: &Body,
        began_at_ms: Option<u64>,
        now: Now,
    ) -> Trail {
        let ready_at_ms = body.enqueued_at_ms;
        let first = body.history.first().and_then(|attempt| attempt.started_at_ms);
        let step = PastStep {
            ready_at_ms,
            began_after_ms: first.or(began_at_ms).map(|at_ms| at_ms.saturating_sub(ready_at_ms)),
            ended_after_ms: now.wall_ms.saturating_sub(ready_at_ms),
            attempts: self.job(row).attempts,
            error: body.last_error.as_deref().map(PastStep::cut_error),
        };
        body.trail.with_step(&step)
    }

    /// How a run ends with its present step, without result or reason.
    pub(super) fn end_of(
        &self,
        row: u64,
        body: &Body,
        began_at_ms: Option<u64>,
        status: TerminalStatus,
        now: Now,
    ) -> EndedRun {
        let entry = self.job(row);
        EndedRun {
            at_ms: now.wall_ms,
            status,
            result: None,
            error: None,
            headers: body.headers.clone(),
            final_step: entry.turn,
            attempts: entry.attempts,
            trail: self.trail_behind(row, body, began_at_ms, now),
        }
    }
}
