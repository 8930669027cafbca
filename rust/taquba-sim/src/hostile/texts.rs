//! Ids, keys and names: what is let pass is safe where it is used.

use std::collections::BTreeSet;

use taquba_engine::ids::{JobId, KvKey, MemoKey, QueueName, RunId};
use taquba_engine::record::{Headers, PayloadName, keys};

use super::text;
use crate::random::Random;

const RUN_ID_BYTES_MAX: usize = 128;
const QUEUE_NAME_BYTES_MAX: usize = 255;
const KEY_BYTES_MAX: usize = 1_024;

pub fn names(random: &mut Random) -> Result<(), String> {
    let given = text(random);
    run_id(&given)?;
    queue_name(&given)?;
    kv_key(&given)?;
    job_id(&given)?;
    header(&given)?;
    memo_keys(random)
}

fn run_id(given: &str) -> Result<(), String> {
    let Ok(run_id) = given.parse::<RunId>() else { return Ok(()) };
    let is_plain = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-');
    let is_safe = (1..=RUN_ID_BYTES_MAX).contains(&given.len()) && given.chars().all(is_plain);
    let is_kept = run_id.as_str() == given && keys::run_of(&keys::run(&run_id)) == Some(run_id);
    if is_safe && is_kept { Ok(()) } else { Err(format!("the run id {given:?} was let pass")) }
}

fn queue_name(given: &str) -> Result<(), String> {
    if given.parse::<QueueName>().is_err() {
        return Ok(());
    }
    let is_plain = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.');
    let is_safe = given.len() <= QUEUE_NAME_BYTES_MAX
        && given.chars().all(is_plain)
        && given.starts_with(|c: char| c.is_ascii_alphanumeric());
    if is_safe { Ok(()) } else { Err(format!("the queue name {given:?} was let pass")) }
}

/// Any text is a key, and stays what it is.
fn kv_key(given: &str) -> Result<(), String> {
    let is_short = (1..=KEY_BYTES_MAX).contains(&given.len());
    match given.parse::<KvKey>() {
        Ok(key) if is_short && keys::kv_of(&keys::kv(&key)) == Some(key.clone()) => Ok(()),
        Err(_) if !is_short => Ok(()),
        other => Err(format!("the key {given:?} reads as {other:?}")),
    }
}

/// An id has one text.
fn job_id(given: &str) -> Result<(), String> {
    if let Ok(name) = given.parse::<PayloadName>()
        && name.to_string() != given
    {
        return Err(format!("{given:?} is another text of payload object {name}"));
    }
    match given.parse::<JobId>() {
        Ok(id) if id.to_string() != given => Err(format!("{given:?} is another text of job {id}")),
        _ => Ok(()),
    }
}

/// What looks like a reserved key is refused, and so is the real one.
fn header(given: &str) -> Result<(), String> {
    let is_reserved = given.trim().to_lowercase().starts_with("workflow.");
    match Headers::new([(given, "value")]) {
        Ok(_) if is_reserved => Err(format!("the reserved header {given:?} was let pass")),
        _ => Ok(()),
    }
}

/// Different places have different rows, whatever their keys.
fn memo_keys(random: &mut Random) -> Result<(), String> {
    let mut places = BTreeSet::new();
    let mut rows = BTreeSet::new();
    for _ in 0..4 {
        let (row, step, key) = (random.up_to(2), random.up_to(2), text(random));
        let step = u32::try_from(step).expect("few");
        rows.insert(keys::memo(row, step, &MemoKey::of(key.as_bytes())));
        places.insert((row, step, key));
    }
    if rows.len() == places.len() { Ok(()) } else { Err(format!("{places:?} share a row")) }
}
