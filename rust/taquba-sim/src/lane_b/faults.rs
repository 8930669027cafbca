//! What goes wrong with the store of one life.

use std::time::Duration;

use taquba_chaos::{Fault, Plan, Rule};

use crate::random::Random;

/// Files of the storage engine that are checked when they are read. Lists of files are not: in those a flip
/// may say something else, and no reader can tell.
const CHECKED: &str = ".sst";

/// What a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Faults, and how often each request meets them, of which a seed picks one.
///
/// Left out are `ConflictForeign`, which says that somebody else owns the store, and nobody does; `Rot`, which
/// no single copy survives; and `StaleList`, which the stores that we promise to work on do not do.
const FAULTS: [(Fault, [f64; 3]); 14] = [
    (Fault::FailBefore, [0.001, 0.01, 0.05]),
    (Fault::FailAfter, [0.001, 0.01, 0.05]),
    (Fault::Hang, [0.000_2, 0.001, 0.005]),
    (Fault::Throttle, [0.05, 0.2, 0.5]),
    (Fault::Deny403, [0.000_1, 0.000_2, 0.000_5]),
    (Fault::NoSpace, [0.000_5, 0.001, 0.005]),
    (Fault::ConflictAbsent, [0.001, 0.01, 0.05]),
    (Fault::ConflictOwn, [0.001, 0.01, 0.05]),
    (Fault::Precondition412, [0.001, 0.01, 0.05]),
    (Fault::DetachPut, [0.001, 0.005, 0.02]),
    (Fault::DuplicatePut, [0.001, 0.01, 0.05]),
    (Fault::TruncateGet, [0.001, 0.005, 0.02]),
    (Fault::FlipGet, [0.001, 0.005, 0.02]),
    (Fault::DropStream, [0.001, 0.005, 0.02]),
];

/// Faults of which each seed leaves out half.
pub(super) fn plan(random: &mut Random) -> Plan {
    let ms = Duration::from_millis;
    let latencies = [ms(0)..=ms(0), ms(1)..=ms(20), ms(5)..=ms(100), ms(10)..=ms(400)];
    let mut plan = Plan::default()
        .with(Fault::Latency, Rule::always())
        .latency(random.pick(&latencies).clone())
        .throttle(50, 200)
        .hang_limit(TIMEOUT);
    for (fault, odds) in FAULTS {
        let odds = *random.pick(&odds);
        if random.chance(500_000) {
            let rule = Rule::odds(odds);
            let is_damage = matches!(fault, Fault::TruncateGet | Fault::FlipGet);
            plan = plan.with(fault, if is_damage { rule.at(CHECKED) } else { rule });
        }
    }
    plan
}
