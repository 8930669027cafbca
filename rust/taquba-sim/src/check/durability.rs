//! Durability: what was answered is there, and stays there.
//!
//! - A job, a run or a settlement that was acknowledged is there for whoever asks later (D1).
//! - What an owner left unanswered at its end is there up to some instant, and not beyond it (D2).
//! - Whatever an answer shows or names is durable by then, also if another call brought it (D3).
//! - Bytes come back as they were (D4), refused calls leave nothing, unknown ones one thing at most (D5).

use std::collections::BTreeMap;

use super::Report;
use super::index::{Delivery, Fate, History, NEVER};
use super::lives::{Life, Odd};
use super::register::{Register, Sight};
use super::runs::RunLife;
use crate::history::{JobSeen, Op, Owner, Verdict, What};

/// D1.
pub fn promises(history: &History<'_>, report: &mut Report) {
    for life in &history.lives {
        delivered_again(history, life, report);
        for &index in &life.calls {
            let call = &history.calls[index];
            let is_missed = call.code() == Some("job-not-found")
                && matches!(call.op, Op::GetJob { .. })
                && history.is_owners(call);
            let queue = history.queue_of(life).unwrap_or_default();
            if is_missed
                && life.promised < call.invoked
                && !history.may_be_gone(life, queue, call.answered)
            {
                report
                    .add(call.answered, format!("job {} was enqueued, and is not found", life.id));
            }
        }
        for snapshot in &history.snapshots {
            let Some((at, job)) = snapshot.jobs.get(life.id) else { continue };
            if let Some(settle) = surely_ended(history, life, snapshot.from)
                && is_live(job)
            {
                let settled = history.calls[settle].answered;
                let text =
                    format!("job {} is {}, and was settled at {settled}", life.id, job.state);
                report.add(*at, text);
            }
        }
    }
    for run in history.runs.values() {
        known_runs(history, run, report);
    }
}

/// A delivery by a later owner of what was settled for good.
fn delivered_again(history: &History<'_>, life: &Life<'_>, report: &mut Report) {
    for (settle, next) in super::settle::second_lives(history, life) {
        if next.owner != history.calls[settle].owner {
            let settled = history.calls[settle].answered;
            let text = format!("job {} is delivered, and was settled at {settled}", life.id);
            report.add(next.at, text);
        }
    }
}

/// The settlement that ended a job for good before a place, if it did so for sure.
fn surely_ended(history: &History<'_>, life: &Life<'_>, until: usize) -> Option<usize> {
    let revived = |op: &Op| matches!(op, Op::RequeueJob { .. });
    if history.calls_on(life, until, revived).is_some() {
        return None;
    }
    life.deliveries.iter().find_map(|delivery| {
        let delivery = &history.deliveries[*delivery];
        let settle = history.settled(delivery)?;
        let is_final = history.is_final(delivery, settle) && !delivery.is_zombie;
        (is_final && history.calls[settle].answered < until).then_some(settle)
    })
}

pub fn is_live(job: &JobSeen) -> bool {
    !matches!(job.state.as_str(), "dead" | "done")
}

fn known_runs(history: &History<'_>, run: &RunLife<'_>, report: &mut Report) {
    let Some(promised) = history.promised(run) else { return };
    for &miss in &run.misses {
        let call = &history.calls[miss];
        let is_missed = history.is_owners(call);
        if is_missed && promised < call.invoked && !history.may_be_unknown(run, call.answered) {
            report.add(call.answered, format!("run {} was submitted, and is not found", run.id));
        }
    }
    for snapshot in &history.snapshots {
        let is_missed = promised < snapshot.from && !snapshot.runs.contains_key(run.id);
        if is_missed && !history.may_be_unknown(run, snapshot.at) {
            report.add(snapshot.at, format!("run {} was submitted, and is not there", run.id));
        }
    }
    if !run.is_clear() || history.may_be_stopped(run, NEVER) {
        return;
    }
    for (asked, answered, seen) in &run.looks {
        let went_on = run.steps.iter().filter_map(|step| {
            let delivery = &history.deliveries[*step];
            let settle = history.settled(delivery)?;
            let is_on = matches!(history.verdict(settle), Verdict::Continue { .. });
            let is_before = history.calls[settle].answered < *asked && !delivery.is_zombie;
            (is_on && is_before).then(|| delivery.step().map_or(0, |(_, step)| step + 1))
        });
        let is_by_owner =
            history.snapshots.iter().any(|all| all.at >= *asked && all.from <= *asked);
        if let Some(step) = went_on.max().filter(|step| *step > seen.step && is_by_owner) {
            let text =
                format!("run {} is at step {}, and had gone on to {step}", run.id, seen.step);
            report.add(*answered, text);
        }
    }
}

/// D2: writes of one owner take effect in the order in which it was asked. If a later one is there
/// after its end, an earlier one is.
pub fn prefix(history: &History<'_>, report: &mut Report) {
    if !history.profile.is_complete {
        return;
    }
    let mut by_owner: BTreeMap<Owner, Vec<usize>> = BTreeMap::new();
    for (index, call) in history.calls.iter().enumerate() {
        let is_put = matches!(call.op, Op::KvPut { value: Some(_), .. });
        if is_put && call.fate() == Fate::Unknown {
            by_owner.entry(call.owner).or_default().push(index);
        }
    }
    for (owner, puts) in &by_owner {
        let is_seen = |put: &usize| {
            let Op::KvPut { key, .. } = history.calls[*put].op else { return false };
            history.keys[key.as_str()].seen.contains(put)
        };
        let Some(last) = puts.iter().rposition(is_seen) else { continue };
        let over = history.reigns.get(owner).map_or(NEVER, |reign| reign.superseded);
        puts[..last].iter().for_each(|put| is_there(history, *put, over, report));
    }
}

/// Whether a write is there, which must have taken effect before its owner's time was over.
fn is_there(history: &History<'_>, put: usize, over: usize, report: &mut Report) {
    let Op::KvPut { key, value } = history.calls[put].op else { return };
    let key = &history.keys[key.as_str()];
    let (writes, reads) = (key.register.writes.clone(), key.register.reads.clone());
    let mut register = Register { writes, reads };
    let index = key.writers.iter().position(|writer| *writer == put);
    let write = &mut register.writes[index.expect("it is no refused one")];
    (write.is_sure, write.until) = (true, over);
    let sights = key.sights.iter().zip(register.sights());
    for ((before, after), at) in sights.zip(&key.places) {
        if *before == Sight::Fine && after != Sight::Fine {
            let value = value.as_deref().unwrap_or_default();
            report.add(*at, format!("`{value}` is not there, a later write is"));
        }
    }
}

/// D3.
pub fn told(history: &History<'_>, report: &mut Report) {
    for snapshot in &history.snapshots {
        for life in &history.lives {
            let is_missed = life.is_plain
                && life.promised == NEVER
                && life.told < snapshot.from
                && !snapshot.jobs.contains_key(life.id);
            let queue = history.queue_of(life);
            let may_be_gone = |queue| history.may_be_gone(life, queue, snapshot.at);
            // Without its queue nobody can tell who may have purged it.
            let is_known = queue.is_some() || history.purges.is_empty();
            if is_missed && is_known && !may_be_gone(queue.unwrap_or_default()) {
                let text = format!("job {} was named at {}, and is lost", life.id, life.told);
                report.add(snapshot.at, text);
            }
        }
    }
    for (name, key) in &history.keys {
        for at in key.read_as(Sight::TakenBack) {
            report.add(at, format!("key `{name}` goes back behind what was read before"));
        }
    }
}

/// D4.
pub fn intact(history: &History<'_>, report: &mut Report) {
    let mut seen: Vec<(usize, &JobSeen)> =
        history.snapshots.iter().flat_map(|all| all.jobs.values().copied()).collect();
    for (at, event) in history.events.iter().enumerate() {
        match &event.what {
            What::Answered { answer, .. } => {
                use crate::history::{Answer, Got};
                match answer {
                    Answer::Ok(Got::Job(job)) => seen.push((at, job)),
                    Answer::Failed { code } | Answer::Unknown { code } if code == "internal" => {
                        report.add(at, "a call failed of a fault of the program");
                    }
                    _ => {}
                }
            }
            What::Refused { code, .. } if code == "internal" => {
                report.add(at, "an open failed of a fault of the program");
            }
            _ => {}
        }
    }
    for (at, job) in seen {
        let Some(&life) = history.ids.get(job.job.as_str()) else { continue };
        let Some(birth) = history.lives[life].birth else { continue };
        let (asked, payload) = (&history.births.all[birth].job.payload, job.payload.as_ref());
        if job.run.is_none() && payload.is_some_and(|payload| payload != asked) {
            report.add(
                at,
                format!("job {} reads `{}`, was `{asked}`", job.job, payload.map_or("", |p| p)),
            );
        }
    }
}

/// D5.
pub fn refused(history: &History<'_>, report: &mut Report) {
    for odd in &history.births.odds {
        let (at, birth, text) = match *odd {
            Odd::Refused { at, birth } => (at, birth, "is there, and its enqueue was refused"),
            Odd::Twice { at, birth } => (at, birth, "is there twice"),
            Odd::Phantom { .. } | Odd::Duplicate { .. } => continue,
        };
        let birth = &history.births.all[birth];
        let is_meant = match *odd {
            Odd::Refused { .. } => !birth.is_effect,
            _ => birth.fate == Fate::Unknown,
        };
        if is_meant {
            report.add(at, format!("job `{}` {text}", birth.job.payload));
        }
    }
    for (name, key) in &history.keys {
        for (value, at) in key.unwritten() {
            let is_put = |(refused, call): &(&str, usize)| {
                *refused == value && !matches!(history.calls[*call].op, Op::Settle { .. })
            };
            if key.refused.iter().any(is_put) {
                report.add(at, format!("key `{name}` holds `{value}`, which was refused"));
            }
        }
    }
    for run in history.runs.values() {
        let is_refused = |one: &super::runs::Submission<'_>| one.fate == Fate::Refused;
        let is_seen = run.steps.first().map(|step| history.deliveries[*step].at);
        let is_seen = is_seen.or(run.looks.first().map(|look| look.1));
        let is_all = !run.submissions.is_empty() && run.submissions.iter().all(is_refused);
        if let (Some(at), true) = (is_seen, is_all) {
            report.add(at, format!("run {} is there, and its submission was refused", run.id));
        }
    }
}

/// The next delivery of the same job by an owner that had the store.
pub fn next_of<'h, 'a>(
    history: &'h History<'a>,
    life: &Life<'a>,
    number: usize,
) -> Option<&'h Delivery<'a>> {
    let later = life.deliveries[number + 1..].iter().map(|next| &history.deliveries[*next]);
    later.into_iter().find(|next| !next.is_zombie)
}
