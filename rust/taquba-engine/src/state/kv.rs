//! The key-value space: small values that change together with jobs.
//!
//! Values live in the log. Memory holds those of them that are on their way there, and those that
//! somebody compares: a comparison must see every write that was decided before it.
//!
//! # Invariants
//!
//! 1. Writes of one key take effect in the order in which they were decided.
//! 2. A cell exists from a write until that is durable, and while a comparison waits for the
//!    stored value; so no comparison ever sees a value that has been overwritten.
//! 3. What was read for one comparison is not taken for a later one: it may be old by then.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Effects, Origin, State};
use crate::command::{Expected, Reply};
use crate::error::{Error, Result};
use crate::ids::KvKey;
use crate::limits::KV_VALUE_BYTES_MAX;
use crate::record::{Row, encode_value, keys};

/// A write that waits for the stored value.
#[derive(Debug)]
struct Comparison {
    origin: Origin,
    expected: Option<Bytes>,
    value: Option<Bytes>,
}

/// One key.
#[derive(Debug, Default)]
struct Cell {
    /// The latest write and its batch; `None` if only comparisons brought the cell into being.
    written: Option<(u64, Option<Bytes>)>,
    comparisons: Vec<Comparison>,
    /// The number of the read that the comparisons wait for.
    read: u64,
}

/// Keys that are being written or compared.
#[derive(Debug, Default)]
pub(super) struct KvSpace {
    cells: BTreeMap<KvKey, Cell>,
    /// Written keys in the order of their batches.
    unsettled: VecDeque<(u64, KvKey)>,
    /// The last batch that is durable.
    durable: u64,
    next_read: u64,
}

impl KvSpace {
    /// Keys that are being written or compared, and writes that are not durable.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 2] {
        [self.cells.len(), self.unsettled.len()]
    }

    /// Lets go of what is in the log now.
    pub fn on_durable(&mut self, number: u64) {
        self.durable = number;
        while self.unsettled.front().is_some_and(|(batch, _)| *batch <= number) {
            let (_, key) = self.unsettled.pop_front().expect("looked at above");
            self.release(&key);
        }
    }

    /// Everybody who waits for a stored value.
    pub fn origins(&self) -> impl Iterator<Item = Origin> {
        self.cells.values().flat_map(|cell| cell.comparisons.iter().map(|c| c.origin))
    }

    /// Drops the cell of a key if nothing needs it.
    fn release(&mut self, key: &KvKey) {
        let durable = self.durable;
        let is_idle = |cell: &Cell| {
            let is_stored = cell.written.as_ref().is_none_or(|(batch, _)| *batch <= durable);
            is_stored && cell.comparisons.is_empty()
        };
        if self.cells.get(key).is_some_and(is_idle) {
            self.cells.remove(key);
        }
    }
}

impl State {
    /// Writes a key, if it holds what is expected.
    pub(super) fn write_value(
        &mut self,
        origin: Origin,
        key: KvKey,
        expected: Expected,
        value: Option<Bytes>,
        fx: &mut Effects,
    ) {
        if let Err(error) = check_value(value.as_ref()) {
            return fx.answer(origin, Err(error));
        }
        let Expected::Value(expected) = expected else {
            self.put_value(key, value);
            return fx.promise(origin, Ok(Reply::Written(true)));
        };
        let cell = self.kv.cells.entry(key.clone()).or_default();
        cell.comparisons.push(Comparison { origin, expected, value });
        if cell.written.is_some() {
            self.compare(&key, None, fx);
        } else if cell.comparisons.len() == 1 {
            cell.read = self.kv.next_read;
            self.kv.next_read += 1;
            fx.value_reads.push((key, cell.read));
        }
    }

    /// Writes a key, whatever it holds.
    pub(super) fn put_value(&mut self, key: KvKey, value: Option<Bytes>) {
        let row = match &value {
            Some(value) => Row::Put(keys::kv(&key), encode_value(value)),
            None => Row::Delete(keys::kv(&key)),
        };
        self.write(row);
        let batch = self.batch_number;
        self.kv.cells.entry(key.clone()).or_default().written = Some((batch, value));
        self.kv.unsettled.push_back((batch, key));
    }

    /// Takes the stored value of a key that somebody compares.
    pub fn value_read(
        &mut self,
        key: &KvKey,
        number: u64,
        read: Result<Option<Bytes>>,
        fx: &mut Effects,
    ) {
        let is_awaited = |cell: &Cell| cell.read == number && !cell.comparisons.is_empty();
        if !self.kv.cells.get(key).is_some_and(is_awaited) {
            return;
        }
        match read {
            Ok(stored) => self.compare(key, stored, fx),
            Err(error) => self.fail_comparisons(key, &error, fx),
        }
    }

    /// Decides the comparisons of a key in the order of their arrival. What memory knows of it is
    /// newer than what was read.
    fn compare(&mut self, key: &KvKey, stored: Option<Bytes>, fx: &mut Effects) {
        let cell = self.kv.cells.get_mut(key).expect("a comparison keeps its cell");
        let comparisons = std::mem::take(&mut cell.comparisons);
        let mut current = cell.written.as_ref().map_or(stored, |(_, value)| value.clone());
        for Comparison { origin, expected, value } in comparisons {
            let is_met = current == expected;
            if is_met {
                current.clone_from(&value);
                self.put_value(key.clone(), value);
            }
            fx.promise(origin, Ok(Reply::Written(is_met)));
        }
        self.kv.release(key);
    }

    fn fail_comparisons(&mut self, key: &KvKey, error: &Error, fx: &mut Effects) {
        let Some(cell) = self.kv.cells.get_mut(key) else { return };
        for comparison in std::mem::take(&mut cell.comparisons) {
            fx.answer(comparison.origin, Err(error.clone()));
        }
        self.kv.release(key);
    }
}

pub(super) fn check_value(value: Option<&Bytes>) -> Result<()> {
    let size_bytes = value.map_or(0, Bytes::len);
    if size_bytes > KV_VALUE_BYTES_MAX { Err(Error::ValueTooLarge { size_bytes }) } else { Ok(()) }
}
