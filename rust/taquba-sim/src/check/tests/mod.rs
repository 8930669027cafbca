//! Every checker is shown a history that keeps its invariant, and the same one broken in just that way.
//!
//! # Invariants
//!
//! 1. Each invariant of the table has a case; a new one without it fails here.
//! 2. Of the good history nothing is said at all, of the broken one that invariant and no other.

mod durability;
mod fencing;
mod liveness;
mod memo;
mod queue;
mod scene;
mod schedule;
mod workflow;

use std::collections::BTreeSet;

use super::{CHECKS, Invariant, check};
use scene::Scene;

/// The history of one case, good or broken.
type Case = (&'static str, fn(bool) -> Scene);

fn cases() -> impl Iterator<Item = &'static Case> {
    [
        durability::CASES,
        fencing::CASES,
        queue::CASES,
        schedule::CASES,
        workflow::CASES,
        memo::CASES,
        liveness::CASES,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn every_invariant_has_a_mutation() {
    let of_table: BTreeSet<&str> = CHECKS.iter().map(|check| check.invariant.0).collect();
    let of_cases: BTreeSet<&str> = cases().map(|(id, _)| *id).collect();

    assert_eq!(of_cases, of_table);
    assert_eq!(of_table.len(), CHECKS.len(), "an invariant is in the table once");
    assert_eq!(of_table.len(), 50, "the families D, F, Q, W, M and L");
}

#[test]
fn nothing_is_said_of_a_good_history() {
    for (number, (id, case)) in cases().enumerate() {
        let violations = check(&case(false).events);
        assert!(violations.is_empty(), "case {number} of {id}: {violations:#?}");
    }
}

#[test]
fn a_broken_history_is_reported_under_its_invariant() {
    for (number, (id, case)) in cases().enumerate() {
        let violations = check(&case(true).events);
        let told: BTreeSet<Invariant> = violations.iter().map(|one| one.invariant).collect();
        assert_eq!(told, BTreeSet::from([Invariant(id)]), "case {number}: {violations:#?}");
    }
}

#[test]
fn a_history_without_a_profile_is_not_passed_over() {
    let events = &Scene::new().events[1..];

    assert_eq!(check(events).len(), 1);
}

#[test]
fn a_history_that_breaks_off_anywhere_is_no_violation() {
    for (id, case) in cases() {
        let events = case(false).events;
        for end in 1..events.len() {
            let violations = check(&events[..end]);
            assert!(violations.is_empty(), "{id} until {end}: {violations:#?}");
        }
    }
}
