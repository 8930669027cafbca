//! Whether anything goes on, so that what only looks for work can rest while nothing does.
//!
//! The storage engine looks every few seconds for tables to merge, for objects to delete, for another
//! owner. What it looks for is made by writes: of commits, and of the merges that follow them. So each
//! look goes on for a while after the last write, long enough for what it left, and then rests until
//! the next one. An idle store is not asked anything.
//!
//! # Invariants
//!
//! 1. While a commit is under way nothing rests.
//! 2. Whatever rests looks again soon after the next write.
//! 3. Signs of life and marks of the collector are no activity: they would keep everything awake.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use object_store::path::Path;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Directories below a database whose objects say nothing about work.
const UPKEEP_DIRS: [&str; 2] = ["owner", "gc"];

/// How long after the last write a look goes on that comes after this pause. The collector leaves objects
/// alone that are younger than its interval, so the second look after a write sees all of them. A pause is
/// shorter than the interval by what the last look took: hence three of them.
fn watch_of(pause: Duration) -> Duration {
    pause * 3 + Duration::from_secs(10)
}

/// What was written last, and who rests until something is.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// Of the last write, in milliseconds since the start.
    last_ms: AtomicU64,
    commits_under_way: AtomicUsize,
    resting: AtomicUsize,
    stirred: Notify,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::default(),
            commits_under_way: AtomicUsize::default(),
            resting: AtomicUsize::default(),
            stirred: Notify::new(),
        }
    }
}

impl Activity {
    /// An object is written.
    pub fn note_write(&self, location: &Path) {
        let mut parts = location.parts();
        let dir = parts.next_back().and_then(|_| parts.next_back());
        if !dir.is_some_and(|dir| UPKEEP_DIRS.contains(&dir.as_ref())) {
            self.stir();
        }
    }

    /// A commit is under way until the value is dropped.
    pub fn begin_commit(&self) -> UnderWay<'_> {
        self.commits_under_way.fetch_add(1, Ordering::SeqCst);
        self.stir();
        UnderWay(self)
    }

    /// Whoever rests looks again.
    pub fn stir(&self) {
        let elapsed_ms = self.start.elapsed().as_millis();
        self.last_ms.store(u64::try_from(elapsed_ms).unwrap_or(u64::MAX), Ordering::SeqCst);
        if self.resting.load(Ordering::SeqCst) > 0 {
            self.stirred.notify_waiters();
        }
    }

    /// Waits until the next look is due: for the pause, and for as long as there is nothing to see.
    pub async fn await_look(&self, pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            let stirred = self.stirred.notified();
            tokio::pin!(stirred);
            stirred.as_mut().enable();
            let _resting = Resting::new(self);
            if !self.is_idle_for(watch_of(pause)) {
                return;
            }
            stirred.await;
        }
    }

    /// When somebody stirred last, in milliseconds.
    #[cfg(test)]
    pub fn last_stir(&self) -> u64 {
        self.last_ms.load(Ordering::SeqCst)
    }

    fn is_idle_for(&self, limit: Duration) -> bool {
        let last = Duration::from_millis(self.last_ms.load(Ordering::SeqCst));
        let is_quiet = self.start.elapsed().saturating_sub(last) > limit;
        is_quiet && self.commits_under_way.load(Ordering::SeqCst) == 0
    }
}

/// A commit that is under way.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Activity);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.stir();
        self.0.commits_under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Somebody who rests, or is about to.
struct Resting<'a>(&'a Activity);

impl<'a> Resting<'a> {
    fn new(activity: &'a Activity) -> Self {
        activity.resting.fetch_add(1, Ordering::SeqCst);
        Self(activity)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.resting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// Looks of the next so many seconds.
    async fn looks_within(activity: &Activity, seconds: u64) -> u32 {
        let mut looks = 0;
        let counting = async {
            loop {
                activity.await_look(INTERVAL).await;
                looks += 1;
            }
        };
        let ended: Result<(), _> =
            tokio::time::timeout(Duration::from_secs(seconds), counting).await;
        assert!(ended.is_err(), "counting does not end");
        looks
    }

    #[tokio::test(start_paused = true)]
    async fn looks_go_on_for_a_while_after_the_last_write_and_then_rest() {
        let activity = Activity::default();
        activity.note_write(&Path::from("db/wal/1.sst"));

        assert_eq!(looks_within(&activity, 26).await, 5);
        assert_eq!(looks_within(&activity, 3600).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_wakes_what_rests() {
        let activity = Activity::default();
        assert_eq!(looks_within(&activity, 3600).await, 5);

        activity.note_write(&Path::from("db/wal/2.sst"));

        assert_eq!(looks_within(&activity, 3600).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_rests_is_woken_by_the_write_itself() {
        let activity = Activity::default();
        let mut look = std::pin::pin!(async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            activity.await_look(INTERVAL).await;
        });
        let limit = Duration::from_secs(1000);
        assert!(tokio::time::timeout(limit, look.as_mut()).await.is_err(), "it rests");

        activity.note_write(&Path::from("db/wal/2.sst"));

        let woken = tokio::time::timeout(INTERVAL + Duration::from_secs(1), look).await;
        assert!(woken.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_and_marks_of_the_collector_wake_nobody() {
        let activity = Activity::default();
        looks_within(&activity, 3600).await;

        activity.note_write(&Path::from("db/owner/0000000001"));
        activity.note_write(&Path::from("db/gc/manifest.boundary"));

        assert_eq!(looks_within(&activity, 3600).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_rests_while_a_commit_is_under_way() {
        let activity = Activity::default();
        let under_way = activity.begin_commit();

        assert_eq!(looks_within(&activity, 3601).await, 720);
        drop(under_way);
        assert_eq!(looks_within(&activity, 3600).await, 5);
    }
}
