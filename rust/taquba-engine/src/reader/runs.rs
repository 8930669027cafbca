//! Runs, from the rows alone.
//!
//! Runs are stored by id, and shown in the order of their submission: a page costs a look at every run
//! that is there, and the memory of those that may be on it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::answer::{Answers, Moment, view_of};
use crate::command::{RunFilter, RunInfo, RunPage, RunState};
use crate::engine::read;
use crate::error::Result;
use crate::ids::RunId;
use crate::limits::{LIST_COUNT_MAX, LIST_EXAMINED_MAX};
use crate::log::{Rows as _, ScanRange};
use crate::options::check_count;
use crate::record::{JobRow, RunRow, Undecodable, keys};
use crate::state::{JobView, RunView};

/// Live runs whose steps are read at once.
const STEPS_AT_ONCE: usize = 64;

/// A run that may be shown. Ordered by its submission.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    row: u64,
    run_id: RunId,
    queue: u32,
    submitted_at_ms: u64,
    ended: Option<RunState>,
}

impl Answers {
    /// One run.
    pub(super) async fn run(&self, run_id: &RunId, moment: Moment) -> Result<RunInfo> {
        let stored = read::run_row(self.rows(), self.path(), run_id).await?;
        let candidate = Candidate::of(run_id.clone(), &stored);
        let step = self.steps(std::slice::from_ref(&candidate), moment).await?.pop_last();
        if candidate.ended.is_none() && step.is_none() {
            let what = format!("the step of run `{run_id}` in job row {}", candidate.row);
            let reason = Undecodable("it does not read".into());
            return Err(read::damaged(self.path(), &what, &reason));
        }
        let step = step.map(|(_, step)| step);
        read::run(self.rows(), self.path(), self.run_view(&candidate, step).await?).await
    }

    /// Runs, the latest submission first.
    pub(super) async fn runs(
        &self,
        filter: &RunFilter,
        before: Option<u64>,
        count_max: usize,
        moment: Moment,
    ) -> Result<RunPage> {
        check_count("limit", count_max, LIST_COUNT_MAX)?;
        let queue = match &filter.queue {
            Some(name) => match self.find_queue(name).await? {
                Some(index) => Some(index),
                None => return Ok(RunPage::default()),
            },
            None => None,
        };
        let candidates = self.candidates(filter, queue, before).await?;
        let (mut views, mut next) = (Vec::new(), None);
        let mut examined = 0;
        'page: for some in candidates.chunks(STEPS_AT_ONCE) {
            let mut steps = self.steps(some, moment).await?;
            for candidate in some {
                if views.len() == count_max || examined == LIST_EXAMINED_MAX {
                    next = Some(candidate.row + 1);
                    break 'page;
                }
                examined += 1;
                let step = steps.remove(&candidate.row);
                let state = match (candidate.ended, &step) {
                    (Some(ended), _) => ended,
                    (None, Some(step)) => RunState::of_step(step.state, step.is_cancel_requested),
                    (None, None) => continue,
                };
                if filter.states.contains(state) {
                    views.push(self.run_view(candidate, step).await?);
                }
            }
        }
        read::runs(self.rows(), self.path(), views, next).await
    }

    /// The runs that may be on a page, the latest submission first; one more than may be looked at.
    async fn candidates(
        &self,
        filter: &RunFilter,
        queue: Option<u32>,
        before: Option<u64>,
    ) -> Result<Vec<Candidate>> {
        let mut candidates = BinaryHeap::new();
        let mut visit = |key: Bytes, value: Bytes| {
            let Some(run_id) = keys::run_of(&key).filter(|run_id| filter.takes_id(run_id)) else {
                return ControlFlow::Continue(());
            };
            match RunRow::decode(&value) {
                Ok(stored) => {
                    let candidate = Candidate::of(run_id, &stored);
                    let is_meant = queue.is_none_or(|queue| queue == candidate.queue)
                        && before.is_none_or(|before| candidate.row < before)
                        && candidate.ended.is_none_or(|state| filter.states.contains(state));
                    if is_meant {
                        candidates.push(Reverse(candidate));
                    }
                    if candidates.len() > LIST_EXAMINED_MAX + 1 {
                        candidates.pop();
                    }
                }
                Err(error) => tracing::warn!(%run_id, error = error.0, "a run does not read"),
            }
            ControlFlow::Continue(())
        };
        self.rows().scan(ScanRange::of_tag(keys::RUN), &mut visit).await?;
        Ok(candidates.into_sorted_vec().into_iter().map(|Reverse(candidate)| candidate).collect())
    }

    /// The present steps of those runs that are live, by row.
    async fn steps(&self, runs: &[Candidate], moment: Moment) -> Result<BTreeMap<u64, JobView>> {
        let live = || runs.iter().filter(|run| run.ended.is_none()).map(|run| run.row);
        let jobs = self.rows().get_many(live().map(keys::job).collect()).await?;
        let deliveries = self.deliveries().await?;
        let mut steps = BTreeMap::new();
        for (key, value) in jobs {
            let Some(row) = keys::row_of(&key) else { continue };
            match JobRow::decode(&value) {
                Ok(stored) if stored.ended.is_none() => {
                    let queue = self.queue_name(stored.queue).await?;
                    steps.insert(row, view_of(row, &stored, &queue, &deliveries, moment));
                }
                Ok(_) => {}
                // Its owner will fail the run at the next open.
                Err(error) => tracing::warn!(row, error = error.0, "a step does not read"),
            }
        }
        Ok(steps)
    }

    async fn run_view(&self, run: &Candidate, step: Option<JobView>) -> Result<RunView> {
        let queue = match &step {
            Some(step) => step.queue.clone(),
            None => self.queue_name(run.queue).await?,
        };
        let Candidate { row, submitted_at_ms, .. } = *run;
        Ok(RunView { run_id: run.run_id.clone(), row, queue, submitted_at_ms, step })
    }
}

impl Candidate {
    fn of(run_id: RunId, stored: &RunRow) -> Self {
        Self {
            run_id,
            row: stored.row,
            queue: stored.queue,
            submitted_at_ms: stored.submitted_at_ms,
            ended: stored.ended.as_ref().map(|ended| ended.status.into()),
        }
    }
}
