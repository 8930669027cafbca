//! The engine on real stores: memory and local disk.

mod gated;
mod memos;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::clock::SystemClock;
use crate::command::{
    Claim, Delivery, NewJob, NewRun, Reply, Start, StepOutcome, TerminalStatuses, Verdict, Work,
};
use crate::ids::{ClaimToken, QueueName};
use crate::log::{Access, StoreCounts};
use crate::record::Headers;

/// A consumer that a test can wait on.
#[derive(Default)]
struct Desk {
    replies: Mutex<BTreeMap<Ticket, oneshot::Sender<Result<Reply>>>>,
    claims: Mutex<Vec<Claim>>,
    cancelled: Mutex<Vec<ClaimToken>>,
    broken: Mutex<Option<Error>>,
    arrived: tokio::sync::Notify,
}

impl Outlet for Desk {
    fn deliver(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match delivery {
                Delivery::Reply { ticket, result } => {
                    let waiting = self.replies.lock().remove(&ticket).expect("one reply per call");
                    let _ = waiting.send(result);
                }
                Delivery::Claims { claims, .. } => self.claims.lock().extend(claims),
                Delivery::CancelRequested { token } => self.cancelled.lock().push(token),
                Delivery::Broken(error) => *self.broken.lock() = Some(error),
            }
        }
        self.arrived.notify_one();
    }
}

/// An open engine and one consumer.
struct Client {
    engine: Engine,
    desk: Arc<Desk>,
    outlet: OutletId,
    next_ticket: Mutex<Ticket>,
}

impl Client {
    async fn open(target: Target) -> Result<Self> {
        let clock = Arc::new(SystemClock::new());
        let engine = Engine::open(target, "taquba", OpenOptions::default(), clock).await?;
        let desk = Arc::new(Desk::default());
        let outlet = engine.attach(Arc::clone(&desk) as _);
        Ok(Self { engine, desk, outlet, next_ticket: Mutex::new(1) })
    }

    async fn open_dir(dir: &Path) -> Self {
        let target = Target::local(dir, Access::Own { fsync: false }).expect("a directory");
        Self::open(target).await.expect("a good store")
    }

    fn start(&self, command: Command) -> oneshot::Receiver<Result<Reply>> {
        let (sender, receiver) = oneshot::channel();
        let ticket = {
            let mut next = self.next_ticket.lock();
            *next += 1;
            *next
        };
        self.desk.replies.lock().insert(ticket, sender);
        self.engine.send(self.outlet, vec![Request { ticket: Some(ticket), command }]);
        receiver
    }

    async fn call(&self, command: Command) -> Result<Reply> {
        let reply = self.start(command);
        tokio::time::timeout(Duration::from_secs(30), reply)
            .await
            .expect("an answer")
            .expect("sent")
    }

    async fn enqueue(&self, payload: &str) {
        let reply = self.call(enqueue(payload)).await;
        assert!(matches!(reply, Ok(Reply::Enqueued(_))), "{reply:?}");
    }

    async fn claim(&self, count_max: usize) -> Vec<Claim> {
        let reply =
            self.call(Command::Claim { queue: queue(), count_max, lease: None, wait: None }).await;
        let Ok(Reply::Claimed(claims)) = reply else { panic!("{reply:?}") };
        claims
    }

    async fn stats(&self) -> crate::command::Stats {
        let Ok(Reply::Stats(stats)) = self.call(Command::Stats).await else { panic!("counts") };
        stats
    }

    /// Waits for the next pushed claim.
    async fn next_claim(&self) -> Claim {
        loop {
            if let Some(claim) = self.desk.claims.lock().pop() {
                return claim;
            }
            let arrived = self.desk.arrived.notified();
            tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("a claim");
        }
    }
}

fn queue() -> QueueName {
    "work".parse().expect("a good name")
}

fn enqueue(payload: &str) -> Command {
    let job = NewJob { payload: payload.to_owned().into(), ..NewJob::default() };
    Command::Enqueue { queue: queue(), jobs: vec![job] }
}

fn submit(run_id: &str) -> Command {
    let run = NewRun {
        run_id: run_id.parse().expect("a good id"),
        input: "input".into(),
        headers: Headers::default(),
        priority: None,
        start: Start::Now,
        max_attempts: None,
        observed: TerminalStatuses::NONE,
        memo_retention: None,
        retention: None,
    };
    Command::Submit { queue: queue(), runs: vec![run] }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_process_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Client::open_dir(dir.path()).await;
    first.enqueue("a").await;
    first.enqueue("b").await;

    // No close: the second owner finds what a crash would leave.
    let second = Client::open_dir(dir.path()).await;

    let payloads: Vec<_> = second.claim(10).await.into_iter().map(|claim| claim.payload).collect();
    assert_eq!(payloads, ["a", "b"]);
}

#[tokio::test]
async fn a_new_owner_fences_the_old_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = Client::open_dir(dir.path()).await;
    old.enqueue("a").await;
    let new = Client::open_dir(dir.path()).await;

    let refused = old.call(enqueue("b")).await;

    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    assert!(matches!(old.call(Command::Stats).await, Err(Error::Fenced { .. })), "and for good");
    assert!(matches!(*old.desk.broken.lock(), Some(Error::Fenced { .. })), "consumers are told");
    assert_eq!(new.claim(10).await.len(), 1, "what was refused is not there");
}

#[tokio::test]
async fn many_callers_share_a_commit() {
    let client = Client::open(Target::in_memory()).await.expect("memory");
    let calls: Vec<_> = (0..1_000).map(|_| client.start(enqueue("x"))).collect();

    for call in calls {
        assert!(call.await.expect("answered").is_ok());
    }

    let stats = client.stats().await;
    assert_eq!(stats.queues[0].pending_count, 1_000);
    assert!(stats.commit_count < 20, "{stats:?}");
}

#[tokio::test]
async fn an_idle_engine_writes_nothing() {
    let client = Client::open(Target::in_memory()).await.expect("memory");
    client.enqueue("a").await;
    let before = client.stats().await;

    tokio::time::sleep(Duration::from_millis(1_500)).await;

    assert_eq!(client.stats().await.store.put_count, before.store.put_count);
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_asks_the_store_once_a_minute() {
    let hour = Duration::from_secs(3_600);
    let client = Client::open(Target::in_memory()).await.expect("memory");
    client.enqueue("a").await;
    // What the last commit left to merge and to delete is seen to.
    tokio::time::sleep(hour).await;
    let before = client.stats().await.store;

    tokio::time::sleep(hour).await;

    let after = client.stats().await.store;
    let signs_of_life = 3_600 / OpenOptions::default().heartbeat_interval.as_secs();
    assert!(after.put_count - before.put_count <= signs_of_life, "{before:?} {after:?}");
    let rest = |counts: StoreCounts| counts.get_count + counts.list_count + counts.delete_count;
    assert_eq!(rest(after), rest(before), "{before:?} {after:?}");
}

#[tokio::test]
async fn a_closed_engine_answers_everybody() {
    let client = Client::open(Target::in_memory()).await.expect("memory");
    client.call(submit("r")).await.expect("a good run");
    let run_id = "r".parse().expect("a good id");
    let waits = client.start(Command::AwaitRun { run_id });

    client.engine.close().await.expect("a good store");

    assert!(matches!(waits.await.expect("answered"), Err(Error::Closed { .. })));
    assert!(matches!(client.call(enqueue("late")).await, Err(Error::Closed { .. })));
    client.engine.close().await.expect("closing again does nothing");
}

#[tokio::test]
async fn a_subscription_carries_a_run_from_step_to_step() {
    let client = Client::open(Target::in_memory()).await.expect("memory");
    let subscribe = Command::Subscribe {
        queue: queue(),
        concurrency: 4,
        observes_runs: TerminalStatuses::NONE,
        job_timeout: None,
    };
    client.call(subscribe).await.expect("subscribed");
    client.call(submit("r")).await.expect("submitted");
    let end = client.start(Command::AwaitRun { run_id: "r".parse().expect("a good id") });

    for step in 0..3 {
        let claim = client.next_claim().await;
        assert!(matches!(claim.work, Work::Step { step_number, .. } if step_number == step));
        let outcome = match step {
            2 => StepOutcome::Succeed { result: "done".into() },
            _ => StepOutcome::Continue { payload: "more".into() },
        };
        let command = Command::Settle {
            token: claim.token,
            verdict: Verdict::Step(outcome),
            effects: Vec::new(),
        };
        client.engine.send(client.outlet, vec![Request { ticket: None, command }]);
    }

    let Ok(Reply::Outcome(outcome)) = end.await.expect("answered") else { panic!("an outcome") };
    assert_eq!(outcome.result.as_deref(), Some(&b"done"[..]));
    let again = client.call(Command::AwaitRun { run_id: "r".parse().expect("a good id") }).await;
    assert!(matches!(again, Ok(Reply::Outcome(read)) if read == outcome), "read from the log");
}

#[tokio::test]
async fn a_job_that_is_due_later_comes_by_itself() {
    let client = Client::open(Target::in_memory()).await.expect("memory");
    let subscribe = Command::Subscribe {
        queue: queue(),
        concurrency: 1,
        observes_runs: TerminalStatuses::NONE,
        job_timeout: None,
    };
    client.call(subscribe).await.expect("subscribed");
    let start = Start::After(Duration::from_millis(30));
    let job = NewJob { payload: "later".into(), start, ..NewJob::default() };

    client.call(Command::Enqueue { queue: queue(), jobs: vec![job] }).await.expect("enqueued");

    assert_eq!(client.next_claim().await.payload, "later");
}

#[tokio::test]
async fn bodies_beyond_the_cache_are_read_again_when_their_jobs_are_claimed() {
    let client = Client::open(Target::in_memory()).await.expect("memory");
    let payload = vec![7_u8; 1024 * 1024];
    let count = crate::limits::BODY_CACHE_BYTES_MAX / payload.len() + 6;
    for index in 0..count {
        let mut payload = payload.clone();
        payload[0] = u8::try_from(index % 251).expect("below 251");
        let job = NewJob { payload: payload.into(), ..NewJob::default() };
        client.call(Command::Enqueue { queue: queue(), jobs: vec![job] }).await.expect("enqueued");
    }

    let claims = client.claim(count).await;

    assert_eq!(claims.len(), count);
    for (index, claim) in claims.iter().enumerate() {
        assert_eq!(usize::from(claim.payload[0]), index % 251, "in order, each with its own bytes");
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_the_directory_is_told_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("a writable directory");

    let error = Target::local(&file, Access::Own { fsync: true }).expect_err("it is a file");

    assert!(matches!(error, Error::InvalidStore { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_that_refuses_the_connection_is_told_within_the_timeout() {
    let store = object_store::aws::AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_endpoint("http://127.0.0.1:1")
        .with_allow_http(true)
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .build()
        .expect("a store that is never reached");
    let target = Target::from_store(Arc::new(store), "s3://bucket".into());
    let store_timeout = Duration::from_millis(300);
    let options = OpenOptions { store_timeout, ..OpenOptions::default() };

    let opened = Engine::open(target, "taquba", options, Arc::new(SystemClock::new())).await;

    let error = opened.err().expect("nobody listens there");
    assert!(matches!(error, Error::StoreUnavailable { .. }), "{error:?}");
}
