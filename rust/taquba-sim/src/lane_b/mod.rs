//! Lane B: the real engine on the real storage engine, over an object store in memory that misbehaves.
//!
//! All of it runs on one thread whose time jumps from timer to timer. A process that is killed loses its way
//! to the store between two instants; what the store has of it then, late puts included, stays.
//!
//! # Invariants
//!
//! 1. The same seed is the same life: what the storage engine takes from the machine, clock and chance, is
//!    the simulation's.
//! 2. What a killed process does reaches nothing any more.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | the site: opening, killing, calming; a life |
//! | `faults.rs` | what goes wrong with the store, by seed |
//! | `process.rs` | one process's way to the store |
//! | `dated.rs` | a store in memory whose objects have simulated dates |

mod dated;
mod faults;
mod process;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use async_trait::async_trait;
use taquba_chaos::{ChaosStore, Counts};
use taquba_engine::clock::Clock;
use taquba_engine::limits::PAYLOAD_INLINE_BYTES_MAX;
use taquba_engine::log::Target;
use taquba_engine::options::OpenOptions;
use taquba_engine::verify::Report;
use taquba_engine::{Engine, Result};

use crate::clock::simulated;
use crate::entropy;
use crate::history::{Event, Owner};
use crate::random::Random;
use crate::site::Site;
use crate::world::{Knobs, Tally, World};
use dated::DatedStore;
use process::{Power, ProcessStore};

/// Where the database is in its store.
const PATH: &str = "db";

/// Stack of the thread of a life: what a main thread has, as opens nest deeply.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// The store of one world, and who has power.
struct SlateSite {
    store: ChaosStore,
    powers: BTreeMap<Owner, Power>,
    random: Random,
}

#[async_trait(?Send)]
impl Site for SlateSite {
    async fn open(
        &mut self,
        owner: Owner,
        options: OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine> {
        let power = Power::default();
        self.powers.insert(owner, power.clone());
        let store = ProcessStore::new(self.store.clone(), power);
        let seed = self.random.up_to(u64::MAX - 1);
        let target = Target::from_store(Arc::new(store), "simulated".to_owned());
        let target = target.on_machine(Arc::clone(&clock), seed);
        Engine::open(target, PATH, options, clock).await
    }

    fn kill(&mut self, owner: Owner) {
        if let Some(power) = self.powers.remove(&owner) {
            power.cut();
        }
    }

    fn damage(&mut self, _: u64) -> Option<(Option<String>, Option<String>)> {
        None
    }

    fn calm(&mut self) {
        self.store.calm();
    }

    async fn scrub(&self) -> Option<Report> {
        None
    }
}

/// Lives one life; what it saw, what befell it, and what befell the store.
#[must_use]
pub fn live(seed: u64, operations: u64) -> (Vec<Event>, Tally, Counts) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let life = thread.spawn(move || {
        entropy::seed(seed);
        live_here(seed, operations)
    });
    let life = life.expect("threads are to be had");
    life.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn live_here(seed: u64, operations: u64) -> (Vec<Event>, Tally, Counts) {
    simulated(async {
        let mut random = Random::new(seed);
        let mut knobs = Knobs::turn(&mut random).in_slow_motion(&mut random);
        // A payload object that cannot be read costs its job an attempt that no consumer sees, so
        // payloads stay in their rows here; in lane A they become objects.
        knobs.offload_threshold = PAYLOAD_INLINE_BYTES_MAX;
        let plan = faults::plan(&mut random);
        let dated = Arc::new(DatedStore::new());
        let store = ChaosStore::new(dated, plan, random.up_to(u64::MAX - 1));
        let site =
            SlateSite { store: store.clone(), powers: BTreeMap::new(), random: random.fork() };
        let (events, tally) =
            World::new(site, knobs, random, "lane-b", seed).live(operations).await;
        (events, tally, store.counts())
    })
}
