//! Counting: read off the state, never recounted.
//!
//! A job that is being written in its next form counts as what it will be: each job is counted once at
//! every instant, and who waits for a queue to run empty is not misled by one that is between two forms.

use super::State;
use super::queue::Queue;
use crate::command::{QueueStats, Stats};
use crate::ids::QueueName;
use crate::metrics::{CommitMeasures, Metrics, StoreMeasures};
use crate::record::{QueueCounts, QueueRow};

impl State {
    /// What the state knows; the log adds its own counts.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            queues: self.queues.by_name().map(of_queue).collect(),
            quarantined_count: self.quarantined_count,
            commit_count: self.commit_count,
            row_count: self.row_count,
            ..Stats::default()
        }
    }

    /// What the state knows of what is measured; engine and log add theirs.
    pub(super) fn metrics(&self) -> Metrics {
        let measures =
            self.queues.by_name().map(|queue| (queue.name.clone(), queue.measures.clone()));
        Metrics {
            stats: self.stats(),
            queues: measures.collect(),
            commits: CommitMeasures::default(),
            store: StoreMeasures::default(),
            body_bytes: self.cached_bytes as u64,
            upload_count: 0,
        }
    }
}

fn of_queue(queue: &Queue) -> QueueStats {
    queue_stats(queue.name.clone(), queue.counts_with_commit(), &queue.totals)
}

/// What users see of a queue: what it holds, and what it has seen.
pub fn queue_stats(name: QueueName, counts: QueueCounts, totals: &QueueRow) -> QueueStats {
    QueueStats {
        queue: name,
        pending_count: counts.pending,
        scheduled_count: counts.scheduled,
        claimed_count: counts.claimed,
        done_count: counts.done,
        dead_count: counts.dead,
        live_run_count: counts.live_runs,
        enqueued_total: totals.enqueued_total,
        acked_total: totals.acked_total,
        retried_total: totals.retried_total,
        dead_total: totals.dead_total,
        cancelled_total: totals.cancelled_total,
    }
}
