//! What is counted of the state machine: turns of 512 operations of one kind.

use std::time::Duration;

use taquba_engine::command::{Claim, Command, StepOutcome, TerminalStatuses, Verdict};
use taquba_engine::ids::MemoKey;
use taquba_engine::record::Row;

use super::machine::{
    Machine, claim, enqueue, enqueues, nack, payload, subscribe, succeed, with_dedup_key,
};
use super::{ROUND, ROUNDS, WARM_UP_ROUNDS, measured, tell};

/// Longer than any backoff of a first retry.
const BACKOFF: Duration = Duration::from_secs(25);

/// One kind of operation: what a round of it needs, is and leaves behind.
pub struct Operation {
    name: &'static str,
    /// Rows that each one writes.
    row_count: usize,
    /// Deliveries that each one gets.
    claim_count: usize,
    /// Brings the machine where the round begins, and says what the round consists of.
    prepare: fn(&mut Machine) -> Vec<Command>,
    /// Tidies up for the next round.
    finish: fn(&mut Machine),
}

pub const OPERATIONS: [Operation; 14] = [
    Operation {
        name: "enqueue",
        row_count: 1,
        claim_count: 0,
        prepare: |_| enqueues(),
        finish: |_| {},
    },
    Operation {
        name: "enqueue with a dedup key",
        row_count: 1,
        claim_count: 0,
        prepare: |m| m.numbers().map(|n| enqueue(with_dedup_key(n))).collect(),
        finish: |_| {},
    },
    Operation {
        name: "claim",
        row_count: 0,
        claim_count: 1,
        prepare: |m| {
            m.settle(enqueues());
            (0..ROUND).map(|_| claim(1)).collect()
        },
        finish: |m| m.settle_claims(|_| Verdict::Ack),
    },
    Operation {
        name: "ack",
        row_count: 1,
        claim_count: 0,
        prepare: |m| {
            m.claim_jobs();
            m.verdicts(|_| Verdict::Ack)
        },
        finish: |_| {},
    },
    Operation {
        name: "nack",
        row_count: 1,
        claim_count: 0,
        prepare: |m| {
            m.claim_jobs();
            m.verdicts(nack)
        },
        finish: ack_the_retries,
    },
    Operation {
        name: "retry comes due",
        row_count: 0,
        claim_count: 0,
        prepare: |m| {
            m.claim_jobs();
            m.settle_claims(nack);
            m.pass(BACKOFF);
            Vec::new()
        },
        finish: ack_the_retries,
    },
    Operation {
        name: "cancel a job",
        row_count: 1,
        claim_count: 0,
        prepare: |m| {
            m.settle(enqueues());
            m.job_ids.drain(..).map(|job_id| Command::CancelJob { job_id }).collect()
        },
        finish: |_| {},
    },
    Operation {
        name: "submit",
        row_count: 2,
        claim_count: 0,
        prepare: Machine::submits,
        finish: |_| {},
    },
    Operation {
        name: "dispatch",
        row_count: 0,
        claim_count: 1,
        prepare: |m| {
            let runs = m.submits();
            m.settle(runs);
            vec![subscribe()]
        },
        finish: |m| {
            m.unsubscribe();
            m.settle_claims(succeed);
        },
    },
    Operation {
        name: "step",
        row_count: 1,
        claim_count: 1,
        prepare: |m| {
            m.start_runs();
            m.verdicts(|_| Verdict::Step(StepOutcome::Continue { payload: payload() }))
        },
        finish: |_| {},
    },
    Operation {
        name: "memo",
        row_count: 1,
        claim_count: 0,
        prepare: |m| {
            m.start_runs();
            let keys: Vec<_> = m.numbers().map(|n| MemoKey::of(&n.to_le_bytes())).collect();
            let put = |(claim, key): (&Claim, _)| Command::MemoPut {
                token: claim.token,
                key,
                value: payload(),
            };
            m.claims.iter().zip(keys).map(put).collect()
        },
        finish: |_| {},
    },
    Operation {
        name: "run ends",
        row_count: 2,
        claim_count: 0,
        prepare: |m| {
            m.start_runs();
            m.unsubscribe();
            m.verdicts(succeed)
        },
        finish: |_| {},
    },
    Operation {
        name: "run ends and a hook is told",
        row_count: 2,
        claim_count: 1,
        prepare: |m| {
            m.observed = TerminalStatuses::ALL;
            m.start_runs();
            m.verdicts(succeed)
        },
        finish: |m| {
            m.unsubscribe();
            m.settle_claims(|_| Verdict::Ack);
        },
    },
    Operation {
        name: "cancel a run",
        row_count: 2,
        claim_count: 0,
        prepare: |m| {
            let runs = m.submits();
            m.settle(runs);
            let cancel = |run_id| Command::CancelRun { run_id, tells_hook: false };
            m.run_ids.drain(..).map(cancel).collect()
        },
        finish: |_| {},
    },
];

impl Operation {
    /// Counts all rounds but the first ones.
    pub fn run(&self) {
        let mut machine = Machine::new();
        for _ in 0..WARM_UP_ROUNDS {
            let commands = (self.prepare)(&mut machine);
            machine.settle(commands);
            (self.finish)(&mut machine);
        }
        for _ in 0..ROUNDS {
            let mut commands = (self.prepare)(&mut machine);
            let mut rows = Vec::new();
            measured(&mut || rows = machine.turn(&mut commands));
            machine.collect();
            self.check(&machine, &rows);
            (self.finish)(&mut machine);
        }
        tell(ROUNDS, ROUNDS * ROUND, self.name);
    }

    fn check(&self, machine: &Machine, rows: &[Row]) {
        // Beside those of the operations there are the sequence's and the queue's.
        assert_eq!(rows.len() / ROUND, self.row_count, "rows of `{}`", self.name);
        if self.claim_count > 0 {
            assert_eq!(machine.claims.len() / ROUND, self.claim_count, "claims of `{}`", self.name);
        }
    }
}

/// Shows that all of them came back, and takes them away.
fn ack_the_retries(m: &mut Machine) {
    m.pass(BACKOFF);
    m.settle(vec![claim(ROUND)]);
    assert!(m.claims.iter().all(|claim| claim.attempts == 2), "each is a retry");
    m.settle_claims(|_| Verdict::Ack);
}
