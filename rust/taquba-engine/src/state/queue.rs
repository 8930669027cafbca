//! Named queues: what is ready in each, in which order, and what each has seen.
//!
//! # Invariants
//!
//! 1. `ready` holds exactly the jobs in [`super::JobState::Pending`], by priority, then by place
//!    in the sequence. The sequence is persisted and only grows, so the order outlives restarts.
//! 2. A queue is created by its first command and never goes away.

use std::collections::BTreeMap;

use super::State;
use crate::error::{Error, Result};
use crate::ids::QueueName;
use crate::limits::QUEUES_COUNT_MAX;
use crate::options::QueueConfig;
use crate::record::{QueueRow, Row, keys};

/// One queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub name: QueueName,
    pub config: QueueConfig,
    /// (priority, order) → row.
    pub ready: BTreeMap<(u32, u64), u64>,
    pub scheduled_count: u64,
    pub claimed_count: u64,
    pub dead_count: u64,
    pub live_run_count: u64,
    /// A subscription of this process has a hook for the runs of this queue.
    pub observes_runs: bool,
    /// Totals as they will be stored.
    pub totals: QueueRow,
    /// The totals differ from what is stored.
    pub is_dirty: bool,
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
            ready: BTreeMap::new(),
            scheduled_count: 0,
            claimed_count: 0,
            dead_count: 0,
            live_run_count: 0,
            observes_runs: false,
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
            Row::Put(keys::queue(index), queue.totals.encode())
        };
        dirty.into_iter().map(row).collect()
    }
}

impl State {
    /// The queue of this name, created if it is new. Its row goes out with its first job.
    pub(super) fn queue_index(&mut self, name: &QueueName) -> Result<u32> {
        if let Some(index) = self.queues.find(name) {
            return Ok(index);
        }
        if self.queues.len() >= QUEUES_COUNT_MAX {
            return Err(Error::TooManyQueues { name: name.to_string() });
        }
        let config = self.options.queue_config(name).clone();
        let totals = QueueRow { name: name.to_string(), ..QueueRow::default() };
        Ok(self.queues.push(name.clone(), config, totals))
    }
}
