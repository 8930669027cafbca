//! What a store remembers, and how it decides.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::counts::Counts;
use crate::dice::Dice;
use crate::fate::{Fate, Request};
use crate::fault::Fault;
use crate::history::History;
use crate::later::Later;
use crate::plan::Plan;

#[derive(Debug)]
pub(crate) struct State {
    dice: Dice,
    plan: Plan,
    is_calm: bool,
    /// How often each fault has happened under this plan.
    used: BTreeMap<Fault, u64>,
    pub counts: Counts,
    bucket: Bucket,
    denied_until: Duration,
    pub later: Later,
    pub history: History,
}

impl State {
    pub fn new(plan: Plan, seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            plan,
            is_calm: false,
            used: BTreeMap::new(),
            counts: Counts::default(),
            bucket: Bucket::default(),
            denied_until: Duration::ZERO,
            later: Later::default(),
            history: History::default(),
        }
    }

    pub fn set_plan(&mut self, plan: Plan) {
        self.plan = plan;
        self.used.clear();
    }

    pub fn set_calm(&mut self, is_calm: bool) {
        self.is_calm = is_calm;
        self.denied_until = Duration::ZERO;
    }

    pub fn deny_until(&mut self, instant: Duration) {
        self.denied_until = instant;
    }

    /// How far back listings may have to look; `None` if they never do.
    pub fn stale_window(&self) -> Option<Duration> {
        self.plan.rule(Fault::StaleList).map(|_| self.plan.stale_window)
    }

    /// Decides what becomes of a request.
    pub fn decide(&mut self, request: Request, now: Duration) -> Fate {
        self.counts.request_count += 1;
        let mut fate = Fate::kind(request);
        if self.is_calm {
            return fate;
        }
        let is_above_rate = !self.bucket.take(now, &self.plan);
        if now < self.denied_until {
            self.note(Fault::Deny403);
            fate.fault = Some(Fault::Deny403);
            return fate;
        }
        for fault in Fault::ALL {
            if fault == Fault::Throttle && !is_above_rate {
                continue;
            }
            if (fault.delays() || fate.fault.is_none()) && self.happens(fault, &fate.request) {
                self.note(fault);
                self.shape(&mut fate, fault, now);
            }
        }
        fate
    }

    fn happens(&mut self, fault: Fault, request: &Request) -> bool {
        let Some(rule) = self.plan.rule(fault) else { return false };
        let used = self.used.get(&fault).copied().unwrap_or_default();
        fault.befalls(request.operation, request.condition)
            && rule.covers(request.operation, &request.path, used)
            && self.dice.chance(rule.probability())
    }

    /// Draws the details of a fault.
    fn shape(&mut self, fate: &mut Fate, fault: Fault, now: Duration) {
        match fault {
            Fault::Latency => {
                let whole = self.dice.between(&self.plan.latency);
                fate.before = self.dice.between(&(Duration::ZERO..=whole));
                fate.after = whole.saturating_sub(fate.before);
            }
            Fault::Bandwidth => fate.bytes_per_second = Some(self.plan.bytes_per_second),
            other => {
                fate.fault = Some(other);
                fate.draw = self.dice.draw();
            }
        }
        match fault {
            Fault::Deny403 => self.denied_until = now + self.plan.deny_window,
            Fault::Hang => fate.hang_limit = self.plan.hang_limit,
            Fault::DetachPut | Fault::DuplicatePut => {
                fate.delay = self.dice.between(&self.plan.delay);
            }
            _ => {}
        }
    }

    fn note(&mut self, fault: Fault) {
        *self.used.entry(fault).or_default() += 1;
        *self.counts.faults.entry(fault).or_default() += 1;
    }

    /// A fault that was drawn had nothing to act on.
    pub fn take_back(&mut self, fault: Fault) {
        for counts in [&mut self.used, &mut self.counts.faults] {
            if let Some(count) = counts.get_mut(&fault) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

/// A token bucket, as the instant at which it is full again (generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Default)]
struct Bucket {
    full_at: Duration,
}

impl Bucket {
    fn take(&mut self, now: Duration, plan: &Plan) -> bool {
        let pause = Duration::from_secs(1) / plan.requests_per_second;
        let full_at = self.full_at.max(now) + pause;
        let has_room = full_at.saturating_sub(now) <= pause * plan.burst;
        if has_room {
            self.full_at = full_at;
        }
        has_room
    }
}
