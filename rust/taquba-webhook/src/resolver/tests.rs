//! Lookups that hang, and who is held up by them.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A resolver that hangs at names that begin with `slow` until it is let go.
struct Hanging {
    lookup: SystemLookup,
    asked_count: Arc<AtomicUsize>,
    asked: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn hanging(place_count: usize) -> Hanging {
    let asked_count = Arc::new(AtomicUsize::new(0));
    let (asks, asked) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let (seen, asks) = (Arc::clone(&asked_count), Mutex::new(asks));
    let released = Mutex::new(released);
    let ask = move |name: &str| {
        seen.fetch_add(1, Ordering::SeqCst);
        asks.lock().expect("no test panics").send(()).expect("the test listens");
        if name.starts_with("slow") {
            released
                .lock()
                .expect("no test panics")
                .recv_timeout(PATIENCE)
                .expect("the test lets it go");
        }
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
    };
    let lookup = SystemLookup {
        places: Arc::new(Semaphore::new(place_count)),
        wait_max: PATIENCE,
        ask: Arc::new(ask),
    };
    Hanging { lookup, asked_count, asked, release }
}

/// Asks, and gives up after a moment.
async fn give_up(lookup: &SystemLookup, name: &str) {
    let looking = tokio::time::timeout(Duration::from_millis(5), lookup.lookup(name));
    looking.await.expect_err("it hangs");
}

#[tokio::test]
async fn lookups_that_nobody_waits_for_hold_a_bounded_number_of_threads() {
    let hanging = hanging(3);

    for turn in 0..10 {
        give_up(&hanging.lookup, &format!("slow-{turn}.example")).await;
    }

    for _ in 0..3 {
        hanging.asked.recv_timeout(PATIENCE).expect("as many as there are places");
    }
    assert_eq!(hanging.asked_count.load(Ordering::SeqCst), 3);
    assert_eq!(hanging.lookup.places.available_permits(), 0, "held although nobody waits");
    for _ in 0..3 {
        hanging.release.send(()).expect("it hangs");
    }
    let found = hanging.lookup.lookup("quick.example").await.expect("an address");
    assert_eq!(found, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    assert_eq!(hanging.asked_count.load(Ordering::SeqCst), 4);
}

#[test]
fn all_clients_share_the_places_of_the_process() {
    let (one, other) = (SystemLookup::default(), SystemLookup::default());

    assert!(Arc::ptr_eq(&one.places, &other.places));
    assert!(one.places.available_permits() <= LOOKUPS_COUNT_MAX);
}

#[tokio::test]
async fn the_machine_knows_its_own_name() {
    let found = SystemLookup::default().lookup("localhost").await.expect("addresses");

    assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    assert!(!found.is_empty());
}

#[tokio::test]
async fn who_waits_too_long_for_a_lookup_is_told_that_it_did_not_begin() {
    let hanging = hanging(0);
    let lookup = SystemLookup { wait_max: Duration::from_millis(5), ..hanging.lookup };

    let failed = lookup.lookup("quick.example").await.expect_err("no place");

    assert_eq!(failed.kind(), io::ErrorKind::ResourceBusy);
    assert_eq!(hanging.asked_count.load(Ordering::SeqCst), 0);
}
