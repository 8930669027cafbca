//! The engine on a log whose commits the test lets through, or fails.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::*;
use crate::command::{Effect, OwnerInfo};
use crate::limits::WAITING_BYTES_MAX;
use crate::log::{Rows, StoreCounts, Visit};
use crate::record::{Meta, PayloadName, Row, keys};

/// A log in memory with a gate before each commit.
struct GatedLog {
    rows: Mutex<BTreeMap<Bytes, Bytes>>,
    gate: Semaphore,
    failure: Mutex<Option<Error>>,
    commits: Mutex<usize>,
    /// Whether reads wait for ever.
    are_reads_stuck: Mutex<bool>,
    /// Why uploads fail, if they do.
    upload_failure: Mutex<Option<Error>>,
}

impl GatedLog {
    /// Open for the commit that opening makes.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            gate: Semaphore::new(1),
            failure: Mutex::default(),
            commits: Mutex::default(),
            are_reads_stuck: Mutex::default(),
            upload_failure: Mutex::default(),
        })
    }

    fn let_through(&self, count: usize) {
        self.gate.add_permits(count);
    }
}

#[async_trait]
impl Log for GatedLog {
    async fn commit(&self, rows: Vec<Row>) -> Result<()> {
        self.gate.acquire().await.expect("the gate stays").forget();
        if let Some(error) = self.failure.lock().clone() {
            return Err(error);
        }
        let mut stored = self.rows.lock();
        for row in rows {
            match row {
                Row::Put(key, value) => drop(stored.insert(key, value)),
                Row::Delete(key) => drop(stored.remove(&key)),
            }
        }
        *self.commits.lock() += 1;
        Ok(())
    }

    async fn put_payload(&self, _: PayloadName, _: Bytes) -> Result<()> {
        self.gate.acquire().await.expect("the gate stays").forget();
        self.upload_failure.lock().clone().map_or(Ok(()), Err)
    }

    async fn get_payload(&self, _: PayloadName) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn delete_payload(&self, _: PayloadName) -> Result<()> {
        Ok(())
    }

    async fn list_payloads(&self) -> Result<Vec<PayloadName>> {
        Ok(Vec::new())
    }

    async fn start_heartbeat(&self, _: u32) {}

    async fn owner(&self) -> Result<Option<OwnerInfo>> {
        Ok(None)
    }

    fn counts(&self) -> StoreCounts {
        StoreCounts::default()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Rows for GatedLog {
    async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        if *self.are_reads_stuck.lock() {
            std::future::pending::<()>().await;
        }
        Ok(self.rows.lock().get(&key).cloned())
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
        let rows = self.rows.lock();
        Ok(keys
            .into_iter()
            .filter_map(|key| rows.get(&key).cloned().map(|row| (key, row)))
            .collect())
    }

    async fn scan(&self, range: ScanRange, visit: &mut Visit<'_>) -> Result<()> {
        for (key, value) in self.rows.lock().range((range.start, range.end)) {
            if visit(key.clone(), value.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

async fn client(log: &Arc<GatedLog>) -> Client {
    let clock = Arc::new(SystemClock::new());
    let log = Arc::clone(log) as Arc<dyn Log>;
    let engine = Engine::start(log, "gated".into(), OpenOptions::default(), clock).await;
    let engine = engine.expect("an empty log");
    let desk = Arc::new(Desk::default());
    let outlet = engine.attach(Arc::clone(&desk) as _);
    Client { engine, desk, outlet, next_ticket: Mutex::new(1) }
}

fn keyed() -> Command {
    let job = NewJob { dedup_key: Some("k".into()), ..NewJob::default() };
    Command::Enqueue { queue: queue(), jobs: vec![job] }
}

/// Whatever the engine can do without a commit, it has done.
async fn settle_down(client: &Client) {
    let _ = client.stats().await;
}

#[tokio::test]
async fn no_promise_leaves_before_its_commit_not_even_that_of_a_duplicate() {
    let log = GatedLog::new();
    let client = client(&log).await;
    let mut first = client.start(keyed());
    let mut duplicate = client.start(keyed());
    settle_down(&client).await;

    assert!(first.try_recv().is_err(), "its row is on its way");
    assert!(duplicate.try_recv().is_err(), "it promises what the first one wrote");
    assert!(client.claim(1).await.is_empty(), "nor can the job be claimed");
    log.let_through(2);

    assert!(first.await.expect("answered").is_ok());
    assert!(duplicate.await.expect("answered").is_ok());
    assert_eq!(client.claim(1).await.len(), 1);
}

#[tokio::test]
async fn a_failed_commit_ends_the_engine_and_answers_everybody_who_waits() {
    let log = GatedLog::new();
    let client = client(&log).await;
    let lost = Error::StoreUnavailable { path: "gated".into(), detail: "gone".into() };
    *log.failure.lock() = Some(lost.clone());
    let in_flight = client.start(enqueue("a"));
    settle_down(&client).await;
    let behind = client.start(enqueue("b"));
    settle_down(&client).await;

    log.let_through(1);

    assert_eq!(in_flight.await.expect("answered").err(), Some(lost.clone()));
    assert_eq!(behind.await.expect("answered").err(), Some(lost.clone()));
    assert_eq!(client.call(Command::Stats).await.err(), Some(lost.clone()));
    assert_eq!(*client.desk.broken.lock(), Some(lost));
}

#[tokio::test]
async fn what_arrives_during_a_commit_shares_the_next() {
    let log = GatedLog::new();
    let client = client(&log).await;
    let first = client.start(enqueue("first"));
    settle_down(&client).await;
    let others: Vec<_> = (0..100).map(|_| client.start(enqueue("other"))).collect();
    settle_down(&client).await;

    log.let_through(10);
    assert!(first.await.expect("answered").is_ok());
    for other in others {
        assert!(other.await.expect("answered").is_ok());
    }

    assert_eq!(*log.commits.lock(), 3, "the open, the first, all others");
}

#[tokio::test]
async fn a_slow_store_holds_callers_back() {
    let log = GatedLog::new();
    let client = client(&log).await;
    assert!(client.engine.has_room());
    let payload = Bytes::from(vec![0; 256 * 1024]);
    let job = || NewJob { payload: payload.clone().into(), ..NewJob::default() };
    let count = WAITING_BYTES_MAX / payload.len() + 1;
    let calls: Vec<_> = (0..count)
        .map(|_| client.start(Command::Enqueue { queue: queue(), jobs: vec![job()] }))
        .collect();

    assert!(!client.engine.has_room());
    let room = client.start(Command::AwaitRoom);
    log.let_through(100);

    assert!(room.await.expect("answered").is_ok());
    for call in calls {
        assert!(call.await.expect("answered").is_ok());
    }
    assert!(client.engine.has_room());
}

#[tokio::test]
async fn an_orderly_close_commits_what_waits_and_leaves_a_mark() {
    let log = GatedLog::new();
    let client = client(&log).await;
    let waiting = client.start(enqueue("a"));
    log.let_through(10);

    client.engine.close().await.expect("a good log");

    assert!(waiting.await.expect("answered").is_ok());
    let meta = log.rows.lock().get(keys::META).cloned().expect("written at the open");
    assert!(Meta::decode(&meta).expect("ours").clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_during_the_close_does_not_keep_it_from_its_end() {
    let log = GatedLog::new();
    let client = client(&log).await;
    let before = client.start(enqueue("a"));
    settle_down(&client).await;
    let engine = client.engine.clone();
    let closing = async move { engine.close().await };
    let (closed, late) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(30), closing), async {
            // The close is under way: it waits for the commit before it.
            tokio::task::yield_now().await;
            let late = client.start(enqueue("late"));
            tokio::time::sleep(Duration::from_millis(20)).await;
            log.let_through(10);
            late.await.expect("answered")
        });

    assert_eq!(closed, Ok(Ok(())));
    assert!(matches!(late, Err(Error::Closed { .. })), "{late:?}");
    assert!(before.await.expect("answered").is_ok());
}

/// A settlement whose effect is so large that it has to be uploaded first.
fn settle_with_upload(claim: &Claim) -> Command {
    let payload = vec![0; OpenOptions::default().payload_offload_threshold + 1].into();
    let jobs = vec![NewJob { payload, ..NewJob::default() }];
    let effects = vec![Effect::Enqueue { queue: queue(), jobs }];
    Command::Settle { token: claim.token, verdict: Verdict::Ack, effects }
}

/// A client with a claimed job, and a settlement of it that is being uploaded.
async fn uploading(log: &Arc<GatedLog>) -> (Client, oneshot::Receiver<Result<Reply>>) {
    let client = client(log).await;
    log.let_through(1);
    client.enqueue("a").await;
    let claim = client.claim(1).await.remove(0);
    let settled = client.start(settle_with_upload(&claim));
    settle_down(&client).await;
    (client, settled)
}

#[tokio::test]
async fn a_close_waits_for_the_uploads_that_came_before_it() {
    let log = GatedLog::new();
    let (client, settled) = uploading(&log).await;
    let engine = client.engine.clone();

    let (closed, ()) = tokio::join!(engine.close(), async {
        tokio::task::yield_now().await;
        log.let_through(10);
    });

    assert_eq!(closed, Ok(()));
    assert!(settled.await.expect("answered").is_ok(), "its claim was not taken back before");
}

#[tokio::test]
async fn a_barrier_waits_for_the_uploads_that_came_before_it() {
    let log = GatedLog::new();
    let (client, mut settled) = uploading(&log).await;
    let room = client.start(Command::AwaitRoom);
    settle_down(&client).await;

    log.let_through(10);

    assert!(room.await.expect("answered").is_ok());
    assert!(settled.try_recv().expect("answered before").is_ok());
}

#[tokio::test]
async fn a_consumer_that_goes_has_its_settlements_carried_out_first() {
    let log = GatedLog::new();
    let (client, _settled) = uploading(&log).await;
    client.engine.detach(client.outlet);
    let desk = Arc::new(Desk::default());
    let outlet = client.engine.attach(Arc::clone(&desk) as _);
    let other = Client { engine: client.engine.clone(), desk, outlet, next_ticket: Mutex::new(1) };
    settle_down(&other).await;

    log.let_through(10);
    other.call(Command::AwaitRoom).await.expect("durable");

    let stats = other.stats().await;
    assert_eq!((stats.queues[0].acked_total, stats.queues[0].retried_total), (1, 0));
}

#[tokio::test]
async fn a_settlement_that_could_not_be_uploaded_gives_the_job_back() {
    let log = GatedLog::new();
    let (client, settled) = uploading(&log).await;
    let lost = Error::StoreUnavailable { path: "gated".into(), detail: "no answer".into() };
    *log.upload_failure.lock() = Some(lost.clone());

    log.let_through(10);

    assert_eq!(settled.await.expect("answered").err(), Some(lost));
    client.call(Command::AwaitRoom).await.expect("durable");
    let stats = client.stats().await.queues.remove(0);
    assert_eq!((stats.claimed_count, stats.scheduled_count), (0, 1), "it is tried again");
}

#[tokio::test]
async fn a_question_under_way_is_answered_when_the_engine_ends() {
    let log = GatedLog::new();
    let client = client(&log).await;
    *log.are_reads_stuck.lock() = true;
    let question = client.start(Command::KvGet { key: "k".parse().expect("a key") });
    settle_down(&client).await;
    let lost = Error::StoreUnavailable { path: "gated".into(), detail: "gone".into() };
    *log.failure.lock() = Some(lost.clone());

    let _commit = client.start(enqueue("a"));
    log.let_through(1);

    assert_eq!(question.await.expect("answered").err(), Some(lost));
}

/// Rows that a log holds of memos.
fn memo_rows(log: &GatedLog) -> usize {
    let tags = [keys::MEMO, keys::MEMO_OBJECT, keys::MEMO_SWEEP];
    log.rows.lock().keys().filter(|key| tags.contains(&key[0])).count()
}

#[tokio::test]
async fn a_memo_that_shares_the_last_commit_of_its_run_is_swept_as_well() {
    let log = GatedLog::new();
    let client = client(&log).await;
    let Command::Submit { queue, mut runs } = submit("r") else { unreachable!("made above") };
    runs[0].memo_retention = Some(Duration::ZERO);
    log.let_through(1);
    client.call(Command::Submit { queue, runs }).await.expect("a good run");
    let step = client.claim(1).await.remove(0);
    let (token, key) = (step.token, crate::ids::MemoKey::of(b"k"));
    let put = client.start(Command::MemoPut { token, key, value: "v".into() });
    let verdict = Verdict::Step(StepOutcome::Succeed { result: "done".into() });
    let end = client.start(Command::Settle { token, verdict, effects: Vec::new() });
    for _ in 0..20 {
        settle_down(&client).await;
    }
    log.let_through(100);
    put.await.expect("answered").expect("it was ours");
    end.await.expect("answered").expect("it was ours");

    let mut tries = 0;
    while memo_rows(&log) > 0 {
        tries += 1;
        assert!(tries < 1_000, "a memo stays for ever");
        settle_down(&client).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
