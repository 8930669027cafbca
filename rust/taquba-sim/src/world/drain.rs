//! The end of a life: everything is worked off, and what is there is told.

use std::time::Duration;

use taquba_engine::command::{Command, KvRange, Reply, RunFilter, RunState, RunStates};
use taquba_engine::limits::LIST_COUNT_MAX;
use taquba_engine::verify::{Problem, ProblemKind};

use super::act::Who;
use super::{DRAIN_MS_MAX, World, wire};
use crate::history::{Op, QueueCounts, RunSeen, Verdict, What, Work};
use crate::site::Site;

/// Longest time between two looks.
const LOOK_MS_MAX: u64 = 30_000;

impl<S: Site> World<S> {
    /// Works everything off.
    pub(super) async fn drain(&mut self) {
        let began_ms = self.recorder.now_ms();
        let mut pause_ms = 1;
        loop {
            let left = self.work_off().await;
            let Some(left) = left else { break };
            if self.recorder.now_ms() - began_ms > DRAIN_MS_MAX {
                self.recorder.note(0, What::Stuck { left });
                return;
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(LOOK_MS_MAX);
        }
        self.recorder.note(0, What::Drained);
    }

    /// Settles what can be had now; says what is left.
    async fn work_off(&mut self) -> Option<String> {
        self.bury_the_broken();
        if self.processes.is_empty() {
            self.open().await;
        }
        if self.processes.is_empty() {
            return Some("nobody can open the store".to_owned());
        }
        for queue in self.knobs.queues.clone() {
            let claim = Op::Claim { queue, count_max: 1_000, lease_ms: None, wait_ms: None };
            self.call(Who { process: 0, consumer: 0 }, claim);
        }
        // This is answered when what was sent before it is carried out, uploads included.
        let _sent = self.ask(Command::AwaitRoom).await;
        for consumer in 0..self.processes.first().map_or(0, |process| process.consumers.len()) {
            self.settle_all(Who { process: 0, consumer });
        }
        match self.ask(Command::Stats).await {
            Some(Ok(Reply::Stats(stats))) => {
                let is_busy = |counts: &QueueCounts| {
                    counts.pending + counts.scheduled + counts.claimed + counts.live_runs > 0
                };
                let counts = wire::counts(&stats);
                let busy: Vec<_> = counts.into_iter().filter(is_busy).collect();
                (!busy.is_empty()).then(|| format!("{busy:?}"))
            }
            other => Some(format!("no counts: {other:?}")),
        }
    }

    fn settle_all(&mut self, who: Who) {
        while self.mailbox(who).held_count() > 0 {
            let claim = self.mailbox(who).take_held(0);
            let verdict = match &claim.work {
                Work::Step { .. } => Verdict::Succeed { result: "drained".to_owned() },
                Work::Job | Work::Notification(_) => Verdict::Ack,
            };
            self.call(who, Op::Settle { token: claim.token, verdict, effects: Vec::new() });
        }
    }

    /// Tells everything that is there.
    pub(super) async fn tell_all(&mut self) {
        let Some(Ok(Reply::Stats(stats))) = self.ask(Command::Stats).await else { return };
        let told = wire::counts(&stats);
        let mut recounted = Vec::new();
        for counts in &told {
            let Some(mut recount) = self.tell_jobs(&counts.queue).await else { return };
            // Live runs are counted by the listing of runs.
            recount.live_runs = counts.live_runs;
            recounted.push(recount);
        }
        self.recorder.note(0, What::Counted { told, recounted });
        if self.tell_runs().await.is_some() && self.tell_values().await.is_some() {
            self.recorder.note(0, What::FoundAll);
        }
        self.scrub().await;
    }

    /// Holds all rows against each other. What was damaged on purpose stays aside.
    async fn scrub(&self) {
        let Some(report) = self.site.scrub().await else { return };
        let is_news = |problem: &&Problem| problem.kind != ProblemKind::Quarantined;
        let told = |problem: &Problem| format!("{}: {}", problem.object, problem.detail);
        let problems = report.problems.iter().filter(is_news).map(told).collect();
        self.recorder.note(0, What::Scrubbed { problems });
    }

    async fn tell_jobs(&mut self, queue: &str) -> Option<QueueCounts> {
        let mut counts = QueueCounts { queue: queue.to_owned(), ..QueueCounts::default() };
        let mut after = None;
        loop {
            let list = Command::ListJobs {
                queue: wire::id(queue),
                state: None,
                after,
                count_max: LIST_COUNT_MAX,
            };
            let Some(Ok(Reply::Jobs(page))) = self.ask(list).await else { return None };
            for job in &page.jobs {
                let mut seen = wire::job_seen(job);
                count(&mut counts, &seen.state);
                let get = Command::GetJob { job_id: job.job_id };
                if let Some(Ok(Reply::Job(whole))) = self.ask(get).await {
                    seen = wire::job_seen(&whole);
                }
                self.recorder.note(0, What::FoundJob(seen));
            }
            after = page.next;
            if after.is_none() {
                return Some(counts);
            }
        }
    }

    async fn tell_runs(&mut self) -> Option<()> {
        let filter = RunFilter { queue: None, states: RunStates::ALL, id_prefix: None };
        let mut before = None;
        loop {
            let list =
                Command::ListRuns { filter: filter.clone(), before, count_max: LIST_COUNT_MAX };
            let Some(Ok(Reply::Runs(page))) = self.ask(list).await else { return None };
            for run in &page.runs {
                let mut seen: RunSeen = wire::run_seen(run);
                let has_ended = matches!(
                    run.state,
                    RunState::Succeeded | RunState::Failed | RunState::Cancelled
                );
                if has_ended {
                    let outcome = self.ask(Command::AwaitRun { run_id: run.run_id.clone() }).await;
                    if let Some(Ok(Reply::Outcome(outcome))) = outcome {
                        seen.end = Some(wire::run_end(&outcome));
                    }
                }
                self.recorder.note(0, What::FoundRun(seen));
            }
            before = page.next;
            if before.is_none() {
                return Some(());
            }
        }
    }

    async fn tell_values(&mut self) -> Option<()> {
        let range = KvRange {
            prefix: String::new(),
            start: None,
            end: None,
            reverse: false,
            after: None,
            count_max: LIST_COUNT_MAX,
        };
        let Some(Ok(Reply::Entries(page))) = self.ask(Command::KvScan(range)).await else {
            return None;
        };
        for (key, value) in &page.entries {
            let value = String::from_utf8_lossy(value).into_owned();
            self.recorder.note(0, What::FoundValue { key: key.as_str().to_owned(), value });
        }
        Some(())
    }
}

fn count(counts: &mut QueueCounts, state: &str) {
    match state {
        "pending" => counts.pending += 1,
        "scheduled" => counts.scheduled += 1,
        "claimed" => counts.claimed += 1,
        "dead" => counts.dead += 1,
        "done" => counts.done += 1,
        other => unreachable!("no job is {other}"),
    }
}
