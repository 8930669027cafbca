//! What a scrub has found.

use crate::command::OwnerInfo;
use crate::error::Error;

/// Most problems that a report lists; the others are counted.
pub const PROBLEMS_MAX: usize = 1_000;

/// What kind of damage it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// An object that the store needs is damaged or gone.
    DamagedObject,
    /// An object that nobody needs any more is damaged.
    SpareObject,
    /// The rows could not be read to their end.
    Unreadable,
    /// A row does not read.
    DamagedRecord,
    /// A row of a kind that this version does not write.
    UnknownRecord,
    /// A row that was damaged and that an owner has moved aside.
    Quarantined,
    /// The store's own record, or that of the sequence, is missing or contradicts other rows.
    StoreRecord,
    /// A queue's row is missing, or two have one name.
    Queue,
    /// A queue's counts are not those of its rows.
    QueueCounts,
    /// A job's row contradicts itself or others.
    Job,
    /// A claim that cannot have been.
    Claim,
    /// A request to stop a job that is not there.
    CancelRequest,
    /// Two jobs hold one dedup key.
    DedupKey,
    /// A live run and its step do not know each other.
    Run,
    /// Memos of a run that has none, or that will never be deleted.
    Memo,
    /// A payload object that a row names is not there.
    PayloadMissing,
    /// A payload object is not what was written.
    PayloadDamaged,
    /// Two rows name one payload object.
    PayloadShared,
}

impl ProblemKind {
    /// The stable, machine-readable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::DamagedObject => "damaged-object",
            Self::SpareObject => "spare-object",
            Self::Unreadable => "unreadable",
            Self::DamagedRecord => "damaged-record",
            Self::UnknownRecord => "unknown-record",
            Self::Quarantined => "quarantined",
            Self::StoreRecord => "store-record",
            Self::Queue => "queue",
            Self::QueueCounts => "queue-counts",
            Self::Job => "job",
            Self::Claim => "claim",
            Self::CancelRequest => "cancel-request",
            Self::DedupKey => "dedup-key",
            Self::Run => "run",
            Self::Memo => "memo",
            Self::PayloadMissing => "payload-missing",
            Self::PayloadDamaged => "payload-damaged",
            Self::PayloadShared => "payload-shared",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::DamagedObject | Self::Unreadable => {
                "restore the object from a version or a backup before anybody opens the store"
            }
            Self::SpareObject => {
                "nothing depends on it; find out what damaged it before that reaches more"
            }
            Self::DamagedRecord => {
                "restore the store from a backup, or open it: the record is moved aside, and its run, \
                 if it has one, fails"
            }
            Self::Quarantined => {
                "what it was is lost; restore the store from a backup if it matters"
            }
            Self::UnknownRecord => "verify with the version of taquba that wrote it",
            Self::PayloadMissing | Self::PayloadDamaged => {
                "restore the object from a version or a backup; its job is dead-lettered otherwise"
            }
            Self::QueueCounts => "open the store: its owner counts afresh",
            Self::StoreRecord
            | Self::Queue
            | Self::Job
            | Self::Claim
            | Self::CancelRequest
            | Self::DedupKey
            | Self::Run
            | Self::Memo
            | Self::PayloadShared => {
                "no crash and no damage that was noticed leads here: report it, with this text"
            }
        }
    }
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of damage it is.
    pub kind: ProblemKind,
    /// The object, below the database's path, or the record.
    pub object: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What was found. Counts are of what could be read.
#[derive(Clone, Debug)]
pub struct Report {
    /// What messages call the store.
    pub path: String,
    /// Rows of every kind.
    pub row_count: u64,
    /// Bytes of their keys and values.
    pub row_bytes: u64,
    /// Jobs: live, done and dead.
    pub job_count: u64,
    /// Runs: live and ended.
    pub run_count: u64,
    /// Memos that are rows of the log.
    pub memo_count: u64,
    /// Keys of the key-value space.
    pub key_count: u64,
    /// Queues.
    pub queue_count: u64,
    /// Damaged rows that were moved aside.
    pub quarantined_count: u64,
    /// Payload objects that rows name and that were read.
    pub payload_object_count: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Payload objects that no row names: uploads under way, or what a crash has left. The next owner deletes
    /// them.
    pub orphan_count: u64,
    /// Objects of every kind below the database's path; 0 for rows without a store.
    pub object_count: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Who owns the store.
    pub owner: Option<OwnerInfo>,
    /// What is wrong, [`PROBLEMS_MAX`] at most.
    pub problems: Vec<Problem>,
    /// How much is wrong.
    pub problem_count: u64,
    /// Whether every row was read. If not, rows were not compared and payload objects not read.
    pub is_complete: bool,
    /// What kept the rows from being read to their end.
    pub stopped_by: Option<Error>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            path: String::new(),
            row_count: 0,
            row_bytes: 0,
            job_count: 0,
            run_count: 0,
            memo_count: 0,
            key_count: 0,
            queue_count: 0,
            quarantined_count: 0,
            payload_object_count: 0,
            payload_bytes: 0,
            orphan_count: 0,
            object_count: 0,
            object_bytes: 0,
            owner: None,
            problems: Vec::new(),
            problem_count: 0,
            is_complete: true,
            stopped_by: None,
        }
    }
}

impl Report {
    /// Whether everything is as it was written.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    pub(super) fn add(&mut self, kind: ProblemKind, object: String, detail: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { kind, object, detail });
        }
    }

    /// The rows cannot be read any further.
    pub(super) fn stop(&mut self, error: Error) {
        self.is_complete = false;
        self.add(ProblemKind::Unreadable, "the records".to_owned(), error.to_string());
        self.stopped_by = Some(error);
    }
}
