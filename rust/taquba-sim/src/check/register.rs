//! Registers: values that are written and read, and what a read may see.
//!
//! A read may see a write unless another write surely came between them: one that was asked for after
//! that write was over, and was over before the read was asked for. It is the condition of an atomic
//! register (Lamport, "On Interprocess Communication", 1986) for values of which it is known who wrote
//! them; it is necessary, and for reads that do not overlap writes sufficient.
//!
//! # Invariants
//!
//! 1. A write of unknown outcome may have happened at any time until its owner had lost the store.
//! 2. What a read has seen was stored by then: from there on that write is a sure one.

use std::collections::BTreeMap;

/// A write, from when it was asked for until it was over.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub value: Option<&'a str>,
    pub from: usize,
    pub until: usize,
    pub is_sure: bool,
}

/// A read of what was stored at some time between.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    pub value: Option<&'a str>,
    pub from: usize,
    pub until: usize,
    /// The write that the same call made, if it made one: it does not see that.
    pub write: Option<usize>,
}

/// What can be said of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It may have seen this.
    Fine,
    /// Nobody wrote that here.
    Unwritten,
    /// Something newer had been acknowledged.
    Stale,
    /// Something newer had been read.
    TakenBack,
}

/// One register: it held nothing at first.
#[derive(Debug, Default)]
pub struct Register<'a> {
    pub writes: Vec<Write<'a>>,
    pub reads: Vec<Read<'a>>,
}

impl<'a> Register<'a> {
    /// What each read may have seen.
    pub fn sights(&self) -> Vec<Sight> {
        let mut by_value: BTreeMap<Option<&'a str>, Vec<usize>> = BTreeMap::new();
        for (index, write) in self.writes.iter().enumerate() {
            by_value.entry(write.value).or_default().push(index);
        }
        let candidates = |read: &Read<'a>| {
            let all = by_value.get(&read.value).map_or(&[][..], Vec::as_slice);
            let own = read.write;
            let until = read.until;
            let may_be =
                move |index: &usize| self.writes[*index].from < until && Some(*index) != own;
            all.iter().copied().filter(may_be)
        };
        let sure = self.writes.iter().filter(|write| write.is_sure);
        let acknowledged = Newest::of(sure.map(|write| (write.until, write.from)).collect());
        let seen = self.reads.iter().filter_map(|read| {
            let mut all = candidates(read);
            let only = all.next().filter(|_| read.value.is_some())?;
            all.next().is_none().then_some((read.until, self.writes[only].from))
        });
        let sure = self.writes.iter().filter(|write| write.is_sure);
        let sure = sure.map(|write| (write.until, write.from));
        let known = Newest::of(sure.chain(seen).collect());
        let sight = |read: &Read<'a>| {
            let ends: Vec<usize> = candidates(read).map(|index| self.writes[index].until).collect();
            let is_first = read.value.is_none();
            if ends.is_empty() && !is_first {
                return Sight::Unwritten;
            }
            // That it held nothing at first is a write that was over before everything.
            let last = ends.into_iter().max().unwrap_or(0);
            let is_older =
                |newest: &Newest| newest.before(read.from).is_some_and(|from| last < from);
            match (is_older(&acknowledged), is_older(&known)) {
                (true, _) => Sight::Stale,
                (false, true) => Sight::TakenBack,
                (false, false) => Sight::Fine,
            }
        };
        self.reads.iter().map(sight).collect()
    }
}

/// The latest beginning among writes that were over before some place.
struct Newest(Vec<(usize, usize)>);

impl Newest {
    fn of(mut writes: Vec<(usize, usize)>) -> Self {
        writes.sort_unstable();
        let mut newest = 0;
        for (_, from) in &mut writes {
            newest = newest.max(*from);
            *from = newest;
        }
        Self(writes)
    }

    fn before(&self, place: usize) -> Option<usize> {
        let count = self.0.partition_point(|(until, _)| *until < place);
        count.checked_sub(1).map(|index| self.0[index].1)
    }
}
