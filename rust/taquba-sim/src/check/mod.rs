//! Checkers: what must hold of every history, one function for each invariant of the reliability plan.
//!
//! A checker knows events only: it has never heard of the engine, so it cannot share its mistakes.
//!
//! # Invariants
//!
//! 1. Where a history cannot tell, nothing is said: a false alarm costs as much as a miss. A call
//!    without an answer, or whose outcome nobody knows, may have been carried out, or not.
//! 2. Observers note a call before they make it: what ended a job without a call in the history did
//!    not end it.
//! 3. What an owner says of its deliveries after another one has the store is not held against
//!    anybody; what it says is stored is (F1).
//! 4. A history of thousands of events is judged in milliseconds: no checker is slower than sorting,
//!    but for claims held against the jobs that wait in their queue.
//!
//! | file | owns |
//! |---|---|
//! | `index.rs` | calls, owners and deliveries, put together once |
//! | `snapshots.rs`, `lives.rs`, `runs.rs` | what was there in the end; jobs; runs |
//! | `register.rs`, `values.rs` | values that are written and read; the keys of a history |
//! | `durability.rs` | D1 to D5 |
//! | `fencing.rs` | F1 to F4 |
//! | `queue.rs`, `settle.rs` | Q1 to Q5, Q16 to Q18; Q7, Q8 and Q15 |
//! | `leases.rs`, `schedule.rs`, `order.rs` | Q6, Q9, L3 and L5; Q10, Q11, Q13 and Q14; Q12 and L1 |
//! | `workflow.rs`, `ends.rs` | W1 to W3, W6, W9 to W11; W4, W5, W7, W8 and W12 |
//! | `memo.rs` | M1 to M6 |
//! | `liveness.rs` | L2 and L4 |

mod durability;
mod ends;
mod fencing;
mod index;
mod leases;
mod liveness;
mod lives;
mod memo;
mod order;
mod queue;
mod register;
mod runs;
mod schedule;
mod settle;
mod snapshots;
mod values;
mod workflow;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::history::Event;
use index::History;

/// Violations of one invariant that are told; more say no more.
const TOLD_COUNT_MAX: usize = 5;

/// The id of an invariant, as the reliability plan has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Invariant(pub &'static str);

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// The index of the event that shows it.
    pub at: usize,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at event {}: {}", self.invariant, self.at, self.text)
    }
}

/// What one checker found.
#[derive(Debug, Default)]
struct Report(Vec<(usize, String)>);

impl Report {
    fn add(&mut self, at: usize, text: impl fmt::Display) {
        if self.0.len() < TOLD_COUNT_MAX {
            self.0.push((at, text.to_string()));
        }
    }
}

type Checker = fn(&History<'_>, &mut Report);

/// One invariant: its id, what it says as far as a history can show it, and who checks it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its id.
    pub invariant: Invariant,
    /// What must hold.
    pub statement: &'static str,
    checker: Checker,
}

const fn check_of(id: &'static str, statement: &'static str, checker: Checker) -> Check {
    Check { invariant: Invariant(id), statement, checker }
}

/// All invariants.
pub const CHECKS: &[Check] = &[
    check_of(
        "D1",
        "what was answered as done is there for every later owner",
        durability::promises,
    ),
    check_of(
        "D2",
        "a restart keeps a prefix: no write without those decided before it",
        durability::prefix,
    ),
    check_of("D3", "nothing is told that a crash can take back", durability::told),
    check_of("D4", "what is read is what was written, or a typed error", durability::intact),
    check_of(
        "D5",
        "what was refused did not happen, what is unknown happened once at most",
        durability::refused,
    ),
    check_of(
        "F1",
        "an owner that lost the store carries out nothing that it is asked after that",
        fencing::lost,
    ),
    check_of("F2", "an owner that says it was fenced does nothing more", fencing::fenced),
    check_of(
        "F3",
        "a store is taken only from the dead or on demand; fenced is only who was",
        fencing::wars,
    ),
    check_of(
        "F4",
        "epochs and tokens are new each time; a token is good for its owner only",
        fencing::tokens,
    ),
    check_of(
        "Q1",
        "a job that was enqueued is there until somebody may have ended it",
        queue::lost,
    ),
    check_of(
        "Q2",
        "what is delivered was enqueued, once, with these bytes, headers and settings",
        queue::phantoms,
    ),
    check_of(
        "Q3",
        "a batch, and a settlement with its effects, is there wholly or not at all",
        queue::torn,
    ),
    check_of("Q4", "a job is in one place only, and all rows fit together", queue::places),
    check_of(
        "Q5",
        "a dedup key names one live job, of that key, and is free when that one is gone",
        queue::keys,
    ),
    check_of("Q6", "two leases of a job do not overlap, by the steady clock", leases::exclusion),
    check_of("Q7", "a job ends once; a refused settlement changes nothing", settle::once),
    check_of("Q8", "one settlement of a delivery is accepted at most", settle::one),
    check_of(
        "Q9",
        "attempts count deliveries, and a job has no more of them than it may",
        leases::attempts,
    ),
    check_of("Q10", "nothing is delivered before its time", schedule::early),
    check_of(
        "Q11",
        "what was due long ago does not wait for its time any more",
        schedule::forgotten,
    ),
    check_of(
        "Q12",
        "claims take the smallest priority and id; ids grow in the order of enqueues",
        order::claims,
    ),
    check_of(
        "Q13",
        "a nacked job waits as long as it should; error texts are bounded",
        schedule::backoff,
    ),
    check_of(
        "Q14",
        "dead and done jobs are kept for their retention, and not for good",
        schedule::retention,
    ),
    check_of(
        "Q15",
        "a cancelled job is not delivered again; what is there is found",
        settle::cancelled,
    ),
    check_of(
        "Q16",
        "a key holds the latest write; no successful comparison is lost",
        queue::values,
    ),
    check_of(
        "Q17",
        "what is counted is what is there, whatever crashed and was done again",
        queue::counts,
    ),
    check_of("Q18", "a damaged record stops no claim of others", queue::isolation),
    check_of("W1", "a step is there only if the step before it went on", workflow::follows),
    check_of(
        "W2",
        "a step gets what the step before it, or the submission, gave it",
        workflow::payloads,
    ),
    check_of(
        "W3",
        "after the end of a run none of its steps is delivered or settled",
        workflow::over,
    ),
    check_of("W4", "a run ends once, as its last step said, and never goes back", ends::stable),
    check_of(
        "W5",
        "each observed end has one notification, delivered, and telling that end",
        ends::hooks,
    ),
    check_of("W6", "a run id stands for one input; it is new once", workflow::submissions),
    check_of("W7", "a run fails of a dead step only, and of every dead step", ends::failures),
    check_of("W8", "a cancelled run ends cancelled and goes no step further", ends::cancels),
    check_of("W9", "reserved headers reach nobody and come from nobody", workflow::reserved),
    check_of("W10", "a live run has exactly one live job, and no dead step", workflow::present),
    check_of("W11", "a step that was put off does not begin before its time", workflow::put_off),
    check_of("W12", "an end says what it must: a result, an error, or neither", ends::well_formed),
    check_of("M1", "a memo holds the latest write of its step", memo::latest),
    check_of("M2", "no memo is found under another run, step or key", memo::apart),
    check_of("M3", "no memo of a live run is lost", memo::lost),
    check_of("M4", "memos are written with a live claim only", memo::stale_claims),
    check_of("M5", "a memo is never read as something that nobody wrote", memo::made_up),
    check_of(
        "M6",
        "a run that is submitted anew sees no memo of the one before it",
        memo::inherited,
    ),
    check_of("L1", "who asks for a job while one waits gets one", order::lost_wakeups),
    check_of("L2", "once nothing goes wrong all work is done in time", liveness::drains),
    check_of("L3", "a job whose lease ran out can be had again", leases::stuck),
    check_of("L4", "every call is answered in time", liveness::answers),
    check_of(
        "L5",
        "a lease that nobody prolongs ends: nothing is settled long after it",
        leases::overdue,
    ),
];

/// All violations in a history, by invariant.
///
/// A history without a profile cannot be judged, and that is a violation, too.
#[must_use]
pub fn check(events: &[Event]) -> Vec<Violation> {
    let Some(history) = History::new(events) else {
        let text = "the history has no profile".to_owned();
        return vec![Violation { invariant: Invariant("history"), at: 0, text }];
    };
    let mut violations = Vec::new();
    for check in CHECKS {
        let mut report = Report::default();
        (check.checker)(&history, &mut report);
        let violation = |(at, text)| Violation { invariant: check.invariant, at, text };
        violations.extend(report.0.into_iter().map(violation));
    }
    violations
}
