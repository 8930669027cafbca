//! Leases and attempts.
//!
//! A delivery lasts until it is settled, its lease has run out by the steady clock, its consumer or owner
//! is gone, or another owner has the store. Until then nobody else gets the job (Q6); after that somebody
//! does (L3), and nobody settles it any more (L5).
//!
//! Each delivery counts as an attempt, unless it was handed back unseen or put off (Q9). One that its
//! owner did not survive may go uncounted, but for the first one after an unclean end: that one is
//! durable before it is made, so what kills a process cannot do so for ever.

use super::Report;
use super::durability::next_of;
use super::index::{Delivery, History, NEVER};
use super::lives::Life;
use crate::history::{Got, Op, Verdict};

/// When a lease may have run out at the earliest, on the observer's clock; `None` for never.
fn expires_ms_min(history: &History<'_>, delivery: &Delivery<'_>, until: usize) -> Option<u64> {
    let mut expires_ms = history.at_ms(delivery.at) + delivery.claim.lease_ms?;
    for &renew in &delivery.renews {
        let call = &history.calls[renew];
        let Op::Renew { lease_ms, .. } = call.op else { continue };
        if !call.may_precede(until) {
            continue;
        }
        let renewed_ms = history.at_ms(call.invoked) + lease_ms;
        let is_sure = call.is_done() && call.answered < until;
        expires_ms = if is_sure { renewed_ms } else { expires_ms.min(renewed_ms) };
    }
    Some(expires_ms)
}

/// When it has run out at the latest; `None` if nobody can tell.
fn expires_ms_max(history: &History<'_>, delivery: &Delivery<'_>) -> Option<u64> {
    let mut expires_ms = history.at_ms(delivery.at) + delivery.claim.lease_ms?;
    for &renew in &delivery.renews {
        let call = &history.calls[renew];
        let Op::Renew { lease_ms, .. } = call.op else { continue };
        if call.answered == NEVER {
            return None;
        }
        expires_ms = expires_ms.max(history.at_ms(call.answered) + lease_ms);
    }
    Some(expires_ms)
}

/// Whether a delivery may be over before a place, for whatever reason.
fn may_be_over(history: &History<'_>, delivery: &Delivery<'_>, until: usize) -> bool {
    let is_settled =
        delivery.settles.iter().any(|settle| history.calls[*settle].may_precede(until));
    let over = history.reigns.get(&delivery.owner).map_or(0, super::index::Reign::over);
    let slack_ms = history.profile.slack_ms;
    let has_expired = match expires_ms_min(history, delivery, until) {
        Some(expires_ms) => history.at_ms(until) + slack_ms >= expires_ms,
        // Kept by the engine for its consumer: without all the events nobody knows when that went.
        None => !history.profile.is_complete,
    };
    // What the engine keeps for a consumer comes back when that goes, also if it had been forgotten.
    let is_kept = delivery.claim.lease_ms.is_none() || delivery.call.is_none();
    let is_left = delivery.left < until
        || history.lefts.iter().any(|(at, owner)| {
            is_kept && *owner == delivery.owner && (delivery.at..until).contains(at)
        });
    is_settled || over < until || is_left || has_expired
}

/// Q6.
pub fn exclusion(history: &History<'_>, report: &mut Report) {
    for life in &history.lives {
        for pair in life.deliveries.windows(2) {
            let [first, second] = pair else { continue };
            let (first, second) = (&history.deliveries[*first], &history.deliveries[*second]);
            if first.is_zombie || second.is_zombie {
                continue;
            }
            if !may_be_over(history, first, second.at) {
                let text = format!("job {} is delivered, and is held since {}", life.id, first.at);
                report.add(second.at, text);
            }
            for renew in first.renews.iter().map(|renew| &history.calls[*renew]) {
                let is_late = renew.is_done() && renew.invoked > second.at;
                if is_late && first.owner == second.owner {
                    let text =
                        format!("a lease of job {} is renewed, which was given away", life.id);
                    report.add(renew.answered, text);
                }
            }
        }
    }
}

/// Whether a delivery may have ended without counting: handed back unseen, or put off.
fn may_be_uncounted(history: &History<'_>, delivery: &Delivery<'_>) -> bool {
    delivery.settles.iter().any(|settle| {
        let is_meant =
            matches!(history.verdict(*settle), Verdict::Unseen | Verdict::Postpone { .. });
        is_meant && history.calls[*settle].may_precede(NEVER)
    })
}

/// Whether a delivery was open when its owner's time ended.
fn was_cut_short(history: &History<'_>, delivery: &Delivery<'_>) -> bool {
    let over = history.reigns.get(&delivery.owner).map_or(NEVER, super::index::Reign::over);
    let is_settled = history.settled(delivery).is_some();
    over != NEVER && !is_settled
}

/// Whether a delivery was made durable before it was made.
fn is_counted(history: &History<'_>, life: &Life<'_>, number: usize) -> bool {
    let delivery = &history.deliveries[life.deliveries[number]];
    let Some(reign) = history.reigns.get(&delivery.owner) else { return false };
    let is_first = life.deliveries[..number]
        .iter()
        .all(|before| history.deliveries[*before].owner != delivery.owner);
    let was_there = number > 0 || life.promised < reign.opened;
    reign.is_after_crash && is_first && was_there && history.profile.is_complete
}

/// Q9.
pub fn attempts(history: &History<'_>, report: &mut Report) {
    for life in &history.lives {
        let (mut counted, mut cut_short) = (0_usize, 0_usize);
        let requeues = life.calls.iter().filter(|call| {
            let call = &history.calls[**call];
            matches!(call.op, Op::RequeueJob { .. }) && call.may_precede(NEVER)
        });
        let lives = 1 + requeues.count();
        for (number, delivery) in life.deliveries.iter().enumerate() {
            let delivery = &history.deliveries[*delivery];
            if delivery.is_zombie {
                continue;
            }
            let claim = delivery.claim;
            if claim.attempts > claim.max_attempts || claim.attempts == 0 {
                let text = format!(
                    "job {} has attempt {} of {}",
                    life.id, claim.attempts, claim.max_attempts
                );
                report.add(delivery.at, text);
            }
            counted += usize::from(!may_be_uncounted(history, delivery));
            if counted > lives * claim.max_attempts as usize + cut_short {
                let text = format!("job {} is delivered {counted} times", life.id);
                report.add(delivery.at, text);
            }
            let is_counted = lives == 1 && is_counted(history, life, number);
            cut_short += usize::from(was_cut_short(history, delivery) && !is_counted);
            follow(history, life, number, lives > 1, report);
        }
    }
}

/// How the next delivery of a job must count, given this one.
fn follow(
    history: &History<'_>,
    life: &Life<'_>,
    number: usize,
    is_requeued: bool,
    report: &mut Report,
) {
    let delivery = &history.deliveries[life.deliveries[number]];
    let Some(next) = next_of(history, life, number) else { return };
    if is_requeued || may_be_uncounted(history, delivery) || next.claim.job != delivery.claim.job {
        return;
    }
    let (before, after) = (delivery.claim.attempts, next.claim.attempts);
    let is_same = next.owner == delivery.owner && !delivery.is_zombie;
    let must_grow = is_same || is_counted(history, life, number);
    let is_skipped = is_same && history.profile.is_complete && {
        let unseen = history.upsets_between(delivery.at, next.at);
        after as usize > before as usize + 1 + unseen
    };
    if (must_grow && after <= before) || is_skipped {
        let text = format!("job {} had attempt {before}, now it has {after}", life.id);
        report.add(next.at, text);
    }
}

/// L3: a claim came back empty, though a lease in its queue had run out long before.
pub fn stuck(history: &History<'_>, report: &mut Report) {
    if !history.profile.is_complete || history.has_subscriptions {
        return;
    }
    let patience_ms = history.profile.slack_ms + history.profile.call_ms_max;
    for call in super::order::empty_claims(history).map(|index| &history.calls[index]) {
        let Op::Claim { queue, .. } = call.op else { continue };
        let is_stuck = |delivery: &&Delivery<'_>| {
            let life = &history.lives[delivery.life];
            let is_last = life
                .deliveries
                .last()
                .is_some_and(|last| std::ptr::eq(&raw const history.deliveries[*last], *delivery));
            delivery.owner == call.owner
                && delivery.claim.queue == *queue
                && is_last
                && delivery.settles.is_empty()
                && delivery.left == NEVER
                && life.calls.is_empty()
                && delivery.claim.attempts < delivery.claim.max_attempts
                && delivery.step().is_none_or(|(run, _)| history.runs[run].cancels.is_empty())
                && expires_ms_max(history, delivery)
                    .is_some_and(|ms| ms + patience_ms < history.at_ms(call.invoked))
        };
        if let Some(delivery) = history.deliveries.iter().find(is_stuck) {
            let text = format!("job {} could be had again, and is not given", delivery.claim.job);
            report.add(call.answered, text);
        }
    }
}

/// L5.
pub fn overdue(history: &History<'_>, report: &mut Report) {
    let patience_ms = history.profile.slack_ms + history.profile.call_ms_max;
    for delivery in &history.deliveries {
        let Some(settle) = history.settled(delivery).map(|settle| &history.calls[settle]) else {
            continue;
        };
        let Some(expires_ms) = expires_ms_max(history, delivery) else { continue };
        let settled_ms = history.at_ms(settle.invoked);
        let is_owners = history.is_owners(settle) && settle.got() == Some(&Got::Done);
        if is_owners && settled_ms > expires_ms + patience_ms {
            let late_ms = settled_ms - expires_ms;
            let text = format!("delivery {} is settled {late_ms} ms late", delivery.claim.token);
            report.add(settle.answered, text);
        }
    }
}
