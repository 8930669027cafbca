//! What is behind a run when its present step ends: the steps, and how the last one ended it.

use super::State;
use crate::clock::Now;
use crate::command::TerminalStatus;
use crate::record::{Body, EndedRun, PastStep, Trail};

impl State {
    /// The trail of a run with its present step at the end. `began_at_ms` is when its delivery under
    /// way began; an earlier one is in its history, and so is the error of one that failed.
    pub(super) fn trail_behind(
        &self,
        row: u64,
        body: &Body,
        began_at_ms: Option<u64>,
        error: Option<&str>,
        now: Now,
    ) -> Trail {
        let ready_at_ms = body.enqueued_at_ms;
        let began_at_ms = body.first_began_at_ms(began_at_ms);
        let step = PastStep {
            ready_at_ms,
            began_after_ms: began_at_ms.map(|at_ms| at_ms.saturating_sub(ready_at_ms)),
            ended_after_ms: now.wall_ms.saturating_sub(ready_at_ms),
            attempts: self.job(row).attempts,
            error: error.or(body.last_error.as_deref()).map(PastStep::cut_error),
        };
        body.trail.with_step(&step)
    }

    /// How a run ends with its present step, without result.
    pub(super) fn end_of(
        &self,
        row: u64,
        body: &Body,
        began_at_ms: Option<u64>,
        status: TerminalStatus,
        error: Option<Box<str>>,
        now: Now,
    ) -> EndedRun {
        let entry = self.job(row);
        let failure = error.as_deref().filter(|_| status == TerminalStatus::Failed);
        EndedRun {
            at_ms: now.wall_ms,
            status,
            result: None,
            headers: body.headers.clone(),
            final_step: entry.turn,
            attempts: entry.attempts,
            trail: self.trail_behind(row, body, began_at_ms, failure, now),
            error,
        }
    }
}
