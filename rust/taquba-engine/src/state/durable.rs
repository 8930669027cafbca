//! Commits: what goes into the next one, and what its durability sets free.
//!
//! # Invariants
//!
//! 1. Batches are numbered without gaps and become durable in order.
//! 2. What waits for a batch happens when that batch is durable, and not before.
//! 3. A claim that is still open when a commit goes out rides along in it; it never causes one.

use super::job::{Due, Stage};
use super::{Batch, Effects, State};
use crate::clock::Now;
use crate::ids::{ClaimToken, JobId};
use crate::record::{PayloadName, Row, Sequence, keys};

/// What waits for a commit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Activation {
    /// The job in this form becomes claimable, now or at its time.
    Job(JobId),
    /// The claim of a suspect job may be delivered.
    Delivery(ClaimToken),
    /// No row names this payload object any more.
    Unnamed(PayloadName),
}

impl State {
    /// The number of the batch that is being filled.
    #[must_use]
    pub fn open_batch(&self) -> u64 {
        self.batch_number
    }

    /// Cuts off everything that waits to be written. Call only if [`State::has_rows`].
    #[must_use]
    pub fn cut(&mut self, now: Now) -> Batch {
        assert!(self.has_rows(), "an empty commit would cost an object for nothing");
        self.write_claims();
        for row in self.queues.take_dirty_rows() {
            self.write(row);
        }
        let sequence = Sequence { next: self.next_row, wall_floor_ms: now.wall_ms };
        self.write(Row::Put(keys::SEQUENCE.into(), sequence.encode()));
        let number = self.batch_number;
        self.batch_number += 1;
        self.row_bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        self.rows.reserve(rows.len());
        self.commit_count += 1;
        self.row_count += rows.len() as u64;
        Batch { number, rows }
    }

    /// A batch is durable: frees what waited for it.
    pub fn on_durable(&mut self, number: u64, now: Now, fx: &mut Effects) {
        self.kv.on_durable(number);
        while let Some(&(waits_for, activation)) = self.activations.front() {
            if waits_for > number {
                break;
            }
            self.activations.pop_front();
            match activation {
                Activation::Job(id) => self.activate(id, now, fx),
                Activation::Delivery(token) => self.deliver(token, now, fx),
                Activation::Unnamed(name) => fx.unnamed.push(name),
            }
        }
    }

    pub(super) fn activate_when_durable(&mut self, activation: Activation) {
        self.activations.push_back((self.batch_number, activation));
    }

    fn activate(&mut self, id: JobId, now: Now, fx: &mut Effects) {
        let Some(entry) = self.jobs.get(id.row) else { return };
        if entry.turn == id.turn && entry.stage == Stage::Committing {
            self.end_commit(id.row);
            self.place(id.row, now);
            self.hand_notification(id.row, now, fx);
        }
    }

    /// Counts a job whose form is on its way to the log: a reader of that commit will find it there.
    pub(super) fn begin_commit(&mut self, row: u64) {
        *self.committing_count(row) += 1;
    }

    /// Takes back a [`State::begin_commit`].
    pub(super) fn end_commit(&mut self, row: u64) {
        *self.committing_count(row) -= 1;
    }

    fn committing_count(&mut self, row: u64) -> &mut u64 {
        let entry = self.jobs.get(row).expect("the caller holds the row");
        assert!(entry.stage == Stage::Committing, "only a job in a commit is counted as such");
        let queue = self.queues.at_mut(entry.queue);
        match entry.due {
            Due::Now => &mut queue.committing_pending_count,
            Due::MonoMs(_) | Due::WallMs(_) => &mut queue.committing_scheduled_count,
        }
    }

    /// Puts a job whose form is durable where it waits: for a claim, or for its time.
    pub(super) fn place(&mut self, row: u64, now: Now) {
        let entry = self.job_mut(row);
        if entry.due.wait_ms(now) == 0 {
            self.make_ready(row);
            return;
        }
        entry.become_stage(Stage::Scheduled);
        let (id, queue, due) = (entry.id(row), entry.queue, entry.due);
        self.queues.at_mut(queue).scheduled_count += 1;
        self.schedule.add(due, id);
    }

    pub(super) fn make_ready(&mut self, row: u64) {
        let entry = self.job_mut(row);
        entry.become_stage(Stage::Pending);
        let (queue, priority, order) = (entry.queue, entry.priority, entry.order);
        self.queues.at_mut(queue).ready.insert(priority, order, row);
    }
}
