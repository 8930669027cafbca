//! Runs of the workflow runtime: ten steps each in a closed loop, and one step each, one by one.
//!
//! Always holds: a run counts only when its outcome was read back and equals its input.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use object_store::local::LocalFileSystem;
use taquba::Queue;
use taquba_workflow::{
    NoopTerminalHook, RunSpec, RunnerHandle, Step, StepError, StepOutcome, StepRunner,
    TerminalStatus, WorkflowRuntime,
};
use tokio::task::JoinSet;

use crate::jobs::payload;
use crate::{Arguments, End, Failure, begin, end, store, warm_up_count};

const STEPS_PER_RUN: u32 = 10;
// The runtime counts its dead steps this often, 250 ms by default, at a cost that grows with what was
// written since the last flush to a table. Nothing here waits for it.
const POLL_EVERY: Duration = Duration::from_mins(10);

type Runtime = WorkflowRuntime<Noop, NoopTerminalHook>;

/// Hands the payload on until the last step.
struct Noop {
    last_step: u32,
}

impl StepRunner for Noop {
    async fn run_step(&self, step: &Step) -> Result<StepOutcome, StepError> {
        let payload = step.payload.clone();
        if step.step_number < self.last_step {
            return Ok(StepOutcome::continue_now(payload));
        }
        Ok(StepOutcome::Succeed { result: payload })
    }
}

/// A runtime at work, and what it stands on.
struct Site {
    queue: Arc<Queue>,
    runtime: Runtime,
    worker: RunnerHandle,
}

impl Site {
    async fn start(
        objects: &Arc<LocalFileSystem>,
        steps: u32,
        concurrency: usize,
    ) -> Result<Self, Failure> {
        let queue = store::open(objects).await?;
        let runner = Noop { last_step: steps - 1 };
        let runtime =
            WorkflowRuntime::builder(queue.clone(), objects.clone(), runner, NoopTerminalHook)
                .max_concurrent_steps(concurrency)
                .poll_interval(POLL_EVERY)
                .build()?;
        let worker = runtime.spawn(std::future::pending());
        Ok(Self { queue, runtime, worker })
    }

    async fn stop(self) -> Result<(), Failure> {
        self.worker.shutdown().await?;
        drop(self.runtime);
        store::close(self.queue).await
    }
}

/// Runs of ten steps, `in_flight` of them at any time.
pub async fn steps(arguments: &Arguments) -> Result<(), Failure> {
    let objects = store::objects(&arguments.directory)?;
    let site = Site::start(&objects, STEPS_PER_RUN, arguments.in_flight).await?;
    let warm_up = warm_up_count(arguments.count);
    run_all(&site.runtime, warm_up, arguments.in_flight).await?;

    begin();
    let started = Instant::now();
    let latencies = run_all(&site.runtime, arguments.count, arguments.in_flight).await?;
    let took = started.elapsed();

    let verified = format!("{} outcomes equal to their inputs after step 9", latencies.len());
    let count = latencies.len() * STEPS_PER_RUN as usize;
    end(End { count, took, latencies, verified });
    site.stop().await
}

async fn run_all(
    runtime: &Runtime,
    count: usize,
    in_flight: usize,
) -> Result<Vec<Duration>, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut lanes = JoinSet::new();
    for _ in 0..in_flight.min(count) {
        let (runtime, next) = (runtime.clone(), next.clone());
        lanes.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok::<_, Failure>(latencies);
                }
                latencies.push(run_one(&runtime, index, STEPS_PER_RUN).await?);
            }
        });
    }
    let mut latencies = Vec::with_capacity(count);
    while let Some(joined) = lanes.join_next().await {
        latencies.extend(joined??);
    }
    Ok(latencies)
}

/// Submits one run and waits for its outcome, which must be its input after its last step.
async fn run_one(runtime: &Runtime, index: usize, steps: u32) -> Result<Duration, Failure> {
    let started = Instant::now();
    let input = payload(index);
    let submitted = runtime.submit(RunSpec { input, ..RunSpec::default() }).await?;
    let end = runtime.wait(&submitted.run_id).await?;
    let took = started.elapsed();
    let outcome = end.outcome.ok_or("the run has ended without an outcome")?;
    if outcome.status != TerminalStatus::Succeeded
        || outcome.result != Some(payload(index))
        || outcome.final_step.number != steps - 1
    {
        return Err(format!("run {index} ended otherwise: {outcome:?}").into());
    }
    Ok(took)
}

/// Runs of one step, one after the other.
pub async fn latency(arguments: &Arguments) -> Result<(), Failure> {
    let objects = store::objects(&arguments.directory)?;
    let site = Site::start(&objects, 1, 1).await?;
    for index in 0..warm_up_count(arguments.count) {
        run_one(&site.runtime, index, 1).await?;
    }

    begin();
    let started = Instant::now();
    let mut latencies = Vec::with_capacity(arguments.count);
    for index in 0..arguments.count {
        latencies.push(run_one(&site.runtime, index, 1).await?);
    }
    let took = started.elapsed();

    let count = latencies.len();
    let verified = format!("{count} outcomes equal to their inputs");
    end(End { count, took, latencies, verified });
    site.stop().await
}
