//! Stored forms: round trips, limits, damage.

use super::*;
use crate::command::{Attempt, AttemptEnd, DedupScope, TerminalStatus, TerminalStatuses};
use crate::error::Error;
use crate::limits::{HEADERS_BYTES_MAX, HEADERS_COUNT_MAX};

fn body(work: BodyWork) -> Body {
    Body {
        payload: Bytes::from_static(b"\x00\xffpayload").into(),
        enqueued_at_ms: 1_700_000_000_001,
        headers: Headers::new([("a", "1"), ("b", "")]).expect("good headers"),
        dedup_key: Some("key".into()),
        last_error: Some("boom".into()),
        history: vec![Attempt {
            number: 1,
            started_at_ms: Some(1_700_000_000_002),
            ended_at_ms: None,
            end: AttemptEnd::Lost,
            error: Some("boom".into()),
        }],
        trail: Trail::default().with_step(&past_step()),
        work,
    }
}

fn past_step() -> PastStep {
    PastStep {
        ready_at_ms: 1_700_000_000_000,
        began_after_ms: Some(3),
        ended_after_ms: 9,
        attempts: 2,
        error: Some("boom".into()),
    }
}

fn job(work: BodyWork) -> JobRow<Body> {
    JobRow {
        queue: 3,
        order: u64::MAX,
        priority: 1000,
        turn: 2,
        attempts: 1,
        max_attempts: 3,
        run_at_ms: 1_700_000_000_000,
        ended: Some((JobEnd::Done, 1_700_000_000_003)),
        dedup_scope: DedupScope::Settled,
        body: body(work),
    }
}

#[test]
fn a_job_reads_back_as_it_was_written() {
    let run_id: crate::ids::RunId = "run-1".parse().expect("a good id");
    let notification = BodyWork::Notification {
        run_id: run_id.clone(),
        status: TerminalStatus::Failed,
        error: Some("why".into()),
        final_step: 7,
    };
    for work in [BodyWork::Job, BodyWork::Step { run_id }, notification] {
        let row = job(work);

        assert_eq!(JobRow::decode(&row.encode()), Ok(row));
    }
}

#[test]
fn any_shortened_job_is_an_error_and_never_a_panic() {
    let bytes = job(BodyWork::Job).encode();
    for length in 0..bytes.len() {
        assert!(JobRow::decode(&bytes.slice(..length)).is_err(), "{length} bytes");
    }
}

#[test]
fn a_job_with_any_byte_changed_is_read_or_refused_and_never_a_panic() {
    let bytes = job(BodyWork::Step { run_id: "r".parse().expect("a good id") }).encode();
    for place in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[place] ^= flip;
            let _ = JobRow::decode(&Bytes::from(changed));
        }
    }
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut bytes = job(BodyWork::Job).encode().to_vec();
    bytes[0] = VERSION + 1;

    let error = JobRow::decode(&Bytes::from(bytes)).expect_err("it is newer");

    assert!(error.0.contains("version 2"), "{error:?}");
}

#[test]
fn a_run_reads_back_as_it_was_written() {
    let ended = EndedRun {
        at_ms: 12,
        status: TerminalStatus::Succeeded,
        result: Some(Bytes::from_static(b"result")),
        error: None,
        headers: Headers::new([("a", "1")]).expect("good headers"),
        final_step: 4,
        attempts: 2,
        trail: Trail::default().with_step(&past_step()),
    };
    for ended in [None, Some(ended)] {
        let input_sha256 = [9; 32];
        let row = RunRow {
            queue: 1,
            row: 2,
            input_sha256,
            submitted_at_ms: 11,
            observed: TerminalStatuses::ALL,
            retention_ms: Some(5),
            memo_retention_ms: None,
            has_memos: true,
            ended,
        };

        assert_eq!(RunRow::decode(&row.encode()), Ok(row));
    }
}

#[test]
fn keys_ascend_with_the_sequence() {
    assert!(keys::job(255) < keys::job(256));
    assert_eq!(keys::row_of(&keys::job(256)), Some(256));
}

#[test]
fn headers_keep_their_order_and_their_limits() {
    let pairs: Vec<_> = (0..HEADERS_COUNT_MAX).map(|n| (format!("k{n}"), "v".to_owned())).collect();
    let headers = Headers::new(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let read: Vec<_> = headers.as_ref().expect("as many as allowed").iter().collect();
    assert_eq!(read.len(), HEADERS_COUNT_MAX);
    assert_eq!(read[1], ("k1", "v"));

    let one_more = (0..=HEADERS_COUNT_MAX).map(|_| ("k", "v"));
    assert!(matches!(Headers::new(one_more), Err(Error::HeadersTooLarge { .. })));
    let long = "v".repeat(HEADERS_BYTES_MAX);
    assert!(matches!(Headers::new([("k", long.as_str())]), Err(Error::HeadersTooLarge { .. })));
}

#[test]
fn a_reserved_key_is_refused_however_it_is_written() {
    for key in ["workflow.run_id", "WorkFlow.x", "  workflow.step", "workflow."] {
        assert!(matches!(Headers::new([(key, "v")]), Err(Error::ReservedHeader { .. })), "{key}");
    }
    assert!(Headers::new([("workflows", "v"), ("my.workflow.id", "v")]).is_ok());
}
