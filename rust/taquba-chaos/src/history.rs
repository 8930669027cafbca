//! What came and went lately: what a stale listing is made of.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use object_store::ObjectMeta;
use object_store::path::Path;

/// The latest changes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    changes: VecDeque<(Duration, Change)>,
}

#[derive(Debug)]
pub(crate) enum Change {
    Created(Path),
    Deleted(ObjectMeta),
}

impl History {
    /// Remembers a change for `window`.
    pub fn note(&mut self, now: Duration, window: Duration, change: Change) {
        let oldest = now.saturating_sub(window);
        while self.changes.front().is_some_and(|(at, _)| *at < oldest) {
            self.changes.pop_front();
        }
        self.changes.push_back((now, change));
    }

    /// A listing as it was at `instant`, sorted. `belongs` says which paths it is about.
    pub fn as_of(
        &self,
        instant: Duration,
        listed: Vec<ObjectMeta>,
        belongs: impl Fn(&Path) -> bool,
    ) -> Vec<ObjectMeta> {
        let entries = listed.into_iter().map(|meta| (meta.location.clone(), meta));
        let mut view: BTreeMap<Path, ObjectMeta> = entries.collect();
        for (_, change) in self.changes.iter().rev().take_while(|(at, _)| *at > instant) {
            match change {
                Change::Created(path) => drop(view.remove(path)),
                Change::Deleted(meta) if belongs(&meta.location) => {
                    view.insert(meta.location.clone(), meta.clone());
                }
                Change::Deleted(_) => {}
            }
        }
        view.into_values().collect()
    }
}
