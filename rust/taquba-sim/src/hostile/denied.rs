//! A store that takes a right away: whoever waits is told so, and soon.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use parking_lot::Mutex;
use taquba_chaos::{ChaosStore, Plan};
use taquba_engine::command::{Command, Delivery, NewJob, Outlet, Reply};
use taquba_engine::engine::Request;
use taquba_engine::log::Target;
use taquba_engine::options::OpenOptions;
use taquba_engine::{Engine, Error, Result};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::clock::{SimClock, simulated};
use crate::random::Random;

/// How long a call may take that no further try can help.
const SOON: Duration = Duration::from_secs(10);

/// Takes one answer.
struct Caller(Mutex<Option<oneshot::Sender<Result<Reply>>>>);

impl Outlet for Caller {
    fn deliver(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            if let Delivery::Reply { result, .. } = delivery
                && let Some(waiting) = self.0.lock().take()
            {
                // Who asked may have stopped waiting.
                drop(waiting.send(result));
            }
        }
    }
}

pub fn denied(random: &mut Random) -> std::result::Result<(), String> {
    let seed = random.up_to(u64::MAX - 1);
    simulated(async {
        let began = Instant::now();
        let store = ChaosStore::new(Arc::new(InMemory::new()), Plan::default(), seed);
        let clock = Arc::new(SimClock::starting(began, 0));
        let target = Target::from_store(Arc::new(store.clone()), "denied".to_owned());
        let target = target.on_machine(Arc::clone(&clock) as _, seed);
        let engine = Engine::open(target, "db", OpenOptions::default(), clock).await;
        let engine = engine.map_err(|error| format!("it does not open: {error}"))?;
        store.deny_for(Duration::from_secs(3_600));
        let (waiting, answer) = oneshot::channel();
        let outlet = engine.attach(Arc::new(Caller(Mutex::new(Some(waiting)))));
        let queue = "jobs".parse().expect("a good name");
        let command = Command::Enqueue { queue, jobs: vec![NewJob::default()] };
        engine.send(outlet, vec![Request { ticket: Some(1), command }]);
        match tokio::time::timeout(SOON, answer).await {
            Ok(Ok(Err(Error::PermissionDenied { .. }))) => Ok(()),
            Ok(answer) => Err(format!("a right that is missing is told as {answer:?}")),
            Err(_) => Err(format!("a right that is missing is not told within {SOON:?}")),
        }
    })
}
