//! Writing: groups of rows go to a thread, which makes them durable one after the other.
//!
//! # Invariants
//!
//! 1. A group is reported when it is durable and no newer owner had come by then, and groups are
//!    reported in the order of their ids, which ascend by one.
//! 2. A group is durable before the next one is begun: only the last record of a log can be torn.
//! 3. The first failure ends the log. What waits then, and what comes later, gets the same failure.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use async_trait::async_trait;
use futures::FutureExt as _;
use parking_lot::Mutex;
use slatedb::RowEntry;
use slatedb::wal::{
    WalError, WalEvent, WalFlushResult, WalObserver, WalStatus, WalStatusListener, WalWriter,
};
use tokio::sync::oneshot;

use super::Fault;
use super::collect::Known;
use super::disk::LOG_DIR;
use super::rows;
use super::segment::{HEAD_BYTES, Kind};
use super::take::Taken;
use super::tape::Tape;
use crate::log::guard::Counters;

/// A group of this size goes out without being asked for.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an open after a crash has to read, at most: bytes, records, and segments of owners that came
/// and went without writing a table.
const REPLAY_BYTES_MAX: u64 = 64 * 1024 * 1024;
const REPLAY_COUNT_MAX: u64 = 100_000;
const REPLAY_PARTS_MAX: usize = 64;

type Answer = oneshot::Sender<Result<(), WalError>>;

/// Rows that become durable together.
#[derive(Debug, Default)]
struct Group {
    /// The rows, with room in front for what a record begins with.
    frame: Vec<u8>,
    row_count: usize,
    last_seq: u64,
}

/// What the thread is asked to do.
#[derive(Debug)]
enum Work {
    Write(u64, Group),
    Answer(Answer),
    Close(Answer),
}

/// What everybody may know of the log.
#[derive(Debug)]
struct State {
    closed: Option<WalError>,
    /// Bytes and rows that are not durable yet.
    waiting_bytes: usize,
    waiting_rows: usize,
    last_id: u64,
    last_seq: Option<u64>,
    /// Bytes that are durable, the replayed ones among them.
    durable_bytes: u64,
}

impl State {
    fn status(&self) -> WalStatus {
        WalStatus {
            closed_reason: self.closed.clone(),
            estimated_bytes: self.waiting_bytes,
            last_flushed_wal_id: self.last_id,
            last_flushed_seq: self.last_seq,
            buffered_wal_entries_count: self.waiting_rows,
        }
    }
}

/// The log as others see it.
#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    listeners: Arc<Mutex<Vec<WalStatusListener>>>,
}

impl Shared {
    fn status(&self) -> Result<WalStatus, WalStatus> {
        let status = self.state.lock().status();
        if status.closed_reason.is_some() { Err(status) } else { Ok(status) }
    }

    fn check(&self) -> Result<(), WalError> {
        self.state.lock().closed.clone().map_or(Ok(()), Err)
    }

    /// Without a lock on the state: a listener may look at it.
    fn tell(&self, event: &WalEvent) {
        for listener in self.listeners.lock().iter() {
            listener(event.clone());
        }
    }

    fn end(&self, reason: WalError) {
        let status = {
            let mut state = self.state.lock();
            state.closed = Some(reason);
            (state.waiting_bytes, state.waiting_rows) = (0, 0);
            state.status()
        };
        self.tell(&WalEvent::WalClosed(status));
    }
}

impl WalObserver for Shared {
    fn status(&self) -> Result<WalStatus, WalStatus> {
        self.status()
    }

    fn subscribe(&self, listener: WalStatusListener) -> Result<(), WalError> {
        self.listeners.lock().push(Arc::clone(&listener));
        if let Err(status) = self.status() {
            listener(WalEvent::WalClosed(status));
        }
        Ok(())
    }
}

/// The owner's end of the log.
pub(super) struct Writer {
    shared: Shared,
    work: Sender<Work>,
    group: Group,
    /// The id of the group that is being gathered.
    next_id: u64,
    /// The replay point at the open, if many segments have to be read from there.
    crowded_id: Option<u64>,
    /// The replay point of the last look, and the durable bytes when it was new.
    replayed: Mutex<(u64, u64)>,
}

impl Writer {
    /// Starts the thread that writes. It ends with this value, or with the first failure.
    pub fn start(
        taken: Taken,
        after_id: u64,
        known: Known,
        counters: Arc<Counters>,
    ) -> Result<Self, Fault> {
        let (work, orders) = channel();
        let crowded_id = (taken.parts.len() > REPLAY_PARTS_MAX).then_some(after_id);
        let shared = Shared {
            state: Arc::new(Mutex::new(State {
                closed: None,
                waiting_bytes: 0,
                waiting_rows: 0,
                last_id: taken.last_id,
                last_seq: None,
                durable_bytes: taken.size_bytes,
            })),
            listeners: Arc::default(),
        };
        let scribe = Scribe { tape: taken.tape, shared: shared.clone(), known, counters };
        let thread = std::thread::Builder::new().name("taquba-log".to_owned());
        // A process or a machine may have as many threads as it is allowed.
        thread.spawn(move || scribe.run(&orders)).map_err(no_thread)?;
        Ok(Self {
            shared,
            work,
            group: Group::default(),
            next_id: taken.last_id + 1,
            crowded_id,
            replayed: Mutex::new((after_id, 0)),
        })
    }

    fn send(&self, work: Work) -> Result<(), WalError> {
        self.shared.check()?;
        self.work.send(work).map_err(|_| self.shared.check().err().unwrap_or(WalError::Closed))
    }

    /// Hands the gathered rows to the thread; the id of the last group.
    fn hand_over(&mut self) -> Result<u64, WalError> {
        if self.group.row_count > 0 {
            let group = std::mem::take(&mut self.group);
            self.send(Work::Write(self.next_id, group))?;
            self.next_id += 1;
        }
        Ok(self.next_id - 1)
    }

    async fn answer(&self, ask: impl FnOnce(Answer) -> Work) -> Result<(), WalError> {
        let (answer, answered) = oneshot::channel();
        self.send(ask(answer))?;
        let shared = self.shared.clone();
        answered.await.unwrap_or_else(|_| Err(shared.check().err().unwrap_or(WalError::Closed)))
    }
}

#[async_trait]
impl WalWriter for Writer {
    async fn append(&mut self, write_batch: &[RowEntry]) -> Result<(), WalError> {
        self.shared.check()?;
        let group = &mut self.group;
        if group.frame.is_empty() {
            group.frame.resize(HEAD_BYTES, 0);
        }
        let before_bytes = group.frame.len();
        rows::encode(write_batch, &mut group.frame);
        group.last_seq = write_batch.last().map_or(group.last_seq, |row| row.seq);
        group.row_count += write_batch.len();
        let frame_bytes = group.frame.len();
        {
            let mut state = self.shared.state.lock();
            state.waiting_bytes += frame_bytes - before_bytes;
            state.waiting_rows += write_batch.len();
        }
        if frame_bytes >= GROUP_BYTES_MAX {
            self.hand_over()?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<WalFlushResult, WalError> {
        let wal_id = self.hand_over()?;
        let (answer, answered) = oneshot::channel();
        self.send(Work::Answer(answer))?;
        let shared = self.shared.clone();
        let completion = async move {
            let closed = || shared.check().err().unwrap_or(WalError::Closed);
            answered.await.unwrap_or_else(|_| Err(closed()))
        };
        Ok(WalFlushResult { wal_id, completion: completion.boxed() })
    }

    fn should_flush_memtable(&self, replay_after_wal_id: u64) -> bool {
        let (durable_bytes, last_id) = {
            let state = self.shared.state.lock();
            (state.durable_bytes, state.last_id)
        };
        let mut replayed = self.replayed.lock();
        if replayed.0 != replay_after_wal_id {
            // The replay point was set when the memtable before this one was frozen, just now.
            *replayed = (replay_after_wal_id, durable_bytes);
        }
        durable_bytes - replayed.1 >= REPLAY_BYTES_MAX
            || last_id.saturating_sub(replay_after_wal_id) >= REPLAY_COUNT_MAX
            || self.crowded_id == Some(replay_after_wal_id)
    }

    fn observer(&self) -> Box<dyn WalObserver> {
        Box::new(self.shared.clone())
    }

    fn status(&self) -> Result<WalStatus, WalStatus> {
        self.shared.status()
    }

    /// Says in the log that it ends here. Rows that nobody had flushed are gone.
    async fn close(&mut self) -> Result<(), WalError> {
        self.group = Group::default();
        if self.shared.status().is_err() {
            return Ok(());
        }
        self.answer(Work::Close).await
    }
}

fn no_thread(source: io::Error) -> Fault {
    Fault::Io { doing: "start a thread for", file: LOG_DIR.to_owned(), source }
}

/// The thread.
struct Scribe {
    tape: Tape,
    shared: Shared,
    known: Known,
    counters: Arc<Counters>,
}

impl Scribe {
    fn run(mut self, orders: &Receiver<Work>) {
        for work in orders {
            let done = match work {
                Work::Write(id, group) => self.write(id, group),
                Work::Answer(answer) => {
                    let _ = answer.send(Ok(()));
                    Ok(())
                }
                Work::Close(answer) => {
                    let next_id = self.shared.state.lock().last_id + 1;
                    let ended = self.tape.end(next_id, Kind::Closed).map_err(WalError::from);
                    self.shared.end(ended.clone().err().unwrap_or(WalError::Closed));
                    let _ = answer.send(ended);
                    return;
                }
            };
            if let Err(fault) = done {
                tracing::error!(error = %fault, "the log has ended");
                return self.shared.end(fault.into());
            }
        }
    }

    fn write(&mut self, id: u64, mut group: Group) -> Result<(), Fault> {
        if self.tape.is_full() {
            self.tape.roll(id)?;
            self.known.lock().push(self.tape.name());
        }
        self.counters.count_put(group.frame.len());
        self.tape.append(&mut group.frame, id, Kind::Rows)?;
        let status = {
            let mut state = self.shared.state.lock();
            assert!(id == state.last_id + 1, "groups are written in order");
            state.last_id = id;
            state.last_seq = Some(group.last_seq);
            state.durable_bytes += group.frame.len() as u64;
            state.waiting_bytes -= group.frame.len() - HEAD_BYTES;
            state.waiting_rows -= group.row_count;
            state.status()
        };
        self.shared.tell(&WalEvent::WalFlushed(status));
        Ok(())
    }
}
