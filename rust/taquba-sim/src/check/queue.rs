//! What is in a queue, and in the keys beside it.
//!
//! - Nothing is lost (Q1), made up (Q2) or torn (Q3); each job is in one place (Q4).
//! - A dedup key names one live job. A key is surely taken while its job surely waits, or, if asked for,
//!   until its job is surely not settled (Q5).
//! - A key of the key-value space is an atomic register, and a value is compared away once (Q16).
//! - Counts agree with a recount (Q17), and a damaged record is nobody else's trouble (Q18).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Report;
use super::durability::is_live;
use super::index::{Fate, History, NEVER, Snapshot};
use super::lives::{Birth, Life, Odd};
use super::register::Sight;
use crate::history::{Got, Op, QueueCounts, Verdict, What};

/// Q1. Jobs that died are the matter of Q14.
pub fn lost(history: &History<'_>, report: &mut Report) {
    for snapshot in &history.snapshots {
        for life in &history.lives {
            let is_missed = life.promised < snapshot.from && !snapshot.jobs.contains_key(life.id);
            let queue = history.queue_of(life).unwrap_or_default();
            if is_missed
                && !history.may_be_gone(life, queue, snapshot.at)
                && super::schedule::death(history, life, snapshot.at).is_none()
            {
                report.add(snapshot.at, format!("job {} was enqueued, and is lost", life.id));
            }
        }
        for birth in &history.births.all {
            if birth.is_effect && birth.fate == Fate::Done && is_absent(history, birth, snapshot) {
                let payload = &birth.job.payload;
                report.add(snapshot.at, format!("job `{payload}`, an effect, is lost"));
            }
        }
    }
}

/// Whether a job that nobody has seen is surely not there, though it would have to be.
fn is_absent(history: &History<'_>, birth: &Birth<'_>, snapshot: &Snapshot<'_>) -> bool {
    let call = &history.calls[birth.call];
    let max = birth.job.max_attempts.unwrap_or(history.profile.max_attempts) as usize;
    let may_be_dead = history.upsets_between(call.invoked, snapshot.at) >= max
        && history.may_be_forgotten(birth.queue, call.invoked, snapshot.at);
    birth.life.is_none()
        && snapshot.has_payloads
        && !history.births.has_unknown_damage
        && history.done_by(call) < snapshot.from
        && !snapshot.payloads.contains_key(birth.job.payload.as_str())
        && !may_be_dead
}

/// Q2.
pub fn phantoms(history: &History<'_>, report: &mut Report) {
    for odd in &history.births.odds {
        match *odd {
            Odd::Phantom { at } => report.add(at, "a job is there that nobody enqueued"),
            Odd::Twice { at, birth } if history.births.all[birth].fate == Fate::Done => {
                let payload = &history.births.all[birth].job.payload;
                report.add(at, format!("job `{payload}` is there under two ids"));
            }
            _ => {}
        }
    }
    for delivery in history.deliveries.iter().filter(|delivery| delivery.is_plain()) {
        let Some(birth) = history.lives[delivery.life].birth else { continue };
        let Birth { job, queue, .. } = &history.births.all[birth];
        let claim = delivery.claim;
        let is_same = claim.payload == job.payload
            && claim.headers == job.headers
            && claim.queue == *queue
            && job.priority.is_none_or(|priority| priority == claim.priority)
            && claim.max_attempts == job.max_attempts.unwrap_or(history.profile.max_attempts);
        if !is_same {
            report.add(delivery.at, format!("job {} is not what was enqueued", claim.job));
        }
    }
}

/// Q3.
pub fn torn(history: &History<'_>, report: &mut Report) {
    let mut groups: BTreeMap<usize, Vec<&Birth<'_>>> = BTreeMap::new();
    for birth in &history.births.all {
        if birth.fate == Fate::Unknown && birth.job.dedup_key.is_none() {
            groups.entry(birth.call).or_default().push(birth);
        }
    }
    let written: BTreeSet<usize> =
        history.keys.values().flat_map(|key| key.seen.iter().copied()).collect();
    for (call, group) in &groups {
        let is_there = group.iter().any(|birth| birth.life.is_some()) || written.contains(call);
        for snapshot in &history.snapshots {
            if let Some(birth) = group.iter().find(|birth| is_absent(history, birth, snapshot))
                && is_there
            {
                let payload = &birth.job.payload;
                report.add(
                    snapshot.at,
                    format!("job `{payload}` is not there, what came with it is"),
                );
            }
        }
    }
}

/// Q4.
pub fn places(history: &History<'_>, report: &mut Report) {
    for (at, event) in history.events.iter().enumerate() {
        if let What::Scrubbed { problems } = &event.what
            && let Some(problem) = problems.first()
        {
            report.add(at, problem);
        }
    }
    for (at, id) in history.snapshots.iter().flat_map(|snapshot| &snapshot.twice) {
        report.add(*at, format!("{id} is there twice"));
    }
}

/// Q5.
pub fn keys(history: &History<'_>, report: &mut Report) {
    for odd in &history.births.odds {
        if let Odd::Duplicate { at, birth } = *odd {
            let payload = &history.births.all[birth].job.payload;
            report.add(at, format!("job `{payload}` is there, and was answered as a duplicate"));
        }
    }
    let mut by_key: BTreeMap<(&str, &str), Vec<&Life<'_>>> = BTreeMap::new();
    for life in history.lives.iter().filter(|life| life.promised != NEVER) {
        let Some(birth) = life.birth.map(|birth| &history.births.all[birth]) else { continue };
        if let Some(key) = birth.job.dedup_key.as_deref() {
            by_key.entry((birth.queue, key)).or_default().push(life);
        }
    }
    for call in history.calls.iter().filter(|call| history.is_owners(call)) {
        let (Op::Enqueue { queue, jobs }, Some(Got::Enqueued(all))) = (call.op, call.got()) else {
            continue;
        };
        for (job, enqueued) in jobs.iter().zip(all) {
            let Some(key) = job.dedup_key.as_deref() else { continue };
            let Some(&life) = history.ids.get(enqueued.job.as_str()) else { continue };
            let life = &history.lives[life];
            if enqueued.is_new {
                let others = by_key.get(&(queue.as_str(), key)).into_iter().flatten();
                for other in others.filter(|other| other.id != life.id) {
                    if holds(history, other, call.invoked, call.answered) {
                        let text =
                            format!("key `{key}` of job {} is given to {}", other.id, life.id);
                        report.add(call.answered, text);
                    }
                }
                continue;
            }
            let named = life.birth.map(|birth| &history.births.all[birth]);
            let is_other = named.is_some_and(|named| {
                named.job.dedup_key.as_deref() != Some(key) || named.queue != *queue
            });
            if is_other {
                report.add(call.answered, format!("job {} has not the key `{key}`", life.id));
            } else if is_gone(history, life, call.invoked) {
                let text = format!("job {} is gone, and its key `{key}` is not free", life.id);
                report.add(call.answered, text);
            }
        }
    }
}

/// Whether a job surely had its key from one place to another.
fn holds(history: &History<'_>, life: &Life<'_>, from: usize, until: usize) -> bool {
    let Some(birth) = life.birth.map(|birth| &history.births.all[birth]) else { return false };
    if life.promised > from || life.is_damaged || history.may_be_cancelled(life, until) {
        return false;
    }
    let deliveries = || life.deliveries.iter().map(|delivery| &history.deliveries[*delivery]);
    if !birth.job.is_dedup_until_settled {
        return is_surely_put_off(history, life, until) && deliveries().all(|one| one.at > until);
    }
    let may_be_settled = deliveries().any(|delivery| {
        delivery.settles.iter().any(|settle| {
            let is_put_back = matches!(history.verdict(*settle), Verdict::Unseen);
            !is_put_back && history.calls[*settle].may_precede(until)
        })
    });
    history.profile.is_complete && !may_be_settled && !history.may_be_dead(life, until)
}

/// Whether a job surely waits for its time still, so that nobody can have claimed it.
fn is_surely_put_off(history: &History<'_>, life: &Life<'_>, until: usize) -> bool {
    let Some(birth) = life.birth.map(|birth| &history.births.all[birth]) else { return false };
    let enqueued = history.calls[birth.call].invoked;
    let woken = |op: &Op| matches!(op, Op::WakeJob { .. });
    birth.job.delay_ms.is_some_and(|ms| history.elapsed_ms_max(enqueued, until) < ms)
        && history.calls_on(life, until, woken).is_none()
}

/// Whether a job had surely ended before a place, and not come back.
fn is_gone(history: &History<'_>, life: &Life<'_>, until: usize) -> bool {
    let removed = life.calls.iter().any(|call| {
        let call = &history.calls[*call];
        call.got() == Some(&Got::JobRemoved) && call.answered < until
    });
    let is_acked = life.deliveries.iter().any(|delivery| {
        let settle = history.settled(&history.deliveries[*delivery]);
        settle.is_some_and(|settle| {
            *history.verdict(settle) == Verdict::Ack && history.calls[settle].answered < until
        })
    });
    removed || is_acked
}

/// Q16.
pub fn values(history: &History<'_>, report: &mut Report) {
    for (name, key) in &history.keys {
        for at in key.read_as(Sight::Stale) {
            report.add(at, format!("key `{name}` holds an older value than was written"));
        }
        for (value, at) in key.unwritten() {
            if !key.refused.iter().any(|(refused, _)| *refused == value) {
                report.add(at, format!("key `{name}` holds `{value}`, which nobody wrote"));
            }
        }
        // It held nothing at first.
        let mut left: HashMap<Option<&str>, usize> = HashMap::from([(None, 1)]);
        for write in &key.register.writes {
            *left.entry(write.value).or_default() += 1;
        }
        for (expected, at) in &key.swaps {
            let left = left.entry(*expected).or_default();
            if *left == 0 {
                let value = expected.unwrap_or("nothing");
                report.add(
                    *at,
                    format!("key `{name}` held `{value}` less often than it was swapped"),
                );
            }
            *left = left.saturating_sub(1);
        }
    }
}

/// Q17. What is kept for a time may go between the count and the recount.
pub fn counts(history: &History<'_>, report: &mut Report) {
    let profile = history.profile;
    let by_queue = |counts: &[QueueCounts]| -> BTreeMap<String, QueueCounts> {
        let is_empty = |counts: &QueueCounts| {
            *counts == QueueCounts { queue: counts.queue.clone(), ..QueueCounts::default() }
        };
        let some = counts.iter().filter(|counts| !is_empty(counts));
        some.map(|counts| (counts.queue.clone(), counts.clone())).collect()
    };
    let forget = |counts: &mut QueueCounts, recount: &QueueCounts| {
        if profile.dead_retention_ms.is_some() {
            counts.dead = counts.dead.min(recount.dead);
        }
        if profile.done_retention_ms.is_some() {
            counts.done = counts.done.min(recount.done);
        }
    };
    for (at, event) in history.events.iter().enumerate() {
        if let What::Counted { told, recounted } = &event.what {
            let recounted = by_queue(recounted);
            let mut told = told.clone();
            for counts in &mut told {
                let none = QueueCounts::default();
                forget(counts, recounted.get(&counts.queue).unwrap_or(&none));
            }
            let told = by_queue(&told);
            if told != recounted {
                report.add(at, format!("counted {told:?}, there is {recounted:?}"));
            }
        }
    }
    for snapshot in &history.snapshots {
        for (at, job) in snapshot.jobs.values() {
            let is_over = job.attempts > job.max_attempts && is_live(job);
            if is_over {
                report.add(*at, format!("job {} has {} attempts", job.job, job.attempts));
            }
        }
    }
}

/// Q18.
pub fn isolation(history: &History<'_>, report: &mut Report) {
    for call in &history.calls {
        let is_stopped = matches!(call.op, Op::Claim { .. }) && call.code() == Some("corrupted");
        let goes_on = history
            .reigns
            .get(&call.owner)
            .is_some_and(|reign| call.answered != NEVER && reign.last_served > call.answered);
        if is_stopped && goes_on {
            report.add(call.answered, "a damaged record stopped a claim");
        }
    }
}
