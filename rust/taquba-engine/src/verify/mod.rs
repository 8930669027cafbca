//! Scrubbing a store: every row, every payload object, every object of the storage engine, and what they
//! say of each other.
//!
//! # Invariants
//!
//! 1. Nothing is written to the store, nobody is fenced.
//! 2. Damage is a [`Problem`] that names what is damaged. Only a store that cannot be read at all, or is no
//!    store, is an error.
//! 3. Rows are read in one scan, so what is compared is of one instant.
//! 4. Memory does not grow with the number of jobs: some 60 bytes are kept for each run, each open claim, each
//!    payload object, and each job with a dedup key that lasts until it is settled. One payload
//!    is in memory at a time.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | the way through a store |
//! | `report.rs` | what was found |
//! | `census.rs` | rows, one by one |
//! | `jobs.rs`, `runs.rs` | what jobs, runs and memos say of each other |
//! | `payloads.rs` | payload objects |
//!
//! The objects of the storage engine are `log/scrub.rs`'s.

mod census;
mod jobs;
mod payloads;
mod report;
mod runs;

use std::ops::{Bound, ControlFlow};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;

use crate::error::{Error, Result};
use crate::log::{Extent, Rows, ScanRange, Scrubber, SlateReader, Target};

use census::Census;

pub use payloads::Payloads;
pub use report::{PROBLEMS_MAX, Problem, ProblemKind, Report};

/// Looks at the rows of a store whose owner tidies up behind us.
const LOOKS_MAX: u32 = 3;

/// Scrubs the store at `path`, whoever owns it.
///
/// # Errors
///
/// What keeps the store from being read, within `store_timeout` if it does not answer;
/// [`Error::StoreNotFound`] if there is none; [`Error::UnsupportedFormat`] for one that a newer version
/// wrote. Damage is no error.
pub async fn store(target: &Target, path: &str, store_timeout: Duration) -> Result<Report> {
    let scrubber = Scrubber::open(target, path, store_timeout).await?;
    let objects = scrubber.objects().await?;
    let is_owned = objects.owner.as_ref().is_some_and(|owner| owner.is_alive);
    let mut report = Report { path: scrubber.path().to_owned(), ..Report::default() };
    for look in 1..=LOOKS_MAX {
        report = look_at_rows(target, path, store_timeout, &scrubber, is_owned).await?;
        // What was to be read may have been tidied up; a new look begins with what is there now.
        if !is_owned || report.stopped_by.is_none() || look == LOOKS_MAX {
            break;
        }
    }
    scrubber.path().clone_into(&mut report.path);
    report.object_count = objects.count;
    report.object_bytes = objects.size_bytes;
    report.owner = objects.owner;
    for finding in objects.findings {
        let kind =
            if finding.is_needed { ProblemKind::DamagedObject } else { ProblemKind::SpareObject };
        report.add(kind, finding.object, finding.detail);
    }
    match report.stopped_by.take() {
        Some(error) if !is_damage(&error) => Err(error),
        stopped_by => Ok(Report { stopped_by, ..report }),
    }
}

async fn look_at_rows(
    target: &Target,
    path: &str,
    store_timeout: Duration,
    scrubber: &Scrubber,
    is_owned: bool,
) -> Result<Report> {
    let name = scrubber.path();
    let opening = Box::pin(SlateReader::open(target, path, store_timeout));
    let reader = match told(name, opening).await.and_then(|opened| opened) {
        Ok(reader) => reader,
        Err(error) if is_damage(&error) => {
            let mut report = Report::default();
            report.stop(error);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let mut report = Report::default();
    let scanned = told(name, scan(&reader, &mut report)).await;
    let named = scanned.unwrap_or_else(|error| {
        report.stop(error);
        payloads::Named::default()
    });
    if report.is_complete {
        named.list(is_owned, scrubber, &mut report).await;
        let suspects = named.look_at(scrubber, &mut report).await;
        // Jobs that were settled meanwhile have taken their objects along.
        let has_moved = is_owned && !suspects.is_empty() && reader.refresh().await.is_ok();
        for suspect in suspects {
            if !has_moved || suspect.is_named(&reader).await {
                suspect.tell(&mut report);
            }
        }
    }
    // Nothing can be lost by it.
    let _ = reader.close().await;
    Ok(report)
}

/// The storage engine takes some of what it reads for its own, and panics at numbers that cannot be: they
/// are damage.
async fn told<T>(path: &str, work: impl Future<Output = T>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Error::Corrupted {
        path: path.to_owned(),
        detail: "the storage engine cannot make sense of what it reads".to_owned(),
    })
}

/// Scrubs rows and the payload objects that they name. Never fails: what stops it is a problem, and the
/// report is not complete.
///
/// For rows at rest: of a log whose owner is at work, what was committed meanwhile reads as damage.
pub async fn scrub(rows: &dyn Rows, payloads: &dyn Payloads) -> Report {
    let mut report = Report::default();
    let named = scan(rows, &mut report).await;
    if report.is_complete {
        named.list(false, payloads, &mut report).await;
        for suspect in named.look_at(payloads, &mut report).await {
            suspect.tell(&mut report);
        }
    }
    report
}

/// Takes every row, and compares what they say.
async fn scan(rows: &dyn Rows, report: &mut Report) -> payloads::Named {
    let everything = ScanRange {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
        reverse: false,
        extent: Extent::Whole,
    };
    let mut census = Census::new(report);
    let mut visit = |key, value| {
        census.take(&key, &value);
        ControlFlow::Continue(())
    };
    let scanned = rows.scan(everything, &mut visit).await;
    match scanned {
        Ok(()) => census.compare(),
        Err(error) => {
            let named = census.named();
            report.stop(error);
            named
        }
    }
}

/// Whether the store was read, and is not what was written.
const fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupted { .. } | Error::InvalidStore { .. } | Error::Internal { .. })
}

#[cfg(test)]
mod tests;
