//! Runs: what is known of each, from its submissions to what was told of its end.
//!
//! # Invariants
//!
//! 1. A run of which two submissions may have been new, because the first one's end may have been
//!    forgotten between them, is not single: what is told of one of them is not held against the other.
//! 2. Of a run whose rows were damaged nothing is expected.

use super::index::{Call, Fate, History};
use crate::history::{Got, Op, Run, RunEnd, RunSeen, Verdict, What, Work};

/// A submission of a run.
#[derive(Debug)]
pub struct Submission<'a> {
    pub call: usize,
    pub run: &'a Run,
    pub queue: &'a str,
    pub fate: Fate,
    /// What the answer says; `None` without one.
    pub is_new: Option<bool>,
}

/// The end of a run, told by somebody.
#[derive(Debug)]
pub struct Telling<'a> {
    pub at: usize,
    pub end: &'a RunEnd,
    pub is_notification: bool,
}

/// One run id.
#[derive(Debug, Default)]
pub struct RunLife<'a> {
    pub id: &'a str,
    pub submissions: Vec<Submission<'a>>,
    /// Deliveries of its steps, in the order of the history.
    pub steps: Vec<usize>,
    pub notifications: Vec<usize>,
    pub tellings: Vec<Telling<'a>>,
    pub cancels: Vec<usize>,
    /// Calls that did not find it.
    pub misses: Vec<usize>,
    /// Looks at it: where they were asked and answered, and what they saw.
    pub looks: Vec<(usize, usize, &'a RunSeen)>,
    /// Whether all of this is about one submission.
    pub is_single: bool,
    pub is_damaged: bool,
}

impl<'a> RunLife<'a> {
    /// Submissions that may have made it.
    pub fn makers(&self) -> impl Iterator<Item = &Submission<'a>> {
        self.submissions.iter().filter(|one| one.fate != Fate::Refused && one.is_new != Some(false))
    }

    /// Whether it can be held to everything.
    pub fn is_clear(&self) -> bool {
        self.is_single && !self.is_damaged
    }
}

impl<'a> History<'a> {
    pub(super) fn build_runs(&mut self) {
        for index in 0..self.calls.len() {
            self.add_run_call(index);
        }
        for index in 0..self.deliveries.len() {
            let delivery = &self.deliveries[index];
            let (at, claim) = (delivery.at, delivery.claim);
            match &claim.work {
                Work::Job => {}
                Work::Step { run, .. } => self.run(run).steps.push(index),
                Work::Notification(end) => {
                    let run = self.run(&end.run);
                    run.notifications.push(index);
                    run.tellings.push(Telling { at, end, is_notification: true });
                }
            }
        }
        let found: Vec<(usize, &'a RunSeen)> =
            self.snapshots.iter().flat_map(|snapshot| snapshot.runs.values().copied()).collect();
        for (at, seen) in found {
            self.look(at, at, seen);
        }
        for event in self.events {
            if let What::Damaged { run: Some(run), .. } = &event.what {
                self.run(run).is_damaged = true;
            }
        }
        let ids: Vec<&'a str> = self.runs.keys().copied().collect();
        for id in ids {
            let is_single = self.is_single(&self.runs[id]);
            let run = self.run(id);
            run.is_single = is_single;
            run.tellings.sort_by_key(|telling| telling.at);
        }
    }

    fn run(&mut self, id: &'a str) -> &mut RunLife<'a> {
        self.runs.entry(id).or_insert_with(|| RunLife { id, ..RunLife::default() })
    }

    fn add_run_call(&mut self, index: usize) {
        let Call { op, invoked, answered, .. } = self.calls[index];
        let (fate, got) = (self.calls[index].fate(), self.calls[index].got());
        match op {
            Op::Submit { queue, runs } => {
                for (number, run) in runs.iter().enumerate() {
                    let is_new = match got {
                        Some(Got::Submitted(all)) => all.get(number).map(|one| one.is_new),
                        _ => None,
                    };
                    let submission = Submission { call: index, run, queue, fate, is_new };
                    self.run(&run.run).submissions.push(submission);
                }
            }
            Op::CancelRun { run } => self.run(run).cancels.push(index),
            Op::AwaitRun { run } | Op::GetRun { run }
                if self.calls[index].code() == Some("run-not-found") =>
            {
                self.run(run).misses.push(index);
            }
            Op::AwaitRun { run } => {
                if let Some(Got::Outcome(end)) = got {
                    let telling = Telling { at: answered, end, is_notification: false };
                    self.run(run).tellings.push(telling);
                }
            }
            Op::GetRun { .. } => {
                let is_owners = self.is_owners(&self.calls[index]);
                if let (Some(Got::Run(seen)), true) = (got, is_owners) {
                    self.look(invoked, answered, seen);
                }
            }
            _ => {}
        }
    }

    fn look(&mut self, asked: usize, answered: usize, seen: &'a RunSeen) {
        let run = self.run(&seen.run);
        run.looks.push((asked, answered, seen));
        if let Some(end) = &seen.end {
            run.tellings.push(Telling { at: answered, end, is_notification: false });
        }
    }

    fn is_single(&self, run: &RunLife<'_>) -> bool {
        let Some(first) = run.makers().next() else { return true };
        let last = run.makers().last().expect("there is a first one");
        if std::ptr::eq(first, last) {
            return true;
        }
        let (from, until) = (self.calls[first.call].invoked, self.done_by(&self.calls[last.call]));
        let elapsed_ms = self.elapsed_ms_max(from, until);
        run.makers().all(|maker| maker.run.retention_ms.is_none_or(|ms| elapsed_ms < ms))
    }

    /// Verdicts on a run's steps that may have been given before a place.
    pub fn verdicts<'h>(
        &'h self,
        run: &'h RunLife<'a>,
        until: usize,
    ) -> impl Iterator<Item = (usize, &'a Verdict)> + 'h {
        let settles = run.steps.iter().flat_map(|step| &self.deliveries[*step].settles);
        settles
            .filter(move |settle| self.calls[**settle].may_precede(until))
            .map(|settle| (*settle, self.verdict(*settle)))
    }

    /// Whether somebody may have cancelled a run before a place.
    pub fn may_be_stopped(&self, run: &RunLife<'_>, until: usize) -> bool {
        run.cancels.iter().any(|cancel| self.calls[*cancel].may_precede(until))
    }

    /// Whether attempts of a run's steps may have been used up before a place.
    pub fn may_be_exhausted(&self, run: &RunLife<'_>, until: usize) -> bool {
        let steps = run.steps.iter().map(|step| &self.deliveries[*step]);
        let claims = steps.filter(|step| step.at < until).map(|step| step.claim);
        let asked =
            run.makers().map(|one| one.run.max_attempts.unwrap_or(self.profile.max_attempts));
        let left =
            claims.map(|claim| claim.max_attempts.saturating_sub(claim.attempts)).chain(asked);
        let born = run.submissions.iter().map(|one| self.calls[one.call].invoked).min();
        let unseen = self.upsets_between(born.unwrap_or(0), until);
        left.min().is_none_or(|left| unseen >= left as usize)
    }

    /// Whether a run may have ended before a place.
    pub fn may_have_ended(&self, run: &RunLife<'a>, until: usize) -> bool {
        self.may_be_stopped(run, until) || self.may_have_ended_itself(run, until)
    }

    /// Whether a run may have ended before a place without being cancelled.
    pub fn may_have_ended_itself(&self, run: &RunLife<'a>, until: usize) -> bool {
        let is_end = |verdict: &Verdict| {
            matches!(
                verdict,
                Verdict::Succeed { .. }
                    | Verdict::Fail { .. }
                    | Verdict::Cancel { .. }
                    | Verdict::DeadLetter { .. }
            )
        };
        run.is_damaged
            || self.verdicts(run, until).any(|(_, verdict)| is_end(verdict))
            || self.may_be_exhausted(run, until)
    }

    /// When a run was promised: the first answer that names it, of an owner that had the store.
    pub fn promised(&self, run: &RunLife<'_>) -> Option<usize> {
        let done = run.submissions.iter().filter(|one| one.fate == Fate::Done);
        let done = done.map(|one| &self.calls[one.call]).filter(|call| self.is_owners(call));
        done.map(|call| call.answered).min()
    }

    /// Whether the end of a run, if it has ended, may be forgotten by a place.
    pub fn may_be_unknown(&self, run: &RunLife<'a>, until: usize) -> bool {
        let Some(born) = run.submissions.iter().map(|one| self.calls[one.call].invoked).min()
        else {
            return true;
        };
        let elapsed_ms = self.elapsed_ms_max(born, until);
        let has_passed = |ms: u64| elapsed_ms >= ms;
        run.is_damaged
            || (self.may_have_ended(run, until)
                && run.makers().any(|one| one.run.retention_ms.is_some_and(has_passed)))
    }
}
