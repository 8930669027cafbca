//! What is behind a run: its latest steps, for those who look at it.
//!
//! The trail travels in the row of the present step and stays in the row of the run's end, so a step
//! that continues still costs one row. On that way it stays as it is stored, one step behind another:
//! who does not look does not read it.

use serde::{Deserialize, Serialize};

use super::Undecodable;
use crate::limits::{STEP_ERROR_BYTES_MAX, STEPS_KEPT_MAX};

/// A step that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastStep {
    /// When it came into being.
    pub ready_at_ms: u64,
    /// When its first delivery began, from then on; `None` if there was none that is known.
    pub began_after_ms: Option<u64>,
    /// When it ended, from then on.
    pub ended_after_ms: u64,
    /// Deliveries of it.
    pub attempts: u32,
    /// Why its last delivery that failed did so, cut at [`STEP_ERROR_BYTES_MAX`].
    pub error: Option<Box<str>>,
}

/// The same, read past.
type Passed<'a> = (u64, Option<u64>, u64, u32, Option<&'a str>);

/// A step without an error, as stored, is at most this long in our time.
const STEP_BYTES: usize = 24;

/// The latest steps of a run, oldest first, as stored: how many, then one behind another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail(Vec<u8>);

const _: () = assert!(STEPS_KEPT_MAX < 256, "their number is one byte");

impl PastStep {
    /// What is kept of an error.
    #[must_use]
    pub fn cut_error(error: &str) -> Box<str> {
        Box::from(&error[..error.floor_char_boundary(STEP_ERROR_BYTES_MAX)])
    }
}

impl Trail {
    /// What was stored; it is not looked at.
    #[must_use]
    pub fn of_stored(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// What is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The trail with one more step; the oldest ones are forgotten. One that does not read begins anew.
    #[must_use]
    pub fn with_step(&self, step: &PastStep) -> Self {
        let (count, kept) = self.last_steps(STEPS_KEPT_MAX - 1).unwrap_or((0, &[]));
        let error_bytes = step.error.as_deref().map_or(0, str::len);
        let mut bytes = Vec::with_capacity(1 + kept.len() + STEP_BYTES + error_bytes);
        bytes.push(count + 1);
        bytes.extend_from_slice(kept);
        Self(postcard::to_extend(step, bytes).expect("a vector takes any value"))
    }

    /// The last so many steps, or all if there are fewer, as stored.
    fn last_steps(&self, count_max: usize) -> Option<(u8, &[u8])> {
        let (&count, mut steps) = self.0.split_first()?;
        let count_max = u8::try_from(count_max).expect("asserted above");
        for _ in count_max..count {
            let (_, rest): (Passed<'_>, _) = postcard::take_from_bytes(steps).ok()?;
            steps = rest;
        }
        Some((count.min(count_max), steps))
    }

    /// The steps.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] says what is wrong with the bytes.
    pub fn steps(&self) -> Result<Vec<PastStep>, Undecodable> {
        let Some((&count, mut stored)) = self.0.split_first() else { return Ok(Vec::new()) };
        let mut steps = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (step, rest) = postcard::take_from_bytes(stored)
                .map_err(|error| Undecodable(format!("the steps behind it: {error}")))?;
            steps.push(step);
            stored = rest;
        }
        if !stored.is_empty() {
            return Err(Undecodable(format!("{} bytes too many behind its steps", stored.len())));
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(attempts: u32) -> PastStep {
        let (ready_at_ms, began_after_ms, ended_after_ms) = (1_700_000_000_000, Some(5), 7);
        let error = attempts.is_multiple_of(3).then(|| Box::from("no"));
        PastStep { ready_at_ms, began_after_ms, ended_after_ms, attempts, error }
    }

    fn trail(count: usize) -> Trail {
        (0..count).fold(Trail::default(), |trail, number| {
            trail.with_step(&step(u32::try_from(number).expect("it is small")))
        })
    }

    #[test]
    fn a_trail_keeps_the_latest_steps_in_order() {
        for count in [0, 1, STEPS_KEPT_MAX, STEPS_KEPT_MAX + 1, 3 * STEPS_KEPT_MAX] {
            let first = count.saturating_sub(STEPS_KEPT_MAX);
            let kept = (first..count).map(|number| step(u32::try_from(number).expect("small")));

            assert_eq!(trail(count).steps(), Ok(kept.collect()), "{count} steps");
        }
    }

    #[test]
    fn a_trail_that_is_damaged_is_told_and_never_a_panic() {
        let whole = trail(STEPS_KEPT_MAX);
        for length in 1..whole.as_bytes().len() {
            let cut = Trail::of_stored(&whole.as_bytes()[..length]);

            assert!(cut.steps().is_err(), "{length} bytes");
            assert!(!cut.with_step(&step(1)).as_bytes().is_empty());
        }
        let longer = [whole.as_bytes(), b"x"].concat();
        assert!(Trail::of_stored(&longer).steps().is_err());
    }

    #[test]
    fn an_error_is_cut_between_characters() {
        let error = PastStep::cut_error(&"\u{20ac}".repeat(STEP_ERROR_BYTES_MAX));

        assert!(error.len() <= STEP_ERROR_BYTES_MAX);
        assert!(error.chars().all(|each| each == '\u{20ac}'));
    }
}
