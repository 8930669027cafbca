//! Chance, from a seed.

use taquba_chaos::Dice;

/// A stream of choices that a seed decides.
#[derive(Clone, Debug)]
pub struct Random(Dice);

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    /// A stream of its own, that goes on alike whatever happens to this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.0.draw())
    }

    /// Fills bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.draw().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Uniform in `0..=bound`.
    pub fn up_to(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.draw()) * (u128::from(bound) + 1);
        u64::try_from(wide >> 64).expect("the upper half of 128 bits")
    }

    /// Uniform in `0..count`.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "there is something to choose from");
        usize::try_from(self.up_to(count as u64 - 1)).expect("below the count")
    }

    /// True so often in a million.
    pub fn chance(&mut self, millionths: u32) -> bool {
        self.up_to(999_999) < u64::from(millionths)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// One of these, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, from: &[(T, u32)]) -> T {
        let total: u32 = from.iter().map(|(_, weight)| weight).sum();
        let mut at = self.up_to(u64::from(total) - 1);
        for (choice, weight) in from {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return *choice,
            }
        }
        unreachable!("the weights add up to the total")
    }
}
