//! Keys of the key-value space as registers: all writes and reads of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::index::{Call, Fate, History, NEVER};
use super::register::{Read, Register, Sight, Write};
use crate::history::{Effect, Got, Op};

/// One key.
#[derive(Debug, Default)]
pub struct Key<'a> {
    pub register: Register<'a>,
    /// The event of each read.
    pub places: Vec<usize>,
    /// The call of each write.
    pub writers: Vec<usize>,
    /// Values of writes that were refused, with their calls.
    pub refused: Vec<(&'a str, usize)>,
    /// What can be said of each read.
    pub sights: Vec<Sight>,
    /// Calls whose values were read, and are nobody else's.
    pub seen: BTreeSet<usize>,
    /// Successful comparisons: what they expected, and where they were answered.
    pub swaps: Vec<(Option<&'a str>, usize)>,
}

/// All keys.
pub type Keys<'a> = BTreeMap<&'a str, Key<'a>>;

/// The keys of a history.
pub fn of<'a>(history: &History<'a>) -> Keys<'a> {
    let mut keys = Keys::new();
    for (index, call) in history.calls.iter().enumerate() {
        match call.op {
            Op::KvPut { key, value } => {
                write(history, &mut keys, index, key, value.as_deref(), true);
            }
            Op::KvSwap { key, expected, value } => {
                if call.got() == Some(&Got::Swapped(false)) {
                    continue;
                }
                let own = write(history, &mut keys, index, key, value.as_deref(), true);
                if let (true, Some(own)) = (call.is_done(), own) {
                    let key = keys.entry(key).or_default();
                    key.swaps.push((expected.as_deref(), call.answered));
                    read(key, call, expected.as_deref(), Some(own));
                }
            }
            Op::KvGet { key } if history.is_owners(call) => {
                if let Some(Got::Value(value)) = call.got() {
                    read(keys.entry(key).or_default(), call, value.as_deref(), None);
                }
            }
            Op::Settle { token, effects, .. } => {
                let is_sure = !history.may_be_dropped(token, call);
                for effect in effects {
                    let Effect::Put { key, value } = effect else { continue };
                    write(history, &mut keys, index, key, value.as_deref(), is_sure);
                }
            }
            _ => {}
        }
    }
    for snapshot in &history.snapshots {
        for (name, key) in &mut keys {
            let found = snapshot.values.get(name);
            let (until, value) =
                found.map_or((snapshot.at, None), |(at, value)| (*at, Some(*value)));
            key.register.reads.push(Read { value, from: snapshot.from, until, write: None });
            key.places.push(until);
        }
    }
    keys.values_mut().for_each(Key::judge);
    keys
}

impl<'a> Key<'a> {
    fn judge(&mut self) {
        self.sights = self.register.sights();
        let mut writers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (write, call) in self.register.writes.iter().zip(&self.writers) {
            if let Some(value) = write.value {
                writers.entry(value).or_default().push(*call);
            }
        }
        let read = self.register.reads.iter().filter_map(|read| writers.get(read.value?));
        self.seen = read.filter(|calls| calls.len() == 1).map(|calls| calls[0]).collect();
    }

    /// What was read and never written here, and where.
    pub fn unwritten(&self) -> impl Iterator<Item = (&'a str, usize)> + '_ {
        let reads = self.register.reads.iter().zip(&self.sights).zip(&self.places);
        let unwritten = reads.filter(|((_, sight), _)| **sight == Sight::Unwritten);
        unwritten.filter_map(|((read, _), at)| Some((read.value?, *at)))
    }

    /// Reads that can be said this of.
    pub fn read_as(&self, sight: Sight) -> impl Iterator<Item = usize> + '_ {
        let reads = self.sights.iter().zip(&self.places);
        reads.filter(move |(one, _)| **one == sight).map(|(_, at)| *at)
    }
}

fn write<'a>(
    history: &History<'a>,
    keys: &mut Keys<'a>,
    index: usize,
    key: &'a str,
    value: Option<&'a str>,
    is_sure: bool,
) -> Option<usize> {
    let call = &history.calls[index];
    let key = keys.entry(key).or_default();
    if call.fate() == Fate::Refused {
        key.refused.extend(value.map(|value| (value, index)));
        return None;
    }
    let is_sure = is_sure && call.is_done();
    let (from, until) = (call.invoked, history.done_by(call));
    key.register.writes.push(Write { value, from, until, is_sure });
    key.writers.push(index);
    Some(key.register.writes.len() - 1)
}

fn read<'a>(key: &mut Key<'a>, call: &Call<'_>, value: Option<&'a str>, write: Option<usize>) {
    debug_assert!(call.answered != NEVER, "only what was answered is a read");
    let (from, until) = (call.invoked, call.answered);
    key.register.reads.push(Read { value, from, until, write });
    key.places.push(until);
}
