//! Memos: what a step has found out and need not find out again.
//!
//! Values live in the log, never in memory; large ones in objects of their own. They belong to the
//! run that was submitted under one row, so a run that takes over an id later sees none of them.
//!
//! # Invariants
//!
//! 1. Only the holder of a step's live claim reads and writes its memos.
//! 2. A run that may have memos says so in its row before, or in the commit in which, the first one is
//!    written; so the memos of each run that ends are found.
//! 3. Memos are deleted after the end of their run, and never before.
//! 4. An object whose memo was written anew goes when that is durable, if this owner wrote it; else with
//!    the memos of its run.

use super::durable::Activation;
use super::schedule::Expired;
use super::{Effects, Origin, Query, State};
use crate::clock::Now;
use crate::command::Reply;
use crate::error::{Error, Result};
use crate::ids::{ClaimToken, MemoKey};
use crate::limits::{MEMO_SWEEP_RETRY, PAYLOAD_BYTES_MAX};
use crate::options::bounded_ms;
use crate::record::{BodyWork, MemoSweepRow, Payload, PayloadName, Row, encode_memo, keys};

use bytes::Bytes;

/// Where a memo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoPlace {
    /// The row under which its run was submitted.
    pub row: u64,
    /// Its step.
    pub step_number: u32,
    /// Its key's digest.
    pub key: MemoKey,
}

/// What was found of a run's memos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundMemos {
    /// Their rows.
    pub keys: Vec<Bytes>,
    /// The objects that they name.
    pub objects: Vec<PayloadName>,
    /// Whether there are none but these.
    pub is_all: bool,
}

impl State {
    /// Reads a memo. A run that has none is not looked up.
    pub(super) fn memo_get(
        &self,
        origin: Origin,
        token: ClaimToken,
        key: MemoKey,
        fx: &mut Effects,
    ) {
        match self.memo_place(token, key) {
            Ok(place) => {
                let has_memos = self.runs.in_row(place.row).is_some_and(|run| run.has_memos);
                if has_memos {
                    fx.queries.push((origin, Query::Memo(place)));
                } else {
                    fx.answer(origin, Ok(Reply::Value(None)));
                }
            }
            Err(error) => fx.answer(origin, Err(error)),
        }
    }

    /// Writes a memo.
    pub(super) fn memo_put(
        &mut self,
        token: ClaimToken,
        key: MemoKey,
        value: &Payload,
    ) -> Result<Reply> {
        let size_bytes = usize::try_from(value.size_bytes()).unwrap_or(usize::MAX);
        if size_bytes > PAYLOAD_BYTES_MAX {
            return Err(Error::MemoTooLarge { size_bytes });
        }
        let place = self.memo_place(token, key)?;
        let run = self.runs.live_mut(place.row).expect("a step's run is live until it ends it");
        if !std::mem::replace(&mut run.has_memos, true) {
            let row = Row::Put(keys::run(&run.run_id), run.stored(place.row, None).encode());
            self.write(row);
        }
        let memo = keys::memo(place.row, place.step_number, &place.key);
        self.write(Row::Put(memo, encode_memo(value)));
        let name = value.object().map(|object| object.name);
        let before = match name {
            Some(name) => self.memo_objects.insert(place, name),
            None => self.memo_objects.remove(&place),
        };
        if let Some(name) = name {
            self.write(Row::Put(keys::memo_object(place.row, name), Bytes::new()));
        }
        if let Some(before) = before {
            self.write(Row::Delete(keys::memo_object(place.row, before)));
            self.activate_when_durable(Activation::Unnamed(before));
        }
        Ok(Reply::Done)
    }

    /// Whose memos the holder of a claim sees.
    fn memo_place(&self, token: ClaimToken, key: MemoKey) -> Result<MemoPlace> {
        let held = self.leases.get(token).filter(|lease| lease.is_delivered);
        let row = held.ok_or_else(|| self.leases.lost(token))?.row;
        let entry = self.job(row);
        let body = entry.body.as_deref().expect("a delivered job has its body");
        match &body.work {
            BodyWork::Step { .. } => Ok(MemoPlace { row, step_number: entry.turn, key }),
            BodyWork::Job | BodyWork::Notification { .. } => Err(Error::InvalidArgument {
                name: "claim",
                value: "of a job that is no step".into(),
                remedy: "only steps of runs have memos; use the key-value space".into(),
            }),
        }
    }

    /// Nothing of an ended run is written anew.
    pub(super) fn forget_memo_objects(&mut self, row: u64) {
        let first = |row| MemoPlace { row, step_number: 0, key: MemoKey::MIN };
        let mut later = self.memo_objects.split_off(&first(row));
        let mut rest = later.split_off(&first(row + 1));
        self.memo_objects.append(&mut rest);
    }

    /// Has the memos of an ended run deleted at an instant, over restarts too.
    pub(super) fn sweep_memos_at(&mut self, row: u64, at_ms: u64) {
        self.write(Row::Put(keys::memo_sweep(row), MemoSweepRow { at_ms }.encode()));
        self.schedule.forget_at(at_ms, Expired::Memos(row));
    }

    /// Deletes what was found of the memos of an ended run. What could not be read, and what is left,
    /// is looked for again.
    pub fn memos_found(&mut self, row: u64, found: Option<FoundMemos>, now: Now) {
        let Some(found) = found else {
            let again_ms = now.wall_ms + bounded_ms(MEMO_SWEEP_RETRY);
            self.schedule.forget_at(again_ms, Expired::Memos(row));
            return;
        };
        for key in found.keys {
            self.write(Row::Delete(key));
        }
        for name in found.objects {
            self.write(Row::Delete(keys::memo_object(row, name)));
            self.activate_when_durable(Activation::Unnamed(name));
        }
        if found.is_all {
            self.write(Row::Delete(keys::memo_sweep(row)));
        } else {
            self.schedule.forget_at(now.wall_ms, Expired::Memos(row));
        }
    }
}
