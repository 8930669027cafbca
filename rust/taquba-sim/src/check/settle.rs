//! Settlements and cancels: how a delivery ends, and a job.
//!
//! - A job whose end was acknowledged is not delivered again, unless it was requeued (Q7 by the same
//!   owner, D1 by a later one).
//! - A delivery is over once it was settled, or once its job was delivered again: what is said of it
//!   after that is refused, with all its effects (Q7, Q8).
//! - A cancelled job is not delivered after the answer, and a job that is there can be cancelled (Q15).

use super::Report;
use super::durability::next_of;
use super::index::{Delivery, History};
use super::lives::{Life, Odd};
use crate::history::{Got, Op};

/// Deliveries of a job after a settlement that had ended it for good, with that settlement.
pub fn second_lives<'h, 'a>(
    history: &'h History<'a>,
    life: &'h Life<'a>,
) -> impl Iterator<Item = (usize, &'h Delivery<'a>)> + 'h {
    life.deliveries.iter().enumerate().filter_map(move |(number, delivery)| {
        let delivery = &history.deliveries[*delivery];
        let settle = history.settled(delivery)?;
        let next = next_of(history, life, number)?;
        let is_after = history.is_surely_after(next, history.calls[settle].answered);
        if life.is_damaged || !is_after || !history.is_final(delivery, settle) {
            return None;
        }
        let revived = |op: &Op| matches!(op, Op::RequeueJob { .. });
        let is_revived = history.calls_on(life, next.at, revived).is_some();
        (!is_revived).then_some((settle, next))
    })
}

/// Q7.
pub fn once(history: &History<'_>, report: &mut Report) {
    for life in &history.lives {
        for (settle, next) in second_lives(history, life) {
            let settled = &history.calls[settle];
            if next.owner == settled.owner {
                let text =
                    format!("job {} is delivered, and ended at {}", life.id, settled.answered);
                report.add(next.at, text);
            }
        }
        for (number, delivery) in life.deliveries.iter().enumerate() {
            late(history, life, number, &history.deliveries[*delivery], report);
        }
    }
    for odd in &history.births.odds {
        let Odd::Refused { at, birth } = *odd else { continue };
        let birth = &history.births.all[birth];
        if birth.is_effect {
            let payload = &birth.job.payload;
            report.add(at, format!("job `{payload}` is there, an effect of a refused settlement"));
        }
    }
    for (name, key) in &history.keys {
        for (value, at) in key.unwritten() {
            let is_effect = |(refused, call): &(&str, usize)| {
                *refused == value && matches!(history.calls[*call].op, Op::Settle { .. })
            };
            if key.refused.iter().any(is_effect) {
                let text =
                    format!("key `{name}` holds `{value}`, an effect of a refused settlement");
                report.add(at, text);
            }
        }
    }
}

/// A settlement that was accepted after the same owner had delivered the job again.
fn late(
    history: &History<'_>,
    life: &Life<'_>,
    number: usize,
    delivery: &Delivery<'_>,
    report: &mut Report,
) {
    let later = life.deliveries[number + 1..].iter().map(|next| &history.deliveries[*next]);
    let Some(next) = later.into_iter().find(|next| next.owner == delivery.owner) else { return };
    let Some(settle) = history.settled(delivery) else { return };
    let settle = &history.calls[settle];
    if settle.invoked > next.at {
        let text =
            format!("a settlement of job {} is accepted, delivered anew at {}", life.id, next.at);
        report.add(settle.answered, text);
    }
}

/// Q8.
pub fn one(history: &History<'_>, report: &mut Report) {
    for delivery in &history.deliveries {
        let mut done = delivery.settles.iter().filter(|settle| history.calls[**settle].is_done());
        if let (Some(_), Some(&second)) = (done.next(), done.next()) {
            let text = format!("delivery {} is settled a second time", delivery.claim.token);
            report.add(history.calls[second].answered, text);
        }
    }
}

/// Q15.
pub fn cancelled(history: &History<'_>, report: &mut Report) {
    for life in &history.lives {
        for &index in &life.calls {
            let call = &history.calls[index];
            if !matches!(call.op, Op::CancelJob { .. }) || !history.is_owners(call) {
                continue;
            }
            match call.got() {
                Some(Got::JobRemoved | Got::StopRequested) => {
                    again(history, life, call.answered, report);
                }
                _ if call.code() == Some("job-not-found") => {
                    let queue = history.queue_of(life).unwrap_or_default();
                    let is_there = life.promised < call.invoked
                        && !history.may_be_dead(life, call.answered)
                        && !history.may_be_cancelled(life, call.answered)
                        && !history.may_be_gone(life, queue, call.answered);
                    if is_there {
                        let text = format!("job {} is there, and is not found", life.id);
                        report.add(call.answered, text);
                    }
                }
                _ => {}
            }
            let is_removed = call.got() == Some(&Got::JobRemoved);
            for snapshot in history.snapshots.iter().filter(|all| all.from > call.answered) {
                if let (Some((at, _)), true) = (snapshot.jobs.get(life.id), is_removed) {
                    report.add(*at, format!("job {} was removed, and is there", life.id));
                }
            }
        }
    }
}

/// A delivery after a cancel; one that is dead by then may have been requeued.
fn again(history: &History<'_>, life: &Life<'_>, cancelled: usize, report: &mut Report) {
    for delivery in life.deliveries.iter().map(|delivery| &history.deliveries[*delivery]) {
        let is_after = history.is_surely_after(delivery, cancelled) && !delivery.is_zombie;
        let revived = |op: &Op| matches!(op, Op::RequeueJob { .. });
        let is_revived = history.calls_on(life, delivery.at, revived).is_some();
        if is_after && !is_revived {
            let text = format!("job {} is delivered, and was cancelled at {cancelled}", life.id);
            report.add(delivery.at, text);
        }
    }
}
