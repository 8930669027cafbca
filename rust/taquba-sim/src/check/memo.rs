//! Memos: values that a step keeps for its retries.
//!
//! A memo belongs to one submission of a run (the row of its steps' ids), one step and one key, and is an
//! atomic register of its own (M1 to M3). It is written by the holder of a live claim, and by nobody else
//! (M4). What is read and was never written there was written elsewhere (M2, M6), or nowhere (M5).

use std::collections::BTreeMap;

use super::Report;
use super::index::{Fate, History};
use super::lives::row_of;
use super::register::{Read, Register, Sight, Write};
use crate::history::{Got, Op};

/// Where a memo is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    row: &'a str,
    run: &'a str,
    step: u32,
    key: &'a str,
}

/// One memo.
#[derive(Default)]
struct Memo<'a> {
    register: Register<'a>,
    reads_at: Vec<usize>,
    refused: Vec<&'a str>,
}

fn memos<'a>(history: &History<'a>) -> BTreeMap<Place<'a>, Memo<'a>> {
    let mut memos: BTreeMap<Place<'a>, Memo<'a>> = BTreeMap::new();
    for call in &history.calls {
        let (Op::MemoPut { token, key, .. } | Op::MemoGet { token, key }) = call.op else {
            continue;
        };
        let Some(&index) = history.tokens.get(token.as_str()) else { continue };
        let delivery = &history.deliveries[index];
        let Some((run, step)) = delivery.step() else { continue };
        let memo =
            memos.entry(Place { row: row_of(&delivery.claim.job), run, step, key }).or_default();
        match (call.op, call.got()) {
            (Op::MemoPut { value, .. }, _) if call.fate() == Fate::Refused => {
                memo.refused.push(value);
            }
            (Op::MemoPut { value, .. }, _) => memo.register.writes.push(Write {
                value: Some(value),
                from: call.invoked,
                until: history.done_by(call),
                is_sure: call.is_done(),
            }),
            (_, Some(Got::Value(value))) if history.is_owners(call) => {
                let (from, until) = (call.invoked, call.answered);
                memo.register.reads.push(Read {
                    value: value.as_deref(),
                    from,
                    until,
                    write: None,
                });
                memo.reads_at.push(call.answered);
            }
            _ => {}
        }
    }
    memos
}

/// Every read with what can be said of it.
fn judged(
    history: &History<'_>,
    mut judge: impl FnMut(&BTreeMap<Place<'_>, Memo<'_>>, Place<'_>, Option<&str>, Sight, usize),
) {
    let memos = memos(history);
    for (place, memo) in &memos {
        let sights = memo.register.sights().into_iter().zip(&memo.register.reads);
        for ((sight, read), at) in sights.zip(&memo.reads_at) {
            judge(&memos, *place, read.value, sight, *at);
        }
    }
}

fn is_older(sight: Sight) -> bool {
    matches!(sight, Sight::Stale | Sight::TakenBack)
}

/// M1.
pub fn latest(history: &History<'_>, report: &mut Report) {
    judged(history, |_, place, value, sight, at| {
        if is_older(sight) && value.is_some() {
            report.add(at, format!("memo `{}` of run {} is an older one", place.key, place.run));
        }
    });
}

/// M3.
pub fn lost(history: &History<'_>, report: &mut Report) {
    judged(history, |_, place, value, sight, at| {
        if is_older(sight) && value.is_none() {
            report.add(at, format!("memo `{}` of run {} is lost", place.key, place.run));
        }
    });
}

/// Whose value it is that was read where nobody wrote it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Refused,
    Before,
    Elsewhere,
    Nowhere,
}

fn stray(history: &History<'_>, wanted: Origin, text: &str, report: &mut Report) {
    judged(history, |memos, place, value, sight, at| {
        let (Sight::Unwritten, Some(value)) = (sight, value) else { return };
        let wrote =
            |memo: &Memo<'_>| memo.register.writes.iter().any(|write| write.value == Some(value));
        let is_same = |other: &Place<'_>| {
            (other.run, other.step, other.key) == (place.run, place.step, place.key)
        };
        let origin = if memos.get(&place).is_some_and(|memo| memo.refused.contains(&value)) {
            Origin::Refused
        } else if memos.iter().any(|(other, memo)| is_same(other) && wrote(memo)) {
            Origin::Before
        } else if memos.values().any(wrote) {
            Origin::Elsewhere
        } else {
            Origin::Nowhere
        };
        if origin == wanted {
            report.add(at, format!("memo `{}` of run {} holds {text}", place.key, place.run));
        }
    });
}

/// M2.
pub fn apart(history: &History<'_>, report: &mut Report) {
    stray(history, Origin::Elsewhere, "what was written under another name", report);
}

/// M4.
pub fn stale_claims(history: &History<'_>, report: &mut Report) {
    stray(history, Origin::Refused, "what was refused", report);
    for call in history.calls.iter().filter(|call| call.is_done()) {
        let Op::MemoPut { token, .. } = call.op else { continue };
        let Some(&index) = history.tokens.get(token.as_str()) else { continue };
        let delivery = &history.deliveries[index];
        let settled = history.settled(delivery).map(|settle| history.calls[settle].answered);
        let is_settled = settled.is_some_and(|settled| settled < call.invoked);
        let is_replaced = history.lives[delivery.life].deliveries.iter().any(|other| {
            let other = &history.deliveries[*other];
            let is_later = other.at > delivery.at && other.at < call.invoked;
            is_later && other.owner == delivery.owner
        });
        if is_settled || is_replaced {
            report.add(
                call.answered,
                format!("a memo is written with the claim {token}, which is over"),
            );
        }
    }
}

/// M5.
pub fn made_up(history: &History<'_>, report: &mut Report) {
    stray(history, Origin::Nowhere, "what nobody wrote", report);
}

/// M6.
pub fn inherited(history: &History<'_>, report: &mut Report) {
    stray(history, Origin::Before, "what an earlier submission wrote", report);
}
