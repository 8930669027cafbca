//! Chance, by seed: the generator `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
//! Generators", 2014).

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of numbers that a seed decides.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number, any of them as likely as any other.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True this often. Draws even where the answer is known, so that plans which differ in odds only draw
    /// alike.
    pub fn chance(&mut self, odds: f64) -> bool {
        const SIDES: f64 = 4_294_967_296.0;
        let drawn = (self.draw() >> 32) as u32;
        f64::from(drawn) / SIDES < odds
    }

    /// A length of time in `range`, both ends included, in steps of 1 us.
    pub fn between(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let width = range.end().saturating_sub(*range.start());
        let width_us = u64::try_from(width.as_micros()).unwrap_or(u64::MAX - 1);
        *range.start() + Duration::from_micros(self.draw() % (width_us + 1))
    }
}
