//! What the rows of runs, of their steps and of their memos say of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::jobs::digest;
use super::report::{ProblemKind, Report};
use crate::ids::RunId;
use crate::record::RunRow;

/// A live step: its queue and whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct StepFact {
    queue: u32,
    run: u128,
}

/// What memos ask of a run.
#[derive(Clone, Copy)]
struct RunFact {
    is_live: bool,
    has_memos: bool,
    /// Its memos stay for good.
    keeps_memos: bool,
}

/// What was noted of runs, by row.
#[derive(Default)]
pub(super) struct Runs {
    /// Live steps whose run has not come yet.
    steps: BTreeMap<u64, StepFact>,
    facts: BTreeMap<u64, RunFact>,
    /// Runs whose memos are to be deleted.
    sweeps: BTreeSet<u64>,
    /// The last run of which memos came.
    last_memo_row: Option<u64>,
}

impl Runs {
    pub fn add_step(&mut self, row: u64, queue: u32, run_id: &RunId) {
        self.steps.insert(row, StepFact { queue, run: digest(run_id.as_str().as_bytes()) });
    }

    pub fn add_sweep(&mut self, row: u64) {
        self.sweeps.insert(row);
    }

    /// Checks a run against its step, which has a smaller key.
    ///
    /// `are_jobs_whole`: every job row could be read.
    pub fn check(
        &mut self,
        run_id: &RunId,
        stored: &RunRow,
        are_jobs_whole: bool,
        report: &mut Report,
    ) {
        let mut wrong =
            |kind, detail: &str| report.add(kind, format!("run `{run_id}`"), detail.to_owned());
        let is_live = stored.ended.is_none();
        let fact = RunFact {
            is_live,
            has_memos: stored.has_memos,
            keeps_memos: stored.memo_retention_ms.is_none(),
        };
        if self.facts.insert(stored.row, fact).is_some() {
            let detail = format!("another run was submitted under its row {}", stored.row);
            wrong(ProblemKind::Run, &detail);
        }
        let own = StepFact { queue: stored.queue, run: digest(run_id.as_str().as_bytes()) };
        let step = self.steps.get(&stored.row).copied().filter(|step| step.run == own.run);
        match step {
            Some(step) if is_live => {
                self.steps.remove(&stored.row);
                if step.queue != own.queue {
                    wrong(ProblemKind::Run, "its step is in another queue");
                }
            }
            Some(_) => {
                self.steps.remove(&stored.row);
                wrong(ProblemKind::Run, "it has ended, and its step waits to be delivered");
            }
            None if is_live && are_jobs_whole => {
                let detail = format!("it is live, and its step is not in job row {}", stored.row);
                wrong(ProblemKind::Run, &detail);
            }
            None => {}
        }
        if is_live && self.sweeps.contains(&stored.row) {
            wrong(ProblemKind::Memo, "it is live, and its memos are to be deleted");
        }
    }

    /// Checks the run of a memo: it knows that it has some, and will have them deleted.
    pub fn check_memo(&mut self, row: u64, name: &str, report: &mut Report) {
        // Once for each run: there may be many memos.
        if self.last_memo_row.replace(row) == Some(row) {
            return;
        }
        let detail = match self.facts.get(&row) {
            Some(run) if run.is_live && !run.has_memos => "its run says that it has no memos",
            Some(run) if !run.is_live && !run.keeps_memos && !self.sweeps.contains(&row) => {
                "its run has ended, and nobody will delete it"
            }
            // The memos of a run that is forgotten may stay for good.
            _ => return,
        };
        report.add(ProblemKind::Memo, name.to_owned(), detail.to_owned());
    }

    /// All runs were there.
    pub fn end(&self, report: &mut Report) {
        for row in self.steps.keys() {
            let detail = "it is a step, and there is no run that it belongs to".to_owned();
            report.add(ProblemKind::Run, format!("job row {row}"), detail);
        }
    }
}
