//! The world around a store: processes that open it, consumers that work on it, and what befalls them.
//!
//! One driver does everything, one act after another, and a seed decides each: so a seed is a life
//! that can be lived again. Calls are sent without waiting for answers; the engine answers while time
//! passes.
//!
//! # Invariants
//!
//! 1. What happens is noted when it happens: a call before it is sent, an answer when it arrives.
//! 2. After [`World::drain`] either nothing is left to do, or the history says what.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | processes: opening, crashing, closing; the course of a life |
//! | `act.rs` | what consumers do next |
//! | `drain.rs` | the end: working everything off, and telling what is there |
//! | `mailbox.rs` | a consumer's calls and claims |
//! | `knobs.rs` | what differs between two lives |
//! | `wire.rs` | the engine's words and the history's |

mod act;
mod drain;
mod knobs;
mod mailbox;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taquba_engine::clock::Clock as _;
use taquba_engine::command::{Command, Reply, TerminalStatuses};
use taquba_engine::engine::{OutletId, Request};
use taquba_engine::{Engine, Error, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use knobs::Act;
pub use knobs::Knobs;

use crate::clock::SimClock;
use crate::history::{End, Event, Owner, What};
use crate::random::Random;
use crate::recorder::Recorder;
use crate::site::Site;
use act::Who;
use mailbox::{Mailbox, News};

/// How long a calm world may take to work everything off.
pub const DRAIN_MS_MAX: u64 = 4 * 3_600_000;

/// Opens that may fail one after another before a world gives up and calms down.
const REFUSED_MAX: u32 = 100;

/// Ids that acts choose from: the latest ones.
const KNOWN_COUNT_MAX: usize = 64;

/// One process that has the store open, or believes so.
struct Process {
    owner: Owner,
    engine: Engine,
    clock: Arc<SimClock>,
    consumers: Vec<(OutletId, Arc<Mailbox>)>,
}

/// Counts of what befell a world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Calls.
    pub operations: u64,
    /// Opens that succeeded.
    pub opens: u64,
    /// Processes that were killed.
    pub crashes: u64,
    /// Owners that another one took the store from.
    pub fencings: u64,
    /// Records that were damaged.
    pub damages: u64,
    /// Simulated time.
    pub simulated_ms: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.opens += other.opens;
        self.crashes += other.crashes;
        self.fencings += other.fencings;
        self.damages += other.damages;
        self.simulated_ms += other.simulated_ms;
    }
}

/// A store and everybody around it.
pub struct World<S> {
    site: S,
    knobs: Knobs,
    random: Random,
    recorder: Arc<Recorder>,
    began: Instant,
    /// The newest is the last; those before it do not know yet that they were fenced.
    processes: Vec<Process>,
    owner_count: Owner,
    /// Who opened the store last.
    last_owner: Owner,
    call_count: u64,
    name_count: u64,
    known_jobs: Vec<String>,
    known_runs: Vec<String>,
    values: BTreeMap<String, Option<String>>,
    skew_ms: i64,
    poisoned: Arc<Notify>,
    is_calm: bool,
    tally: Tally,
}

impl<S: Site> World<S> {
    /// A world with nobody in it. Must be made inside a tokio runtime whose time is paused.
    pub fn new(site: S, knobs: Knobs, random: Random, lane: &str, seed: u64) -> Self {
        let began = Instant::now();
        let recorder = Arc::new(Recorder::new(began));
        recorder.note(0, What::Profile(knobs.profile(lane, seed)));
        Self {
            site,
            knobs,
            random,
            recorder,
            began,
            processes: Vec::new(),
            owner_count: 0,
            last_owner: 0,
            call_count: 0,
            name_count: 0,
            known_jobs: Vec::new(),
            known_runs: Vec::new(),
            values: BTreeMap::new(),
            skew_ms: 0,
            poisoned: Arc::default(),
            is_calm: false,
            tally: Tally::default(),
        }
    }

    /// A life: so many operations with everything that can go wrong, then a calm end, then one more
    /// crash, after which the same must be there.
    pub async fn live(mut self, operations: u64) -> (Vec<Event>, Tally) {
        let mut refused = 0;
        while self.tally.operations < operations && refused < REFUSED_MAX {
            if self.processes.is_empty() {
                self.open().await;
                refused = if self.processes.is_empty() { refused + 1 } else { 0 };
                continue;
            }
            self.act().await;
            self.bury_the_broken();
        }
        self.calm().await;
        self.drain().await;
        self.tell_all().await;
        self.crash_newest();
        self.open().await;
        self.drain().await;
        self.tell_all().await;
        self.tally.simulated_ms = self.recorder.now_ms();
        (self.recorder.take(), self.tally)
    }

    fn newest(&self) -> Option<&Process> {
        self.processes.last()
    }

    /// Opens the store for a new process, or crashes in the attempt.
    async fn open(&mut self) {
        self.owner_count += 1;
        let owner = self.owner_count;
        let clock = Arc::new(SimClock::starting(self.began, self.skew_ms));
        let options = self.knobs.options(u64::from(owner));
        let patience = self.patience();
        let note = |what| self.recorder.note(clock.wall_ms(), what);
        note(What::Opening { owner, takeover: options.takeover });
        let opening = self.site.open(owner, options, Arc::clone(&clock) as _);
        let opened = match patience {
            None => opening.await,
            Some(patience) => {
                let Ok(opened) = tokio::time::timeout(patience, opening).await else {
                    self.site.kill(owner);
                    note(What::Ended { owner, how: End::Crashed });
                    self.tally.crashes += 1;
                    return;
                };
                opened
            }
        };
        match opened {
            Ok(engine) => self.settle_in(owner, engine, clock),
            Err(error) => {
                self.site.kill(owner);
                note(What::Refused { owner, code: error.code().to_owned() });
                // The store is as it is: the next try comes a little later.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// How long the next open may take before its process is killed in it.
    fn patience(&mut self) -> Option<Duration> {
        let is_short = !self.is_calm && self.owner_count > 1 && self.random.chance(100_000);
        is_short.then(|| Duration::from_micros(self.random.up_to(200_000)))
    }

    fn settle_in(&mut self, owner: Owner, engine: Engine, clock: Arc<SimClock>) {
        self.tally.opens += 1;
        self.last_owner = owner;
        self.recorder.note(clock.wall_ms(), What::Opened { owner, epoch: 0 });
        self.tally.fencings += self.processes.len() as u64;
        self.processes.push(Process { owner, engine, clock, consumers: Vec::new() });
        for _ in 0..self.knobs.consumer_count {
            self.add_consumer(self.processes.len() - 1);
        }
    }

    fn add_consumer(&mut self, process: usize) {
        let Process { owner, engine, clock, consumers } = &mut self.processes[process];
        let (recorder, poisoned) = (Arc::clone(&self.recorder), Arc::clone(&self.poisoned));
        let mailbox = Mailbox::new(*owner, recorder, Arc::clone(clock), poisoned);
        let outlet = engine.attach(Arc::clone(&mailbox) as _);
        if self.knobs.concurrency > 0 {
            let queue: &String = self.random.pick(&self.knobs.queues);
            let subscribe = Command::Subscribe {
                queue: wire::id(queue),
                concurrency: self.knobs.concurrency,
                observes_runs: TerminalStatuses::ALL,
                job_timeout: self.random.chance(300_000).then_some(self.knobs.lease),
            };
            engine.send(outlet, vec![Request { ticket: None, command: subscribe }]);
        }
        consumers.push((outlet, mailbox));
    }

    /// Kills the newest process where it is.
    fn crash_newest(&mut self) {
        if let Some(process) = self.processes.pop() {
            self.end(process, End::Crashed);
            self.tally.crashes += 1;
        }
    }

    fn end(&mut self, process: Process, how: End) {
        self.recorder.note(process.clock.wall_ms(), What::Ended { owner: process.owner, how });
        for (_, consumer) in &process.consumers {
            consumer.vanish();
        }
        if how == End::Crashed {
            self.site.kill(process.owner);
        }
        // Its task is not needed any more: what it would write now goes nowhere.
        #[expect(clippy::disallowed_methods, reason = "the end of a simulated process")]
        tokio::spawn(async move { process.engine.close().await });
    }

    /// Processes whose engine has ended have ended, too.
    fn bury_the_broken(&mut self) {
        while let Some(index) = self.processes.iter().position(is_broken) {
            let process = self.processes.remove(index);
            let is_newest = index == self.processes.len();
            let how = if is_newest { End::Failed } else { End::Fenced };
            self.end(process, how);
        }
        self.learn();
    }

    /// Closes the newest process in order, with a limit, and notes how that went.
    async fn close_newest(&mut self) {
        let Some(process) = self.processes.pop() else { return };
        let closing = tokio::time::timeout(Duration::from_secs(60), process.engine.close());
        let how = match closing.await {
            Ok(Ok(())) => End::Closed,
            Ok(Err(Error::Fenced { .. })) => End::Fenced,
            Ok(Err(_)) | Err(_) => End::Failed,
        };
        self.end(process, how);
    }

    /// Asks the newest process something that is no part of the history.
    async fn ask(&mut self, command: Command) -> Option<Result<Reply>> {
        self.call_count += 1;
        let ticket = self.call_count;
        let process = self.newest()?;
        let (outlet, mailbox) = process.consumers.first()?;
        let answered = mailbox.asks(ticket);
        process.engine.send(*outlet, vec![Request { ticket: Some(ticket), command }]);
        let answered = tokio::time::timeout(Duration::from_secs(300), answered).await;
        answered.ok().and_then(std::result::Result::ok)
    }

    async fn calm(&mut self) {
        self.is_calm = true;
        self.site.calm();
        self.recorder.note(0, What::Calmed);
        // Only the last one that opened the store lives on, if it still does; the others have been
        // fenced, and may not know it.
        for process in std::mem::take(&mut self.processes) {
            if process.owner == self.last_owner {
                self.processes.push(process);
            } else {
                self.end(process, End::Fenced);
            }
        }
        // What a consumer has forgotten comes back when it goes.
        let consumers = self.processes.first().map_or(0, |process| process.consumers.len());
        for _ in 0..consumers {
            self.replace(Who { process: 0, consumer: 0 });
        }
        tokio::task::yield_now().await;
    }
}

fn is_broken(process: &Process) -> bool {
    process.consumers.iter().any(|(_, consumer)| consumer.is_broken())
}

fn remember(known: &mut Vec<String>, id: String) {
    if known.len() >= KNOWN_COUNT_MAX {
        known.remove(0);
    }
    known.push(id);
}
