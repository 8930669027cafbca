//! Time: what waits for it, and what is kept for how long.
//!
//! Within one owner's time delays are held against the steady clock; over a restart, like dates, against
//! the latest date that the store can have, by all calendars that were noted.
//!
//! - Nothing is early (Q10, Q13), and what was due long ago does not wait for its time (Q11).
//! - A dead job can be looked at for its retention, a done one likewise; and not much longer (Q14).

use super::Report;
use super::index::{Delivery, History};
use super::lives::Life;
use crate::history::{Op, Verdict};

/// Longest text of an error.
const ERROR_BYTES_MAX: usize = 4096;

/// How many milliseconds too early something was that was put off at one place by one owner, and was
/// delivered at another; `None` if it was not, or nobody can tell.
pub fn early_ms(
    history: &History<'_>,
    from: usize,
    owner: crate::history::Owner,
    delay_ms: u64,
    delivery: &Delivery<'_>,
) -> Option<u64> {
    let slack_ms = history.profile.slack_ms;
    let (began, now) = if delivery.owner == owner {
        (history.at_ms(from), history.at_ms(delivery.at))
    } else {
        let began = Some(history.events[from].wall_ms).filter(|wall| *wall > 0)?;
        (began, history.date_ms_max(delivery.at)?)
    };
    let due = began.saturating_add(delay_ms);
    (now + slack_ms < due).then(|| due - now)
}

/// Whether somebody may have made a job claimable before its time.
pub fn may_be_woken(history: &History<'_>, life: &Life<'_>, until: usize) -> bool {
    let hastens = |op: &Op| matches!(op, Op::WakeJob { .. } | Op::RequeueJob { .. });
    history.calls_on(life, until, hastens).is_some()
}

/// Q10.
pub fn early(history: &History<'_>, report: &mut Report) {
    for life in &history.lives {
        let Some(first) = life.deliveries.first().map(|first| &history.deliveries[*first]) else {
            continue;
        };
        if let Some(birth) = life.birth.map(|birth| &history.births.all[birth])
            && !may_be_woken(history, life, first.at)
        {
            let call = &history.calls[birth.call];
            let delay_ms = birth.job.delay_ms.unwrap_or(0);
            let by_delay = early_ms(history, call.invoked, call.owner, delay_ms, first);
            let wall_ms = history.date_ms_max(first.at);
            let by_date = birth.job.run_at_ms.zip(wall_ms).and_then(|(run_at_ms, wall_ms)| {
                let now_ms = wall_ms + history.profile.slack_ms;
                (birth.job.delay_ms.is_none() && now_ms < run_at_ms).then(|| run_at_ms - wall_ms)
            });
            if let Some(ms) = by_delay.or(by_date) {
                report.add(first.at, format!("job {} is delivered {ms} ms too early", life.id));
            }
        }
        for (number, delivery) in life.deliveries.iter().enumerate() {
            let delivery = &history.deliveries[*delivery];
            if let Some(ms) = hurried(history, life, number, delivery, |verdict| match verdict {
                Verdict::Postpone { delay_ms } => Some(*delay_ms),
                _ => None,
            }) {
                report.add(
                    delivery.at,
                    format!("job {} was put off, and comes {ms} ms early", life.id),
                );
            }
        }
    }
    for run in history.runs.values().filter(|run| run.is_clear()) {
        let Some(maker) = run.makers().next().filter(|_| run.makers().count() == 1) else {
            continue;
        };
        let call = &history.calls[maker.call];
        let Some(first) = run.steps.first().map(|step| &history.deliveries[*step]) else {
            continue;
        };
        let is_woken = may_be_woken(history, &history.lives[first.life], first.at);
        let early =
            early_ms(history, call.invoked, call.owner, maker.run.delay_ms.unwrap_or(0), first);
        if let (Some(ms), false) = (early, is_woken) {
            report.add(first.at, format!("run {} begins {ms} ms too early", run.id));
        }
    }
}

/// How much too early a job was delivered again after a settlement that put it off.
fn hurried(
    history: &History<'_>,
    life: &Life<'_>,
    number: usize,
    delivery: &Delivery<'_>,
    delay_of: impl Fn(&Verdict) -> Option<u64>,
) -> Option<u64> {
    let settle = history.settled(delivery)?;
    let next = super::durability::next_of(history, life, number)?;
    let delay_ms = delay_of(history.verdict(settle))?;
    let call = &history.calls[settle];
    if delivery.is_zombie || may_be_woken(history, life, next.at) {
        return None;
    }
    early_ms(history, call.invoked, call.owner, delay_ms, next)
}

/// Q11.
pub fn forgotten(history: &History<'_>, report: &mut Report) {
    let profile = history.profile;
    for snapshot in &history.snapshots {
        for (at, job) in snapshot.jobs.values().filter(|(_, job)| job.state == "scheduled") {
            let life = &history.lives[history.ids[job.job.as_str()]];
            let Some(birth) = life.birth.map(|birth| &history.births.all[birth]) else { continue };
            let call = &history.calls[birth.call];
            let is_first = life.deliveries.is_empty() && job.attempts == 0;
            let is_same = history.reigns.get(&call.owner).is_some_and(|reign| reign.over() > *at);
            let (Some(delay_ms), true, true) = (birth.job.delay_ms, is_first, is_same) else {
                continue;
            };
            let due_ms = history.at_ms(history.done_by(call)) + delay_ms;
            if history.at_ms(*at) > due_ms + profile.slack_ms + profile.call_ms_max {
                report.add(*at, format!("job {} was due at {due_ms} ms, and still waits", job.job));
            }
        }
    }
}

/// Q13.
pub fn backoff(history: &History<'_>, report: &mut Report) {
    let profile = history.profile;
    let backoff_ms = |attempts: u32| {
        let doubled =
            profile.backoff_base_ms.saturating_mul(1 << attempts.saturating_sub(1).min(31));
        if profile.has_jitter { 0 } else { doubled.min(profile.backoff_max_ms) }
    };
    for life in &history.lives {
        for (number, delivery) in life.deliveries.iter().enumerate() {
            let delivery = &history.deliveries[*delivery];
            let early = hurried(history, life, number, delivery, |verdict| match verdict {
                Verdict::Nack { retry_after_ms, .. } => {
                    Some(retry_after_ms.unwrap_or_else(|| backoff_ms(delivery.claim.attempts)))
                }
                _ => None,
            });
            if let Some(ms) = early {
                let text = format!("job {} was nacked, and comes back {ms} ms too early", life.id);
                report.add(delivery.at, text);
            }
        }
    }
    for snapshot in &history.snapshots {
        for (at, job) in snapshot.jobs.values() {
            let size = job.last_error.as_deref().map_or(0, str::len);
            if size > ERROR_BYTES_MAX {
                report.add(*at, format!("the error of job {} has {size} bytes", job.job));
            }
        }
    }
}

/// Where a job may have died at the earliest that surely died, if it was not requeued: when its last
/// settlement was asked for.
pub fn death(history: &History<'_>, life: &Life<'_>, until: usize) -> Option<usize> {
    let revives = |op: &Op| matches!(op, Op::RequeueJob { .. } | Op::CancelJob { .. });
    if life.is_damaged || history.calls_on(life, until, revives).is_some() {
        return None;
    }
    life.deliveries.iter().find_map(|delivery| {
        let delivery = &history.deliveries[*delivery];
        let settle = history.settled(delivery)?;
        let is_dead = match history.verdict(settle) {
            Verdict::DeadLetter { .. } => true,
            Verdict::Nack { .. } => history.is_final(delivery, settle),
            _ => false,
        };
        let is_stopped = delivery.step().is_some_and(|(run, _)| {
            let run = history.runs.get(run);
            run.is_none_or(|run| run.is_damaged || history.may_be_stopped(run, until))
        });
        let settle = &history.calls[settle];
        (is_dead && !is_stopped && settle.answered < until).then_some(settle.invoked)
    })
}

/// Where a plain job may have been acked at the earliest that surely was.
fn acked(history: &History<'_>, life: &Life<'_>, until: usize) -> Option<usize> {
    life.deliveries.iter().find_map(|delivery| {
        let delivery = &history.deliveries[*delivery];
        let settle = history.settled(delivery)?;
        let is_ack = *history.verdict(settle) == Verdict::Ack && delivery.is_plain();
        let settle = &history.calls[settle];
        (is_ack && !life.is_damaged && settle.answered < until).then_some(settle.invoked)
    })
}

/// Q14.
pub fn retention(history: &History<'_>, report: &mut Report) {
    let profile = history.profile;
    for life in &history.lives {
        for snapshot in &history.snapshots {
            let found = snapshot.jobs.get(life.id);
            let queue = history.queue_of(life).unwrap_or_default();
            if let Some(died) = death(history, life, snapshot.from)
                && found.is_none()
                && !history.may_be_forgotten(queue, died, snapshot.at)
            {
                report.add(snapshot.at, format!("job {} died at {died}, and is not kept", life.id));
            }
            let Some(acked) = acked(history, life, snapshot.from) else { continue };
            let is_kept = profile.done_retention_ms.is_some_and(|retention_ms| {
                history.elapsed_ms_max(acked, snapshot.at) < retention_ms
            });
            match found {
                None if is_kept && !history.may_be_cancelled(life, snapshot.at) => {
                    let text = format!("job {} was acked at {acked}, and is not kept", life.id);
                    report.add(snapshot.at, text);
                }
                Some((at, job)) if job.state == "done" && profile.done_retention_ms.is_none() => {
                    report.add(*at, format!("job {} was acked, and is kept", life.id));
                }
                _ => {}
            }
        }
    }
}
