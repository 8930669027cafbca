//! Fencing: one owner at a time.
//!
//! - A call that changes something and is made after another owner has the store is never answered as
//!   done (F1). Reads and claims may be: they promise nothing. A call that finds nothing left to change
//!   may be, too: it says what is so.
//! - An owner that has noticed does nothing more (F2).
//! - A store is taken away from an owner that works only on demand, and nobody is fenced by himself (F3).
//! - Epochs grow, tokens are unique, and good for the owner that gave them (F4).

use std::collections::BTreeMap;

use super::Report;
use super::index::{Call, History, NEVER};
use crate::history::{End, Got, Op, Owner, Verdict};

/// F1.
pub fn lost(history: &History<'_>, report: &mut Report) {
    for call in &history.calls {
        let is_late = history.is_zombie(call.owner, call.invoked) && call.is_done();
        if is_late && changes(call) {
            let owner = call.owner;
            report.add(
                call.answered,
                format!("owner {owner} had lost the store, and says it did that"),
            );
        }
    }
}

/// Whether a call that was carried out surely changed what is stored.
fn changes(call: &Call<'_>) -> bool {
    match (call.op, call.got()) {
        (Op::Enqueue { .. }, Some(Got::Enqueued(jobs))) => jobs.iter().any(|job| job.is_new),
        (Op::Submit { .. }, Some(Got::Submitted(runs))) => runs.iter().any(|run| run.is_new),
        (Op::Settle { verdict, .. }, _) => *verdict != Verdict::Unseen,
        (Op::KvSwap { .. } | Op::KvPut { .. }, got) => got != Some(&Got::Swapped(false)),
        (Op::PurgeDead { .. }, Some(Got::Purged(count))) => *count > 0,
        (Op::CancelJob { .. }, got) => got == Some(&Got::JobRemoved),
        (Op::RequeueJob { .. } | Op::MemoPut { .. }, _) => true,
        _ => false,
    }
}

/// F2.
pub fn fenced(history: &History<'_>, report: &mut Report) {
    let mut noticed: BTreeMap<Owner, usize> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.code() == Some("fenced")) {
        let at = noticed.entry(call.owner).or_insert(call.answered);
        *at = (*at).min(call.answered);
    }
    if noticed.is_empty() {
        return;
    }
    for call in &history.calls {
        let Some(&at) = noticed.get(&call.owner) else { continue };
        let is_late = call.invoked > at && call.is_done() && !matches!(call.op, Op::Close);
        let is_lost = history.is_zombie(call.owner, call.invoked) && changes(call);
        if is_late && !is_lost {
            let owner = call.owner;
            report.add(call.answered, format!("owner {owner} was fenced at {at}, and goes on"));
        }
    }
    for delivery in &history.deliveries {
        let Some(&at) = noticed.get(&delivery.owner) else { continue };
        if delivery.call.is_none() && history.is_surely_after(delivery, at) {
            let owner = delivery.owner;
            report.add(delivery.at, format!("owner {owner} was fenced at {at}, and delivers"));
        }
    }
}

/// F3.
pub fn wars(history: &History<'_>, report: &mut Report) {
    for (owner, reign) in &history.reigns {
        if reign.opened == NEVER {
            continue;
        }
        let was_served = |call: &&Call<'_>| {
            call.owner != *owner
                && call.invoked > reign.opening
                && call.answered < reign.opened
                && call.is_done()
                && changes(call)
        };
        let is_alive = history.calls.iter().find(was_served);
        if let (Some(call), false) = (is_alive, reign.takeover) {
            let other = call.owner;
            report.add(reign.opened, format!("owner {owner} took the store from {other}, unasked"));
        }
        let is_tried = |(other, rival): (&Owner, &super::index::Reign)| {
            other != owner && rival.opening > reign.opening
        };
        let said = history.calls.iter().filter(|call| call.owner == *owner);
        let said =
            said.filter(|call| call.code() == Some("fenced")).map(|call| call.answered).min();
        let said = said.or((reign.how == Some(End::Fenced)).then_some(reign.ended));
        if let Some(at) = said
            && !history.reigns.iter().any(is_tried)
        {
            report.add(at, format!("owner {owner} was fenced by nobody"));
        }
    }
}

/// F4.
pub fn tokens(history: &History<'_>, report: &mut Report) {
    for &repeated in &history.repeated_tokens {
        let delivery = &history.deliveries[repeated];
        report.add(delivery.at, format!("token {} was handed out before", delivery.claim.token));
    }
    let mut reigns: Vec<_> = history.reigns.values().filter(|reign| reign.epoch > 0).collect();
    reigns.retain(|reign| reign.opened != NEVER);
    reigns.sort_by_key(|reign| reign.opened);
    for pair in reigns.windows(2) {
        if pair[1].epoch <= pair[0].epoch {
            report.add(pair[1].opened, format!("epoch {} is not new", pair[1].epoch));
        }
    }
    for call in history.calls.iter().filter(|call| call.is_done()) {
        let (Op::Settle { token, .. }
        | Op::Renew { token, .. }
        | Op::MemoPut { token, .. }
        | Op::MemoGet { token, .. }) = call.op
        else {
            continue;
        };
        let Some(&index) = history.tokens.get(token.as_str()) else { continue };
        let owner = history.deliveries[index].owner;
        if owner != call.owner {
            let other = call.owner;
            report.add(
                call.answered,
                format!("owner {other} takes the token {token} of owner {owner}"),
            );
        }
    }
}
