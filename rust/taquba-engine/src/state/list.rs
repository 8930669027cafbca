//! Looking at jobs: which ones, and what memory knows of them. What else there is to know of a job is
//! read from its row.

use std::collections::BTreeMap;

use super::job::JobEntry;
use super::{Effects, Origin, Query, State};
use crate::command::{JobState, Reply};
use crate::error::Result;
use crate::ids::{JobId, QueueName};
use crate::limits::{LIST_COUNT_MAX, LIST_EXAMINED_MAX};
use crate::options::check_count;

/// What memory, or another owner's rows, say of a job besides its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// The job.
    pub job_id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Where it is in its life.
    pub state: JobState,
    /// Deliveries so far.
    pub attempts: u32,
    /// When the delivery under way began.
    pub claimed_at_ms: Option<u64>,
    /// Whether its holder was asked to stop.
    pub is_cancel_requested: bool,
}

impl State {
    /// Looks at one job, and has its row read.
    pub(super) fn get_job(&self, origin: Origin, job_id: JobId, fx: &mut Effects) {
        match self.find(job_id) {
            Ok(entry) => {
                let claims = self.claim_times(&[entry]);
                let view = self.view(job_id.row, entry, &claims);
                fx.queries.push((origin, Query::Job(view)));
            }
            Err(error) => fx.answer(origin, Err(error)),
        }
    }

    /// Looks at jobs of a queue in the order of their rows, and has those rows read.
    pub(super) fn list_jobs(
        &self,
        origin: Origin,
        queue: &QueueName,
        state: Option<JobState>,
        after: Option<u64>,
        count_max: usize,
        fx: &mut Effects,
    ) -> Result<()> {
        check_count("limit", count_max, LIST_COUNT_MAX)?;
        let index = self.queues.find(queue).filter(|&index| self.holds(index, state));
        let Some(index) = index else {
            fx.answer(origin, Ok(Reply::Jobs(crate::command::JobPage::default())));
            return Ok(());
        };
        let first = after.map_or(0, |after| after.saturating_add(1));
        let mut found = Vec::new();
        let mut next = None;
        for (examined, (row, entry)) in self.jobs.range_from(first).enumerate() {
            if found.len() == count_max || examined == LIST_EXAMINED_MAX {
                next = Some(row - 1);
                break;
            }
            if entry.queue == index && state.is_none_or(|state| entry.state() == state) {
                found.push((row, entry));
            }
        }
        let entries: Vec<&JobEntry> = found.iter().map(|(_, entry)| *entry).collect();
        let claims = self.claim_times(&entries);
        let views = found.iter().map(|(row, entry)| self.view(*row, entry, &claims)).collect();
        fx.queries.push((origin, Query::Jobs(views, next)));
        Ok(())
    }

    /// Whether a queue has a job in this state at all.
    fn holds(&self, queue: u32, state: Option<JobState>) -> bool {
        let counts = self.queues.at(queue).counts();
        match state {
            // Those whose commit is under way are in no count.
            None | Some(JobState::Pending | JobState::Scheduled) => true,
            Some(JobState::Claimed) => counts.claimed > 0,
            Some(JobState::Done) => counts.done > 0,
            Some(JobState::Dead) => counts.dead > 0,
        }
    }

    /// When the open claims began, by row; nothing if none of these jobs is claimed.
    fn claim_times(&self, entries: &[&JobEntry]) -> BTreeMap<u64, u64> {
        if entries.iter().all(|entry| entry.state() != JobState::Claimed) {
            return BTreeMap::new();
        }
        self.leases.iter().map(|(_, lease)| (lease.row, lease.started_at_ms)).collect()
    }

    fn view(&self, row: u64, entry: &JobEntry, claims: &BTreeMap<u64, u64>) -> JobView {
        JobView {
            job_id: entry.id(row),
            queue: self.queues.at(entry.queue).name.clone(),
            state: entry.state(),
            attempts: entry.attempts,
            claimed_at_ms: claims.get(&row).copied(),
            is_cancel_requested: entry.is_cancel_requested,
        }
    }
}
