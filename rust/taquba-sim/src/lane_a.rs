//! Lane A: the real engine on a log in memory whose durable frontier is explicit.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use taquba_engine::clock::Clock;
use taquba_engine::ids::JobId;
use taquba_engine::options::OpenOptions;
use taquba_engine::record::{Body, BodyWork, JobRow, keys};
use taquba_engine::verify::{Report, scrub};
use taquba_engine::{Engine, Result};

use crate::clock::simulated;
use crate::history::{Event, Owner};
use crate::model_log::{Disk, ModelLog, Weather};
use crate::random::Random;
use crate::site::Site;
use crate::world::{Knobs, Tally, World};

/// Disk and weather of one world.
struct ModelSite {
    disk: Arc<Disk>,
    logs: BTreeMap<Owner, Arc<ModelLog>>,
    weather: Weather,
    random: Random,
    is_calm: bool,
}

#[async_trait(?Send)]
impl Site for ModelSite {
    async fn open(
        &mut self,
        owner: Owner,
        options: OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine> {
        let log = ModelLog::open(&self.disk, owner, self.weather.clone(), self.random.fork());
        if self.is_calm {
            log.calm();
        }
        self.logs.insert(owner, Arc::clone(&log));
        Engine::start(log, "model".to_owned(), options, clock).await
    }

    fn kill(&mut self, owner: Owner) {
        if let Some(log) = self.logs.remove(&owner) {
            log.kill();
        }
    }

    fn damage(&mut self, choice: u64) -> Option<(Option<String>, Option<String>)> {
        let rows = self.disk.rows();
        let mut rows = rows.lock();
        let jobs: Vec<Bytes> = rows.keys().filter(|key| key[0] == keys::JOB).cloned().collect();
        let index = usize::try_from(choice).unwrap_or(usize::MAX).checked_rem(jobs.len())?;
        let value = rows.get_mut(&jobs[index]).expect("it was just listed");
        let told = identity(&jobs[index], value);
        *value = value.slice(..value.len() / 2);
        Some(told)
    }

    fn calm(&mut self) {
        self.is_calm = true;
        self.logs.values().for_each(|log| log.calm());
    }

    async fn scrub(&self) -> Option<Report> {
        let log = ModelLog::look(&self.disk);
        Some(scrub(log.as_ref(), log.as_ref()).await)
    }
}

/// Which job a row is, and of which run.
fn identity(key: &Bytes, value: &Bytes) -> (Option<String>, Option<String>) {
    let row = u64::from_be_bytes(key[1..].try_into().expect("a tag and eight bytes"));
    let Ok(job) = JobRow::<Body>::decode(value) else { return (None, None) };
    let run = match job.body.work {
        BodyWork::Job => None,
        BodyWork::Step { run_id } | BodyWork::Notification { run_id, .. } => {
            Some(run_id.to_string())
        }
    };
    (Some(JobId { row, turn: job.turn }.to_string()), run)
}

/// Lives one life; what it saw, and what befell it.
#[must_use]
pub fn live(seed: u64, operations: u64) -> (Vec<Event>, Tally) {
    let (events, tally, _) = live_on_disk(seed, operations);
    (events, tally)
}

/// What a life leaves on its disk.
#[must_use]
pub fn disk_of(seed: u64, operations: u64) -> Arc<Disk> {
    live_on_disk(seed, operations).2
}

fn live_on_disk(seed: u64, operations: u64) -> (Vec<Event>, Tally, Arc<Disk>) {
    simulated(async {
        let mut random = Random::new(seed);
        let knobs = Knobs::turn(&mut random);
        let disk = Arc::<Disk>::default();
        let site = ModelSite {
            disk: Arc::clone(&disk),
            logs: BTreeMap::new(),
            weather: knobs.weather.clone(),
            random: random.fork(),
            is_calm: false,
        };
        let world = World::new(site, knobs, random, "lane-a", seed);
        let (events, tally) = world.live(operations).await;
        (events, tally, disk)
    })
}
