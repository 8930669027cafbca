//! Jobs that have ended: done and dead ones that are kept for a while, and what removes a job.
//!
//! # Invariants
//!
//! 1. A kept job's row says how and when it ended; its retention runs from then, over restarts.
//! 2. A dead job that is requeued keeps its id and its history, and gets all its attempts anew.
//! 3. What removes a job takes everything of it along: row, claim row, dedup key, payload object.

use std::sync::Arc;
use std::time::Duration;

use super::body::Change;
use super::job::{Due, Kind, Stage, wrong_state};
use super::schedule::Expired;
use super::settle::Ended;
use super::{Effects, Origin, State};
use crate::clock::Now;
use crate::command::{Reply, Start};
use crate::error::{Error, Result};
use crate::ids::{JobId, QueueName};
use crate::limits::PURGE_COUNT_MAX;
use crate::options::{QueueConfig, bounded_ms, check_duration};
use crate::record::{Body, BodyWork, JobEnd, JobRow, Row, keys};

impl State {
    /// Dead-letters a claimed job. The run of a step fails with it.
    pub(super) fn bury(&mut self, row: u64, ended: Ended<'_>, now: Now, fx: &mut Effects) {
        let body = self.with_attempt(row, ended, now);
        let queue = self.job(row).queue;
        self.queues.totals(queue).dead_total += 1;
        self.keep_ended(row, &body, JobEnd::Dead, now);
        if let BodyWork::Step { run_id } = &body.work {
            self.fail_run(row, run_id, &body, now, fx);
        }
    }

    /// Writes a claimed job as ended, to be looked at until its retention has passed.
    pub(super) fn keep_ended(&mut self, row: u64, body: &Body, end: JobEnd, now: Now) {
        self.free_dedup(row);
        let entry = self.job_mut(row);
        entry.become_stage(Stage::of_end(end));
        entry.is_cancel_requested = false;
        entry.body = None;
        let stored = JobRow { ended: Some((end, now.wall_ms)), ..entry.stored(body, 0) };
        self.write(Row::Put(keys::job(row), stored.encode()));
        self.delete_cancel_row(row);
        self.count_ended(row, end, now.wall_ms);
    }

    /// Counts an ended job and sees to it that it is forgotten in time.
    pub(super) fn count_ended(&mut self, row: u64, end: JobEnd, at_ms: u64) {
        let entry = self.job_mut(row);
        entry.due = Due::WallMs(at_ms);
        let queue = entry.queue;
        let queue = self.queues.at_mut(queue);
        match end {
            JobEnd::Done => queue.done_count += 1,
            JobEnd::Dead => drop(queue.dead.insert((at_ms, row))),
        }
        if let Some(forget_at_ms) = forget_at(&queue.config, end, at_ms) {
            self.schedule.forget_at(forget_at_ms, Expired::Job(row));
        }
    }

    /// Takes an ended job out of the count and out of its retention.
    fn uncount_ended(&mut self, row: u64) {
        let entry = self.job(row);
        let (Stage::Done | Stage::Dead, Due::WallMs(at_ms)) = (entry.stage, entry.due) else {
            unreachable!("an ended job knows when it ended")
        };
        let end = if entry.stage == Stage::Done { JobEnd::Done } else { JobEnd::Dead };
        let queue = self.queues.at_mut(entry.queue);
        match end {
            JobEnd::Done => queue.done_count -= 1,
            JobEnd::Dead => drop(queue.dead.remove(&(at_ms, row))),
        }
        if let Some(forget_at_ms) = forget_at(&queue.config, end, at_ms) {
            self.schedule.keep(forget_at_ms, Expired::Job(row));
        }
    }

    /// Deletes an ended job.
    pub(super) fn remove_ended(&mut self, row: u64) {
        self.uncount_ended(row);
        self.remove(row);
    }

    /// Deletes the oldest dead jobs of a queue.
    pub(super) fn purge_dead(
        &mut self,
        queue: &QueueName,
        older_than: Duration,
        now: Now,
    ) -> Result<Reply> {
        check_duration("older_than", older_than)?;
        let Some(index) = self.queues.find(queue) else { return Ok(Reply::Purged(0)) };
        let before_ms = now.wall_ms.saturating_sub(bounded_ms(older_than));
        let dead = self.queues.at(index).dead.iter().take_while(|(at_ms, _)| *at_ms <= before_ms);
        let rows: Vec<u64> = dead.take(PURGE_COUNT_MAX).map(|(_, row)| *row).collect();
        for &row in &rows {
            self.remove_ended(row);
        }
        if !rows.is_empty() {
            self.queues.totals(index);
        }
        Ok(Reply::Purged(rows.len()))
    }

    /// Makes a dead job claimable again; its body is read first.
    pub(super) fn requeue(&mut self, origin: Origin, job_id: JobId, fx: &mut Effects) {
        match self.check_dead(job_id) {
            Ok(()) => self.park(origin, Change::Requeue(job_id), fx),
            Err(error) => fx.answer(origin, Err(error)),
        }
    }

    pub(super) fn requeue_with(
        &mut self,
        job_id: JobId,
        body: Arc<Body>,
        now: Now,
    ) -> Result<Reply> {
        self.check_dead(job_id)?;
        let row = job_id.row;
        self.uncount_ended(row);
        let order = self.take_row();
        let entry = self.job_mut(row);
        entry.attempts = 0;
        entry.order = order;
        let queue = entry.queue;
        self.put_back(row, body, Start::Now, now);
        self.queues.totals(queue).retried_total += 1;
        Ok(Reply::Done)
    }

    fn check_dead(&self, job_id: JobId) -> Result<()> {
        let entry = self.find(job_id)?;
        if entry.kind == Kind::Step && entry.stage == Stage::Dead {
            return Err(Error::WrongJobState {
                job_id: job_id.to_string(),
                state: "a step of a run that has failed".into(),
                remedy: "submit the run again under another run id".into(),
            });
        }
        if entry.stage != Stage::Dead {
            return Err(wrong_state(
                entry.state().name(),
                job_id,
                "only dead jobs can be requeued",
            ));
        }
        Ok(())
    }

    /// Takes a waiting job out of what is ready or scheduled.
    pub(super) fn take_from_index(&mut self, row: u64) {
        let entry = self.job(row);
        let (id, due, stage) = (entry.id(row), entry.due, entry.stage);
        let (priority, order) = (entry.priority, entry.order);
        let queue = self.queues.at_mut(entry.queue);
        match stage {
            Stage::Pending => queue.ready.remove(priority, order),
            Stage::Scheduled => {
                queue.scheduled_count -= 1;
                self.schedule.remove(due, id);
            }
            // It is in no index until its commit is durable, and then nobody finds it.
            Stage::Committing => self.end_commit(row),
            Stage::Claimed | Stage::Done | Stage::Dead => unreachable!("it does not wait"),
        }
    }

    /// Deletes a job's row and all that memory holds of it.
    pub(super) fn remove(&mut self, row: u64) {
        self.free_dedup(row);
        self.write(Row::Delete(keys::job(row)));
        self.delete_cancel_row(row);
        self.name_object(row, &crate::record::Payload::default());
        self.jobs.remove(row);
    }

    /// The entry of a job that a user named.
    pub(super) fn find(&self, job_id: JobId) -> Result<&super::job::JobEntry> {
        let entry = self.jobs.get(job_id.row).filter(|entry| entry.turn == job_id.turn);
        entry.ok_or_else(|| Error::JobNotFound { job_id: job_id.to_string() })
    }
}

/// When a kept job is forgotten; `None` for never.
fn forget_at(config: &QueueConfig, end: JobEnd, ended_at_ms: u64) -> Option<u64> {
    let retention = match end {
        // Kept under an earlier setting: forgotten at once.
        JobEnd::Done => Some(config.keep_done_jobs.unwrap_or_default()),
        JobEnd::Dead => config.dead_retention,
    };
    retention.map(|retention| ended_at_ms.saturating_add(bounded_ms(retention)))
}
