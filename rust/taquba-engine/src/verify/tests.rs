//! Scrubs of rows as an owner writes them, and of the same rows with one thing wrong.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::command::{DedupScope, TerminalStatus, TerminalStatuses};
use crate::ids::{KvKey, MemoKey, RunId};
use crate::log::Visit;
use crate::record::{
    Body, BodyWork, CancelRow, ClaimsRow, EndedRun, FORMAT, Headers, JobEnd, JobRow, MemoSweepRow,
    Meta, OpenClaim, Payload, PayloadName, PayloadRef, QueueCounts, QueueRow, RunRow, Sequence,
    Trail, encode_memo, encode_value, keys,
};

const JOB_PAYLOAD: PayloadName = PayloadName { epoch: 1, number: 1 };
const MEMO_PAYLOAD: PayloadName = PayloadName { epoch: 1, number: 2 };
const ORPHAN: PayloadName = PayloadName { epoch: 1, number: 3 };

/// A store in two maps.
#[derive(Clone, Default)]
struct Maps {
    rows: BTreeMap<Bytes, Bytes>,
    payloads: BTreeMap<PayloadName, Bytes>,
    /// After so many rows a scan fails.
    is_torn: bool,
}

#[async_trait]
impl Rows for Maps {
    async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        Ok(self.rows.get(&key).cloned())
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
        Ok(keys
            .into_iter()
            .filter_map(|key| Some((key.clone(), self.rows.get(&key)?.clone())))
            .collect())
    }

    async fn scan(&self, range: ScanRange, visit: &mut Visit<'_>) -> Result<()> {
        for (key, value) in self.rows.range((range.start, range.end)) {
            if visit(key.clone(), value.clone()).is_break() {
                return Ok(());
            }
            if self.is_torn {
                let (path, detail) = ("maps".to_owned(), "block 7 is damaged".to_owned());
                return Err(Error::Corrupted { path, detail });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Payloads for Maps {
    async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>> {
        Ok(self.payloads.get(&name).cloned())
    }

    async fn list_payloads(&self) -> Result<Vec<PayloadName>> {
        Ok(self.payloads.keys().copied().collect())
    }
}

fn run_id(text: &str) -> RunId {
    text.parse().expect("a good id")
}

fn body(work: BodyWork) -> Body {
    Body {
        payload: "payload".into(),
        headers: Headers::default(),
        enqueued_at_ms: 5,
        dedup_key: None,
        last_error: None,
        history: Vec::new(),
        trail: Trail::default(),
        work,
    }
}

fn job(row: u64, body: &Body) -> JobRow<&Body> {
    JobRow {
        queue: 0,
        order: row,
        priority: 1_000,
        turn: 0,
        attempts: 0,
        max_attempts: 3,
        run_at_ms: 0,
        ended: None,
        dedup_scope: DedupScope::Settled,
        body,
    }
}

fn live_run() -> RunRow {
    RunRow {
        queue: 0,
        row: 2,
        input_sha256: [7; 32],
        submitted_at_ms: 5,
        observed: TerminalStatuses::NONE,
        retention_ms: Some(1_000),
        memo_retention_ms: Some(1_000),
        has_memos: true,
        ended: None,
    }
}

fn ended_run() -> RunRow {
    let ended = EndedRun {
        at_ms: 9,
        status: TerminalStatus::Succeeded,
        result: Some("result".into()),
        error: None,
        headers: Headers::default(),
        final_step: 1,
        attempts: 1,
        trail: Trail::default(),
    };
    RunRow { row: 7, ended: Some(ended), ..live_run() }
}

fn queue_row(counts: QueueCounts) -> Bytes {
    QueueRow { name: "q".into(), counts, ..QueueRow::default() }.encode()
}

fn claim(attempts: u32) -> Bytes {
    let claim = OpenClaim { row: 1, turn: 0, order: 1, attempts, started_at_ms: 9 };
    ClaimsRow { claims: vec![claim] }.encode()
}

/// Everything that a store has, and nothing wrong with it.
fn sound() -> Maps {
    let counts =
        QueueCounts { pending: 3, claimed: 1, dead: 1, live_runs: 1, ..QueueCounts::default() };
    let large = Bytes::from(vec![1; 1_000]);
    let object = |name| Payload::Object(PayloadRef::to(name, &large));
    let plain = body(BodyWork::Job);
    let keyed = Body { dedup_key: Some("once".into()), ..plain.clone() };
    let offloaded = Body { payload: object(JOB_PAYLOAD), ..plain.clone() };
    let step = body(BodyWork::Step { run_id: run_id("live") });
    let key = MemoKey::of(b"memo");
    let rows = [
        (keys::META.into(), Meta { format: FORMAT, epoch: 2, clean: true }.encode()),
        (keys::SEQUENCE.into(), Sequence { next: 100, wall_floor_ms: 7 }.encode()),
        (keys::queue(0), queue_row(counts)),
        (keys::claims(4), claim(1)),
        (keys::cancel(1), CancelRow { turn: 0 }.encode()),
        (keys::job(1), job(1, &keyed).encode()),
        (keys::job(2), job(2, &step).encode()),
        (keys::job(3), JobRow { ended: Some((JobEnd::Dead, 9)), ..job(3, &plain) }.encode()),
        (keys::job(4), job(4, &offloaded).encode()),
        (keys::job(5), JobRow { order: 50, ..job(5, &keyed) }.encode()),
        (keys::kv(&kv_key("cursor")), encode_value(&"value".into())),
        (keys::run(&run_id("live")), live_run().encode()),
        (keys::run(&run_id("over")), ended_run().encode()),
        (keys::memo(2, 0, &key), encode_memo(&object(MEMO_PAYLOAD))),
        (keys::memo_object(2, MEMO_PAYLOAD), Bytes::new()),
        (keys::memo(7, 0, &key), encode_memo(&"kept".into())),
        (keys::memo_sweep(7), MemoSweepRow { at_ms: 1_009 }.encode()),
    ];
    let payloads = [JOB_PAYLOAD, MEMO_PAYLOAD, ORPHAN].map(|name| (name, large.clone()));
    Maps { rows: rows.into(), payloads: payloads.into(), is_torn: false }
}

fn kv_key(text: &str) -> KvKey {
    text.parse().expect("a good key")
}

/// The kinds of problems of a sound store with one thing changed.
async fn kinds_of(change: impl FnOnce(&mut Maps)) -> Vec<ProblemKind> {
    let mut maps = sound();
    change(&mut maps);
    let report = scrub(&maps, &maps).await;
    assert_eq!(report.problem_count, report.problems.len() as u64);
    report.problems.iter().map(|problem| problem.kind).collect()
}

#[tokio::test]
async fn a_sound_store_is_clean_and_counted() {
    let maps = sound();

    let report = scrub(&maps, &maps).await;

    assert_eq!(report.problems, []);
    assert!(report.is_clean() && report.is_complete);
    assert_eq!(report.row_count, 17);
    let counts = (report.job_count, report.run_count, report.memo_count, report.key_count);
    assert_eq!(counts, (5, 2, 2, 1));
    assert_eq!((report.queue_count, report.quarantined_count), (1, 0));
    let payloads = (report.payload_object_count, report.payload_bytes, report.orphan_count);
    assert_eq!(payloads, (2, 2_000, 1));
}

#[tokio::test]
async fn nothing_at_all_is_clean() {
    let report = scrub(&Maps::default(), &Maps::default()).await;

    assert_eq!((report.problem_count, report.row_count), (0, 0));
}

#[tokio::test]
async fn every_kind_of_row_that_does_not_read_is_named() {
    for key in sound().rows.into_keys() {
        for value in ["", "\u{1}", "damaged damaged damaged"] {
            // What a memo names is all in the key, and a value may be anything.
            if key[0] == keys::MEMO_OBJECT || (key[0] == keys::KV && value == "\u{1}") {
                continue;
            }
            let found = kinds_of(|maps| drop(maps.rows.insert(key.clone(), value.into()))).await;

            let name = census::name_of(&key);
            assert!(found.contains(&ProblemKind::DamagedRecord), "{name} {value:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_nobody_writes_is_named() {
    for key in ["q", "j1", "zebra", "r", "v12345678", "c1"] {
        let found = kinds_of(|maps| drop(maps.rows.insert(key.into(), claim(1)))).await;

        let expected = [ProblemKind::DamagedRecord, ProblemKind::UnknownRecord];
        assert!(found.iter().any(|kind| expected.contains(kind)), "{key}: {found:?}");
    }
}

#[tokio::test]
async fn what_was_moved_aside_is_listed() {
    let key = keys::quarantine(&keys::job(9));

    let found = kinds_of(|maps| drop(maps.rows.insert(key, "damaged".into()))).await;

    assert_eq!(found, [ProblemKind::Quarantined]);
}

#[tokio::test]
async fn rows_that_are_gone_are_missed() {
    use ProblemKind::{Memo, Queue, QueueCounts, Run, StoreRecord};
    let gone: [(Bytes, &[ProblemKind]); 6] = [
        (keys::META.into(), &[StoreRecord]),
        (keys::SEQUENCE.into(), &[StoreRecord]),
        (keys::queue(0), &[Queue]),
        (keys::run(&run_id("live")), &[QueueCounts, Run]),
        (keys::memo_sweep(7), &[Memo]),
        (keys::memo_object(2, MEMO_PAYLOAD), &[Memo]),
    ];
    for (key, expected) in gone {
        let found = kinds_of(|maps| drop(maps.rows.remove(&key))).await;

        assert_eq!(found, expected, "{}", census::name_of(&key));
    }
    let found = kinds_of(|maps| drop(maps.rows.remove(&keys::job(2)))).await;
    assert_eq!(found, [Run, QueueCounts]);
    let found = kinds_of(|maps| drop(maps.rows.remove(&keys::job(3)))).await;
    assert_eq!(found, [QueueCounts]);
    let found = kinds_of(|maps| drop(maps.rows.remove(&keys::job(1)))).await;
    assert_eq!(found, [QueueCounts, ProblemKind::CancelRequest]);
}

#[tokio::test]
async fn a_job_that_contradicts_itself_is_told() {
    use ProblemKind::{CancelRequest, Claim, DedupKey, Job, StoreRecord};
    let plain = body(BodyWork::Job);
    let keyed = Body { dedup_key: Some("once".into()), ..plain.clone() };
    let changed = [
        (keys::job(4), JobRow { attempts: 4, ..job(4, &plain) }.encode(), Job),
        (keys::job(4), JobRow { order: 3, ..job(4, &plain) }.encode(), Job),
        (keys::job(4), JobRow { order: 100, ..job(4, &plain) }.encode(), StoreRecord),
        (keys::job(4), job(4, &keyed).encode(), DedupKey),
        (keys::claims(4), claim(4), Claim),
        (keys::cancel(1), CancelRow { turn: 1 }.encode(), CancelRequest),
        (keys::cancel(3), CancelRow { turn: 0 }.encode(), CancelRequest),
    ];
    for (key, value, expected) in changed {
        let found = kinds_of(|maps| drop(maps.rows.insert(key, value))).await;

        assert_eq!(found, [expected]);
    }
}

#[tokio::test]
async fn runs_steps_and_memos_belong_together() {
    use ProblemKind::{Memo, QueueCounts, Run};
    let over = RunRow { ended: ended_run().ended, ..live_run() };
    let changed: [(&str, RunRow, &[ProblemKind]); 5] = [
        // Its step still waits; its memos will stay.
        ("live", over, &[Run, Memo, QueueCounts]),
        ("live", RunRow { row: 8, ..live_run() }, &[Run, Run]),
        ("live", RunRow { has_memos: false, ..live_run() }, &[Memo]),
        ("over", RunRow { row: 7, ..live_run() }, &[Run, Memo, QueueCounts]),
        ("over", RunRow { row: 2, ..ended_run() }, &[Run, Memo]),
    ];
    for (id, run, expected) in changed {
        let mut found = kinds_of(|maps| {
            drop(maps.rows.insert(keys::run(&run_id(id)), run.encode()));
        })
        .await;

        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{id}");
    }
}

#[tokio::test]
async fn counts_are_not_compared_where_a_row_was_lost() {
    let damaged = kinds_of(|maps| drop(maps.rows.insert(keys::job(4), "damaged".into()))).await;
    assert_eq!(damaged, [ProblemKind::DamagedRecord]);

    let aside = kinds_of(|maps| {
        let value = maps.rows.remove(&keys::job(4)).expect("it is there");
        maps.rows.insert(keys::quarantine(&keys::job(4)), value);
    })
    .await;
    assert_eq!(aside, [ProblemKind::Quarantined]);
}

#[tokio::test]
async fn a_payload_object_is_there_and_what_was_written() {
    use ProblemKind::{PayloadDamaged, PayloadMissing, PayloadShared};
    let other = || Bytes::from(vec![2; 1_000]);
    for name in [JOB_PAYLOAD, MEMO_PAYLOAD] {
        assert_eq!(kinds_of(|maps| drop(maps.payloads.remove(&name))).await, [PayloadMissing]);
        let found = kinds_of(|maps| drop(maps.payloads.insert(name, other()))).await;
        assert_eq!(found, [PayloadDamaged]);
        let found = kinds_of(|maps| drop(maps.payloads.insert(name, other().slice(1..)))).await;
        assert_eq!(found, [PayloadDamaged]);
    }
    assert_eq!(kinds_of(|maps| drop(maps.payloads.remove(&ORPHAN))).await, []);

    let shared = kinds_of(|maps| {
        let twin = maps.rows[&keys::job(4)].clone();
        let stored = JobRow::decode(&twin).expect("we wrote it");
        let again = JobRow { order: 6, ..job(6, &stored.body) };
        maps.rows.insert(keys::job(5), again.encode());
    })
    .await;
    assert_eq!(shared, [PayloadShared]);
}

#[tokio::test]
async fn a_scan_that_fails_is_a_problem_and_the_report_says_what_it_lacks() {
    let maps = Maps { is_torn: true, ..sound() };

    let report = scrub(&maps, &maps).await;

    assert!(!report.is_complete);
    assert_eq!((report.row_count, report.payload_object_count), (1, 0));
    let [problem] = report.problems.as_slice() else { panic!("{:?}", report.problems) };
    assert_eq!(problem.kind, ProblemKind::Unreadable);
    assert!(problem.detail.contains("block 7"), "{}", problem.detail);
}

#[tokio::test]
async fn problems_beyond_the_limit_are_counted() {
    let mut maps = sound();
    for number in 0..2 * PROBLEMS_MAX as u64 {
        maps.rows.insert(keys::quarantine(&keys::job(number)), Bytes::new());
    }

    let report = scrub(&maps, &maps).await;

    assert_eq!(report.problems.len(), PROBLEMS_MAX);
    assert_eq!(report.problem_count, 2 * PROBLEMS_MAX as u64);
}
