//! What is counted of the stored forms: rows as bytes and back.

use std::hint::black_box;

use bytes::Bytes;
use taquba_engine::command::{Attempt, AttemptEnd, DedupScope, TerminalStatus, TerminalStatuses};
use taquba_engine::record::{
    Body, BodyWork, EndedRun, JobRow, PastStep, RunRow, Trail, decode_memo, encode_memo,
};

use super::machine::{PAYLOAD, headers, payload, run_id};
use super::{ROUND, ROUNDS, measured, tell};

/// Counts each form, both ways, and checks that they fit.
pub fn run() {
    let body = retried_step();
    let stored = job_row(&body).encode();
    repeat("encode a job", || job_row(&body).encode());
    repeat("decode a job", || JobRow::decode(&stored));
    assert_eq!(JobRow::decode(&stored).map(|row| row.body), Ok(body));

    let run = ended_run();
    let stored = run.encode();
    repeat("encode a run", || run.encode());
    repeat("decode a run", || RunRow::decode(&stored));
    assert_eq!(RunRow::decode(&stored), Ok(run));

    let memo = payload();
    let stored = encode_memo(&memo);
    repeat("encode a memo", || encode_memo(&memo));
    repeat("decode a memo", || decode_memo(&stored));
    assert_eq!(decode_memo(&stored), Ok(memo));
}

/// Counts something that is over when it returns. The first time is not counted.
fn repeat<T>(name: &str, work: impl Fn() -> T) {
    drop(black_box(work()));
    let times = ROUNDS * ROUND;
    measured(&mut || (0..times).for_each(|_| drop(black_box(work()))));
    tell(1, times, name);
}

fn retried_step() -> Body {
    let attempt = Attempt {
        number: 1,
        started_at_ms: Some(1_700_000_000_002),
        ended_at_ms: Some(1_700_000_000_900),
        end: AttemptEnd::Nacked,
        error: Some("the other side was busy".into()),
    };
    Body {
        payload: payload(),
        headers: headers(),
        enqueued_at_ms: 1_700_000_000_001,
        dedup_key: None,
        last_error: Some("the other side was busy".into()),
        history: vec![attempt],
        trail: trail(3),
        work: BodyWork::Step { run_id: run_id(1) },
    }
}

fn trail(count: usize) -> Trail {
    let step = PastStep {
        ready_at_ms: 1_700_000_000_000,
        began_after_ms: Some(3),
        ended_after_ms: 9,
        attempts: 1,
        error: None,
    };
    (0..count).fold(Trail::default(), |trail, _| trail.with_step(&step))
}

fn job_row<B>(body: B) -> JobRow<B> {
    JobRow {
        queue: 1,
        order: 70_000,
        priority: 1_000,
        turn: 3,
        attempts: 1,
        max_attempts: 3,
        run_at_ms: 1_700_000_001_900,
        ended: None,
        dedup_scope: DedupScope::Waiting,
        body,
    }
}

fn ended_run() -> RunRow {
    let ended = EndedRun {
        at_ms: 1_700_000_009_000,
        status: TerminalStatus::Succeeded,
        result: Some(Bytes::from_static(PAYLOAD)),
        error: None,
        headers: headers(),
        final_step: 9,
        attempts: 1,
        trail: trail(10),
    };
    RunRow {
        queue: 1,
        row: 70_000,
        input_sha256: [9; 32],
        submitted_at_ms: 1_700_000_000_000,
        observed: TerminalStatuses::NONE,
        retention_ms: Some(86_400_000),
        memo_retention_ms: None,
        has_memos: false,
        ended: Some(ended),
    }
}
