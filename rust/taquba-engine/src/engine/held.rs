//! What waits for a commit before it may leave.

use std::collections::VecDeque;

use super::inbox::Cost;
use crate::command::Reply;
use crate::error::{Error, Result};
use crate::state::{Origin, Query};

/// Something that leaves when its batch is durable.
pub(super) enum Held {
    Reply(Origin, Result<Reply>),
    /// Ask the log and reply with what it says.
    Query(Origin, Query),
    /// Read the bodies of these rows: what they are to be changed into depends on them.
    Load(Vec<u64>),
    /// Find the memos of these runs: what was written last has to be found as well.
    Sweep(Vec<u64>),
    /// Requests that do not wait any more.
    Cost(Cost),
}

/// In the order of their batches.
#[derive(Default)]
pub(super) struct HeldQueue {
    queue: VecDeque<(u64, Held)>,
}

impl HeldQueue {
    pub fn hold(&mut self, batch: u64, held: Held) {
        let is_ordered = self.queue.back().is_none_or(|(last, _)| *last <= batch);
        assert!(is_ordered, "batches are numbered in the order they are cut");
        self.queue.push_back((batch, held));
    }

    /// Takes the next one that this durable batch sets free.
    pub fn pop(&mut self, durable: u64) -> Option<Held> {
        let is_free = self.queue.front().is_some_and(|(batch, _)| *batch <= durable);
        if is_free { self.queue.pop_front().map(|(_, held)| held) } else { None }
    }

    /// Turns everything into failures.
    pub fn fail(&mut self, error: &Error) -> Vec<(Origin, Result<Reply>)> {
        let failed = |(_, held)| match held {
            Held::Reply(origin, _) | Held::Query(origin, _) => Some((origin, Err(error.clone()))),
            Held::Load(_) | Held::Sweep(_) | Held::Cost(_) => None,
        };
        self.queue.drain(..).filter_map(failed).collect()
    }
}
