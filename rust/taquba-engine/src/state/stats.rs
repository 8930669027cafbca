//! Counting: read off the state, never recounted.

use super::State;
use super::queue::Queue;
use crate::command::{QueueStats, Stats};

impl State {
    /// What the state knows; the log adds its own counts.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            queues: self.queues.by_name().map(stats_of).collect(),
            quarantined_count: self.quarantined_count,
            commit_count: self.commit_count,
            row_count: self.row_count,
            ..Stats::default()
        }
    }
}

fn stats_of(queue: &Queue) -> QueueStats {
    QueueStats {
        queue: queue.name.clone(),
        pending_count: queue.ready.len() as u64,
        scheduled_count: queue.scheduled_count,
        claimed_count: queue.claimed_count,
        dead_count: queue.dead_count,
        live_run_count: queue.live_run_count,
        enqueued_total: queue.totals.enqueued_total,
        acked_total: queue.totals.acked_total,
        retried_total: queue.totals.retried_total,
        dead_total: queue.totals.dead_total,
    }
}
