//! Runs and their steps.
//!
//! - Step n+1 is there if step n went on, and only then (W1); it gets what step n gave, and everything
//!   else from the submission (W2). After the end there are no steps (W3).
//! - An id stands for one input, and is new once while it is known (W6).
//! - Reserved headers stay inside (W9); a live run has one live job (W10); delays are kept (W11).

use super::Report;
use super::durability::is_live;
use super::index::{Call, Delivery, Fate, History, Snapshot};
use super::lives::row_of;
use super::runs::{RunLife, Submission};
use super::schedule::{early_ms, may_be_woken};
use crate::history::{Headers, Op, Verdict, What, Work};

/// What the runtime keeps to itself.
const RESERVED: &str = "workflow.";

/// Steps that went on to this delivery, maybe: what they said, and the calls that said it.
fn befores<'h>(
    history: &'h History<'_>,
    run: &'h RunLife<'_>,
    delivery: &'h Delivery<'_>,
    step: u32,
) -> impl Iterator<Item = usize> + 'h {
    let row = row_of(&delivery.claim.job);
    let is_before = move |before: &&Delivery<'_>| {
        let is_step = before.step().is_some_and(|(_, number)| number + 1 == step);
        is_step && row_of(&before.claim.job) == row
    };
    let befores = run.steps.iter().map(|step| &history.deliveries[*step]).filter(is_before);
    befores.flat_map(|before| &before.settles).copied().filter(move |settle| {
        let is_on = matches!(history.verdict(*settle), Verdict::Continue { .. });
        is_on && history.calls[*settle].may_precede(delivery.at)
    })
}

/// Deliveries of steps with their numbers, of runs that were not damaged.
fn steps<'h, 'a>(
    history: &'h History<'a>,
) -> impl Iterator<Item = (&'h RunLife<'a>, &'h Delivery<'a>, u32)> + 'h {
    history.runs.values().filter(|run| !run.is_damaged).flat_map(move |run| {
        run.steps.iter().filter_map(move |step| {
            let delivery = &history.deliveries[*step];
            Some((run, delivery, delivery.step()?.1))
        })
    })
}

/// W1.
pub fn follows(history: &History<'_>, report: &mut Report) {
    for (run, delivery, step) in steps(history) {
        if step > 0 && befores(history, run, delivery, step).next().is_none() {
            let text =
                format!("step {step} of run {} is there, the one before did not go on", run.id);
            report.add(delivery.at, text);
        }
    }
    for run in history.runs.values().filter(|run| run.is_clear()) {
        for (_, answered, seen) in &run.looks {
            let goes_on = run.steps.iter().any(|step| {
                let delivery = &history.deliveries[*step];
                let is_before = delivery.step().is_some_and(|(_, step)| step + 1 == seen.step);
                is_before
                    && delivery.settles.iter().any(|settle| {
                        let is_on = matches!(history.verdict(*settle), Verdict::Continue { .. });
                        is_on && history.calls[*settle].may_precede(*answered)
                    })
            });
            if seen.step > 0 && !goes_on {
                let text = format!("run {} is at step {}, where it cannot be", run.id, seen.step);
                report.add(*answered, text);
            }
        }
    }
}

/// W2.
pub fn payloads(history: &History<'_>, report: &mut Report) {
    for (run, delivery, step) in steps(history) {
        let is_maker = |one: &Submission<'_>| {
            let claim = delivery.claim;
            claim.headers == one.run.headers
                && claim.queue == one.queue
                && one.run.priority.is_none_or(|priority| priority == claim.priority)
                && claim.max_attempts
                    == one.run.max_attempts.unwrap_or(history.profile.max_attempts)
                && (step > 0 || claim.payload == one.run.input)
                && history.calls[one.call].invoked < delivery.at
        };
        let is_refused = !run.submissions.is_empty()
            && run.submissions.iter().all(|one| one.fate == Fate::Refused);
        if !is_refused && !run.makers().any(is_maker) {
            report.add(delivery.at, format!("step {step} of run {} is not as submitted", run.id));
        }
        let befores: Vec<usize> = befores(history, run, delivery, step).collect();
        let is_given = |settle: &usize| {
            matches!(history.verdict(*settle), Verdict::Continue { payload, .. }
                if *payload == delivery.claim.payload)
        };
        let is_wrong = match befores.iter().find(|settle| history.calls[**settle].is_done()) {
            Some(sure) => !is_given(sure),
            None => !befores.is_empty() && !befores.iter().any(is_given),
        };
        if is_wrong {
            report.add(delivery.at, format!("step {step} of run {} gets something else", run.id));
        }
    }
}

/// W3.
pub fn over(history: &History<'_>, report: &mut Report) {
    for run in history.runs.values().filter(|run| !run.is_damaged) {
        for &index in &run.steps {
            let last = &history.deliveries[index];
            let Some(settle) = history.settled(last) else { continue };
            if !ends_run(history.verdict(settle)) || last.is_zombie {
                continue;
            }
            let ended = history.calls[settle].answered;
            let others = run.steps.iter().map(|step| &history.deliveries[*step]).filter(|other| {
                row_of(&other.claim.job) == row_of(&last.claim.job)
                    && other.claim.token != last.claim.token
                    && !other.is_zombie
            });
            for other in others {
                after_the_end(history, run, (ended, last), other, report);
            }
        }
        let told = run.tellings.first().filter(|_| run.is_single);
        let Some(told) = told.map(|telling| telling.at) else { continue };
        for step in run.steps.iter().map(|step| &history.deliveries[*step]) {
            if history.is_surely_after(step, told) && !step.is_zombie {
                report.add(step.at, format!("run {} goes on, and had ended by {told}", run.id));
            }
        }
    }
}

pub fn ends_run(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Succeed { .. }
            | Verdict::Fail { .. }
            | Verdict::Cancel { .. }
            | Verdict::DeadLetter { .. }
    )
}

fn after_the_end(
    history: &History<'_>,
    run: &RunLife<'_>,
    (ended, last): (usize, &Delivery<'_>),
    other: &Delivery<'_>,
    report: &mut Report,
) {
    let is_another = other.claim.job != last.claim.job;
    if is_another && history.is_surely_after(other, ended) {
        report.add(other.at, format!("a step of run {}, which ended at {ended}", run.id));
    }
    if let Some(settle) = history.settled(other).map(|settle| &history.calls[settle])
        && settle.invoked > ended
        && history.is_owners(settle)
    {
        report.add(settle.answered, format!("run {} goes on, and ended at {ended}", run.id));
    }
}

/// W6.
pub fn submissions(history: &History<'_>, report: &mut Report) {
    for run in history.runs.values().filter(|run| !run.is_damaged) {
        let is_new = |one: &&Submission<'_>| one.fate == Fate::Done && one.is_new == Some(true);
        let mut new: Vec<usize> = run
            .submissions
            .iter()
            .filter(is_new)
            .map(|one| history.calls[one.call].answered)
            .collect();
        new.sort_unstable();
        if let (Some(second), true) = (new.get(1), run.is_single) {
            report.add(*second, format!("run {} is new a second time", run.id));
        }
        for one in &run.submissions {
            let call = &history.calls[one.call];
            let is_input = |other: &Submission<'_>| other.run.input == one.run.input;
            let is_taken = one.fate == Fate::Done && one.is_new == Some(false);
            if is_taken && run.makers().next().is_some() && !run.makers().any(is_input) {
                let text =
                    format!("run {} is there with another input, and taken for this", run.id);
                report.add(call.answered, text);
            }
            let is_alone = matches!(call.op, Op::Submit { runs, .. } if runs.len() == 1);
            let is_refused = call.code() == Some("input-mismatch") && is_alone;
            if is_refused && run.submissions.iter().all(is_input) {
                report.add(call.answered, format!("run {} is refused its own input", run.id));
            }
        }
    }
}

/// W9.
pub fn reserved(history: &History<'_>, report: &mut Report) {
    let is_reserved = |headers: &Headers| {
        headers.keys().any(|key| key.trim().to_lowercase().starts_with(RESERVED))
    };
    for delivery in &history.deliveries {
        let is_shown = match &delivery.claim.work {
            Work::Job => false,
            Work::Step { .. } => is_reserved(&delivery.claim.headers),
            Work::Notification(end) => {
                is_reserved(&delivery.claim.headers) || is_reserved(&end.headers)
            }
        };
        if is_shown {
            report.add(delivery.at, format!("job {} shows a reserved header", delivery.claim.job));
        }
    }
    for run in history.runs.values() {
        let is_accepted =
            |one: &&Submission<'_>| one.fate == Fate::Done && is_reserved(&one.run.headers);
        if let Some(one) = run.submissions.iter().find(is_accepted) {
            let at = history.calls[one.call].answered;
            report.add(at, format!("run {} is accepted with a reserved header", run.id));
        }
    }
}

/// W10.
pub fn present(history: &History<'_>, report: &mut Report) {
    for snapshot in history.snapshots.iter().filter(|snapshot| is_quiet(history, snapshot)) {
        for (id, (at, seen)) in &snapshot.runs {
            let Some(run) = history.runs.get(id).filter(|run| !run.is_damaged) else { continue };
            if matches!(seen.state.as_str(), "succeeded" | "failed" | "cancelled") {
                continue;
            }
            let own = || {
                let jobs = snapshot.jobs.values().map(|(_, job)| *job);
                jobs.filter(|job| job.run.as_deref() == Some(run.id))
            };
            let live_count = own().filter(|job| is_live(job)).count();
            if live_count == 0 || (run.is_single && live_count > 1) {
                report.add(*at, format!("run {} is live and has {live_count} jobs", run.id));
            } else if run.is_single && own().any(|job| job.state == "dead") {
                report.add(*at, format!("run {} is live and has a dead step", run.id));
            }
        }
    }
}

/// Whether nothing happened while a snapshot was told: no events, and no calls under way.
fn is_quiet(history: &History<'_>, snapshot: &Snapshot<'_>) -> bool {
    let is_open = |call: &Call<'_>| {
        let over = history.reigns.get(&call.owner).map_or(0, super::index::Reign::over);
        call.invoked < snapshot.at && call.answered.min(over) > snapshot.from
    };
    !history.calls.iter().any(is_open)
        && history.events[snapshot.from..=snapshot.at].iter().all(|event| {
            matches!(
                event.what,
                What::FoundJob(_)
                    | What::FoundRun(_)
                    | What::FoundValue { .. }
                    | What::FoundAll
                    | What::Counted { .. }
            )
        })
}

/// W11.
pub fn put_off(history: &History<'_>, report: &mut Report) {
    for (run, delivery, step) in steps(history) {
        let is_first = history.lives[delivery.life]
            .deliveries
            .first()
            .is_some_and(|first| history.deliveries[*first].at == delivery.at);
        if !is_first || may_be_woken(history, &history.lives[delivery.life], delivery.at) {
            continue;
        }
        let mut settles = befores(history, run, delivery, step);
        let (Some(settle), None) = (settles.next(), settles.next()) else { continue };
        let Verdict::Continue { delay_ms: Some(delay_ms), .. } = history.verdict(settle) else {
            continue;
        };
        let call = &history.calls[settle];
        if let Some(ms) = early_ms(history, call.invoked, call.owner, *delay_ms, delivery) {
            let text = format!("step {step} of run {} begins {ms} ms too early", run.id);
            report.add(delivery.at, text);
        }
    }
}
