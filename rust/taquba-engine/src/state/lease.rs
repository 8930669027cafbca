//! Leases: who may settle a job, and until when.
//!
//! # Invariants
//!
//! 1. At most one live lease exists per job.
//! 2. A token is never handed out twice, not even after a restart: it starts with the epoch.
//! 3. Leases run on the monotonic clock: no jump of the wall clock ends or prolongs one.
//! 4. A lease without a duration is kept by the engine for as long as its consumer lives.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::paged::Paged;
use super::{OutletId, State};
use crate::clock::Now;
use crate::command::{Reply, SubscriptionId};
use crate::error::{Error, Result};
use crate::ids::{ClaimToken, JobId};
use crate::options::{bounded_ms, check_lease};

/// Ended claims that are remembered, so that a late outcome can be told which job it was for.
const REMEMBERED_COUNT: usize = 1024;

/// Tokens of one epoch. 2^40 claims at a million a second last twelve days; the next open, or
/// the assert below, ends the epoch.
const TOKENS_PER_EPOCH: u64 = 1 << 40;

/// Who a job was handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Subscription(SubscriptionId),
    /// The `place`-th job of this pull.
    Pull {
        pull: u64,
        place: usize,
        outlet: OutletId,
    },
}

/// One delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub row: u64,
    pub holder: Holder,
    pub duration: Option<Duration>,
    /// On the monotonic clock; `None` until it is delivered, or if it does not end by itself.
    pub expires_ms: Option<u64>,
    /// When it was granted, on the wall clock.
    pub started_at_ms: u64,
    /// Whether its holder has the job; its body may still have to be read.
    pub is_delivered: bool,
    /// The commit whose row of claims it is in.
    pub batch: Option<u64>,
}

/// All live leases.
#[derive(Debug)]
pub(super) struct Leases {
    by_token: Paged<Lease>,
    by_expiry: BTreeSet<(u64, ClaimToken)>,
    next_token: u64,
    last_token: u64,
    remembered: VecDeque<(ClaimToken, JobId, Duration)>,
}

impl Leases {
    pub fn new(epoch: u32) -> Self {
        let first = u64::from(epoch) * TOKENS_PER_EPOCH;
        Self {
            by_token: Paged::default(),
            by_expiry: BTreeSet::new(),
            next_token: first,
            last_token: first + TOKENS_PER_EPOCH - 1,
            remembered: VecDeque::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Leases, their pages, those that expire, and those that are remembered.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 4] {
        let [count, page_count] = self.by_token.sizes();
        [count, page_count, self.by_expiry.len(), self.remembered.len()]
    }

    pub fn get(&self, token: ClaimToken) -> Option<&Lease> {
        self.by_token.get(token.0)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (ClaimToken, &Lease)> {
        self.by_token.range_from(0).map(|(token, lease)| (ClaimToken(token), lease))
    }

    pub fn grant(
        &mut self,
        row: u64,
        holder: Holder,
        duration: Option<Duration>,
        now: Now,
    ) -> ClaimToken {
        assert!(self.next_token < self.last_token, "out of claim tokens: reopen the store");
        let token = ClaimToken(self.next_token);
        self.next_token += 1;
        let started_at_ms = now.wall_ms;
        let (expires_ms, is_delivered) = (None, false);
        let lease =
            Lease { row, holder, duration, expires_ms, started_at_ms, is_delivered, batch: None };
        let is_new = self.by_token.insert(token.0, lease);
        assert!(is_new, "a token is handed out once");
        token
    }

    /// The holder has the job now: time runs.
    pub fn start(&mut self, token: ClaimToken, now: Now) -> Lease {
        let lease = self.by_token.get_mut(token.0).expect("the caller holds the lease");
        lease.is_delivered = true;
        if let Some(duration) = lease.duration {
            let expires_ms = now.mono_ms + bounded_ms(duration);
            lease.expires_ms = Some(expires_ms);
            self.by_expiry.insert((expires_ms, token));
        }
        *lease
    }

    /// Prolongs a lease; one that the engine keeps needs none. `false` if it is over.
    fn renew(&mut self, token: ClaimToken, duration: Duration, at_least: bool, now: Now) -> bool {
        let Some(lease) = self.by_token.get_mut(token.0) else { return false };
        let Some(expires_ms) = lease.expires_ms else { return true };
        let renewed_ms = now.mono_ms + bounded_ms(duration);
        let renewed_ms = if at_least { renewed_ms.max(expires_ms) } else { renewed_ms };
        lease.expires_ms = Some(renewed_ms);
        self.by_expiry.remove(&(expires_ms, token));
        self.by_expiry.insert((renewed_ms, token));
        true
    }

    /// Ends a lease.
    pub fn take(&mut self, token: ClaimToken) -> Option<Lease> {
        let lease = self.by_token.remove(token.0)?;
        if let Some(expires_ms) = lease.expires_ms {
            self.by_expiry.remove(&(expires_ms, token));
        }
        Some(lease)
    }

    /// Remembers a claim for the error of a late outcome.
    pub fn remember(&mut self, token: ClaimToken, id: JobId, lease: &Lease) {
        if self.remembered.len() == REMEMBERED_COUNT {
            self.remembered.pop_front();
        }
        self.remembered.push_back((token, id, lease.duration.unwrap_or_default()));
    }

    /// What to tell somebody who settles with a token that is over.
    pub fn lost(&self, token: ClaimToken) -> Error {
        let known = self.remembered.iter().rev().find(|(other, _, _)| *other == token);
        let (job_id, lease) = match known {
            Some((_, id, lease)) => (id.to_string(), *lease),
            None => ("of an earlier claim".to_owned(), Duration::ZERO),
        };
        Error::ClaimLost { job_id, lease }
    }

    /// Tokens that the engine keeps for a consumer and these subscriptions of it, oldest first.
    pub fn held_by(&self, consumer: OutletId, ids: &[SubscriptionId]) -> Vec<ClaimToken> {
        let held = |lease: &Lease| match lease.holder {
            Holder::Subscription(id) => ids.contains(&id),
            Holder::Pull { outlet, .. } => outlet == consumer && lease.duration.is_none(),
        };
        self.iter().filter(|(_, lease)| held(lease)).map(|(token, _)| token).collect()
    }

    /// All tokens, oldest first.
    pub fn all(&self) -> Vec<ClaimToken> {
        self.iter().map(|(token, _)| token).collect()
    }

    /// Its claim is in the row of this commit.
    pub fn put_into_batch(&mut self, token: ClaimToken, batch: u64) {
        self.by_token.get_mut(token.0).expect("the caller holds the lease").batch = Some(batch);
    }

    /// Milliseconds until a lease ends by itself.
    pub fn next_expiry_ms(&self, now: Now) -> Option<u64> {
        self.by_expiry.first().map(|(at_ms, _)| at_ms.saturating_sub(now.mono_ms))
    }

    /// The lease that ended first, if one has.
    pub fn first_expired(&self, now: Now) -> Option<ClaimToken> {
        let (at_ms, token) = self.by_expiry.first()?;
        (*at_ms <= now.mono_ms).then_some(*token)
    }
}

impl State {
    /// Prolongs a holder's lease. Nothing is written: no lease outlives its process.
    pub(super) fn renew(
        &mut self,
        token: ClaimToken,
        duration: Duration,
        at_least: bool,
        now: Now,
    ) -> Result<Reply> {
        check_lease("lease", Some(duration))?;
        if self.leases.renew(token, duration, at_least, now) {
            Ok(Reply::Done)
        } else {
            Err(self.leases.lost(token))
        }
    }
}
