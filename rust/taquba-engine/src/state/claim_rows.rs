//! What is written of open claims, so that an attempt counts that its process did not survive.
//!
//! Claims that are still open when a commit is cut ride in it, all of them in one row: most are settled
//! before the next one, and the row then goes as one. A row stays while one claim in it is open.
//!
//! # Invariants
//!
//! 1. A claim that is open when a commit is cut is in a row of that commit or of an earlier one.
//! 2. A claim in a row counts after a crash unless its job is gone, has another turn or order, or says
//!    itself that it had as many attempts. One that has ended and would still count is taken out of its
//!    row.
//! 3. Rows hold at most four claims for each open one, but for a thousand.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use super::job::{JobEntry, Stage};
use super::lease::Lease;
use crate::ids::ClaimToken;
use crate::record::{ClaimsRow, OpenClaim, Row, keys};

/// So many claims of ended deliveries may stay in rows whatever is open.
pub(super) const STALE_COUNT_MAX: usize = 1024;

/// How many claims a row may hold for each one that is still open, on average.
pub(super) const STALE_FACTOR: usize = 4;

/// The claims that went into one commit.
#[derive(Debug)]
struct Written {
    tokens: Vec<ClaimToken>,
    open_count: usize,
}

/// A delivery that has ended, and whose claim is in a row.
#[derive(Clone, Copy, Debug)]
struct EndedClaim {
    batch: u64,
    row: u64,
    turn: u32,
    order: u64,
    attempts: u32,
}

/// Which claims are in which row.
#[derive(Debug, Default)]
pub(super) struct ClaimRows {
    /// Granted since the last cut.
    fresh: Vec<ClaimToken>,
    /// Ended since the last cut.
    ended: Vec<EndedClaim>,
    /// By the commit that their row was written in.
    written: BTreeMap<u64, Written>,
    written_count: usize,
    open_count: usize,
    /// Whether the next commit is needed for the sake of claims alone.
    pub is_due: bool,
}

impl ClaimRows {
    /// Claims without a row yet, ended ones, rows, and claims in rows.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 4] {
        [self.fresh.len(), self.ended.len(), self.written.len(), self.written_count]
    }

    /// A claim was granted: it rides in the next commit, if it is still open then.
    pub fn add(&mut self, token: ClaimToken) {
        self.fresh.push(token);
    }

    /// Rows that hold too many claims of ended deliveries, oldest first.
    fn take_sparse(&mut self) -> Option<(u64, Written)> {
        let is_sparse = self.written_count > STALE_FACTOR * self.open_count + STALE_COUNT_MAX;
        let (batch, written) = is_sparse.then(|| self.written.pop_first()).flatten()?;
        self.forget(&written);
        Some((batch, written))
    }

    fn forget(&mut self, written: &Written) {
        self.written_count -= written.tokens.len();
        self.open_count -= written.open_count;
    }
}

impl State {
    /// A delivery has ended. Call while its job is still as it was claimed.
    pub(super) fn note_claim_end(&mut self, lease: &Lease) {
        let Some(batch) = lease.batch else { return };
        let entry = self.job(lease.row);
        let (turn, order, attempts) = (entry.turn, entry.order, entry.attempts);
        self.claim_rows.ended.push(EndedClaim { batch, row: lease.row, turn, order, attempts });
    }

    /// Writes what the commit that is being cut has to say of claims.
    pub(super) fn write_claims(&mut self) {
        self.claim_rows.is_due = false;
        for batch in self.end_claims() {
            let tokens = &self.claim_rows.written[&batch].tokens;
            let claims = self.open_claims(Some(batch), tokens);
            self.write_claims_row(batch, claims);
        }
        let fresh = std::mem::take(&mut self.claim_rows.fresh);
        let mut claims = self.open_claims(None, &fresh);
        while let Some((batch, written)) = self.claim_rows.take_sparse() {
            claims.extend(self.open_claims(Some(batch), &written.tokens));
            self.write(Row::Delete(keys::claims(batch)));
        }
        if claims.is_empty() {
            return;
        }
        let batch = self.open_batch();
        let tokens: Vec<ClaimToken> = claims.iter().map(|(token, _)| *token).collect();
        for &token in &tokens {
            self.leases.put_into_batch(token, batch);
        }
        let open_count = tokens.len();
        self.claim_rows.written_count += open_count;
        self.claim_rows.open_count += open_count;
        self.claim_rows.written.insert(batch, Written { tokens, open_count });
        self.write_claims_row(batch, claims);
    }

    /// Takes claims that have ended off the counts. Returns the rows that would mislead a recovery.
    fn end_claims(&mut self) -> BTreeSet<u64> {
        let mut misleading = BTreeSet::new();
        for ended in std::mem::take(&mut self.claim_rows.ended) {
            let Some(written) = self.claim_rows.written.get_mut(&ended.batch) else { continue };
            written.open_count -= 1;
            self.claim_rows.open_count -= 1;
            if written.open_count == 0 {
                let written = self.claim_rows.written.remove(&ended.batch).expect("looked up");
                self.claim_rows.forget(&written);
                misleading.remove(&ended.batch);
                self.write(Row::Delete(keys::claims(ended.batch)));
            } else if self.would_count(&ended) {
                misleading.insert(ended.batch);
            }
        }
        misleading
    }

    /// Whether a recovery would take the claim for an attempt that was cut short.
    fn would_count(&self, ended: &EndedClaim) -> bool {
        let is_same = |entry: &&JobEntry| (entry.turn, entry.order) == (ended.turn, ended.order);
        let entry = self.jobs.get(ended.row).filter(is_same);
        entry.is_some_and(|entry| match entry.stage {
            // Put back as if it had not been claimed, and claimed again.
            Stage::Claimed => entry.attempts <= ended.attempts,
            _ => entry.attempts < ended.attempts,
        })
    }

    /// Those of these claims that are open, and in this batch.
    fn open_claims(
        &self,
        batch: Option<u64>,
        tokens: &[ClaimToken],
    ) -> Vec<(ClaimToken, OpenClaim)> {
        let open = tokens.iter().filter_map(|&token| {
            let lease = self.leases.get(token).filter(|lease| lease.batch == batch)?;
            let entry = self.job(lease.row);
            let claim = OpenClaim {
                row: lease.row,
                turn: entry.turn,
                order: entry.order,
                attempts: entry.attempts,
                started_at_ms: lease.started_at_ms,
            };
            Some((token, claim))
        });
        open.collect()
    }

    fn write_claims_row(&mut self, batch: u64, claims: Vec<(ClaimToken, OpenClaim)>) {
        let claims = claims.into_iter().map(|(_, claim)| claim).collect();
        self.write(Row::Put(keys::claims(batch), ClaimsRow { claims }.encode()));
    }
}
