//! What a job's row, the claims and the requests to stop say of each other.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::report::{ProblemKind, Report};
use crate::command::DedupScope;
use crate::record::{Body, BodyWork, ClaimsRow, JobRow, OpenClaim};

/// What was noted of jobs.
#[derive(Default)]
pub(super) struct Jobs {
    /// By row; the later claim counts.
    claims: BTreeMap<u64, OpenClaim>,
    last_claimed_row: Option<u64>,
    /// Turns, by row.
    cancels: BTreeMap<u64, u32>,
    /// Who holds a dedup key until it is settled, by queue and digest.
    keys: BTreeMap<(u32, u128), u64>,
}

impl Jobs {
    pub fn add_claims(&mut self, row: ClaimsRow) {
        for claim in row.claims {
            self.last_claimed_row = self.last_claimed_row.max(Some(claim.row));
            self.claims.insert(claim.row, claim);
        }
    }

    pub fn add_cancel(&mut self, row: u64, turn: u32) {
        self.cancels.insert(row, turn);
    }

    /// The highest row that was ever claimed, as far as claims tell.
    pub const fn last_claimed_row(&self) -> Option<u64> {
        self.last_claimed_row
    }

    /// Checks a job against itself and what was noted before: claims and requests have smaller keys.
    pub fn check(&mut self, row: u64, stored: &JobRow<Body>, report: &mut Report) {
        let mut wrong = |kind, detail| report.add(kind, format!("job row {row}"), detail);
        if stored.attempts > stored.max_attempts {
            let (attempts, most) = (stored.attempts, stored.max_attempts);
            wrong(ProblemKind::Job, format!("{attempts} attempts of at most {most}"));
        }
        if stored.order < row {
            let order = stored.order;
            wrong(ProblemKind::Job, format!("its place {order} in the queue is before its row"));
        }
        if let Some(claim) = self.claims.remove(&row) {
            let is_same = (claim.turn, claim.order) == (stored.turn, stored.order);
            let is_open = is_same && stored.ended.is_none() && claim.attempts > stored.attempts;
            if is_open && claim.attempts > stored.max_attempts {
                let (attempts, most) = (claim.attempts, stored.max_attempts);
                wrong(ProblemKind::Claim, format!("a claim is its delivery {attempts} of {most}"));
            }
        }
        let cancelled = self.cancels.remove(&row);
        if let Some(turn) = cancelled.filter(|turn| stored.ended.is_some() || *turn > stored.turn) {
            let detail = format!("a request to stop turn {turn}, which it does not have");
            wrong(ProblemKind::CancelRequest, detail);
        }
        if let Some(other) = self.other_holder(row, stored) {
            let detail = format!("job row {other} holds its dedup key too, and neither has ended");
            wrong(ProblemKind::DedupKey, detail);
        }
    }

    /// Another job that holds the same key. Only of jobs that hold theirs from the first moment to the last
    /// it is known: a claim frees a key of the other scope, and a job that was requeued leaves it to
    /// whoever has it meanwhile.
    fn other_holder(&mut self, row: u64, stored: &JobRow<Body>) -> Option<u64> {
        let is_held = stored.dedup_scope == DedupScope::Settled
            && stored.ended.is_none()
            && stored.order == row
            && stored.body.work == BodyWork::Job;
        let key = stored.body.dedup_key.as_deref().filter(|_| is_held)?;
        self.keys.insert((stored.queue, digest(key.as_bytes())), row)
    }

    /// All jobs were there.
    pub fn end(&self, report: &mut Report) {
        for (row, turn) in &self.cancels {
            let detail = format!("there is no such job; the request is about its turn {turn}");
            report.add(ProblemKind::CancelRequest, format!("job row {row}"), detail);
        }
    }
}

/// Enough of a digest to tell texts apart.
pub(super) fn digest(bytes: &[u8]) -> u128 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    u128::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}
