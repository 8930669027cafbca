//! Ends of runs: what is told of them, and to whom.
//!
//! - All that is told of one end is the same, and is what a step said (W4), or its death (W7), or a
//!   cancel, which nothing overrules but the runner's own (W8).
//! - A hook is told of each observed end by one notification, at least once (W5).
//! - An end says what it must (W12).

use std::collections::BTreeSet;

use super::Report;
use super::index::{Delivery, History, NEVER};
use super::runs::{RunLife, Telling};
use crate::history::{Got, RunEnd, Verdict, What};

/// Longest text of a reason; more is cut off.
const REASON_BYTES_MAX: usize = 4096;

fn says(told: Option<&str>, reason: &str) -> bool {
    let told = told.unwrap_or_default();
    told == reason || (reason.len() > REASON_BYTES_MAX && reason.starts_with(told))
}

/// Whether an end is what a verdict on a step makes of its run.
fn is_end_of(end: &RunEnd, verdict: &Verdict) -> bool {
    let error = end.error.as_deref();
    match verdict {
        Verdict::Succeed { result } => {
            end.status == "succeeded" && end.result.as_deref() == Some(result)
        }
        Verdict::Fail { reason } | Verdict::DeadLetter { reason } => {
            end.status == "failed" && says(error, reason)
        }
        Verdict::Cancel { reason } => end.status == "cancelled" && says(error, reason),
        Verdict::Nack { error: reason, .. } => end.status == "failed" && says(error, reason),
        _ => false,
    }
}

fn clear<'h, 'a>(history: &'h History<'a>) -> impl Iterator<Item = &'h RunLife<'a>> {
    history.runs.values().filter(|run| run.is_clear())
}

/// Settlements that surely ended a run, with their places; a cancel before them may overrule them.
fn last_words<'h, 'a>(
    history: &'h History<'a>,
    run: &'h RunLife<'a>,
) -> impl Iterator<Item = (usize, &'a Verdict)> + 'h {
    run.steps.iter().filter_map(|step| {
        let delivery: &Delivery<'_> = &history.deliveries[*step];
        let settle = history.settled(delivery)?;
        let verdict = history.verdict(settle);
        let call = &history.calls[settle];
        let is_last = match verdict {
            Verdict::Nack { .. } => history.is_final(delivery, settle),
            verdict => super::workflow::ends_run(verdict),
        };
        let is_sure = is_last && history.is_owners(call);
        (is_sure && !history.may_be_stopped(run, call.answered)).then_some((call.answered, verdict))
    })
}

/// W4.
pub fn stable(history: &History<'_>, report: &mut Report) {
    for run in clear(history) {
        differing(run, false, report);
        goes_back(run, report);
        let words = last_words(history, run);
        let words: Vec<_> = words.filter(|(_, verdict)| !is_death(verdict)).collect();
        for Telling { at, end, .. } in &run.tellings {
            if let Some((said, _)) = words.iter().find(|(_, verdict)| !is_end_of(end, verdict)) {
                let text =
                    format!("run {} is {}, its last step said other at {said}", run.id, end.status);
                report.add(*at, text);
                continue;
            }
            let said = history.verdicts(run, *at).any(|(_, verdict)| is_end_of(end, verdict));
            let is_possible = match end.status.as_str() {
                "succeeded" => said,
                "cancelled" => said || (end.error.is_none() && history.may_be_stopped(run, *at)),
                _ => true,
            };
            if !is_possible {
                report.add(*at, format!("run {} is {}, and nobody said so", run.id, end.status));
            }
        }
    }
}

fn is_death(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::DeadLetter { .. } | Verdict::Nack { .. })
}

/// Tellings that differ from the first one: of notifications, or of others.
fn differing(run: &RunLife<'_>, is_of_notifications: bool, report: &mut Report) {
    let Some(first) = run.tellings.first() else { return };
    for telling in &run.tellings[1..] {
        let is_meant = (telling.is_notification || first.is_notification) == is_of_notifications;
        if telling.end != first.end && is_meant {
            let text = format!("run {} ended otherwise, as told at {}", run.id, first.at);
            report.add(telling.at, text);
        }
    }
}

fn has_ended(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled")
}

/// A look that shows less than one before it.
fn goes_back(run: &RunLife<'_>, report: &mut Report) {
    let told = run.tellings.first().map_or(NEVER, |telling| telling.at);
    for (asked, answered, seen) in &run.looks {
        let is_older = |(_, before, earlier): &&(usize, usize, &crate::history::RunSeen)| {
            *before < *asked && (earlier.step > seen.step || has_ended(&earlier.state))
        };
        let is_live = !has_ended(&seen.state);
        let before = run.looks.iter().find(is_older).map(|(_, before, _)| *before);
        let before = before.filter(|_| is_live).or((is_live && told < *asked).then_some(told));
        if let Some(before) = before {
            report.add(*answered, format!("run {} goes back behind what {before} says", run.id));
        }
    }
}

/// W5.
pub fn hooks(history: &History<'_>, report: &mut Report) {
    for run in clear(history) {
        differing(run, true, report);
        let notifications = || run.notifications.iter().map(|index| &history.deliveries[*index]);
        let ids: BTreeSet<&str> = notifications().map(|one| one.claim.job.as_str()).collect();
        if let (Some(last), true) = (notifications().next_back(), ids.len() > 1) {
            report.add(last.at, format!("run {} has {} notifications", run.id, ids.len()));
        }
        let max = history.profile.hook_max_attempts;
        if let Some(one) = notifications().find(|one| one.claim.max_attempts != max) {
            let attempts = one.claim.max_attempts;
            report.add(one.at, format!("a notification of run {} has {attempts} attempts", run.id));
        }
    }
    for (at, event) in history.events.iter().enumerate() {
        if matches!(event.what, What::Drained) {
            for run in clear(history) {
                told(history, run, at, report);
            }
        }
    }
}

/// When nothing is left to do, hooks have taken the ends that they observe.
fn told(history: &History<'_>, run: &RunLife<'_>, drained: usize, report: &mut Report) {
    let is_observed = run.makers().next().is_some() && run.makers().all(|one| one.run.is_observed);
    let is_cancelled = run.cancels.iter().any(|cancel| {
        let call = &history.calls[*cancel];
        call.got() == Some(&Got::RunCancelled(true)) && call.answered < drained
    });
    let has_ended = is_cancelled
        || run.tellings.iter().any(|telling| telling.at < drained)
        || last_words(history, run).any(|(said, _)| said < drained);
    if !is_observed || !has_ended {
        return;
    }
    let is_taken = run.notifications.iter().map(|index| &history.deliveries[*index]).any(|one| {
        let is_settled = one.settles.iter().any(|settle| {
            matches!(history.verdict(*settle), Verdict::Ack | Verdict::DeadLetter { .. })
                && history.calls[*settle].may_precede(drained)
        });
        // Deliveries that came to nothing unnoted count, too.
        let unseen = history.upsets_between(one.at, drained);
        let left =
            (one.claim.max_attempts - one.claim.attempts.min(one.claim.max_attempts)) as usize;
        is_settled || left <= unseen
    });
    if !is_taken {
        report.add(drained, format!("no hook was told of the end of run {}", run.id));
    }
}

/// W7.
pub fn failures(history: &History<'_>, report: &mut Report) {
    for run in clear(history) {
        let deaths: Vec<_> =
            last_words(history, run).filter(|(_, verdict)| is_death(verdict)).collect();
        for Telling { at, end, .. } in &run.tellings {
            if let Some((died, _)) = deaths.iter().find(|(_, verdict)| !is_end_of(end, verdict)) {
                let text = format!("run {} is {}, its step died at {died}", run.id, end.status);
                report.add(*at, text);
            }
            let is_said = |(_, verdict): (usize, &Verdict)| is_end_of(end, verdict);
            let is_failed = end.status == "failed" && !history.may_be_exhausted(run, *at);
            if is_failed && !history.verdicts(run, *at).any(is_said) {
                report.add(*at, format!("run {} failed, and nothing of it did", run.id));
            }
        }
        for &step in &run.steps {
            let delivery = &history.deliveries[step];
            let Some(settle) = history.settled(delivery) else { continue };
            if !matches!(history.verdict(settle), Verdict::Fail { .. } | Verdict::Cancel { .. }) {
                continue;
            }
            for snapshot in &history.snapshots {
                let found = snapshot.jobs.get(delivery.claim.job.as_str());
                if let Some((at, _)) = found.filter(|(_, job)| job.state == "dead") {
                    report.add(*at, format!("run {} gave up, and left a dead letter", run.id));
                }
            }
        }
    }
}

/// W8.
pub fn cancels(history: &History<'_>, report: &mut Report) {
    for run in clear(history) {
        for call in run.cancels.iter().map(|cancel| &history.calls[*cancel]) {
            let asked_late = history.is_zombie(call.owner, call.invoked);
            match call.got() {
                Some(Got::RunCancelled(true)) if !asked_late => {
                    after_cancel(history, run, call.answered, report);
                }
                Some(Got::RunCancelled(false)) if history.is_owners(call) => {
                    let is_stopped = run.cancels.iter().map(|other| &history.calls[*other]);
                    let is_stopped = is_stopped
                        .into_iter()
                        .filter(|other| other.invoked != call.invoked)
                        .any(|other| other.may_precede(call.answered));
                    let is_there = history.promised(run).is_some_and(|at| at < call.invoked);
                    let may_have_ended = history.may_have_ended_itself(run, call.answered);
                    if is_there && !is_stopped && !may_have_ended {
                        report.add(
                            call.answered,
                            format!("run {} is live, and not cancelled", run.id),
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

fn after_cancel(history: &History<'_>, run: &RunLife<'_>, cancelled: usize, report: &mut Report) {
    for telling in run.tellings.iter().filter(|telling| telling.end.status != "cancelled") {
        let text = format!("run {} is {}, cancelled at {cancelled}", run.id, telling.end.status);
        report.add(telling.at, text);
    }
    for step in run.steps.iter().map(|step| &history.deliveries[*step]) {
        if history.is_surely_after(step, cancelled) && !step.is_zombie {
            report.add(step.at, format!("run {} goes on, cancelled at {cancelled}", run.id));
        }
    }
    for snapshot in history.snapshots.iter().filter(|snapshot| snapshot.from > cancelled) {
        let Some((at, seen)) = snapshot.runs.get(run.id) else { continue };
        if !matches!(seen.state.as_str(), "cancelled" | "cancelling") {
            report.add(*at, format!("run {} is {}, cancelled at {cancelled}", run.id, seen.state));
        }
    }
}

/// W12.
pub fn well_formed(history: &History<'_>, report: &mut Report) {
    for run in history.runs.values() {
        for Telling { at, end, .. } in &run.tellings {
            let is_good = match (end.status.as_str(), &end.result, &end.error) {
                ("succeeded", Some(_), None)
                | ("failed", None, Some(_))
                | ("cancelled", None, _) => true,
                _ => run.is_damaged,
            };
            if !is_good {
                report.add(*at, format!("the end of run {} does not say what it must", run.id));
            }
        }
    }
}
