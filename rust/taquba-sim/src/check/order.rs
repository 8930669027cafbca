//! Order: who gets which job, and whether he who asks gets one.
//!
//! A job surely waits from the answer to its enqueue until it is first delivered or cancelled, if it had
//! no time to wait for. A claim that began and ended while a job surely waited, and which no other claim
//! of the queue may have been given at that time, must have taken it before any job behind it (Q12), and
//! cannot have come back empty (L1).
//!
//! Claims of which nobody knows what became, and subscriptions, hold jobs that nobody has noted: beside
//! them nothing is said.

use std::collections::BTreeMap;

use super::Report;
use super::index::{Call, Delivery, Fate, History, NEVER};
use super::lives::{Life, row_of};
use crate::history::{Got, Op, Owner};

/// A plain job that surely waits.
struct Waiting<'a> {
    id: &'a str,
    priority: Option<u32>,
    from: usize,
    until: usize,
    /// The claim that took it.
    taker: Option<usize>,
}

impl Waiting<'_> {
    /// Whether a claim must have seen it.
    fn is_before(&self, history: &History<'_>, claim: &Call<'_>) -> bool {
        let is_taken_later =
            self.taker.is_none_or(|taker| history.calls[taker].invoked > claim.answered);
        self.from < claim.invoked && self.until > claim.answered && is_taken_later
    }
}

fn waiting<'a>(history: &History<'a>) -> BTreeMap<&'a str, Vec<Waiting<'a>>> {
    let mut priorities: BTreeMap<&str, u32> = BTreeMap::new();
    for delivery in history.deliveries.iter().filter(|delivery| delivery.is_plain()) {
        let birth = history.lives[delivery.life].birth.map(|birth| &history.births.all[birth]);
        if birth.is_some_and(|birth| birth.job.priority.is_none()) {
            priorities.insert(&delivery.claim.queue, delivery.claim.priority);
        }
    }
    let mut by_queue: BTreeMap<&str, Vec<Waiting<'_>>> = BTreeMap::new();
    for life in &history.lives {
        let Some(birth) = life.birth.map(|birth| &history.births.all[birth]) else { continue };
        let is_due = birth.job.delay_ms.unwrap_or(0) == 0 && birth.job.run_at_ms.is_none();
        // One that may have had a holder when it was cancelled, whom it had not reached yet.
        let has_holder = |call: &&usize| {
            let call = &history.calls[**call];
            matches!(call.op, Op::CancelJob { .. } | Op::CancelRun { .. })
                && call.fate() != Fate::Refused
                && call.got() != Some(&Got::JobRemoved)
        };
        let is_held = life.calls.iter().any(|call| has_holder(&call));
        if !is_due || life.promised == NEVER || life.is_damaged || is_held {
            continue;
        }
        let first = life.deliveries.first().map(|first| &history.deliveries[*first]);
        let touched = life.calls.iter().map(|call| &history.calls[*call]);
        let touched = touched
            .filter(|call| call.fate() != Fate::Refused && !matches!(call.op, Op::GetJob { .. }));
        let touched = touched.map(|call| call.invoked).min().unwrap_or(NEVER);
        let lost = history.nth_upset(history.born(life), history.max_attempts(life) as usize);
        let waiting = Waiting {
            id: life.id,
            priority: birth.job.priority.or(priorities.get(birth.queue).copied()),
            from: life.promised,
            until: first.map_or(NEVER, |first| first.at).min(touched).min(lost),
            taker: first.and_then(|first| first.call),
        };
        by_queue.entry(birth.queue).or_default().push(waiting);
    }
    by_queue
}

/// Shows each of these claims with the jobs of its queue that waited when it was answered.
fn passed_over<'a>(
    history: &History<'a>,
    mut claims: Vec<usize>,
    mut judge: impl FnMut(usize, &[Waiting<'a>]),
) {
    claims.sort_by_key(|claim| history.calls[*claim].answered);
    let mut queues = waiting(history);
    for all in queues.values_mut() {
        // The first to come is the last in the list, and is taken from there.
        all.sort_by_key(|one| std::cmp::Reverse(one.from));
    }
    let mut present: BTreeMap<&str, Vec<Waiting<'a>>> = BTreeMap::new();
    for claim in claims {
        let call = &history.calls[claim];
        let Op::Claim { queue, .. } = call.op else { continue };
        let present = present.entry(queue).or_default();
        if let Some(coming) = queues.get_mut(queue.as_str()) {
            while coming.last().is_some_and(|one| one.from < call.answered) {
                present.extend(coming.pop());
            }
        }
        present.retain(|one| one.until > call.answered);
        judge(claim, present);
    }
}

/// Claims that were answered by who had the store and served on (a close hands back what is on its way),
/// with no other of unknown outcome beside them.
fn clear_claims<'h>(history: &'h History<'_>) -> impl Iterator<Item = usize> + 'h {
    let mut unclear: BTreeMap<(Owner, &str), usize> = BTreeMap::new();
    for call in &history.calls {
        let Op::Claim { queue, .. } = call.op else { continue };
        if !call.is_done() || !serves_on(history, call) {
            let first = unclear.entry((call.owner, queue)).or_insert(call.invoked);
            *first = (*first).min(call.invoked);
        }
    }
    (0..history.calls.len()).filter(move |index| {
        let call = &history.calls[*index];
        let Op::Claim { queue, .. } = call.op else { return false };
        let is_clear = unclear
            .get(&(call.owner, queue.as_str()))
            .is_none_or(|unclear| *unclear > call.answered);
        call.is_done()
            && is_clear
            && serves_on(history, call)
            && history.is_owners(call)
            && history.profile.is_complete
            && !history.has_subscriptions
    })
}

/// Whether its owner went on after it had answered: one that closes gives nothing, and takes back what it
/// has not given yet.
fn serves_on(history: &History<'_>, call: &Call<'_>) -> bool {
    let reign = history.reigns.get(&call.owner);
    reign.is_some_and(|reign| reign.last_served > call.answered && !reign.is_closing)
}

/// Claims that came back empty, and were given nothing that was cancelled on its way.
pub fn empty_claims<'h>(history: &'h History<'_>) -> impl Iterator<Item = usize> + 'h {
    let cancels: Vec<&Call<'_>> = history
        .calls
        .iter()
        .filter(|call| matches!(call.op, Op::CancelJob { .. } | Op::CancelRun { .. }))
        .collect();
    clear_claims(history).filter(move |index| {
        let call = &history.calls[*index];
        let is_beside = |cancel: &&Call<'_>| {
            cancel.owner == call.owner
                && cancel.invoked < call.answered
                && cancel.answered > call.invoked
        };
        call.got() == Some(&Got::Claimed(0)) && !cancels.iter().any(is_beside)
    })
}

/// Q12.
pub fn claims(history: &History<'_>, report: &mut Report) {
    growing_ids(history, report);
    let mut taken: BTreeMap<usize, Vec<&Delivery<'_>>> = BTreeMap::new();
    for delivery in &history.deliveries {
        if let Some(call) = delivery.call {
            taken.entry(call).or_default().push(delivery);
        }
    }
    passed_over(history, clear_claims(history).collect(), |index, waiting| {
        let call = &history.calls[index];
        let Some(taken) = taken.get(&index) else { return };
        sorted(history, taken, report);
        let Some(last) = taken.iter().max_by_key(|one| place(one)) else { return };
        let is_passed_over = |one: &&Waiting<'_>| {
            one.priority.is_some_and(|priority| (priority, one.id) < place(last))
                && one.is_before(history, call)
        };
        if let Some(one) = waiting.iter().find(is_passed_over) {
            let text = format!("job {} is taken, before {} which waited", last.claim.job, one.id);
            report.add(last.at, text);
        }
    });
}

/// Where a delivered job stood in its queue, at the latest: a step came in later than its row.
fn place<'a>(delivery: &Delivery<'a>) -> (u32, &'a str) {
    (delivery.claim.priority, row_of(&delivery.claim.job))
}

/// One claim's jobs come in order, those at least that keep the place of their enqueue.
fn sorted(history: &History<'_>, taken: &[&Delivery<'_>], report: &mut Report) {
    let keeps_place = |delivery: &&&Delivery<'_>| {
        let life: &Life<'_> = &history.lives[delivery.life];
        let requeued = |op: &Op| matches!(op, Op::RequeueJob { .. });
        delivery.is_plain() && history.calls_on(life, delivery.at, requeued).is_none()
    };
    let kept: Vec<_> = taken.iter().filter(keeps_place).collect();
    for pair in kept.windows(2) {
        if place(pair[1]) < place(pair[0]) {
            let (first, second) = (&pair[0].claim.job, &pair[1].claim.job);
            report.add(pair[1].at, format!("job {second} comes after {first}"));
        }
    }
}

/// Ids of enqueues that do not overlap grow.
fn growing_ids(history: &History<'_>, report: &mut Report) {
    let mut enqueues: Vec<(usize, usize, &str, &str)> = Vec::new();
    for call in &history.calls {
        let Some(Got::Enqueued(jobs)) = call.got() else { continue };
        let new = jobs.iter().filter(|job| job.is_new).map(|job| job.job.as_str());
        let new: Vec<&str> = new.collect();
        if new.windows(2).any(|pair| pair[1] <= pair[0]) {
            report.add(call.answered, "the ids of a batch do not grow");
        }
        if let (Some(first), Some(last)) = (new.first(), new.last()) {
            enqueues.push((call.invoked, call.answered, first, last));
        }
    }
    let mut by_end = enqueues.clone();
    by_end.sort_by_key(|enqueue| enqueue.1);
    let mut largest = Vec::with_capacity(by_end.len());
    let mut last = "";
    for enqueue in &by_end {
        last = last.max(enqueue.3);
        largest.push(last);
    }
    for (invoked, answered, first, _) in enqueues {
        let count = by_end.partition_point(|enqueue| enqueue.1 < invoked);
        if count > 0 && largest[count - 1] >= first {
            let text = format!("job {first} sorts before {}, which is older", largest[count - 1]);
            report.add(answered, text);
        }
    }
}

/// L1.
pub fn lost_wakeups(history: &History<'_>, report: &mut Report) {
    passed_over(history, empty_claims(history).collect(), |index, waiting| {
        let call = &history.calls[index];
        if let Some(one) = waiting.iter().find(|one| one.is_before(history, call)) {
            report.add(call.answered, format!("nothing is given, and job {} waits", one.id));
        }
    });
}
