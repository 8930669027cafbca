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

use std::collections::BTreeMap;

/// Numbers of one page: a removal moves at most this many values.
const PAGE_SLOTS: u64 = 32;

/// A vector that is filled less than one part in this many gives memory back.
const SHRINK_BELOW: usize = 4;

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
    fn slots(&self) -> impl Iterator<Item = u64> + use<T> {
        let present = self.present;
        (0..PAGE_SLOTS).filter(move |slot| present & (1 << slot) != 0)
    }
}

/// The map.
#[derive(Debug)]
pub(super) struct Paged<T> {
    pages: BTreeMap<u64, Page<T>>,
    count: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: BTreeMap::new(), count: 0 }
    }
}

impl<T> Paged<T> {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn get(&self, number: u64) -> Option<&T> {
        let (page, bit) = place(number);
        let page = self.pages.get(&page)?;
        (page.present & bit != 0).then(|| &page.values[page.index_of(bit)])
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (page, bit) = place(number);
        let page = self.pages.get_mut(&page)?;
        let index = page.index_of(bit);
        (page.present & bit != 0).then(|| &mut page.values[index])
    }

    /// Adds a value. `false`, and nothing changes, if the number is taken.
    #[must_use]
    pub fn insert(&mut self, number: u64, value: T) -> bool {
        let (page, bit) = place(number);
        let page = self.pages.entry(page).or_insert(Page { present: 0, values: Vec::new() });
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
        let page = self.pages.get_mut(&index)?;
        if page.present & bit == 0 {
            return None;
        }
        let value = page.values.remove(page.index_of(bit));
        page.present &= !bit;
        if page.present == 0 {
            self.pages.remove(&index);
        } else if page.values.len() * SHRINK_BELOW < page.values.capacity() {
            page.values.shrink_to_fit();
        }
        self.count -= 1;
        Some(value)
    }

    /// Takes the value with the smallest number.
    pub fn pop_first(&mut self) -> Option<(u64, T)> {
        let (&index, page) = self.pages.first_key_value()?;
        let number = index * PAGE_SLOTS + u64::from(page.present.trailing_zeros());
        self.remove(number).map(|value| (number, value))
    }

    /// Those below `end`, the last one first.
    pub fn range_before(&self, end: u64) -> impl Iterator<Item = (u64, &T)> {
        let pages = self.pages.range(..=end / PAGE_SLOTS).rev();
        let values = pages.flat_map(|(index, page)| {
            let slots = (0..PAGE_SLOTS).filter(|slot| page.present & (1 << slot) != 0);
            let numbers = slots.rev().map(move |slot| index * PAGE_SLOTS + slot);
            numbers.zip(page.values.iter().rev())
        });
        values.skip_while(move |(number, _)| *number >= end)
    }

    /// In order, from `first` on.
    pub fn range_from(&self, first: u64) -> impl Iterator<Item = (u64, &T)> {
        let pages = self.pages.range(first / PAGE_SLOTS..);
        let values = pages.flat_map(|(index, page)| {
            let numbers = page.slots().map(move |slot| index * PAGE_SLOTS + slot);
            numbers.zip(&page.values)
        });
        values.skip_while(move |(number, _)| *number < first)
    }
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
            let number = random.up_to(500);
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

        assert!(paged.pages.is_empty());
        assert_eq!(paged.len(), 0);
    }
}
