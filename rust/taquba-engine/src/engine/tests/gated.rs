//! The engine on a log whose commits the test lets through, or fails.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::*;
use crate::limits::WAITING_BYTES_MAX;
use crate::log::PutCounts;
use crate::record::Row;

/// A log in memory with a gate before each commit.
struct GatedLog {
    rows: Mutex<BTreeMap<Bytes, Bytes>>,
    gate: Semaphore,
    failure: Mutex<Option<Error>>,
    commits: Mutex<usize>,
}

impl GatedLog {
    /// Open for the commit that opening makes.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            gate: Semaphore::new(1),
            failure: Mutex::default(),
            commits: Mutex::default(),
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

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        Ok(self.rows.lock().get(&key).cloned())
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
        let rows = self.rows.lock();
        Ok(keys
            .into_iter()
            .filter_map(|key| rows.get(&key).cloned().map(|row| (key, row)))
            .collect())
    }

    async fn scan(&self, visit: &mut (dyn FnMut(Bytes, Bytes) + Send)) -> Result<()> {
        for (key, value) in self.rows.lock().iter() {
            visit(key.clone(), value.clone());
        }
        Ok(())
    }

    fn put_counts(&self) -> PutCounts {
        PutCounts::default()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

async fn client(log: &Arc<GatedLog>) -> Client {
    let clock = Arc::new(SystemClock::new());
    let log = Arc::clone(log) as Arc<dyn Log>;
    let engine = Engine::recover(log, "gated".into(), OpenOptions::default(), clock).await;
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
    let payload = Bytes::from(vec![0; 4 * 1024 * 1024]);
    let job = || NewJob { payload: payload.clone(), ..NewJob::default() };
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
