//! Signs of life, fresh, stale, damaged and foreign.

use object_store::memory::InMemory;

use super::super::guard::Attribution;
use super::*;

fn sign() -> Sign {
    Sign { host: "here".into(), pid: 7, since_ms: 1_000, interval_ms: 60_000 }
}

fn pulse(epoch: u32, inner: &Arc<InMemory>) -> Pulse {
    let store = Arc::new(GuardedStore::new(Arc::clone(inner) as _, Attribution::Kept));
    Pulse { store, root: Path::from("queue"), epoch, sign: Sign { pid: epoch, ..sign() } }
}

async fn owner_pid(store: &InMemory) -> Option<u32> {
    let owner = read_owner(store, &Path::from("queue")).await.expect("memory");
    owner.map(|owner| owner.pid)
}

#[test]
fn an_owner_is_alive_until_two_and_a_half_intervals_are_past() {
    let seen_ms = 5_000_000;

    assert!(sign().seen(seen_ms, seen_ms).is_alive);
    assert!(sign().seen(seen_ms, seen_ms + 149_999).is_alive);
    assert!(!sign().seen(seen_ms, seen_ms + 150_000).is_alive);
    // Its clock is ahead of ours.
    assert!(sign().seen(seen_ms, seen_ms - 10_000).is_alive);
}

#[test]
fn a_sign_reads_as_it_was_written_and_not_otherwise() {
    let bytes = sign().encode();

    assert_eq!(Sign::decode(&bytes), Some(sign()));
    for length in 0..bytes.len() {
        assert_eq!(Sign::decode(&bytes[..length]), None, "{length}");
    }
    let newer = [&[VERSION + 1], &bytes[1..]].concat();
    assert_eq!(Sign::decode(&newer), None);
    let never_due = Sign { interval_ms: u64::MAX, ..sign() };
    assert_eq!(Sign::decode(&never_due.encode()), None);
}

#[tokio::test]
async fn a_sign_that_does_not_read_is_one_all_the_same() {
    let store = InMemory::new();
    let place = place_of(&Path::from("queue"), 3);
    for content in ["", "nonsense"].into_iter().map(str::to_owned).chain([" ".repeat(5_000)]) {
        store.put(&place, content.into()).await.expect("memory");

        let owner = read_owner(&store, &Path::from("queue")).await.expect("memory");

        let owner = owner.expect("somebody was there");
        assert_eq!((owner.host.as_str(), owner.pid, owner.is_alive), ("unknown", 0, true));
    }
}

#[tokio::test]
async fn the_highest_epoch_is_the_owner_and_strangers_are_not() {
    let store = Arc::new(InMemory::new());
    assert_eq!(owner_pid(&store).await, None);
    let stranger = Path::from("queue/owner/readme.txt");
    store.put(&stranger, "hello".into()).await.expect("memory");
    assert_eq!(owner_pid(&store).await, None);

    pulse(10, &store).beat(None).await;
    pulse(9, &store).beat(None).await;

    assert_eq!(owner_pid(&store).await, Some(10));
}

#[tokio::test]
async fn a_zombie_does_not_hide_its_successor_and_goes_when_it_knows() {
    let (store, often) = (Arc::new(InMemory::new()), Duration::from_millis(1));
    let old = Heartbeat::start(pulse(1, &store), often, || false).await;
    let new = Heartbeat::start(pulse(2, &store), Duration::from_secs(60), || false).await;
    let beats = || old.pulse.store.counts().put_count;
    let before = beats();
    while beats() < before + 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(owner_pid(&store).await, Some(2));
    drop(old);

    let mut fenced = Heartbeat::start(pulse(1, &store), often, || true).await;
    (&mut fenced.task).await.expect("it ends by itself");

    new.end().await;
    assert_eq!(owner_pid(&store).await, None);
}

#[tokio::test]
async fn an_owner_tidies_up_behind_those_before_it() {
    let store = Arc::new(InMemory::new());
    for epoch in [1, 2, 4] {
        pulse(epoch, &store).beat(None).await;
    }

    let heartbeat = Heartbeat::start(pulse(3, &store), Duration::from_secs(60), || false).await;
    heartbeat.end().await;

    assert_eq!(list(store.as_ref(), &Path::from("queue")).await.expect("memory"), [4]);
}

#[tokio::test]
async fn a_sign_that_cannot_be_written_ends_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = object_store::local::LocalFileSystem::new_with_prefix(dir.path()).expect("it is");
    std::fs::write(dir.path().join("queue"), "a file where the directory should be").expect("disk");
    let store = Arc::new(GuardedStore::new(Arc::new(files), Attribution::Dropped));
    let pulse = Pulse { store, root: Path::from("queue"), epoch: 1, sign: sign() };

    let heartbeat = Heartbeat::start(pulse, Duration::from_secs(60), || false).await;

    heartbeat.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_sign_was_deleted_looks_for_its_successor() {
    let store = Arc::new(InMemory::new());
    let old = pulse(1, &store);
    let activity = Arc::clone(old.store.activity());
    let heartbeat = Heartbeat::start(old, Duration::from_secs(60), || false).await;
    let pause = Duration::from_secs(5);
    let rests = timeout(Duration::from_secs(600), async {
        loop {
            activity.await_look(pause).await;
        }
    });
    let _: Elapsed = rests.await.map(|never: ()| never).expect_err("it never ends");
    assert!(timeout(Duration::from_secs(600), activity.await_look(pause)).await.is_err());

    pulse(2, &store).tidy(false).await;

    assert!(timeout(Duration::from_secs(70), activity.await_look(pause)).await.is_ok());
    drop(heartbeat);
}

#[tokio::test]
async fn where_a_sign_is_overwritten_without_a_condition_it_is_looked_for_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = object_store::local::LocalFileSystem::new_with_prefix(dir.path()).expect("it is");
    let store = Arc::new(GuardedStore::new(Arc::new(files), Attribution::Dropped));
    let activity = Arc::clone(store.activity());
    let pulse = Pulse { store, root: Path::from("queue"), epoch: 1, sign: sign() };
    let mut last = LastBeat { version: None, is_conditional: true };
    for _ in 0..3 {
        last = pulse.beat_and_look(last).await;
    }
    assert!(!last.is_conditional && last.version.is_none());
    let before = activity.last_stir();
    last = pulse.beat_and_look(last).await;
    assert_eq!(activity.last_stir(), before, "it was there");
    tokio::time::sleep(Duration::from_millis(2)).await;

    pulse.tidy(true).await;
    pulse.beat_and_look(last).await;

    assert!(activity.last_stir() > before, "it was gone");
    let owner = read_owner(pulse.store.as_ref(), &Path::from("queue")).await.expect("a disk");
    assert!(owner.is_some_and(|owner| owner.is_alive));
}
