//! Snapshots: what was there, told from end to end.
//!
//! # Invariants
//!
//! 1. A snapshot is one telling: one that broke off, because its owner ended, is dropped.

use std::collections::BTreeMap;

use super::index::Snapshot;
use crate::history::{Event, What};

/// All complete snapshots of a history.
pub fn of(events: &[Event]) -> Vec<Snapshot<'_>> {
    let mut all = Vec::new();
    let mut current = None;
    for (at, event) in events.iter().enumerate() {
        match &event.what {
            What::FoundAll => {
                let mut whole = current.take().unwrap_or_else(|| begin(at));
                whole.at = at;
                all.push(whole);
            }
            What::FoundJob(_) | What::FoundRun(_) | What::FoundValue { .. } => {
                add(current.get_or_insert_with(|| begin(at)), at, event);
            }
            What::Opened { .. } | What::Ended { .. } | What::Invoked { .. } | What::Drained => {
                current = None;
            }
            _ => {}
        }
    }
    all
}

fn begin<'a>(from: usize) -> Snapshot<'a> {
    Snapshot {
        from,
        at: from,
        jobs: BTreeMap::new(),
        payloads: BTreeMap::new(),
        runs: BTreeMap::new(),
        values: BTreeMap::new(),
        twice: Vec::new(),
        has_payloads: true,
    }
}

fn add<'a>(snapshot: &mut Snapshot<'a>, at: usize, event: &'a Event) {
    match &event.what {
        What::FoundJob(job) => {
            if snapshot.jobs.insert(&job.job, (at, job)).is_some() {
                snapshot.twice.push((at, &job.job));
            }
            match (&job.run, &job.payload) {
                (None, Some(payload)) => drop(snapshot.payloads.insert(payload, at)),
                (None, None) => snapshot.has_payloads = false,
                (Some(_), _) => {}
            }
        }
        What::FoundRun(run) if snapshot.runs.insert(&run.run, (at, run)).is_some() => {
            snapshot.twice.push((at, &run.run));
        }
        What::FoundValue { key, value } => drop(snapshot.values.insert(key, (at, value))),
        _ => {}
    }
}
