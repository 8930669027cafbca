//! Named queues: what is ready in each, in which order, and what each has seen.
//!
//! # Invariants
//!
//! 1. `ready` holds exactly the jobs in [`super::job::Stage::Pending`], by priority, then by place
//!    in the sequence. The sequence is persisted and only grows, so the order outlives restarts.
//! 2. A queue is created by its first command and never goes away.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use super::paged::Paged;
use crate::command::TerminalStatuses;
use crate::error::{Error, Result};
use crate::ids::QueueName;
use crate::limits::{LANES_EXAMINED_MAX, QUEUES_COUNT_MAX};
use crate::metrics::QueueMeasures;
use crate::options::QueueConfig;
use crate::record::{QueueCounts, QueueRow, Row, keys};

/// Claimable jobs: a lane for each priority, in each lane the order of the sequence.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Priority → order → row. No lane is empty.
    lanes: BTreeMap<u32, Paged<u64>>,
    count: u64,
}

impl Ready {
    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn insert(&mut self, priority: u32, order: u64, row: u64) {
        let is_free = self.lanes.entry(priority).or_default().insert(order, row);
        assert!(is_free, "two jobs have one place in the queue");
        self.count += 1;
    }

    pub fn remove(&mut self, priority: u32, order: u64) {
        let lane = self.lanes.get_mut(&priority).expect("a pending job's lane is there");
        let removed = lane.remove(order);
        assert!(removed.is_some(), "a pending job is in its lane");
        self.end_removal(priority);
    }

    pub fn pop_first(&mut self) -> Option<u64> {
        let (&priority, lane) = self.lanes.iter_mut().next()?;
        let (_, row) = lane.pop_first().expect("no lane is empty");
        self.end_removal(priority);
        Some(row)
    }

    /// The row of the one that came first, of those with the most urgent priorities.
    pub fn oldest(&self) -> Option<u64> {
        let urgent = self.lanes.values().take(LANES_EXAMINED_MAX);
        let firsts = urgent.filter_map(|lane| lane.range_from(0).next());
        firsts.min_by_key(|(order, _)| *order).map(|(_, row)| *row)
    }

    /// In the order in which they will be claimed.
    pub fn rows(&self) -> impl Iterator<Item = u64> {
        self.lanes.values().flat_map(|lane| lane.range_from(0).map(|(_, row)| *row))
    }

    fn end_removal(&mut self, priority: u32) {
        self.count -= 1;
        if self.lanes.get(&priority).is_some_and(Paged::is_empty) {
            self.lanes.remove(&priority);
        }
    }
}

/// One queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub name: QueueName,
    pub config: QueueConfig,
    pub ready: Ready,
    pub scheduled_count: u64,
    /// Jobs that will be pending when their commit is durable.
    pub committing_pending_count: u64,
    /// Jobs that will be scheduled then.
    pub committing_scheduled_count: u64,
    pub claimed_count: u64,
    pub done_count: u64,
    /// (when it died, row)
    pub dead: BTreeSet<(u64, u64)>,
    pub live_run_count: u64,
    /// A subscription of this process has a hook for the runs of this queue.
    pub observes_runs: TerminalStatuses,
    /// What is measured while the store is open.
    pub measures: QueueMeasures,
    /// Totals as they will be stored.
    pub totals: QueueRow,
    /// The totals differ from what is stored.
    pub is_dirty: bool,
}

impl Queue {
    /// What it holds now.
    pub fn counts(&self) -> QueueCounts {
        QueueCounts {
            pending: self.ready.len(),
            scheduled: self.scheduled_count,
            claimed: self.claimed_count,
            done: self.done_count,
            dead: self.dead.len() as u64,
            live_runs: self.live_run_count,
        }
    }

    /// What it holds once all that is being committed is durable.
    pub fn counts_with_commit(&self) -> QueueCounts {
        let counts = self.counts();
        QueueCounts {
            pending: counts.pending + self.committing_pending_count,
            scheduled: counts.scheduled + self.committing_scheduled_count,
            ..counts
        }
    }
}

/// All queues: by name for callers, by index for rows.
#[derive(Debug, Default)]
pub(super) struct Queues {
    list: Vec<Queue>,
    by_name: BTreeMap<QueueName, u32>,
    dirty: Vec<u32>,
}

impl Queues {
    pub fn at(&self, index: u32) -> &Queue {
        &self.list[index as usize]
    }

    pub fn at_mut(&mut self, index: u32) -> &mut Queue {
        &mut self.list[index as usize]
    }

    pub fn find(&self, name: &QueueName) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub fn len(&self) -> u32 {
        u32::try_from(self.list.len()).expect("fewer than 2^32 queues")
    }

    /// In order of name.
    pub fn by_name(&self) -> impl Iterator<Item = &Queue> {
        self.by_name.values().map(|&index| self.at(index))
    }

    /// Adds the queue with the next index.
    pub fn push(&mut self, name: QueueName, config: QueueConfig, totals: QueueRow) -> u32 {
        let index = self.len();
        self.by_name.insert(name.clone(), index);
        self.list.push(Queue {
            name,
            config,
            ready: Ready::default(),
            scheduled_count: 0,
            committing_pending_count: 0,
            committing_scheduled_count: 0,
            claimed_count: 0,
            done_count: 0,
            dead: BTreeSet::new(),
            live_run_count: 0,
            observes_runs: TerminalStatuses::NONE,
            measures: QueueMeasures::default(),
            totals,
            is_dirty: false,
        });
        index
    }

    /// The totals of one queue, to be counted up; they go out with the next commit.
    pub fn totals(&mut self, index: u32) -> &mut QueueRow {
        let queue = &mut self.list[index as usize];
        if !queue.is_dirty {
            queue.is_dirty = true;
            self.dirty.push(index);
        }
        &mut queue.totals
    }

    /// The rows of the queues whose totals changed.
    pub fn take_dirty_rows(&mut self) -> Vec<Row> {
        let dirty = std::mem::take(&mut self.dirty);
        let row = |index: u32| {
            let queue = self.at_mut(index);
            queue.is_dirty = false;
            queue.totals.counts = queue.counts_with_commit();
            Row::Put(keys::queue(index), queue.totals.encode())
        };
        dirty.into_iter().map(row).collect()
    }
}

impl State {
    /// The queue of this name, created if it is new. Its row goes out with the next commit.
    pub(super) fn queue_index(&mut self, name: &QueueName) -> Result<u32> {
        if let Some(index) = self.queues.find(name) {
            return Ok(index);
        }
        if self.queues.len() >= QUEUES_COUNT_MAX {
            return Err(Error::TooManyQueues { name: name.to_string() });
        }
        let config = self.options.queue_config(name).clone();
        let totals = QueueRow { name: name.to_string(), ..QueueRow::default() };
        let index = self.queues.push(name.clone(), config, totals);
        // A later queue's row must not go out without this one: the index would have a hole.
        self.queues.totals(index);
        Ok(index)
    }
}
