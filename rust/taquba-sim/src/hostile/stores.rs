//! Whole stores whose rows were tampered with: opening one is refused with a typed error, or what is left
//! of it can be worked on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use taquba_engine::{Engine, Error};
use tokio::time::Instant;

use super::mutate;
use crate::clock::{SimClock, simulated};
use crate::lane_a;
use crate::model_log::{Disk, ModelLog, Weather};
use crate::random::Random;
use crate::world::Knobs;

/// How many operations a store has seen before it is tampered with.
const OPERATIONS: u64 = 150;

/// How long an open may take that nothing holds up.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tampered(random: &mut Random) -> Result<(), String> {
    let disk = lane_a::disk_of(random.up_to(u64::MAX - 1), OPERATIONS);
    tamper(random, &disk);
    simulated(open_and_close(random, &disk))
}

/// Changes, drops, swaps and invents rows.
fn tamper(random: &mut Random, disk: &Disk) {
    let rows = disk.rows();
    let mut rows = rows.lock();
    for _ in 0..=random.up_to(5) {
        let keys: Vec<Bytes> = rows.keys().cloned().collect();
        let (one, other) = (random.pick(&keys).clone(), random.pick(&keys).clone());
        let value = rows.get(&one).cloned().unwrap_or_default();
        match random.up_to(4) {
            0 => drop(rows.remove(&one)),
            1 => drop(rows.insert(other, value)),
            2 => drop(rows.insert(mutate(random, &one), value)),
            _ => drop(rows.insert(one, mutate(random, &value))),
        }
    }
}

async fn open_and_close(random: &mut Random, disk: &Arc<Disk>) -> Result<(), String> {
    let began = Instant::now();
    let knobs = Knobs::turn(random);
    let log = ModelLog::open(disk, 1_000, Weather::default(), random.fork());
    let clock = Arc::new(SimClock::starting(began, 0));
    let opening = Engine::start(log, "tampered".to_owned(), knobs.options(0), clock);
    let opened = tokio::time::timeout(PATIENCE, opening).await;
    let engine = match opened.map_err(|_| "the open hangs".to_owned())? {
        Ok(engine) => engine,
        Err(Error::Corrupted { .. } | Error::UnsupportedFormat { .. }) => return Ok(()),
        Err(error) => return Err(format!("the open fails otherwise: {error}")),
    };
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let closed = tokio::time::timeout(PATIENCE, engine.close()).await;
    match closed.map_err(|_| "the close hangs".to_owned())? {
        Ok(()) | Err(Error::Corrupted { .. }) => Ok(()),
        Err(error) => Err(format!("the close fails: {error}")),
    }
}
