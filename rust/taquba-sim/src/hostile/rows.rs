//! Stored rows.

use bytes::Bytes;
use taquba_engine::command::{DedupScope, TerminalStatus, TerminalStatuses};
use taquba_engine::record::{
    Body, BodyWork, CancelRow, ClaimsRow, EndedRun, Headers, JobRow, MemoSweepRow, Meta, OpenClaim,
    PastStep, Payload, PayloadName, PayloadRef, QueueRow, RunRow, Sequence, Trail, decode_memo,
    decode_value, encode_memo, encode_value, keys,
};

use super::{bytes, mutate, text};
use crate::random::Random;

/// Reads bytes as every kind of row and key.
fn read_all(given: &Bytes) {
    drop(Meta::decode(given));
    drop(Sequence::decode(given));
    drop(QueueRow::decode(given));
    drop(CancelRow::decode(given));
    drop(ClaimsRow::decode(given));
    drop(MemoSweepRow::decode(given));
    drop(decode_memo(given));
    drop(decode_value(given));
    drop(keys::kv_of(given));
    drop(keys::run_of(given));
    let _object = keys::memo_object_name_of(given);
    let _row = keys::row_of(given);
    let _queue = keys::queue_index_of(given);
    // What reads as one must also be there to be used.
    if let Ok(job) = JobRow::<Body>::decode(given) {
        job.body.headers.iter().for_each(|pair| drop(format!("{pair:?}")));
        drop(job.encode());
    }
    if let Ok(run) = RunRow::decode(given) {
        drop(run.encode());
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the boundaries, which may find fault")]
pub fn random(random: &mut Random) -> Result<(), String> {
    let mut given = bytes(random);
    if random.chance(700_000) && !given.is_empty() {
        // Behind the right version byte it goes further.
        given[0] = 1;
    }
    read_all(&Bytes::from(given));
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "one of the boundaries, which may find fault")]
pub fn mutated(random: &mut Random) -> Result<(), String> {
    let row = match random.up_to(4) {
        0 => job(random).encode(),
        1 => run(random).encode(),
        2 => claims(random).encode(),
        3 => encode_memo(&payload(random)),
        _ => encode_value(&Bytes::from(bytes(random))),
    };
    read_all(&mutate(random, &row));
    Ok(())
}

pub fn there_and_back(random: &mut Random) -> Result<(), String> {
    let job = job(random);
    same("job", &JobRow::<Body>::decode(&job.encode()).map(|back| format!("{back:?}")), &job)?;
    let run = run(random);
    same("run", &RunRow::decode(&run.encode()).map(|back| format!("{back:?}")), &run)?;
    let claims = claims(random);
    same("claims", &ClaimsRow::decode(&claims.encode()).map(|back| format!("{back:?}")), &claims)?;
    let memo = payload(random);
    same("memo", &decode_memo(&encode_memo(&memo)).map(|back| format!("{back:?}")), &memo)?;
    let value = Bytes::from(bytes(random));
    same("value", &decode_value(&encode_value(&value)).map(|back| format!("{back:?}")), &value)
}

fn same<E: std::fmt::Debug>(
    what: &str,
    back: &Result<String, E>,
    there: &impl std::fmt::Debug,
) -> Result<(), String> {
    match back {
        Ok(back) if *back == format!("{there:?}") => Ok(()),
        back => Err(format!("{what}: {there:?} comes back as {back:?}")),
    }
}

fn number(random: &mut Random) -> u32 {
    u32::try_from(random.up_to(u64::from(u32::MAX))).expect("it is bounded")
}

fn few(random: &mut Random) -> u32 {
    u32::try_from(random.up_to(9)).expect("it is bounded")
}

fn payload(random: &mut Random) -> Payload {
    let data = Bytes::from(bytes(random));
    if random.chance(500_000) {
        return Payload::Inline(data);
    }
    let name = PayloadName { epoch: number(random), number: random.up_to(u64::MAX - 1) };
    Payload::Object(PayloadRef::to(name, &data))
}

fn headers(random: &mut Random) -> Headers {
    let pairs: Vec<_> = (0..random.up_to(3)).map(|_| (text(random), text(random))).collect();
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    // Some of these texts are reserved: then there are none.
    Headers::new(pairs).unwrap_or_default()
}

fn maybe_text(random: &mut Random) -> Option<Box<str>> {
    random.chance(500_000).then(|| text(random).into())
}

fn status(random: &mut Random) -> TerminalStatus {
    *random.pick(&[TerminalStatus::Succeeded, TerminalStatus::Failed, TerminalStatus::Cancelled])
}

fn job(random: &mut Random) -> JobRow<Body> {
    let run_id = || "a-run".parse().expect("a good id");
    let work = match random.up_to(2) {
        0 => BodyWork::Job,
        1 => BodyWork::Step { run_id: run_id() },
        _ => BodyWork::Notification {
            run_id: run_id(),
            status: status(random),
            error: maybe_text(random),
            final_step: number(random),
        },
    };
    JobRow {
        queue: few(random),
        order: random.up_to(u64::MAX - 1),
        priority: number(random),
        turn: number(random),
        attempts: few(random),
        max_attempts: 1 + few(random),
        run_at_ms: random.up_to(1 << 50),
        ended: None,
        dedup_scope: *random.pick(&[DedupScope::Waiting, DedupScope::Settled]),
        body: Body {
            payload: payload(random),
            headers: headers(random),
            enqueued_at_ms: random.up_to(1 << 50),
            dedup_key: maybe_text(random),
            last_error: maybe_text(random),
            history: Vec::new(),
            trail: trail(random),
            work,
        },
    }
}

fn trail(random: &mut Random) -> Trail {
    let step = |random: &mut Random| PastStep {
        ready_at_ms: random.up_to(1 << 50),
        began_after_ms: random.chance(500_000).then(|| random.up_to(1 << 40)),
        ended_after_ms: random.up_to(1 << 40),
        attempts: few(random),
        error: maybe_text(random),
    };
    if random.chance(100_000) {
        return Trail::of_stored(&bytes(random));
    }
    (0..random.up_to(40)).fold(Trail::default(), |trail, _| trail.with_step(&step(random)))
}

fn run(random: &mut Random) -> RunRow {
    let ended = random.chance(500_000).then(|| EndedRun {
        at_ms: random.up_to(1 << 50),
        status: status(random),
        result: random.chance(500_000).then(|| Bytes::from(bytes(random))),
        error: maybe_text(random),
        headers: headers(random),
        final_step: number(random),
        attempts: few(random),
        trail: trail(random),
    });
    RunRow {
        queue: few(random),
        row: random.up_to(u64::MAX - 1),
        input_sha256: [u8::try_from(random.up_to(255)).expect("a byte"); 32],
        submitted_at_ms: random.up_to(1 << 50),
        observed: *random.pick(&[TerminalStatuses::ALL, TerminalStatuses::NONE]),
        retention_ms: random.chance(500_000).then(|| random.up_to(1 << 40)),
        memo_retention_ms: random.chance(500_000).then(|| random.up_to(1 << 40)),
        has_memos: random.chance(500_000),
        ended,
    }
}

fn claims(random: &mut Random) -> ClaimsRow {
    let count = random.up_to(5);
    let mut claim = || OpenClaim {
        row: random.up_to(u64::MAX - 1),
        turn: number(random),
        order: random.up_to(u64::MAX - 1),
        attempts: few(random),
        started_at_ms: random.up_to(1 << 50),
    };
    ClaimsRow { claims: (0..count).map(|_| claim()).collect() }
}
