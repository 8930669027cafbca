//! What a seed turns: each world has settings, habits and weather of its own.
//!
//! Swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): a seed leaves out some of what can be
//! done, so that what is left goes further.

use std::time::Duration;

use taquba_engine::options::{Jitter, OpenOptions, QueueConfig};

use crate::history::Profile;
use crate::model_log::Weather;
use crate::random::Random;

/// What can be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Enqueue,
    Claim,
    Settle,
    Renew,
    Forget,
    CancelJob,
    WakeJob,
    RequeueJob,
    PurgeDead,
    GetJob,
    KvPut,
    KvSwap,
    KvGet,
    Submit,
    CancelRun,
    GetRun,
    AwaitRun,
    MemoPut,
    MemoGet,
    Stats,
    Pass,
    Leave,
    Crash,
    Takeover,
    Reopen,
    SetClock,
    Damage,
}

/// How often each is done, if the seed does not leave it out.
const ACTS: [(Act, u32); 27] = [
    (Act::Enqueue, 140),
    (Act::Claim, 120),
    (Act::Settle, 300),
    (Act::Renew, 20),
    (Act::Forget, 10),
    (Act::CancelJob, 25),
    (Act::WakeJob, 10),
    (Act::RequeueJob, 10),
    (Act::PurgeDead, 5),
    (Act::GetJob, 10),
    (Act::KvPut, 20),
    (Act::KvSwap, 40),
    (Act::KvGet, 30),
    (Act::Submit, 60),
    (Act::CancelRun, 20),
    (Act::GetRun, 10),
    (Act::AwaitRun, 15),
    (Act::MemoPut, 30),
    (Act::MemoGet, 30),
    (Act::Stats, 5),
    (Act::Pass, 150),
    (Act::Leave, 3),
    (Act::Crash, 6),
    (Act::Takeover, 3),
    (Act::Reopen, 3),
    (Act::SetClock, 2),
    (Act::Damage, 1),
];

/// Without these nothing moves.
const ALWAYS: [Act; 4] = [Act::Claim, Act::Settle, Act::Pass, Act::Crash];

/// The settings, habits and weather of one world.
#[derive(Clone, Debug)]
pub struct Knobs {
    pub(crate) acts: Vec<(Act, u32)>,
    pub(crate) queues: Vec<String>,
    pub(crate) max_attempts: u32,
    pub(crate) lease: Duration,
    pub(crate) backoff_base: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) has_jitter: bool,
    pub(crate) dead_retention: Option<Duration>,
    pub(crate) done_retention: Option<Duration>,
    pub(crate) run_retention: Option<Duration>,
    pub(crate) memo_retention: Option<Duration>,
    pub(crate) offload_threshold: usize,
    pub(crate) consumer_count: usize,
    /// Jobs in flight of a subscription; 0 for none.
    pub(crate) concurrency: usize,
    /// Longest pause between two acts.
    pub(crate) pace: Duration,
    pub(crate) steps_max: u32,
    /// Payloads that kill whoever gets them, in a million.
    pub(crate) poison: u32,
    /// How far a calendar may be off.
    pub(crate) skew_ms_max: u64,
    /// How the store behaves, where the lane has none of its own.
    pub weather: Weather,
}

impl Knobs {
    /// What this seed says.
    #[must_use]
    pub fn turn(random: &mut Random) -> Self {
        let acts =
            ACTS.into_iter().filter(|(act, _)| ALWAYS.contains(act) || !random.chance(150_000));
        let acts = acts.collect();
        let queues = (0..=random.up_to(2)).map(|number| format!("q{number}")).collect();
        let mut seconds = |from: &[u64]| Duration::from_millis(*random.pick(from));
        let lease = seconds(&[50, 500, 5_000, 30_000, 120_000]);
        let backoff_base = seconds(&[0, 10, 1_000, 5_000]);
        let backoff_max = seconds(&[1_000, 10_000, 60_000]).max(backoff_base);
        let pace = seconds(&[0, 1, 10, 200, 2_000]);
        let mut retention = |from: &[u64]| {
            let chosen = *random.pick(from);
            (chosen > 0).then(|| Duration::from_millis(chosen))
        };
        Self {
            acts,
            queues,
            lease,
            backoff_base,
            backoff_max,
            pace,
            dead_retention: retention(&[0, 0, 10_000, 3_600_000]),
            done_retention: retention(&[0, 0, 1_000, 60_000]),
            run_retention: retention(&[0, 0, 1_000, 3_600_000]),
            memo_retention: retention(&[0, 1, 1_000, 60_000]),
            max_attempts: u32::try_from(1 + random.up_to(4)).expect("few"),
            has_jitter: random.chance(500_000),
            offload_threshold: *random.pick(&[0, 24, 4 * 1024 * 1024]),
            consumer_count: 1 + random.below(3),
            concurrency: *random.pick(&[0, 0, 1, 4, 16]),
            poison: *random.pick(&[0, 0, 3_000]),
            steps_max: u32::try_from(1 + random.up_to(5)).expect("few"),
            skew_ms_max: *random.pick(&[0, 10, 1_000, 3_600_000, 86_400_000]),
            weather: Weather {
                latency_us_max: *random.pick(&[0, 500, 5_000, 50_000, 400_000]),
                commit_fails_before: *random.pick(&[0, 0, 200]),
                commit_fails_after: *random.pick(&[0, 0, 200]),
                upload_fails: *random.pick(&[0, 0, 20_000]),
            },
        }
    }

    /// The same where an operation costs more, and an hour less: fewer of those, and more of these.
    #[must_use]
    pub fn in_slow_motion(mut self, random: &mut Random) -> Self {
        self.pace = Duration::from_millis(*random.pick(&[500, 5_000, 20_000, 60_000]));
        for (act, weight) in &mut self.acts {
            if matches!(act, Act::Crash | Act::Takeover | Act::Reopen) {
                *weight *= 2;
            }
        }
        self
    }

    /// How the store is opened.
    #[must_use]
    pub fn options(&self, seed: u64) -> OpenOptions {
        let jitter = if self.has_jitter { Jitter::Full } else { Jitter::None };
        let config = QueueConfig {
            max_attempts: self.max_attempts,
            lease_duration: self.lease,
            retry_backoff_base: self.backoff_base,
            retry_backoff_max: self.backoff_max,
            retry_jitter: jitter,
            keep_done_jobs: self.done_retention,
            dead_retention: self.dead_retention,
            ..QueueConfig::default()
        };
        OpenOptions {
            default_queue_config: config,
            payload_offload_threshold: self.offload_threshold,
            seed,
            ..OpenOptions::default()
        }
    }

    /// What checkers have to know of it.
    #[must_use]
    pub fn profile(&self, lane: &str, seed: u64) -> Profile {
        use crate::clock::ms;
        Profile {
            lane: lane.to_owned(),
            seed,
            max_attempts: self.max_attempts,
            hook_max_attempts: taquba_engine::limits::NOTIFICATION_ATTEMPTS,
            backoff_base_ms: ms(self.backoff_base),
            backoff_max_ms: ms(self.backoff_max),
            has_jitter: self.has_jitter,
            lease_ms: ms(self.lease),
            dead_retention_ms: self.dead_retention.map(ms),
            done_retention_ms: self.done_retention.map(ms),
            slack_ms: 2,
            call_ms_max: 120_000,
            drain_ms_max: super::DRAIN_MS_MAX,
            is_complete: true,
        }
    }
}
