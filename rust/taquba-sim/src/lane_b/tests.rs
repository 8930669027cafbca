//! Lives in miniature: that they are lives, and that a seed decides all of one.

use super::live;
use crate::check::check;
use crate::history::Digest;

const OPERATIONS: u64 = 300;

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in 1..4 {
        let (first, _, first_counts) = live(seed, OPERATIONS);
        let (second, _, second_counts) = live(seed, OPERATIONS);

        assert_eq!(Digest::of(&first).to_string(), Digest::of(&second).to_string());
        assert_eq!(first_counts, second_counts);
    }
}

#[test]
fn promises_are_kept_while_the_store_misbehaves() {
    let (mut crashes, mut faults) = (0, 0);

    for seed in 100..110 {
        let (events, tally, counts) = live(seed, OPERATIONS);
        let violations = check(&events);
        assert!(violations.is_empty(), "seed {seed}: {}", violations[0]);
        crashes += tally.crashes;
        faults += counts.total();
    }

    assert!(crashes > 10, "{crashes} crashes: the processes live too long");
    assert!(faults > 100, "{faults} faults: the store is too kind");
}
