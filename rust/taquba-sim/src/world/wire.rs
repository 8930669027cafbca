//! Translation: what the history calls things, and what the engine calls them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use taquba_engine::command::{
    self, Command, DedupScope, Expected, JobCancelled, JobInfo, JobWork, NewJob, NewRun, Reply,
    RunInfo, RunOutcome, Start, Stats, StepOutcome, TerminalStatus, TerminalStatuses,
};
use taquba_engine::error::Recovery;
use taquba_engine::ids::{ClaimToken, MemoKey};
use taquba_engine::record::{self, Payload};
use taquba_engine::{Error, Result};

use crate::history::{
    Answer, Claim, Effect, Enqueued, Got, Headers, Job, JobSeen, Op, QueueCounts, Run, RunEnd,
    RunSeen, Submitted, Verdict, Work,
};

/// A call as the engine takes it; `None` for what is no call of it.
pub fn command(op: &Op) -> Option<Command> {
    Some(match op.clone() {
        Op::Enqueue { queue, jobs } => {
            Command::Enqueue { queue: id(&queue), jobs: jobs.iter().map(new_job).collect() }
        }
        Op::Claim { queue, count_max, lease_ms, wait_ms } => Command::Claim {
            queue: id(&queue),
            count_max,
            lease: lease_ms.map(Duration::from_millis),
            wait: wait_ms.map(Duration::from_millis),
        },
        Op::Renew { token, lease_ms } => {
            let lease = Duration::from_millis(lease_ms);
            Command::Renew { token: claim_token(&token), lease, at_least: false }
        }
        Op::Settle { token, verdict, effects } => Command::Settle {
            token: claim_token(&token),
            verdict: engine_verdict(verdict),
            effects: effects.into_iter().map(engine_effect).collect(),
        },
        Op::CancelJob { job } => Command::CancelJob { job_id: id(&job) },
        Op::WakeJob { job } => Command::WakeJob { job_id: id(&job) },
        Op::RequeueJob { job } => Command::RequeueJob { job_id: id(&job) },
        Op::PurgeDead { queue, older_than_ms } => {
            let older_than = Duration::from_millis(older_than_ms);
            Command::PurgeDead { queue: id(&queue), older_than }
        }
        Op::GetJob { job } => Command::GetJob { job_id: id(&job) },
        Op::KvGet { key } => Command::KvGet { key: id(&key) },
        Op::KvPut { key, value } => Command::KvWrite {
            key: id(&key),
            expected: Expected::Anything,
            value: value.map(Bytes::from),
        },
        Op::KvSwap { key, expected, value } => Command::KvWrite {
            key: id(&key),
            expected: Expected::Value(expected.map(Bytes::from)),
            value: value.map(Bytes::from),
        },
        Op::Submit { queue, runs } => {
            Command::Submit { queue: id(&queue), runs: runs.iter().map(new_run).collect() }
        }
        Op::AwaitRun { run } => Command::AwaitRun { run_id: id(&run) },
        Op::CancelRun { run } => Command::CancelRun { run_id: id(&run), tells_hook: true },
        Op::GetRun { run } => Command::GetRun { run_id: id(&run) },
        Op::MemoGet { token, key } => {
            Command::MemoGet { token: claim_token(&token), key: MemoKey::of(key.as_bytes()) }
        }
        Op::MemoPut { token, key, value } => Command::MemoPut {
            token: claim_token(&token),
            key: MemoKey::of(key.as_bytes()),
            value: value.into(),
        },
        Op::Stats => Command::Stats,
        Op::Close => return None,
    })
}

/// An id that this world made, or was given.
pub fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a good id")
}

fn claim_token(text: &str) -> ClaimToken {
    ClaimToken(u64::from_str_radix(text, 16).expect("a token as it was told"))
}

/// A token as histories have it.
pub fn token_text(token: ClaimToken) -> String {
    format!("{:016x}", token.0)
}

fn headers(pairs: &Headers) -> record::Headers {
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    record::Headers::new(pairs).expect("few and short")
}

fn new_job(job: &Job) -> NewJob {
    let start = match (job.delay_ms, job.run_at_ms) {
        (Some(delay_ms), _) => Start::After(Duration::from_millis(delay_ms)),
        (None, Some(at_ms)) => Start::AtMs(at_ms),
        (None, None) => Start::Now,
    };
    let scope = if job.is_dedup_until_settled { DedupScope::Settled } else { DedupScope::Waiting };
    NewJob {
        payload: job.payload.clone().into(),
        headers: headers(&job.headers),
        priority: job.priority,
        start,
        dedup_key: job.dedup_key.clone(),
        dedup_scope: scope,
        max_attempts: job.max_attempts,
    }
}

fn new_run(run: &Run) -> NewRun {
    NewRun {
        run_id: id(&run.run),
        input: run.input.clone().into(),
        headers: headers(&run.headers),
        priority: run.priority,
        start: run.delay_ms.map_or(Start::Now, |ms| Start::After(Duration::from_millis(ms))),
        max_attempts: run.max_attempts,
        observed: if run.is_observed { TerminalStatuses::ALL } else { TerminalStatuses::NONE },
        retention: run.retention_ms.map(Duration::from_millis),
        memo_retention: run.memo_retention_ms.map(Duration::from_millis),
    }
}

fn engine_verdict(verdict: Verdict) -> command::Verdict {
    use command::Verdict as To;
    match verdict {
        Verdict::Ack => To::Ack,
        Verdict::Nack { error, retry_after_ms } => {
            To::Nack { error, retry_after: retry_after_ms.map(Duration::from_millis) }
        }
        Verdict::DeadLetter { reason } => To::DeadLetter { reason },
        Verdict::Release => To::Release,
        Verdict::Unseen => To::Unseen,
        Verdict::Postpone { delay_ms } => To::Postpone { delay: Duration::from_millis(delay_ms) },
        Verdict::Continue { payload, delay_ms } => {
            let payload = Payload::from(payload);
            To::Step(match delay_ms.map(Duration::from_millis) {
                None => StepOutcome::Continue { payload },
                Some(delay) => StepOutcome::ContinueAfter { payload, delay },
            })
        }
        Verdict::Succeed { result } => To::Step(StepOutcome::Succeed { result: result.into() }),
        Verdict::Fail { reason } => To::Step(StepOutcome::Fail { reason }),
        Verdict::Cancel { reason } => To::Step(StepOutcome::Cancel { reason }),
    }
}

fn engine_effect(effect: Effect) -> command::Effect {
    match effect {
        Effect::Enqueue { queue, jobs } => {
            command::Effect::Enqueue { queue: id(&queue), jobs: jobs.iter().map(new_job).collect() }
        }
        Effect::Put { key, value } => {
            command::Effect::Kv { key: id(&key), value: value.map(Bytes::from) }
        }
    }
}

/// An answer as histories have it. What ends an engine leaves open whether the call was carried out.
pub fn answer(result: Result<&Reply, &Error>) -> Answer {
    match result {
        Ok(reply) => Answer::Ok(got(reply)),
        Err(error) => {
            let code = error.code().to_owned();
            let is_open = matches!(error.recovery(), Recovery::Reopen | Recovery::Retry)
                || matches!(error, Error::PermissionDenied { .. } | Error::Corrupted { .. });
            if is_open { Answer::Unknown { code } } else { Answer::Failed { code } }
        }
    }
}

fn got(reply: &Reply) -> Got {
    match reply {
        Reply::Done => Got::Done,
        Reply::Enqueued(jobs) => {
            let seen = |job: &command::Enqueued| Enqueued {
                job: job.job_id.to_string(),
                is_new: job.is_new,
            };
            Got::Enqueued(jobs.iter().map(seen).collect())
        }
        Reply::Claimed(claims) => Got::Claimed(claims.len()),
        Reply::Submitted(runs) => {
            let seen = |run: &command::Submitted| Submitted {
                run: run.run_id.to_string(),
                is_new: run.newly_submitted,
            };
            Got::Submitted(runs.iter().map(seen).collect())
        }
        Reply::Outcome(outcome) => Got::Outcome(run_end(outcome)),
        Reply::RunCancelled(is_cancelled) => Got::RunCancelled(*is_cancelled),
        Reply::Run(run) => Got::Run(run_seen(run)),
        Reply::JobCancelled(JobCancelled::Removed) => Got::JobRemoved,
        Reply::JobCancelled(JobCancelled::Requested) => Got::StopRequested,
        Reply::Purged(count) => Got::Purged(*count),
        Reply::Job(job) => Got::Job(job_seen(job)),
        Reply::Value(value) => Got::Value(value.as_ref().map(text)),
        Reply::Written(is_written) => Got::Swapped(*is_written),
        Reply::Stats(stats) => Got::Stats(counts(stats)),
        Reply::Runs(_)
        | Reply::Memos(_)
        | Reply::Metrics(_)
        | Reply::Subscribed(_)
        | Reply::Jobs(_)
        | Reply::Entries(_)
        | Reply::Owner(_) => unreachable!("no call of a history asks for it"),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pairs(headers: &record::Headers) -> Headers {
    headers
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect::<BTreeMap<_, _>>()
}

fn status(status: TerminalStatus) -> String {
    command::RunState::from(status).name().to_owned()
}

/// The end of a run as histories have it.
pub fn run_end(outcome: &RunOutcome) -> RunEnd {
    RunEnd {
        run: outcome.run_id.to_string(),
        status: status(outcome.status),
        result: outcome.result.as_ref().map(text),
        error: outcome.error.clone(),
        final_step: outcome.final_step,
        headers: pairs(&outcome.headers),
    }
}

/// A delivery as histories have it.
pub fn claim(claim: &command::Claim) -> Claim {
    let work = match &claim.work {
        command::Work::Job => Work::Job,
        command::Work::Step { run_id, step_number } => {
            Work::Step { run: run_id.to_string(), step: *step_number }
        }
        command::Work::Notification(outcome) => Work::Notification(run_end(outcome)),
    };
    Claim {
        token: token_text(claim.token),
        job: claim.job_id.to_string(),
        queue: claim.queue.to_string(),
        attempts: claim.attempts,
        max_attempts: claim.max_attempts,
        priority: claim.priority,
        lease_ms: claim.lease.map(crate::clock::ms),
        payload: text(&claim.payload),
        headers: pairs(&claim.headers),
        work,
    }
}

/// A job as histories have it.
pub fn job_seen(job: &JobInfo) -> JobSeen {
    let run = match &job.work {
        JobWork::Plain => None,
        JobWork::Step(run_id) | JobWork::Notification(run_id) => Some(run_id.to_string()),
    };
    JobSeen {
        job: job.job_id.to_string(),
        queue: job.queue.to_string(),
        state: job.state.name().to_owned(),
        attempts: job.attempts,
        max_attempts: job.max_attempts,
        payload: job.payload.as_ref().map(text),
        last_error: job.last_error.as_deref().map(str::to_owned),
        run,
    }
}

/// A run as histories have it.
pub fn run_seen(run: &RunInfo) -> RunSeen {
    RunSeen {
        run: run.run_id.to_string(),
        state: run.state.name().to_owned(),
        step: run.step_number,
        end: None,
    }
}

/// Counts as histories have them.
pub fn counts(stats: &Stats) -> Vec<QueueCounts> {
    let counted = |queue: &command::QueueStats| QueueCounts {
        queue: queue.queue.to_string(),
        pending: queue.pending_count,
        scheduled: queue.scheduled_count,
        claimed: queue.claimed_count,
        dead: queue.dead_count,
        done: queue.done_count,
        live_runs: queue.live_run_count,
    };
    stats.queues.iter().map(counted).collect()
}
