//! Sweeps: one run's memos at a time, kept apart from whoever uses them.
//!
//! ```text
//! looking ──(used)──► disturbed ──► over, nothing deleted
//!    └──────────────► deleting ───► over
//! ```
//!
//! # Invariants
//!
//! 1. What is written, or read by a step, while a sweep looks ends it: the sweeper may not know of that
//!    step.
//! 2. What is written, or read by a step, while a sweep deletes waits for its end.
//! 3. One sweep of a run goes on at a time.
//!
//! These hold for all who share one [`MemoObjects`](super::MemoObjects). Of others, a sweep knows the
//! times of their objects only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectMeta;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::ids::RunId;

/// How much later than the mark of its end a run's memo may be dated. Both dates are the store's, so
/// this bounds how far its machines disagree, and how late a write arrives whose claim was lost on
/// the way: no request takes longer.
const SLACK: Duration = Duration::from_secs(60);

/// What may go of a run's memos. Dropping it leaves them alone.
#[derive(Debug)]
pub struct Sweep {
    pub(super) entry: Entry,
    pub(super) objects: Vec<ObjectMeta>,
    /// Those that are younger than the run's end, and have not been there for long.
    pub(super) kept_count: usize,
}

impl Sweep {
    /// Of those that are there, what is as old as the run's end, or has been there for long.
    pub(super) fn new(
        entry: Entry,
        marker: &ObjectMeta,
        due_ms: u64,
        found: Vec<ObjectMeta>,
    ) -> Self {
        let slack_ms = i64::try_from(SLACK.as_millis()).expect("a minute fits");
        let limit_ms = marker.last_modified.timestamp_millis().saturating_add(slack_ms);
        let limit_ms = limit_ms.max(i64::try_from(due_ms).unwrap_or(i64::MAX));
        let found_count = found.len();
        let objects: Vec<_> = found
            .into_iter()
            .filter(|object| object.last_modified.timestamp_millis() <= limit_ms)
            .collect();
        let kept_count = found_count - objects.len();
        Self { entry, objects, kept_count }
    }
}

/// The runs that are being swept.
#[derive(Debug, Default)]
pub(super) struct Gate {
    phases: Mutex<HashMap<RunId, watch::Sender<Phase>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Looking,
    Disturbed,
    Deleting,
}

impl Gate {
    /// Begins to sweep a run, unless somebody does.
    pub(super) fn begin(self: &Arc<Self>, run_id: &RunId) -> Option<Entry> {
        let mut phases = self.phases.lock();
        if phases.contains_key(run_id) {
            return None;
        }
        phases.insert(run_id.clone(), watch::Sender::new(Phase::Looking));
        Some(Entry { gate: Arc::clone(self), run_id: run_id.clone() })
    }

    /// Lets somebody use a run's memos, behind a sweep that deletes them.
    pub(super) async fn pass(&self, run_id: &RunId) {
        while let Some(mut deleting) = self.enter(run_id) {
            // It never changes again: an error says that it is over.
            let _over = deleting.changed().await;
        }
    }

    /// What tells the end of a sweep that deletes.
    fn enter(&self, run_id: &RunId) -> Option<watch::Receiver<Phase>> {
        let phases = self.phases.lock();
        let phase = phases.get(run_id)?;
        if *phase.borrow() == Phase::Deleting {
            return Some(phase.subscribe());
        }
        phase.send_replace(Phase::Disturbed);
        None
    }
}

/// A sweep's place in the gate, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    gate: Arc<Gate>,
    run_id: RunId,
}

impl Entry {
    /// Whether nobody has used the memos since, so that they may go. From now on others wait.
    pub(super) fn may_delete(&self) -> bool {
        let phases = self.gate.phases.lock();
        let phase = phases.get(&self.run_id).expect("an entry is in its gate until it is dropped");
        if *phase.borrow() == Phase::Disturbed {
            return false;
        }
        phase.send_replace(Phase::Deleting);
        true
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let removed = self.gate.phases.lock().remove(&self.run_id);
        assert!(removed.is_some(), "an entry is in its gate until it is dropped");
    }
}
