//! Rows, one by one, in the order of their keys: each is decoded strictly, and what it says of others is
//! noted.
//!
//! # Invariants
//!
//! 1. A row that does not read is a problem and nothing else: it is not compared with others.
//! 2. Counts are compared only if all rows read: an owner that has moved a row aside has not counted it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;

use super::jobs::Jobs;
use super::payloads::{Named, Origin};
use super::report::{ProblemKind, Report};
use super::runs::Runs;
use crate::ids::{QueueName, clip};
use crate::limits::QUEUES_COUNT_MAX;
use crate::record::{
    BodyWork, CancelRow, ClaimsRow, FORMAT, JobEnd, JobRow, MemoSweepRow, Meta, QueueCounts,
    QueueRow, RunRow, Sequence, Undecodable, decode_memo, decode_value, keys,
};

/// What a queue holds, by its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub live: u64,
    pub done: u64,
    pub dead: u64,
    pub live_runs: u64,
}

/// What the rows say, as far as it is compared.
pub(super) struct Census<'a> {
    report: &'a mut Report,
    meta: Option<Meta>,
    sequence: Option<Sequence>,
    queues: BTreeMap<u32, QueueCounts>,
    names: BTreeMap<QueueName, u32>,
    tallies: BTreeMap<u32, Tally>,
    jobs: Jobs,
    runs: Runs,
    named: Named,
    /// The highest number that a row took from the sequence.
    last_number: Option<u64>,
    damaged_count: u64,
}

impl<'a> Census<'a> {
    pub fn new(report: &'a mut Report) -> Self {
        Self {
            report,
            meta: None,
            sequence: None,
            queues: BTreeMap::new(),
            names: BTreeMap::new(),
            tallies: BTreeMap::new(),
            jobs: Jobs::default(),
            runs: Runs::default(),
            named: Named::default(),
            last_number: None,
            damaged_count: 0,
        }
    }

    /// Takes one row.
    pub fn take(&mut self, key: &Bytes, value: &Bytes) {
        self.report.row_count += 1;
        self.report.row_bytes += (key.len() + value.len()) as u64;
        if let Err(Undecodable(reason)) = self.try_take(key, value) {
            self.damaged_count += 1;
            self.report.add(ProblemKind::DamagedRecord, name_of(key), reason);
        }
    }

    fn try_take(&mut self, key: &Bytes, value: &Bytes) -> Result<(), Undecodable> {
        match key.first() {
            Some(_) if key == keys::META => self.take_meta(value)?,
            Some(_) if key == keys::SEQUENCE => self.sequence = Some(Sequence::decode(value)?),
            Some(&keys::QUEUE) => self.take_queue(key, value)?,
            Some(&keys::CLAIMS) => {
                row_of(key)?;
                self.jobs.add_claims(ClaimsRow::decode(value)?);
            }
            Some(&keys::CANCEL) => {
                let turn = CancelRow::decode(value)?.turn;
                self.jobs.add_cancel(row_of(key)?, turn);
            }
            Some(&keys::MEMO_SWEEP) => {
                MemoSweepRow::decode(value)?;
                self.runs.add_sweep(row_of(key)?);
            }
            Some(&keys::JOB) => self.take_job(row_of(key)?, value)?,
            Some(&keys::KV) => {
                keys::kv_of(key).ok_or_else(bad_key)?;
                decode_value(value)?;
                self.report.key_count += 1;
            }
            Some(&keys::RUN) => self.take_run(key, value)?,
            Some(&keys::MEMO) => self.take_memo(key, value)?,
            Some(&keys::MEMO_OBJECT) => {
                let name = keys::memo_object_name_of(key).ok_or_else(bad_key)?;
                self.named.add_listed(memo_row_of(key)?, name);
            }
            Some(&keys::QUARANTINE) => {
                self.report.quarantined_count += 1;
                let (what, size) = (name_of(&key.slice(1..)), value.len());
                let detail = format!("its {size} bytes did not read when the store was opened");
                self.report.add(ProblemKind::Quarantined, what, detail);
            }
            _ => {
                let detail = format!("{} bytes under a key of no known kind", value.len());
                self.report.add(ProblemKind::UnknownRecord, name_of(key), detail);
            }
        }
        Ok(())
    }

    fn take_meta(&mut self, value: &Bytes) -> Result<(), Undecodable> {
        let meta = Meta::decode(value)?;
        if meta.format != FORMAT {
            return Err(Undecodable(format!(
                "format {}, this version reads {FORMAT}",
                meta.format
            )));
        }
        self.meta = Some(meta);
        Ok(())
    }

    fn take_queue(&mut self, key: &Bytes, value: &Bytes) -> Result<(), Undecodable> {
        let index = checked(keys::queue_index_of(key).ok_or_else(bad_key)?)?;
        let row = QueueRow::decode(value)?;
        let name: Result<QueueName, _> = row.name.parse();
        let name = name.map_err(|error| Undecodable(error.to_string()))?;
        self.report.queue_count += 1;
        if let Some(other) = self.names.insert(name, index) {
            let detail = format!("queue record {other} has the name `{}` too", row.name);
            self.report.add(ProblemKind::Queue, name_of(key), detail);
        }
        self.queues.insert(index, row.counts);
        Ok(())
    }

    fn take_job(&mut self, row: u64, value: &Bytes) -> Result<(), Undecodable> {
        let stored = JobRow::decode(value)?;
        checked(stored.queue)?;
        self.report.job_count += 1;
        self.note_number(row.max(stored.order));
        self.tallies.entry(stored.queue).or_default().add_job(stored.ended.map(|(end, _)| end));
        self.jobs.check(row, &stored, self.report);
        if let (BodyWork::Step { run_id }, None) = (&stored.body.work, stored.ended) {
            self.runs.add_step(row, stored.queue, run_id);
        }
        if let Some(object) = stored.body.payload.object() {
            self.named.add(Origin::Job { row, turn: stored.turn }, *object, self.report);
        }
        Ok(())
    }

    fn take_run(&mut self, key: &Bytes, value: &Bytes) -> Result<(), Undecodable> {
        let run_id = keys::run_of(key).ok_or_else(bad_key)?;
        let stored = RunRow::decode(value)?;
        checked(stored.queue)?;
        self.report.run_count += 1;
        self.note_number(stored.row);
        let tally = self.tallies.entry(stored.queue).or_default();
        tally.live_runs += u64::from(stored.ended.is_none());
        let are_jobs_whole = self.damaged_count == 0;
        self.runs.check(&run_id, &stored, are_jobs_whole, self.report);
        Ok(())
    }

    fn take_memo(&mut self, key: &Bytes, value: &Bytes) -> Result<(), Undecodable> {
        const KEY_BYTES: usize = 1 + 8 + 4 + 32;
        if key.len() != KEY_BYTES {
            return Err(bad_key());
        }
        let row = memo_row_of(key)?;
        let memo = decode_memo(value)?;
        self.report.memo_count += 1;
        self.note_number(row);
        self.runs.check_memo(row, &name_of(key), self.report);
        if let Some(object) = memo.object() {
            self.named.add(Origin::Memo { key: key.clone() }, *object, self.report);
        }
        Ok(())
    }

    fn note_number(&mut self, number: u64) {
        self.last_number = self.last_number.max(Some(number));
    }

    /// Compares what the rows say of each other. Returns the payload objects that they name.
    pub fn compare(mut self) -> Named {
        self.compare_store();
        self.compare_queues();
        self.jobs.end(self.report);
        // The run of a damaged step, and the step of a damaged run, are known to be alone.
        if self.damaged_count == 0 {
            self.runs.end(self.report);
        }
        self.named.end_rows(self.report);
        self.named
    }

    /// The payload objects that were named so far.
    pub fn named(self) -> Named {
        self.named
    }

    fn compare_store(&mut self) {
        let is_empty = self.report.row_count == 0;
        let has_record = self.meta.is_some() || is_empty || self.damaged_count > 0;
        if !has_record {
            let detail = "it is missing, and there are other records".to_owned();
            self.report.add(ProblemKind::StoreRecord, "the store record".to_owned(), detail);
        }
        let last = self.last_number.max(self.jobs.last_claimed_row());
        let Some(last) = last else { return };
        let next = self.sequence.as_ref().map_or(1, |sequence| sequence.next);
        let is_known = self.sequence.is_some() || self.damaged_count == 0;
        if is_known && last >= next {
            let detail = format!("number {last} was given out, and it says that {next} is next");
            self.report.add(ProblemKind::StoreRecord, "the sequence record".to_owned(), detail);
        }
    }

    fn compare_queues(&mut self) {
        if self.damaged_count > 0 || self.report.quarantined_count > 0 {
            return;
        }
        let named = self.tallies.keys().chain(self.queues.keys()).copied().max();
        for index in 0..=named.unwrap_or(0) {
            let tally = self.tallies.get(&index).copied().unwrap_or_default();
            let what = || format!("queue record {index}");
            match self.queues.get(&index) {
                None if named.is_some() => {
                    let detail = "it is missing, and later ones or its jobs are there".to_owned();
                    self.report.add(ProblemKind::Queue, what(), detail);
                }
                Some(counts) if Tally::of(counts) != tally => {
                    let detail = format!("it says {:?}, the rows say {tally:?}", Tally::of(counts));
                    self.report.add(ProblemKind::QueueCounts, what(), detail);
                }
                _ => {}
            }
        }
    }
}

impl Tally {
    /// What is stored, without what needs no commit: which of the live jobs are due, and which are claimed.
    const fn of(counts: &QueueCounts) -> Self {
        let live = counts.pending + counts.scheduled + counts.claimed;
        Self { live, done: counts.done, dead: counts.dead, live_runs: counts.live_runs }
    }

    fn add_job(&mut self, ended: Option<JobEnd>) {
        match ended {
            None => self.live += 1,
            Some(JobEnd::Done) => self.done += 1,
            Some(JobEnd::Dead) => self.dead += 1,
        }
    }
}

fn checked(queue: u32) -> Result<u32, Undecodable> {
    if queue < QUEUES_COUNT_MAX {
        Ok(queue)
    } else {
        Err(Undecodable(format!("queue index {queue}")))
    }
}

fn bad_key() -> Undecodable {
    Undecodable("the key does not read".to_owned())
}

fn row_of(key: &Bytes) -> Result<u64, Undecodable> {
    keys::row_of(key).ok_or_else(bad_key)
}

/// The row of the run that a memo, or an object of one, belongs to.
fn memo_row_of(key: &Bytes) -> Result<u64, Undecodable> {
    let row = key.get(..9).ok_or_else(bad_key)?;
    keys::row_of(row).ok_or_else(bad_key)
}

/// What people know a row as.
pub(super) fn name_of(key: &[u8]) -> String {
    let number = keys::row_of(key.get(..9).unwrap_or(key));
    match (key.first().copied(), number) {
        (Some(keys::JOB), Some(row)) if key.len() == 9 => format!("job row {row}"),
        (Some(keys::CLAIMS), Some(batch)) => format!("claims of commit {batch}"),
        (Some(keys::CANCEL), Some(row)) => format!("request to stop job row {row}"),
        (Some(keys::MEMO_SWEEP), Some(row)) => format!("sweep of the memos of row {row}"),
        (Some(keys::MEMO), Some(row)) => format!("memo {} of row {row}", hex(&key[9..])),
        (Some(keys::MEMO_OBJECT), Some(row)) => format!("object {} of row {row}", hex(&key[9..])),
        (Some(keys::RUN), _) if keys::run_of(key).is_some() => {
            format!("run `{}`", String::from_utf8_lossy(&key[1..]))
        }
        (Some(keys::KV), _) if keys::kv_of(key).is_some() => {
            format!("the value of key `{}`", clip(&String::from_utf8_lossy(&key[1..])))
        }
        (Some(keys::QUEUE), _) if keys::queue_index_of(key).is_some() => {
            format!("queue record {}", keys::queue_index_of(key).unwrap_or_default())
        }
        _ if key == keys::META => "the store record".to_owned(),
        _ if key == keys::SEQUENCE => "the sequence record".to_owned(),
        _ => format!("record {}", hex(key)),
    }
}

fn hex(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 64;
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    shown.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}
