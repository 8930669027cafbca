//! An ordered map from numbers that mostly ascend, without waste between them.
//!
//! Numbers of one page stand side by side behind a bitmap of those that are there; a number's place is
//! how many bits are set below it (Bagwell, "Ideal Hash Trees", 2001). A full page costs what its values
//! cost: a million waiting jobs would take twice the memory in a B-tree, whose nodes stay half empty
//! when keys ascend, or in a hash table, which has no order either.
//!
//! # Invariants
//!
//! 1. A page is never empty.
//! 2. The bits of a page's bitmap are the numbers of its values, in order.
//! 3. What is said of a recent page is what the search would say.

use std::collections::BTreeMap;

/// Numbers of one page: a removal moves at most this many values.
const PAGE_SLOTS: u64 = 32;

/// A vector that is filled less than one part in this many gives memory back.
const SHRINK_BELOW: usize = 4;

/// Pages that are found without a search: those of the jobs that are under way, and some more.
const RECENT_COUNT: u64 = 128;

/// No page has this number.
const NO_PAGE: u64 = u64::MAX;

#[derive(Debug)]
struct Page<T> {
    present: u32,
    values: Vec<T>,
}

impl<T> Page<T> {
    fn index_of(&self, bit: u32) -> usize {
        (self.present & (bit - 1)).count_ones() as usize
    }

    /// The slots that are there, in order.
    fn slots(&self) -> impl DoubleEndedIterator<Item = u64> + use<T> {
        let present = self.present;
        (0..PAGE_SLOTS).filter(move |slot| present & (1 << slot) != 0)
    }
}

/// The map.
#[derive(Debug)]
pub(super) struct Paged<T> {
    /// Where each page is.
    places: BTreeMap<u64, u32>,
    pages: Vec<Page<T>>,
    /// Places that no page has.
    free: Vec<u32>,
    /// Where some pages are, each at its number modulo the length. Empty while there is but one.
    recent: Vec<(u64, u32)>,
    count: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            pages: Vec::new(),
            free: Vec::new(),
            recent: Vec::new(),
            count: 0,
        }
    }
}

impl<T> Paged<T> {
    pub fn len(&self) -> usize {
        self.count
    }

    /// Values, and pages with and without values.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 2] {
        [self.count, self.pages.len()]
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn get(&self, number: u64) -> Option<&T> {
        let (index, bit) = place(number);
        let page = &self.pages[self.find(index)?];
        (page.present & bit != 0).then(|| &page.values[page.index_of(bit)])
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (index, bit) = place(number);
        let page = self.page_mut(index)?;
        let index = page.index_of(bit);
        (page.present & bit != 0).then(|| &mut page.values[index])
    }

    /// Adds a value. `false`, and nothing changes, if the number is taken.
    #[must_use]
    pub fn insert(&mut self, number: u64, value: T) -> bool {
        let (index, bit) = place(number);
        if self.find(index).is_none() {
            self.add_page(index);
        }
        let page = self.page_mut(index).expect("it is there now");
        if page.present & bit != 0 {
            return false;
        }
        page.values.insert(page.index_of(bit), value);
        page.present |= bit;
        self.count += 1;
        true
    }

    pub fn remove(&mut self, number: u64) -> Option<T> {
        let (index, bit) = place(number);
        let page = self.page_mut(index)?;
        if page.present & bit == 0 {
            return None;
        }
        let value = page.values.remove(page.index_of(bit));
        page.present &= !bit;
        if page.present == 0 {
            self.remove_page(index);
        } else if page.values.len() * SHRINK_BELOW < page.values.capacity() {
            page.values.shrink_to_fit();
        }
        self.count -= 1;
        Some(value)
    }

    /// Takes the value with the smallest number.
    pub fn pop_first(&mut self) -> Option<(u64, T)> {
        let (&index, &at) = self.places.first_key_value()?;
        let slot = self.pages[at as usize].present.trailing_zeros();
        let number = index * PAGE_SLOTS + u64::from(slot);
        self.remove(number).map(|value| (number, value))
    }

    /// Where a page is.
    fn find(&self, index: u64) -> Option<usize> {
        let recent = self.recent.get(recent_place(index));
        let at = match recent {
            Some(&(other, at)) if other == index => Some(at),
            _ => self.places.get(&index).copied(),
        };
        at.map(|at| at as usize)
    }

    fn page_mut(&mut self, index: u64) -> Option<&mut Page<T>> {
        let at = self.find(index)?;
        if let Some(recent) = self.recent.get_mut(recent_place(index)) {
            *recent = (index, as_place(at));
        }
        Some(&mut self.pages[at])
    }

    fn add_page(&mut self, index: u64) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.pages.push(Page { present: 0, values: Vec::new() });
            as_place(self.pages.len() - 1)
        });
        self.places.insert(index, at);
        if self.places.len() > 1 && self.recent.is_empty() {
            self.recent.resize(recent_place(NO_PAGE) + 1, (NO_PAGE, 0));
        }
    }

    fn remove_page(&mut self, index: u64) {
        let at = self.places.remove(&index).expect("the caller has found it");
        self.pages[at as usize].values = Vec::new();
        self.free.push(at);
        if let Some(recent) = self.recent.get_mut(recent_place(index)) {
            recent.0 = NO_PAGE;
        }
        if self.places.is_empty() {
            *self = Self { count: self.count, ..Self::default() };
        }
    }

    /// Those below `end`, the last one first.
    pub fn range_before(&self, end: u64) -> impl Iterator<Item = (u64, &T)> {
        let pages = self.places.range(..=end / PAGE_SLOTS).rev();
        let values = pages.flat_map(|(index, &at)| {
            let page = &self.pages[at as usize];
            let numbers = page.slots().rev().map(move |slot| index * PAGE_SLOTS + slot);
            numbers.zip(page.values.iter().rev())
        });
        values.skip_while(move |(number, _)| *number >= end)
    }

    /// In order, from `first` on.
    pub fn range_from(&self, first: u64) -> impl Iterator<Item = (u64, &T)> {
        let pages = self.places.range(first / PAGE_SLOTS..);
        let values = pages.flat_map(|(index, &at)| {
            let page = &self.pages[at as usize];
            let numbers = page.slots().map(move |slot| index * PAGE_SLOTS + slot);
            numbers.zip(&page.values)
        });
        values.skip_while(move |(number, _)| *number < first)
    }
}

/// Where among the recent pages this one is kept.
fn recent_place(index: u64) -> usize {
    usize::try_from(index % RECENT_COUNT).expect("a small number")
}

fn as_place(at: usize) -> u32 {
    u32::try_from(at).expect("2^32 pages are more than memory has")
}

/// The page of a number, and its bit there.
fn place(number: u64) -> (u64, u32) {
    (number / PAGE_SLOTS, 1 << (number % PAGE_SLOTS))
}

#[cfg(test)]
mod tests {
    use super::super::SplitMix64;
    use super::*;

    #[test]
    fn it_agrees_with_an_ordered_map_whatever_is_done_to_it() {
        let mut random = SplitMix64(1);
        let (mut paged, mut model) = (Paged::default(), BTreeMap::new());
        for step in 0..20_000_u64 {
            let number = random.up_to(if step % 2_000 < 1_000 { 500 } else { 20_000 });
            match random.up_to(5) {
                0..=2 => {
                    let is_new = !model.contains_key(&number);
                    assert_eq!(paged.insert(number, step), is_new);
                    model.entry(number).or_insert(step);
                }
                3 => assert_eq!(paged.remove(number), model.remove(&number)),
                4 => assert_eq!(paged.pop_first(), model.pop_first()),
                _ => {
                    if let Some(value) = paged.get_mut(number) {
                        *value += 1;
                        *model.get_mut(&number).expect("the model has it too") += 1;
                    }
                }
            }
            assert_eq!(paged.len(), model.len());
            assert_eq!(paged.get(number), model.get(&number));
        }
        let all: Vec<_> = paged.range_from(100).collect();
        let expected: Vec<_> = model.range(100..).map(|(number, value)| (*number, value)).collect();
        assert_eq!(all, expected);
        for end in [0, 99, 128, 501, u64::MAX] {
            let all: Vec<_> = paged.range_before(end).collect();
            let before = model.range(..end).rev();
            let expected: Vec<_> = before.map(|(number, value)| (*number, value)).collect();
            assert_eq!(all, expected, "below {end}");
        }
    }

    #[test]
    fn an_emptied_map_holds_no_page() {
        let mut paged = Paged::default();
        for number in 0..1_000 {
            assert!(paged.insert(number, ()));
        }
        while paged.pop_first().is_some() {}

        assert!(paged.places.is_empty() && paged.pages.is_empty() && paged.recent.is_empty());
        assert_eq!(paged.len(), 0);
    }
}
