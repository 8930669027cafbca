//! What a store has done.

use std::collections::BTreeMap;

use crate::fault::Fault;

/// Requests and faults of one store since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub(crate) request_count: u64,
    pub(crate) late_count: u64,
    pub(crate) faults: BTreeMap<Fault, u64>,
}

impl Counts {
    /// Requests that were made, those that failed among them.
    pub fn requests(&self) -> u64 {
        self.request_count
    }

    /// Puts that arrived late: detached ones and copies. They are tried; a conditional one may have no effect.
    pub fn late_puts(&self) -> u64 {
        self.late_count
    }

    /// How often this fault has happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// How many faults have happened, delays left out.
    pub fn total(&self) -> u64 {
        self.faults.iter().filter(|(fault, _)| !fault.delays()).map(|(_, count)| count).sum()
    }

    /// Each fault that has happened, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64)> {
        self.faults.iter().map(|(fault, count)| (*fault, *count))
    }
}
