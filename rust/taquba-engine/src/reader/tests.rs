//! A reader beside rows as an owner writes them, and beside an owner.

mod runs;

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::memory::InMemory;
use tokio::sync::oneshot;

use super::*;
use crate::Engine;
use crate::command::{
    AttemptEnd, DedupScope, Expected, JobInfo, JobPage, JobState, KvRange, NewJob, Start, Stats,
};
use crate::ids::{JobId, KvKey, QueueName};
use crate::log::tests::held::HeldStore;
use crate::log::{Log as _, SlateLog};
use crate::options::OpenOptions;
use crate::record::{
    Body, BodyWork, CancelRow, ClaimsRow, FORMAT, Headers, JobEnd, JobRow, Meta, OpenClaim,
    Payload, PayloadName, PayloadRef, QueueCounts, QueueRow, Row, Sequence, Trail, encode_value,
    keys,
};

const SOON: Duration = Duration::from_secs(8);

/// Later than any clock of these tests.
const FAR_MS: u64 = 4_000_000_000_000;

/// A store that several can open.
#[derive(Clone, Default)]
struct Shared(Arc<InMemory>);

impl Shared {
    fn target(&self) -> Target {
        Target::from_store(Arc::clone(&self.0) as _, "memory://".into())
    }

    async fn log(&self) -> SlateLog {
        let options = OpenOptions::default();
        SlateLog::open(&self.target(), "taquba", &options).await.expect("memory")
    }

    async fn reader(&self) -> Asker {
        Asker::new(Reader::open(self.target(), "taquba", SOON).await.expect("there is a queue"))
    }

    async fn engine(&self) -> Asker {
        let (options, clock) = (OpenOptions::default(), Arc::new(SystemClock::new()));
        Asker::new(Engine::open(self.target(), "taquba", options, clock).await.expect("memory"))
    }
}

/// An engine or a reader.
trait Peer {
    fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId;
    fn send(&self, outlet: OutletId, requests: Vec<Request>);
}

impl Peer for Reader {
    fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId {
        Self::attach(self, outlet)
    }

    fn send(&self, outlet: OutletId, requests: Vec<Request>) {
        Self::send(self, outlet, requests);
    }
}

impl Peer for Engine {
    fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId {
        Self::attach(self, outlet)
    }

    fn send(&self, outlet: OutletId, requests: Vec<Request>) {
        Self::send(self, outlet, requests);
    }
}

#[derive(Default)]
struct Replies(Mutex<BTreeMap<Ticket, oneshot::Sender<Result<Reply>>>>);

impl Outlet for Replies {
    fn deliver(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match delivery {
                Delivery::Reply { ticket, result } => {
                    let waiting = self.0.lock().remove(&ticket).expect("one reply per call");
                    let _ = waiting.send(result);
                }
                Delivery::CancelRequested { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// One consumer.
struct Asker<P = Box<dyn Peer + Send + Sync>> {
    peer: P,
    replies: Arc<Replies>,
    outlet: OutletId,
    next: AtomicU64,
}

impl Asker {
    fn new(peer: impl Peer + Send + Sync + 'static) -> Self {
        let replies = Arc::new(Replies::default());
        let outlet = peer.attach(Arc::clone(&replies) as _);
        Self { peer: Box::new(peer), replies, outlet, next: AtomicU64::new(1) }
    }

    fn start(&self, command: Command) -> oneshot::Receiver<Result<Reply>> {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        self.replies.0.lock().insert(ticket, sender);
        self.peer.send(self.outlet, vec![Request { ticket: Some(ticket), command }]);
        receiver
    }

    async fn call(&self, command: Command) -> Result<Reply> {
        let answer = tokio::time::timeout(Duration::from_secs(30), self.start(command)).await;
        answer.expect("in time").expect("everybody is answered")
    }

    async fn list(&self, state: Option<JobState>) -> Vec<(u64, JobState)> {
        let page = self.page(state, None, 100).await;
        page.jobs.iter().map(|info| (info.job_id.row, info.state)).collect()
    }

    async fn page(&self, state: Option<JobState>, after: Option<u64>, count_max: usize) -> JobPage {
        let reply = self.call(Command::ListJobs { queue: queue("q"), state, after, count_max });
        let Ok(Reply::Jobs(page)) = reply.await else { panic!("no page") };
        page
    }

    async fn job(&self, job_id: JobId) -> Result<JobInfo> {
        match self.call(Command::GetJob { job_id }).await? {
            Reply::Job(info) => Ok(*info),
            other => panic!("{other:?}"),
        }
    }

    async fn stats(&self) -> Stats {
        let Ok(Reply::Stats(stats)) = self.call(Command::Stats).await else { panic!("no stats") };
        stats
    }
}

fn queue(name: &str) -> QueueName {
    name.parse().expect("a good name")
}

fn key(text: &str) -> KvKey {
    text.parse().expect("a good key")
}

fn body(payload: impl Into<Payload>) -> Body {
    Body {
        payload: payload.into(),
        headers: Headers::default(),
        enqueued_at_ms: 5,
        dedup_key: None,
        last_error: None,
        history: Vec::new(),
        trail: Trail::default(),
        work: BodyWork::Job,
    }
}

fn stored(body: &Body) -> JobRow<&Body> {
    JobRow {
        queue: 0,
        order: 1,
        priority: 1_000,
        turn: 0,
        attempts: 0,
        max_attempts: 3,
        run_at_ms: 0,
        ended: None,
        dedup_scope: DedupScope::Waiting,
        body,
    }
}

fn put(row: u64, stored: &JobRow<&Body>) -> Row {
    Row::Put(keys::job(row), stored.encode())
}

/// A claim, and a request to its holder to stop.
fn claim(row: u64, turn: u32) -> [Row; 2] {
    let claim = OpenClaim { row, turn, order: 1, attempts: 2, started_at_ms: 9 };
    let claims = ClaimsRow { claims: vec![claim] };
    let request = CancelRow { turn };
    [Row::Put(keys::claims(row), claims.encode()), Row::Put(keys::cancel(row), request.encode())]
}

/// The rows of a store with two queues, `q` first.
fn store_rows() -> Vec<Row> {
    let queue = |index: u32, name: &str, pending| {
        let counts = QueueCounts { pending, ..QueueCounts::default() };
        let row = QueueRow { name: name.into(), counts, ..QueueRow::default() };
        Row::Put(keys::queue(index), row.encode())
    };
    vec![
        meta(FORMAT),
        Row::Put(keys::SEQUENCE.into(), Sequence { next: 100, wall_floor_ms: 7 }.encode()),
        queue(0, "q", 3),
        queue(1, "a", 4),
    ]
}

fn meta(format: u32) -> Row {
    Row::Put(keys::META.into(), Meta { format, epoch: 1, clean: false }.encode())
}

async fn commit(log: &SlateLog, rows: Vec<Row>) {
    log.commit(rows).await.expect("memory");
}

#[tokio::test]
async fn every_state_is_told_from_the_rows() {
    use JobState::{Claimed, Dead, Done, Pending, Scheduled};

    let shared = Shared::default();
    let log = shared.log().await;
    let body = body(Bytes::from_static(b"payload"));
    let plain = stored(&body);
    let mut rows = store_rows();
    rows.extend([
        put(1, &plain),
        put(2, &JobRow { run_at_ms: FAR_MS, ..plain }),
        put(3, &plain),
        put(4, &JobRow { turn: 2, run_at_ms: 1, ..plain }),
        put(5, &JobRow { ended: Some((JobEnd::Done, 11)), ..plain }),
        put(6, &JobRow { ended: Some((JobEnd::Dead, 12)), ..plain }),
        put(7, &JobRow { queue: 1, ..plain }),
        Row::Put(keys::job(8), "damaged".into()),
    ]);
    rows.extend(claim(3, 0).into_iter().chain(claim(4, 1)));
    commit(&log, rows).await;
    let reader = shared.reader().await;

    let all = [(1, Pending), (2, Scheduled), (3, Claimed), (4, Pending), (5, Done), (6, Dead)];
    assert_eq!(reader.list(None).await, all);
    for state in JobState::ALL {
        let expected: Vec<_> = all.into_iter().filter(|(_, other)| *other == state).collect();
        assert_eq!(reader.list(Some(state)).await, expected, "{state:?}");
    }
    let claimed = reader.job(JobId { row: 3, turn: 0 }).await.expect("it is there");
    assert_eq!((claimed.attempts, claimed.is_cancel_requested), (2, true));
    let open = claimed.history.last().expect("the delivery under way");
    assert_eq!((open.number, open.started_at_ms, open.end), (2, Some(9), AttemptEnd::Open));
    let dead = reader.job(JobId { row: 6, turn: 0 }).await.expect("it is there");
    assert_eq!((dead.ended_at_ms, dead.enqueued_at_ms), (Some(12), 5));
}

#[tokio::test]
async fn a_job_that_is_due_by_its_owners_clock_is_pending() {
    let shared = Shared::default();
    let log = shared.log().await;
    let body = body(Bytes::new());
    let mut rows = store_rows();
    rows.push(put(1, &JobRow { run_at_ms: FAR_MS, ..stored(&body) }));
    commit(&log, rows).await;
    let reader = shared.reader().await;
    assert_eq!(reader.list(None).await, [(1, JobState::Scheduled)]);

    let sequence = Sequence { next: 100, wall_floor_ms: FAR_MS };
    commit(&log, vec![Row::Put(keys::SEQUENCE.into(), sequence.encode())]).await;

    assert_eq!(reader.list(None).await, [(1, JobState::Pending)]);
}

#[tokio::test]
async fn pages_follow_on_each_other_and_end() {
    let shared = Shared::default();
    let log = shared.log().await;
    let body = body(Bytes::new());
    let mut rows = store_rows();
    rows.extend((1..=5).map(|row| put(row, &stored(&body))));
    commit(&log, rows).await;
    let reader = shared.reader().await;
    let rows_of =
        |page: &JobPage| -> Vec<u64> { page.jobs.iter().map(|info| info.job_id.row).collect() };

    let first = reader.page(None, None, 2).await;
    assert_eq!((rows_of(&first), first.next), (vec![1, 2], Some(2)));
    let second = reader.page(None, first.next, 2).await;
    assert_eq!((rows_of(&second), second.next), (vec![3, 4], Some(4)));
    let third = reader.page(None, second.next, 2).await;
    assert_eq!((rows_of(&third), third.next), (vec![5], None));

    let none = Command::ListJobs { queue: queue("none"), state: None, after: None, count_max: 1 };
    let Ok(Reply::Jobs(page)) = reader.call(none).await else { panic!("no page") };
    assert_eq!(page, JobPage::default());
    let zero = Command::ListJobs { queue: queue("q"), state: None, after: None, count_max: 0 };
    assert!(matches!(reader.call(zero).await, Err(Error::InvalidArgument { .. })));
}

#[tokio::test]
async fn a_page_over_large_rows_ends_early_and_goes_on() {
    let shared = Shared::default();
    let log = shared.log().await;
    let body = body(Bytes::from(vec![1; 3 * 1024 * 1024]));
    commit(&log, store_rows()).await;
    for row in 1..=5 {
        commit(&log, vec![put(row, &stored(&body))]).await;
    }
    let reader = shared.reader().await;

    let first = reader.page(None, None, 100).await;
    assert_eq!((first.jobs.len(), first.next), (3, Some(3)));
    let second = reader.page(None, first.next, 100).await;
    assert_eq!((second.jobs.len(), second.next), (2, None));
}

#[tokio::test]
async fn a_job_comes_with_its_payload_wherever_it_is() {
    let shared = Shared::default();
    let log = shared.log().await;
    let name = PayloadName { epoch: 1, number: 1 };
    let large = Bytes::from_static(b"large");
    log.put_payload(name, large.clone()).await.expect("memory");
    let inline = body(Bytes::from_static(b"small"));
    let object = body(Payload::Object(PayloadRef::to(name, &large)));
    let mut rows = store_rows();
    rows.extend([put(1, &stored(&inline)), put(2, &JobRow { turn: 3, ..stored(&object) })]);
    commit(&log, rows).await;
    let reader = shared.reader().await;

    let small = reader.job(JobId { row: 1, turn: 0 }).await.expect("it is there");
    assert_eq!(small.payload, Some("small".into()));
    let info = reader.job(JobId { row: 2, turn: 3 }).await.expect("it is there");
    assert_eq!((info.payload, info.payload_bytes), (Some("large".into()), 5));

    for gone in [JobId { row: 2, turn: 2 }, JobId { row: 9, turn: 0 }] {
        let refused = reader.job(gone).await;
        assert!(matches!(refused, Err(Error::JobNotFound { .. })), "{refused:?}");
    }
    log.delete_payload(name).await.expect("memory");
    let damaged = reader.job(JobId { row: 2, turn: 3 }).await;
    assert!(matches!(damaged, Err(Error::Corrupted { .. })), "{damaged:?}");
}

#[tokio::test]
async fn counts_are_those_of_the_last_commit() {
    let shared = Shared::default();
    let log = shared.log().await;
    let mut rows = store_rows();
    rows.push(Row::Put(keys::quarantine(b"j1"), "damaged".into()));
    commit(&log, rows).await;
    let reader = shared.reader().await;

    let stats = reader.stats().await;

    let counts: Vec<_> =
        stats.queues.iter().map(|queue| (queue.queue.as_str(), queue.pending_count)).collect();
    assert_eq!(counts, [("a", 4), ("q", 3)]);
    assert_eq!(stats.quarantined_count, 1);
}

#[tokio::test]
async fn keys_are_read_one_by_one_and_in_ranges() {
    let shared = Shared::default();
    let log = shared.log().await;
    let mut rows = store_rows();
    for name in ["a1", "a2", "b1"] {
        rows.push(Row::Put(keys::kv(&key(name)), encode_value(&Bytes::from(name))));
    }
    commit(&log, rows).await;
    let reader = shared.reader().await;

    let value = reader.call(Command::KvGet { key: key("a2") }).await;
    assert!(matches!(value, Ok(Reply::Value(Some(value))) if value == "a2"));
    let value = reader.call(Command::KvGet { key: key("none") }).await;
    assert!(matches!(value, Ok(Reply::Value(None))));
    let (start, end, after) = (None, None, None);
    let range = KvRange { prefix: "a".into(), start, end, reverse: true, after, count_max: 1 };
    let Ok(Reply::Entries(page)) = reader.call(Command::KvScan(range)).await else {
        panic!("no page")
    };
    assert_eq!((page.entries, page.next), (vec![(key("a2"), "a2".into())], Some(key("a2"))));
}

#[tokio::test]
async fn what_an_owner_has_answered_its_reader_shows() {
    let shared = Shared::default();
    let engine = shared.engine().await;
    let reader = shared.reader().await;

    for count in 1..=3 {
        let job = NewJob { payload: Bytes::from_static(b"p").into(), ..NewJob::default() };
        let later = NewJob { start: Start::After(Duration::from_secs(60)), ..job.clone() };
        let enqueue = Command::Enqueue { queue: queue("q"), jobs: vec![job, later] };
        let Ok(Reply::Enqueued(enqueued)) = engine.call(enqueue).await else { panic!("refused") };
        let put = Command::KvWrite {
            key: key("k"),
            expected: Expected::Anything,
            value: Some(count.to_string().into()),
        };
        assert!(matches!(engine.call(put).await, Ok(Reply::Written(true))));

        let info = reader.job(enqueued[0].job_id).await.expect("it is durable");
        assert_eq!((info.state, info.payload), (JobState::Pending, Some("p".into())));
        let later = reader.job(enqueued[1].job_id).await.expect("it is durable");
        assert_eq!(later.state, JobState::Scheduled);
        assert_eq!(reader.list(None).await.len(), 2 * count);
        let value = reader.call(Command::KvGet { key: key("k") }).await;
        assert!(matches!(value, Ok(Reply::Value(Some(value))) if value == count.to_string()));
        assert_eq!(reader.stats().await.queues[0].enqueued_total, 2 * count as u64);
    }
    let Ok(Reply::Owner(Some(owner))) = reader.call(Command::Owner).await else {
        panic!("nobody owns it")
    };
    assert!(owner.is_alive);
}

#[tokio::test]
async fn a_reader_changes_nothing_and_says_so() {
    let shared = Shared::default();
    let engine = shared.engine().await;
    let reader = shared.reader().await;

    let enqueue = Command::Enqueue { queue: queue("q"), jobs: vec![NewJob::default()] };
    let refused = reader.call(enqueue.clone()).await;

    let Err(Error::ReadOnly { call, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(call, "enqueue");
    assert!(matches!(reader.call(Command::AwaitRoom).await, Ok(Reply::Done)));
    assert!(matches!(engine.call(enqueue).await, Ok(Reply::Enqueued(_))));
}

#[tokio::test]
async fn whoever_asks_a_closed_reader_is_answered() {
    let shared = Shared::default();
    let log = shared.log().await;
    commit(&log, store_rows()).await;
    let reader = Reader::open(shared.target(), "taquba", SOON).await.expect("it is there");
    let asker = Asker::new(reader.clone());

    let waiting: Vec<_> = (0..10).map(|_| asker.start(Command::Stats)).collect();
    assert_eq!(reader.close().await, Ok(()));
    for reply in waiting {
        let reply = reply.await.expect("everybody is answered");
        assert!(matches!(reply, Ok(_) | Err(Error::Closed { .. })), "{reply:?}");
    }

    let late = asker.call(Command::Stats).await;
    assert!(matches!(late, Err(Error::Closed { .. })), "{late:?}");
    assert_eq!(reader.close().await, Ok(()));
}

#[tokio::test]
async fn consumers_get_their_own_replies_until_they_leave() {
    let shared = Shared::default();
    let log = shared.log().await;
    commit(&log, store_rows()).await;
    let reader = Reader::open(shared.target(), "taquba", SOON).await.expect("it is there");
    let (first, second) = (Asker::new(reader.clone()), Asker::new(reader.clone()));

    assert_eq!(first.stats().await, second.stats().await);
    reader.detach(first.outlet);
    let unanswered = first.start(Command::Stats);
    drop(second.stats().await);

    assert_eq!(first.replies.0.lock().len(), 1);
    drop(unanswered);
}

#[tokio::test]
async fn another_format_is_refused_at_once_and_later() {
    let shared = Shared::default();
    let log = shared.log().await;
    commit(&log, vec![meta(FORMAT)]).await;
    let reader = shared.reader().await;

    commit(&log, vec![meta(FORMAT + 1)]).await;

    let refused = reader.call(Command::Stats).await;
    assert!(matches!(refused, Err(Error::UnsupportedFormat { .. })), "{refused:?}");
    let refused = Reader::open(shared.target(), "taquba", SOON).await.err();
    assert!(matches!(refused, Some(Error::UnsupportedFormat { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_was_tidied_up_under_way_is_looked_for_again() {
    let shared = Shared::default();
    let log = shared.log().await;
    // So large that each lies in a block of its own.
    let body = body(Bytes::from(vec![1; 64 * 1024]));
    let mut rows = store_rows();
    rows.extend((1..=3).map(|row| put(row, &stored(&body))));
    commit(&log, rows).await;
    log.close().await.expect("memory");
    let store = Arc::new(HeldStore::over(&shared.0));
    let target = Target::from_store(Arc::clone(&store) as _, "held://".into());
    let reader = Asker::new(Reader::open(target, "taquba", SOON).await.expect("it is there"));
    assert_eq!(reader.stats().await.queues.len(), 2);

    store.lose_once("/compacted/");
    let info = reader.job(JobId { row: 1, turn: 0 }).await.expect("it is there after all");

    assert!(store.has_lost());
    assert_eq!(info.payload_bytes, 64 * 1024);
}

#[tokio::test]
async fn a_store_that_fails_ends_the_call_and_not_the_reader() {
    let shared = Shared::default();
    let log = shared.log().await;
    commit(&log, store_rows()).await;
    let store = Arc::new(HeldStore::over(&shared.0));
    let target = Target::from_store(Arc::clone(&store) as _, "held://".into());
    let reader = Asker::new(Reader::open(target, "taquba", SOON).await.expect("it is there"));

    store.deny(Some("taquba"));
    for command in [Command::Stats, Command::Owner] {
        let failed = reader.call(command).await;
        assert!(matches!(failed, Err(Error::PermissionDenied { .. })), "{failed:?}");
    }

    store.deny(None);
    assert_eq!(reader.stats().await.queues.len(), 2);
}
