//! Signs of life: who owns the store, for others to see.
//!
//! An owner writes `owner/{epoch}` beside the database when it has taken it, and again every interval;
//! an orderly close deletes it. Others read the one of the highest epoch and look at when it was
//! written last. It is advice, not a lock: two openers that look at the same moment both find nobody,
//! and the fence decides between them.
//!
//! # Invariants
//!
//! 1. An owner writes under its own epoch only, so one that does not know yet that it was fenced never
//!    hides its successor.
//! 2. A sign that cannot be written or read ends nothing: it is logged.
//!
//! An owner that was fenced and is idle learns of it from its next sign: its successor has deleted the one
//! before. It has its storage engine look then, which takes up to another half minute. Until then its sign
//! reads as alive if its successor has closed meanwhile.
//!
//! # Clocks
//!
//! The store stamps the object, the reader compares with its own clock, so the two must agree to about one
//! interval. If they do not, an owner is taken for alive too long or too short, and no data is at risk.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    Error, GetResult, ObjectStore, ObjectStoreExt as _, PutMode, Result, UpdateVersion,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::guard::GuardedStore;
use crate::clock::{Clock as _, SystemClock};
use crate::command::OwnerInfo;
use crate::limits::HEARTBEAT_MAX;
use crate::options::{OpenOptions, bounded_ms};

/// Where the signs are, below the database's path.
const OWNER_DIR: &str = "owner";

/// The first byte of every sign.
const VERSION: u8 = 1;

/// Largest sign that is read. Ours are below 400 bytes.
const SIGN_BYTES_MAX: u64 = 4096;

/// Looks at a directory in which the newest sign goes away between listing and reading.
const READ_TRIES_MAX: u32 = 4;

/// Longest wait for one sign to be written. The next one is due anyway.
const BEAT_TIMEOUT: Duration = Duration::from_secs(20);

/// What an owner says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sign {
    host: String,
    pid: u32,
    since_ms: u64,
    interval_ms: u64,
}

impl Sign {
    /// Of an owner that begins now. By the machine's clock, whatever clock its engine runs on: the
    /// store stamps signs with real time.
    pub fn new(options: &OpenOptions) -> Self {
        const HOST_CHARS_MAX: usize = 255;
        Self {
            host: options.host.chars().take(HOST_CHARS_MAX).collect(),
            pid: options.pid,
            since_ms: now_ms(),
            interval_ms: bounded_ms(options.heartbeat_interval),
        }
    }

    fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a vector takes any value")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let sign = (version == VERSION).then(|| postcard::from_bytes(rest).ok())?;
        sign.filter(|sign: &Self| u128::from(sign.interval_ms) <= HEARTBEAT_MAX.as_millis())
    }

    /// What stands for a sign that does not read, as one cut short by a power failure: somebody
    /// was there.
    fn unreadable(seen_ms: u64) -> Self {
        let interval_ms = bounded_ms(OpenOptions::default().heartbeat_interval);
        Self { host: "unknown".into(), pid: 0, since_ms: seen_ms, interval_ms }
    }

    /// What it means at this instant. One sign may come late or be lost, not two.
    fn seen(self, seen_ms: u64, now_ms: u64) -> OwnerInfo {
        let silent_ms = now_ms.saturating_sub(seen_ms);
        OwnerInfo {
            is_alive: silent_ms.saturating_mul(2) < self.interval_ms.saturating_mul(5),
            host: self.host,
            pid: self.pid,
            since_ms: self.since_ms,
            seen_ms,
        }
    }
}

/// Who owns the database at `root`; `None` if its last owner closed it in order, or there was none.
pub(super) async fn read_owner(store: &dyn ObjectStore, root: &Path) -> Result<Option<OwnerInfo>> {
    for _ in 0..READ_TRIES_MAX {
        let Some(newest) = list(store, root).await?.into_iter().max() else { return Ok(None) };
        match store.get(&place_of(root, newest)).await {
            Ok(found) => return read(found).await.map(Some),
            // It was closed, or a newer owner has tidied up.
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn read(found: GetResult) -> Result<OwnerInfo> {
    let seen_ms = u64::try_from(found.meta.last_modified.timestamp_millis()).unwrap_or(0);
    let is_long = found.meta.size > SIGN_BYTES_MAX;
    let location = found.meta.location.clone();
    let sign = if is_long { None } else { Sign::decode(&found.bytes().await?) };
    let sign = sign.unwrap_or_else(|| {
        tracing::warn!(object = %location, "this sign of an owner does not read");
        Sign::unreadable(seen_ms)
    });
    Ok(sign.seen(seen_ms, now_ms()))
}

/// The epochs that have signs.
async fn list(store: &dyn ObjectStore, root: &Path) -> Result<Vec<u32>> {
    let objects = store.list(Some(&root.clone().join(OWNER_DIR)));
    let epochs = objects.try_filter_map(|object| {
        let epoch = object.location.filename().and_then(|name| name.parse::<u32>().ok());
        std::future::ready(Ok(epoch))
    });
    epochs.try_collect().await
}

fn place_of(root: &Path, epoch: u32) -> Path {
    root.clone().join(OWNER_DIR).join(format!("{epoch:010}"))
}

fn now_ms() -> u64 {
    SystemClock::new().wall_ms()
}

/// What came of writing a sign.
#[derive(Debug)]
enum Beat {
    /// It is there, in this version.
    Written(UpdateVersion),
    /// The version that was to be overwritten is not there.
    Gone,
    /// The store does not overwrite under a condition, or not now.
    Refused,
    /// It was not written.
    Failed,
}

/// What the next sign is written over.
#[derive(Debug)]
struct LastBeat {
    /// `None`: whatever is there.
    version: Option<UpdateVersion>,
    /// Whether the store overwrites under a condition, as far as is known.
    is_conditional: bool,
}

/// The signs of one owner.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    pub store: Arc<GuardedStore>,
    pub root: Path,
    pub epoch: u32,
    pub sign: Sign,
}

impl Pulse {
    /// Writes the sign; over this version of it only, if one is given. Says which one there is now.
    async fn beat(&self, over: Option<UpdateVersion>) -> Beat {
        let place = place_of(&self.root, self.epoch);
        let mode = over.clone().map_or(PutMode::Overwrite, PutMode::Update);
        let put = self.store.put_opts(&place, self.sign.encode().into(), mode.into());
        let written = timeout(BEAT_TIMEOUT, put).await;
        match &written {
            Ok(Ok(result)) => Beat::Written(result.clone().into()),
            Ok(Err(Error::Precondition { .. } | Error::NotFound { .. })) if over.is_some() => {
                Beat::Gone
            }
            Ok(Err(_)) if over.is_some() => Beat::Refused,
            _ => {
                self.log("write", &written);
                Beat::Failed
            }
        }
    }

    /// Writes the sign, and learns of a successor by it: one that takes the store deletes the sign, so
    /// that it cannot be overwritten any more. What rests is made to look then. Where the store does not
    /// overwrite under a condition, the sign is looked for before.
    async fn beat_and_look(&self, last: LastBeat) -> LastBeat {
        let was_there = last.is_conditional || self.is_there().await;
        let mut beat = self.beat(last.version).await;
        let is_conditional = last.is_conditional && !matches!(beat, Beat::Refused);
        if matches!(beat, Beat::Refused) {
            beat = self.beat(None).await;
        }
        if matches!(beat, Beat::Gone) || !was_there {
            self.store.activity().stir();
        }
        let version = match beat {
            Beat::Written(version) if is_conditional => Some(version),
            _ => None,
        };
        LastBeat { version, is_conditional }
    }

    async fn is_there(&self) -> bool {
        let place = place_of(&self.root, self.epoch);
        let found = timeout(BEAT_TIMEOUT, self.store.head(&place)).await;
        !matches!(found, Ok(Err(Error::NotFound { .. })))
    }

    /// Deletes the signs of owners before this one, and its own if it is over.
    async fn tidy(&self, is_over: bool) {
        let tidied = timeout(BEAT_TIMEOUT, async {
            let epochs = list(self.store.as_ref(), &self.root).await?;
            let is_past = |epoch: &u32| *epoch < self.epoch || (is_over && *epoch == self.epoch);
            let places: Vec<_> =
                epochs.into_iter().filter(is_past).map(|e| Ok(place_of(&self.root, e))).collect();
            let deleted = self.store.delete_stream(futures::stream::iter(places).boxed());
            deleted.try_for_each(|_| std::future::ready(Ok(()))).await
        });
        self.log("delete", &tidied.await);
    }

    fn log<T>(&self, what: &str, result: &Result<Result<T>, Elapsed>) {
        let error: &dyn std::error::Error = match result {
            Ok(Ok(_) | Err(Error::NotFound { .. })) => return,
            Ok(Err(error)) => error,
            Err(elapsed) => elapsed,
        };
        tracing::warn!(epoch = self.epoch, error, "cannot {what} the sign of this owner");
    }
}

/// The task that shows that an owner is alive. Ends with the value.
#[derive(Debug)]
pub(super) struct Heartbeat {
    pulse: Pulse,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Heartbeat {
    /// Writes the first sign and goes on every `interval`, until `is_over` says that the store is
    /// somebody else's now.
    #[expect(clippy::disallowed_methods, reason = "the heartbeat must not wait for the engine")]
    pub async fn start(
        pulse: Pulse,
        interval: Duration,
        is_over: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        let first = LastBeat { version: None, is_conditional: true };
        let mut last = pulse.beat_and_look(first).await;
        let (stop, mut stopped) = oneshot::channel();
        let beating = pulse.clone();
        let task = tokio::spawn(async move {
            beating.tidy(false).await;
            // Stopped only between two signs: one that is under way would come back from the dead.
            while timeout(interval, &mut stopped).await.is_err() {
                if is_over() {
                    return beating.tidy(true).await;
                }
                last = beating.beat_and_look(last).await;
            }
        });
        Self { pulse, stop: Some(stop), task }
    }

    /// The owner has closed in order: deletes the sign.
    pub async fn end(mut self) {
        drop(self.stop.take());
        if timeout(BEAT_TIMEOUT, &mut self.task).await.is_ok() {
            self.pulse.tidy(true).await;
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
