//! What a crash leaves of open claims: their attempts, and nothing of those that had ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::job::Stage;
use super::super::{SplitMix64, claim_rows};
use super::harness::*;
use crate::command::{Claim, Command, JobState, Verdict};
use crate::ids::JobId;
use crate::options::QueueConfig;
use crate::record::{ClaimsRow, Row, keys};

const MAX_ATTEMPTS: u32 = 3;

/// The jobs that rows of claims speak of, by the row's key.
fn in_rows(h: &Harness) -> Vec<Vec<u64>> {
    let rows = h.rows.iter().filter(|(key, _)| key[0] == keys::CLAIMS);
    let claims = rows.map(|(_, value)| ClaimsRow::decode(value).expect("we wrote it").claims);
    claims.map(|claims| claims.into_iter().map(|claim| claim.row).collect()).collect()
}

/// So many jobs, claimed and written in one row of claims.
fn claimed(h: &mut Harness, count: usize) -> Vec<Claim> {
    for _ in 0..count {
        h.enqueue("a");
    }
    h.commit();
    let claims = h.claim(count);
    assert_eq!(claims.len(), count);
    h.enqueue("another");
    h.commit();
    claims
}

#[test]
fn claims_of_one_commit_are_one_row_that_goes_with_the_last_of_them() {
    let mut h = Harness::new();
    let claims = claimed(&mut h, 3);
    assert!(matches!(h.committed(keys::CLAIMS)[..], [Row::Put(..)]));

    for claim in &claims[..2] {
        h.end(claim.token, Verdict::Ack);
        h.commit();
        assert!(h.committed(keys::CLAIMS).is_empty(), "one of them is open still");
    }
    h.end(claims[2].token, Verdict::Ack);
    h.commit();

    assert!(matches!(h.committed(keys::CLAIMS)[..], [Row::Delete(_)]));
    assert!(in_rows(&h).is_empty());
}

#[test]
fn what_was_put_back_unseen_is_taken_out_of_its_row() {
    let mut h = Harness::new();
    let claims = claimed(&mut h, 2);

    h.end(claims[0].token, Verdict::Unseen);
    assert!(h.state.has_rows(), "a crash would count it");
    h.commit();

    assert_eq!(in_rows(&h), [vec![claims[1].job_id.row]]);
}

#[test]
fn what_was_put_back_and_claimed_again_is_in_the_newer_row_only() {
    let mut h = Harness::new();
    let claims = claimed(&mut h, 2);
    h.end(claims[0].token, Verdict::Unseen);
    let again = h.claim(1);
    assert_eq!(again[0].job_id, claims[0].job_id);
    h.commit();
    assert_eq!(in_rows(&h), [vec![claims[1].job_id.row], vec![claims[0].job_id.row]]);

    h.end(again[0].token, Verdict::Unseen);
    h.commit();

    assert_eq!(in_rows(&h), [vec![claims[1].job_id.row]]);
}

#[test]
fn a_dead_job_that_is_requeued_starts_at_none_after_a_crash_too() {
    let mut h = Harness::new();
    let claims = claimed(&mut h, 2);
    let id = claims[0].job_id;
    h.end(claims[0].token, Verdict::DeadLetter { reason: "enough".into() });
    h.commit();
    h.ask_with_reads(Command::RequeueJob { job_id: id }).expect("it is dead");
    h.commit();

    let h = h.crash();

    assert_eq!(attempts_of(&h)[&id.row], (0, JobState::Pending));
}

#[test]
fn rows_in_which_little_is_open_are_given_up() {
    let mut h = Harness::new();
    let long = claimed(&mut h, 1)[0].token;
    let mut kept = Vec::new();
    for _ in 0..40 {
        let mut claims = claimed(&mut h, 101);
        kept.push(claims.pop().expect("a hundred and one").token);
        for claim in claims {
            h.end(claim.token, Verdict::Ack);
        }
        h.commit();
    }

    let in_rows: Vec<u64> = in_rows(&h).concat();

    let open = kept.len() + 1;
    assert!(in_rows.len() <= claim_rows::STALE_FACTOR * open + claim_rows::STALE_COUNT_MAX);
    for token in kept.into_iter().chain([long]) {
        h.end(token, Verdict::Ack);
    }
    h.commit();
    assert!(self::in_rows(&h).is_empty());
}

#[test]
fn a_claim_from_before_a_retry_says_nothing_of_a_requeued_job() {
    let mut h = Harness::new();
    let claims = claimed(&mut h, 2);
    let id = claims[0].job_id;
    h.nack(claims[0].token);
    h.commit();
    h.pass(Duration::from_secs(2));
    let again = h.claim_one();
    assert_eq!(again.job_id, id);
    h.enqueue("one more");
    h.commit();
    h.end(again.token, Verdict::DeadLetter { reason: "enough".into() });
    h.commit();
    h.ask_with_reads(Command::RequeueJob { job_id: id }).expect("it is dead");
    h.commit();
    assert!(in_rows(&h).concat().contains(&id.row), "the other claim keeps the row");

    let h = h.crash();

    assert_eq!(attempts_of(&h)[&id.row], (0, JobState::Pending));
}

/// Attempts of each live job, as a crash right now would find them had all been durable.
fn attempts_of(h: &Harness) -> BTreeMap<u64, (u32, JobState)> {
    let live = |stage: Stage| match stage {
        Stage::Dead => JobState::Dead,
        _ => JobState::Pending,
    };
    let jobs = (1..h.state.next_row).filter_map(|row| Some((row, h.state.jobs.get(row)?)));
    jobs.map(|(row, entry)| match (entry.attempts, entry.stage) {
        // Its last attempt was cut short, or would be.
        (attempts, Stage::Claimed) if attempts >= MAX_ATTEMPTS => (row, (attempts, JobState::Dead)),
        (attempts, stage) => (row, (attempts, live(stage))),
    })
    .collect()
}

#[test]
fn after_a_crash_each_job_has_the_attempts_that_the_last_commit_saw() {
    for seed in 0..300 {
        let mut random = SplitMix64(seed);
        let config = QueueConfig { max_attempts: MAX_ATTEMPTS, ..QueueConfig::default() };
        let mut h = Harness::configured(config);
        let (mut held, mut durable) = (Vec::new(), BTreeMap::new());
        for _ in 0..random.up_to(120) {
            turn(&mut h, &mut held, &mut random);
            if random.up_to(2) == 0 && h.state.has_rows() {
                h.commit();
                durable = attempts_of(&h);
            }
        }
        if h.state.has_rows() {
            let crashed = h.crash();
            assert_eq!(attempts_of(&crashed), durable, "seed {seed}");
        }
    }
}

fn turn(h: &mut Harness, held: &mut Vec<Claim>, random: &mut SplitMix64) {
    match random.up_to(9) {
        0..=2 => drop(h.enqueue("a")),
        3..=5 => held.extend(h.claim(2)),
        // What is still to be read would be read after a commit that nobody notes.
        6 if !h.state.has_rows() => {
            let mut dead = (1..h.state.next_row).rev();
            if let Some(row) = dead.find(|&row| h.state.job_is(row, Stage::Dead)) {
                let requeue = Command::RequeueJob { job_id: JobId { row, turn: 0 } };
                h.ask_with_reads(requeue).expect("it is dead");
            }
        }
        _ if held.is_empty() => {}
        _ => {
            let index = random.up_to(held.len() as u64 - 1);
            let claim = held.swap_remove(usize::try_from(index).expect("a few"));
            let verdict = match random.up_to(4) {
                0 => Verdict::Ack,
                1 => Verdict::Nack { error: "again".into(), retry_after: Some(Duration::ZERO) },
                2 => Verdict::Postpone { delay: Duration::ZERO },
                3 => Verdict::DeadLetter { reason: "enough".into() },
                _ => Verdict::Unseen,
            };
            h.end(claim.token, verdict);
        }
    }
}
