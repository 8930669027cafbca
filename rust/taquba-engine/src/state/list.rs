//! Looking at jobs and runs: which ones, and what memory knows of them. What else there is to know is
//! read from their rows.

use std::collections::BTreeMap;

use super::job::JobEntry;
use super::run::RunEntry;
use super::{Effects, MemoPlace, Origin, Query, State};
use crate::command::{
    JobPage, JobState, MemoMark, Reply, RunFilter, RunPage, RunState, TerminalStatus,
};
use crate::error::{Error, Result};
use crate::ids::{JobId, QueueName, RunId};
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
    /// Deliveries before it is dead-lettered.
    pub max_attempts: u32,
    /// When the delivery under way began.
    pub claimed_at_ms: Option<u64>,
    /// Whether its holder was asked to stop.
    pub is_cancel_requested: bool,
}

/// What memory, or another owner's rows, say of a run besides its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// The run.
    pub run_id: RunId,
    /// The row under which it was submitted.
    pub row: u64,
    /// The queue of its steps.
    pub queue: QueueName,
    /// When it was submitted.
    pub submitted_at_ms: u64,
    /// Its present step; `None` once it has ended.
    pub step: Option<JobView>,
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
            fx.answer(origin, Ok(Reply::Jobs(JobPage::default())));
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

    /// Looks at one run, and has its row read.
    pub(super) fn get_run(&self, origin: Origin, run_id: &RunId, fx: &mut Effects) {
        match self.runs.find(run_id) {
            Some(found) => {
                let views = self.run_views(&[found]);
                fx.queries.extend(views.into_iter().map(|view| (origin, Query::Run(view))));
            }
            None => fx.answer(origin, Err(Error::RunNotFound { run_id: run_id.to_string() })),
        }
    }

    /// Looks at runs, the latest submission first, and has their rows read.
    pub(super) fn list_runs(
        &self,
        origin: Origin,
        filter: &RunFilter,
        before: Option<u64>,
        count_max: usize,
        fx: &mut Effects,
    ) -> Result<()> {
        check_count("limit", count_max, LIST_COUNT_MAX)?;
        let queue = filter.queue.as_ref().map(|queue| self.queues.find(queue));
        if queue == Some(None) {
            fx.answer(origin, Ok(Reply::Runs(RunPage::default())));
            return Ok(());
        }
        let is_meant = |row: u64, run: &RunEntry| {
            queue.flatten().is_none_or(|queue| queue == run.queue)
                && filter.takes_id(&run.run_id)
                && filter.states.contains(self.run_state(row, run))
        };
        let mut found = Vec::new();
        let mut next = None;
        let runs = self.runs.before(before.unwrap_or(u64::MAX));
        for (examined, (row, run)) in runs.enumerate() {
            if found.len() == count_max || examined == LIST_EXAMINED_MAX {
                next = Some(row + 1);
                break;
            }
            if is_meant(row, run) {
                found.push((row, run));
            }
        }
        fx.queries.push((origin, Query::Runs(self.run_views(&found), next)));
        Ok(())
    }

    /// Has the result of a run read, if it can have one.
    pub(super) fn get_result(&self, origin: Origin, run_id: RunId, fx: &mut Effects) {
        match self.runs.find(&run_id).map(|(_, run)| run.ended) {
            Some(Some(TerminalStatus::Succeeded)) => {
                fx.queries.push((origin, Query::Result(run_id)));
            }
            Some(_) => fx.answer(origin, Ok(Reply::Value(None))),
            None => fx.answer(origin, Err(Error::RunNotFound { run_id: run_id.to_string() })),
        }
    }

    /// Has the rows of a run's memos read.
    pub(super) fn list_memos(
        &self,
        origin: Origin,
        run_id: &RunId,
        after: Option<MemoMark>,
        count_max: usize,
        fx: &mut Effects,
    ) -> Result<()> {
        check_count("limit", count_max, LIST_COUNT_MAX)?;
        let gone = || Error::RunNotFound { run_id: run_id.to_string() };
        let (row, _) = self.runs.find(run_id).ok_or_else(gone)?;
        fx.queries.push((origin, Query::Memos(row, after, count_max)));
        Ok(())
    }

    /// Has a memo of a run read.
    pub(super) fn read_memo(
        &self,
        origin: Origin,
        run_id: &RunId,
        (step_number, key): MemoMark,
        fx: &mut Effects,
    ) {
        match self.runs.find(run_id) {
            Some((row, _)) => {
                fx.queries.push((origin, Query::Memo(MemoPlace { row, step_number, key })));
            }
            None => fx.answer(origin, Err(Error::RunNotFound { run_id: run_id.to_string() })),
        }
    }

    /// Looks at the pending job that was enqueued first, and has its row read.
    pub(super) fn oldest_pending(&self, origin: Origin, queue: &QueueName, fx: &mut Effects) {
        let queue = self.queues.find(queue).map(|queue| self.queues.at(queue));
        let view = |row| self.view(row, self.job(row), &BTreeMap::new());
        match queue.and_then(|queue| queue.ready.oldest()) {
            Some(row) => fx.queries.push((origin, Query::Jobs(vec![view(row)], None))),
            None => fx.answer(origin, Ok(Reply::Jobs(JobPage::default()))),
        }
    }

    fn run_state(&self, row: u64, run: &RunEntry) -> RunState {
        if let Some(status) = run.ended {
            return status.into();
        }
        let step = self.job(row);
        RunState::of_step(step.state(), step.is_cancel_requested)
    }

    fn run_views(&self, runs: &[(u64, &RunEntry)]) -> Vec<RunView> {
        let live = runs.iter().filter(|(_, run)| run.ended.is_none());
        let steps: Vec<&JobEntry> = live.map(|(row, _)| self.job(*row)).collect();
        let claims = self.claim_times(&steps);
        let view = |&(row, run): &(u64, &RunEntry)| RunView {
            run_id: run.run_id.clone(),
            row,
            queue: self.queues.at(run.queue).name.clone(),
            submitted_at_ms: run.submitted_at_ms,
            step: run.ended.is_none().then(|| self.view(row, self.job(row), &claims)),
        };
        runs.iter().map(view).collect()
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
            max_attempts: entry.max_attempts,
            claimed_at_ms: claims.get(&row).copied(),
            is_cancel_requested: entry.is_cancel_requested,
        }
    }
}
