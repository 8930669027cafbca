//! Living many lives, on every core, and judging each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use taquba_sim::history::{self, Digest, Event};
use taquba_sim::world::Tally;
use taquba_sim::{check as judging, hostile, lane_a, lane_b};

use crate::arguments::Arguments;

/// Every so many lives one is lived twice: the same seed must be the same life.
const TWICE_EVERY: u64 = 20;

/// Seeds that are told in full before only their number is.
const TOLD_MAX: u64 = 5;

/// What is told of one seed.
const TOLD_PROBLEMS_MAX: usize = 10;

/// A kind of life.
pub struct Lane {
    pub name: &'static str,
    pub operations: u64,
    pub live: fn(u64, u64) -> Life,
}

/// What one life came to.
pub struct Life {
    events: Vec<Event>,
    tally: Tally,
    /// What went wrong with its store.
    faults: BTreeMap<&'static str, u64>,
}

pub const LANE_A: Lane = Lane {
    name: "lane-a",
    operations: 2_000,
    live: |seed, operations| {
        let (events, tally) = lane_a::live(seed, operations);
        Life { events, tally, faults: BTreeMap::new() }
    },
};

pub const LANE_B: Lane = Lane {
    name: "lane-b",
    operations: 600,
    live: |seed, operations| {
        let (events, tally, counts) = lane_b::live(seed, operations);
        let faults = counts.iter().filter(|(fault, _)| !fault.delays());
        let faults = faults.map(|(fault, count)| (fault.name(), count)).collect();
        Life { events, tally, faults }
    },
};

/// What many lives came to.
#[derive(Default)]
struct Sum {
    tally: Tally,
    faults: BTreeMap<&'static str, u64>,
    lives: u64,
    repeated: u64,
    failed: u64,
}

impl Sum {
    fn add(&mut self, life: &Life) {
        self.lives += 1;
        self.tally += life.tally;
        for (fault, count) in &life.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }
}

/// Lives lives; whether every promise was kept.
pub fn run(lane: &Lane, arguments: &Arguments) -> Result<bool, String> {
    let operations = arguments.number("operations", lane.operations)?;
    let history = arguments.text("history");
    let began = now();
    let sum = Mutex::new(Sum::default());
    each_seed(arguments, |seed| live(lane, seed, operations, history, &sum))?;
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(lane, &sum, began.elapsed());
    Ok(sum.failed == 0 && sum.lives > 0)
}

/// Does something for each seed that was asked for, on every core, while there is time. With
/// `--until-found` the first that says `false` ends it.
fn each_seed(arguments: &Arguments, live: impl Fn(u64) -> bool + Sync) -> Result<(), String> {
    let seeds = arguments.seeds(0..100)?;
    let seconds = arguments.number("seconds", u64::MAX)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.number("threads", cores)?;
    let is_until_found = arguments.text("until-found").is_some();
    let began = now();
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let is_kept = live(seed);
                    let is_late = began.elapsed() > Duration::from_secs(seconds);
                    is_over.fetch_or(is_late || is_until_found && !is_kept, Ordering::Relaxed);
                }
            });
        }
    });
    Ok(())
}

/// Lives one life, and again if it is its turn, and adds it up; whether every promise was kept.
fn live(lane: &Lane, seed: u64, operations: u64, history: Option<&str>, sum: &Mutex<Sum>) -> bool {
    let life = (lane.live)(seed, operations);
    let mut problems = judge(&life.events);
    let is_repeated = seed.is_multiple_of(TWICE_EVERY);
    if is_repeated {
        let again = (lane.live)(seed, operations);
        let (first, second) = (Digest::of(&life.events), Digest::of(&again.events));
        if first != second {
            problems.push(format!("the same seed, but another life: {first}, then {second}"));
        }
    }
    if let Some(path) = history {
        let to = File::create(path).map(BufWriter::new);
        if let Err(error) = to.and_then(|to| history::write(to, &life.events)) {
            problems.push(format!("the history was not written to {path}: {error}"));
        }
    }
    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    sum.repeated += u64::from(is_repeated);
    sum.add(&life);
    if problems.is_empty() {
        return true;
    }
    sum.failed += 1;
    if sum.failed <= TOLD_MAX {
        let again = format!("--operations {operations} --history life.jsonl");
        tell(lane.name, seed, &problems, &again);
    }
    false
}

/// Says what was wrong, and how to see it again.
fn tell(lane: &str, seed: u64, problems: &[String], options: &str) {
    println!("seed {seed}: {} broken", problems.len());
    for problem in problems.iter().take(TOLD_PROBLEMS_MAX) {
        println!("  {problem}");
    }
    println!("  see it again: taquba-sim {lane} --seeds {seed}..{} {options}", seed + 1);
}

/// What was promised and not kept.
fn judge(events: &[Event]) -> Vec<String> {
    judging::check(events).iter().map(ToString::to_string).collect()
}

fn report(lane: &Lane, sum: &Sum, took: Duration) {
    let Tally { operations, opens, crashes, fencings, damages, simulated_ms } = sum.tally;
    let seconds = took.as_secs();
    let simulated = Duration::from_millis(simulated_ms).as_secs_f64() / 3600.0;
    let hours = (simulated * 100.0).round() / 100.0;
    let counters = json!({
        "lane": lane.name, "seeds": sum.lives, "operations": operations, "opens": opens,
        "crashes": crashes, "fencings": fencings, "damages": damages, "simulated_hours": hours,
        "faults": sum.faults.values().sum::<u64>(), "faults_by_kind": sum.faults,
        "repeated": sum.repeated, "violations": sum.failed, "seconds": seconds,
    });
    println!("{counters}");
}

/// Puts hostile input before everything that reads; whether it was taken as it should be.
pub fn hostile(arguments: &Arguments) -> Result<bool, String> {
    let (began, failed, seeds) = (now(), AtomicU64::new(0), AtomicU64::new(0));
    each_seed(arguments, |seed| {
        let problems = hostile::round(seed);
        seeds.fetch_add(1, Ordering::Relaxed);
        if !problems.is_empty() && failed.fetch_add(1, Ordering::Relaxed) < TOLD_MAX {
            tell("hostile", seed, &problems, "");
        }
        problems.is_empty()
    })?;
    let (seeds, failed) = (seeds.into_inner(), failed.into_inner());
    let counters = json!({
        "lane": "hostile", "seeds": seeds, "inputs": seeds * hostile::INPUTS, "violations": failed,
        "seconds": began.elapsed().as_secs(),
    });
    println!("{counters}");
    Ok(failed == 0 && seeds > 0)
}

/// Judges histories from files; whether every promise was kept.
pub fn check(arguments: &Arguments) -> Result<bool, String> {
    let (mut events, mut violations) = (0, 0);
    for path in arguments.files() {
        let failed = |error: std::io::Error| format!("{path}: {error}");
        let history = history::read(BufReader::new(File::open(path).map_err(failed)?));
        let history = history.map_err(failed)?;
        let problems = judge(&history);
        for problem in &problems {
            println!("{path}: {problem}");
        }
        events += history.len();
        violations += problems.len();
    }
    let files = arguments.files().len();
    let counters = json!({
        "lane": "check", "files": files, "events": events, "violations": violations,
    });
    println!("{counters}");
    Ok(violations == 0)
}

#[expect(clippy::disallowed_methods, reason = "how long the lives took, not what happened in them")]
fn now() -> Instant {
    Instant::now()
}
