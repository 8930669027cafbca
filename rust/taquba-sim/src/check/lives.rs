//! Jobs: what is known of each, from its enqueue to its end.
//!
//! A job has an id only once somebody was told it: that of an enqueue without an answer, or of an effect,
//! is learnt from its first delivery, by its payload.
//!
//! # Invariants
//!
//! 1. A birth is one job of one enqueue or effect; it has at most one life, which is one id.
//! 2. What does not fit (a job that nobody enqueued, that was refused, or that was there already) is
//!    kept as an [`Odd`], for the checkers to judge.

use std::collections::HashMap;

use super::index::{Call, Delivery, Fate, History, NEVER};
use crate::history::{Effect, Got, Job, JobSeen, Op, Verdict, What};

/// One id.
#[derive(Debug)]
pub struct Life<'a> {
    pub id: &'a str,
    pub deliveries: Vec<usize>,
    /// Cancels, wakes, requeues and reads of it.
    pub calls: Vec<usize>,
    /// What was enqueued, in [`Births::all`].
    pub birth: Option<usize>,
    /// When its own enqueue was answered.
    pub promised: usize,
    /// When any other answer told that it is there.
    pub told: usize,
    pub is_damaged: bool,
    /// Whether it is no step and no notification, as far as is known.
    pub is_plain: bool,
}

impl<'a> Life<'a> {
    pub fn new(id: &'a str) -> Self {
        Self {
            id,
            deliveries: Vec::new(),
            calls: Vec::new(),
            birth: None,
            promised: NEVER,
            told: NEVER,
            is_damaged: false,
            is_plain: true,
        }
    }
}

/// The part of a job's id that steps of one submission have in common.
pub fn row_of(id: &str) -> &str {
    id.split_once('-').map_or(id, |(row, _)| row)
}

/// One job that was asked for.
#[derive(Debug)]
pub struct Birth<'a> {
    pub call: usize,
    pub queue: &'a str,
    pub job: &'a Job,
    pub is_effect: bool,
    pub fate: Fate,
    /// Whether the answer was that another job has its key.
    pub is_duplicate: bool,
    pub life: Option<usize>,
}

/// What was seen and does not fit.
#[derive(Clone, Copy, Debug)]
pub enum Odd {
    /// Nobody asked for it.
    Phantom { at: usize },
    /// This one was refused.
    Refused { at: usize, birth: usize },
    /// This one was a duplicate.
    Duplicate { at: usize, birth: usize },
    /// This one is there under another id already.
    Twice { at: usize, birth: usize },
}

/// All jobs that were asked for.
#[derive(Debug, Default)]
pub struct Births<'a> {
    pub all: Vec<Birth<'a>>,
    pub by_payload: HashMap<&'a str, Vec<usize>>,
    pub odds: Vec<Odd>,
    /// Whether a job was damaged of which nothing else is known.
    pub has_unknown_damage: bool,
}

impl<'a> History<'a> {
    pub(super) fn build_lives(&mut self) {
        let damaged: Vec<&'a str> = self.events.iter().filter_map(damaged_job).collect();
        for delivery in &self.deliveries {
            self.lives[delivery.life].is_plain &= delivery.is_plain();
        }
        for index in 0..self.calls.len() {
            self.add_births(index);
        }
        for index in 0..self.calls.len() {
            self.add_call(index);
        }
        for index in 0..self.deliveries.len() {
            let Delivery { at, claim, life, is_zombie, .. } = &self.deliveries[index];
            let (at, life, is_told) = (*at, *life, !is_zombie);
            if self.deliveries[index].is_plain() {
                self.see(at, life, &claim.payload);
            }
            if is_told {
                self.tell(life, at);
            }
        }
        let found: Vec<(usize, &'a JobSeen)> =
            self.snapshots.iter().flat_map(|snapshot| snapshot.jobs.values().copied()).collect();
        for (at, job) in found {
            let life = self.life(&job.job);
            self.lives[life].is_plain &= job.run.is_none();
            if let (None, Some(payload)) = (&job.run, &job.payload) {
                self.see(at, life, payload);
            }
        }
        for id in damaged {
            match self.ids.get(id) {
                Some(&life) => self.lives[life].is_damaged = true,
                None => self.births.has_unknown_damage = true,
            }
        }
    }

    fn add_births(&mut self, index: usize) {
        let call = &self.calls[index];
        let fate = call.fate();
        match call.op {
            Op::Enqueue { queue, jobs } => {
                let (answered, got) = (call.answered, call.got());
                for (number, job) in jobs.iter().enumerate() {
                    let birth = self.add_birth(index, queue, job, fate);
                    let Some(Got::Enqueued(all)) = got else { continue };
                    let Some(enqueued) = all.get(number) else { continue };
                    let life = self.life(&enqueued.job);
                    if enqueued.is_new {
                        self.births.all[birth].life = Some(life);
                        self.lives[life].birth = Some(birth);
                        self.lives[life].promised = answered;
                    } else {
                        self.births.all[birth].is_duplicate = true;
                        self.tell(life, answered);
                    }
                }
            }
            Op::Settle { token, effects, .. } => {
                let is_dropped = self.may_be_dropped(token, call);
                for effect in effects {
                    let Effect::Enqueue { queue, jobs } = effect else { continue };
                    for job in jobs {
                        let is_sure = !is_dropped && job.dedup_key.is_none();
                        let fate = match fate {
                            Fate::Done if !is_sure => Fate::Unknown,
                            fate => fate,
                        };
                        let birth = self.add_birth(index, queue, job, fate);
                        self.births.all[birth].is_effect = true;
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the effects of a settlement may come to nothing because the run was cancelled.
    pub fn may_be_dropped(&self, token: &str, settle: &Call<'_>) -> bool {
        let step = self.tokens.get(token).and_then(|index| self.deliveries[*index].step());
        let Some((run, _)) = step else { return false };
        let until = settle.answered;
        self.stops.contains_key(token)
            || self.runs.get(run).is_some_and(|run| self.may_be_stopped(run, until))
    }

    fn add_birth(&mut self, call: usize, queue: &'a str, job: &'a Job, fate: Fate) -> usize {
        let index = self.births.all.len();
        let (is_effect, is_duplicate, life) = (false, false, None);
        self.births.all.push(Birth { call, queue, job, is_effect, fate, is_duplicate, life });
        self.births.by_payload.entry(&job.payload).or_default().push(index);
        index
    }

    fn add_call(&mut self, index: usize) {
        let call = &self.calls[index];
        let (Op::CancelJob { job: id }
        | Op::WakeJob { job: id }
        | Op::RequeueJob { job: id }
        | Op::GetJob { job: id }) = call.op
        else {
            return;
        };
        let (answered, is_owners, got) = (call.answered, self.is_owners(call), call.got());
        let life = self.life(id);
        self.lives[life].calls.push(index);
        if let (Some(Got::Job(seen)), true) = (got, is_owners) {
            self.tell(life, answered);
            self.lives[life].is_plain &= seen.run.is_none();
            if let (None, Some(payload)) = (&seen.run, &seen.payload) {
                self.see(answered, life, payload);
            }
        }
    }

    fn tell(&mut self, life: usize, at: usize) {
        self.lives[life].told = self.lives[life].told.min(at);
    }

    /// A plain job with this id and payload was seen.
    fn see(&mut self, at: usize, life: usize, payload: &str) {
        if self.lives[life].birth.is_some() {
            return;
        }
        let births = self.births.by_payload.get(payload).map_or(&[][..], Vec::as_slice);
        let all = &self.births.all;
        let may_be =
            |birth: &&usize| all[**birth].fate != Fate::Refused && !all[**birth].is_duplicate;
        let free = births.iter().filter(may_be).find(|birth| all[**birth].life.is_none());
        if let Some(&birth) = free {
            self.births.all[birth].life = Some(life);
            self.lives[life].birth = Some(birth);
            return;
        }
        let odd = match (births.iter().find(may_be), births.first()) {
            (Some(&birth), _) => Odd::Twice { at, birth },
            (None, Some(&birth)) if all[birth].is_duplicate => Odd::Duplicate { at, birth },
            (None, Some(&birth)) => Odd::Refused { at, birth },
            (None, None) => Odd::Phantom { at },
        };
        self.births.odds.push(odd);
    }

    /// Deliveries that a job may have at most.
    pub fn max_attempts(&self, life: &Life<'_>) -> u32 {
        if let Some(&delivery) = life.deliveries.first() {
            return self.deliveries[delivery].claim.max_attempts;
        }
        let asked = life.birth.and_then(|birth| self.births.all[birth].job.max_attempts);
        asked.unwrap_or(self.profile.max_attempts)
    }

    /// Where a job's life may have begun, at the earliest.
    pub fn born(&self, life: &Life<'_>) -> usize {
        let asked = life.birth.map(|birth| self.calls[self.births.all[birth].call].invoked);
        let seen = life.deliveries.first().map(|delivery| self.deliveries[*delivery].at);
        asked.or(seen).unwrap_or(0)
    }

    /// The calls of one kind on a job that may have been carried out before a place.
    pub fn calls_on(
        &self,
        life: &Life<'_>,
        until: usize,
        is_meant: impl Fn(&Op) -> bool,
    ) -> Option<usize> {
        let is_meant = |call: &&usize| {
            let call = &self.calls[**call];
            is_meant(call.op) && call.may_precede(until)
        };
        life.calls.iter().find(is_meant).copied()
    }

    /// Whether somebody may have cancelled a job before a place.
    pub fn may_be_cancelled(&self, life: &Life<'_>, until: usize) -> bool {
        self.calls_on(life, until, |op| matches!(op, Op::CancelJob { .. })).is_some()
    }

    /// Whether a job may have died before a place: its word, or its attempts used up.
    pub fn may_be_dead(&self, life: &Life<'_>, until: usize) -> bool {
        let deliveries = life.deliveries.iter().map(|delivery| &self.deliveries[*delivery]);
        let deliveries = deliveries.filter(|delivery| delivery.at < until);
        let (mut attempts, mut is_buried) = (0, false);
        for delivery in deliveries {
            attempts = attempts.max(delivery.claim.attempts);
            is_buried |= delivery.settles.iter().any(|settle| {
                matches!(self.verdict(*settle), Verdict::DeadLetter { .. })
                    && self.calls[*settle].may_precede(until)
            });
        }
        let unseen = self.upsets_between(self.born(life), until);
        is_buried || attempts as usize + unseen >= self.max_attempts(life) as usize
    }

    /// Whether dead jobs of a queue may have been deleted by a place, if they died after another.
    pub fn may_be_forgotten(&self, queue: &str, from: usize, until: usize) -> bool {
        let is_purge = |call: &usize| {
            let call = &self.calls[*call];
            matches!(call.op, Op::PurgeDead { queue: other, .. } if other == queue)
                && call.may_precede(until)
                && self.done_by(call) > from
        };
        let retention_ms = self.profile.dead_retention_ms;
        let has_passed = retention_ms.is_some_and(|ms| self.elapsed_ms_max(from, until) >= ms);
        has_passed || self.purges.iter().any(is_purge)
    }

    /// Whether a plain job may be gone before a place.
    pub fn may_be_gone(&self, life: &Life<'_>, queue: &str, until: usize) -> bool {
        let is_acked = life.deliveries.iter().any(|delivery| {
            self.deliveries[*delivery].settles.iter().any(|settle| {
                let is_ack =
                    !matches!(
                        self.verdict(*settle),
                        Verdict::Unseen | Verdict::Postpone { .. } | Verdict::DeadLetter { .. }
                    ) && !matches!(self.verdict(*settle), Verdict::Nack { .. } | Verdict::Release);
                is_ack && self.calls[*settle].may_precede(until)
            })
        });
        life.is_damaged
            || is_acked
            || self.may_be_cancelled(life, until)
            || (self.may_be_dead(life, until)
                && self.may_be_forgotten(queue, self.born(life), until))
    }

    /// A job's queue, as far as is known.
    pub fn queue_of(&self, life: &Life<'a>) -> Option<&'a str> {
        let asked = life.birth.map(|birth| self.births.all[birth].queue);
        let seen = life.deliveries.first().map(|at| self.deliveries[*at].claim.queue.as_str());
        asked.or(seen)
    }
}

fn damaged_job(event: &crate::history::Event) -> Option<&str> {
    match &event.what {
        What::Damaged { job: Some(job), .. } => Some(job),
        _ => None,
    }
}
