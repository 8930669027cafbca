//! Time that requests take.

use std::time::Duration;

use object_store::{Error, ObjectStoreExt as _, PutMode};
use tokio::time::{Instant, timeout};

use super::{body, fault_of, path, put, seeded, stores};
use crate::{Fault, Plan, Rule};

#[tokio::test(start_paused = true)]
async fn latency_lies_in_its_range() {
    let range = Duration::from_millis(5)..=Duration::from_millis(9);
    let plan = Plan::default().with(Fault::Latency, Rule::always()).latency(range.clone());
    let stores = stores(plan);

    for _ in 0..100 {
        let started = Instant::now();
        put(&stores.chaos, &path(), PutMode::Overwrite).await.expect("it is only slow");
        // Timers have a grain of 1 ms, and there are two.
        let took = started.elapsed();
        assert!(took >= *range.start(), "{took:?}");
        assert!(took <= *range.end() + Duration::from_millis(2), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_on_a_slow_write_may_have_written() {
    let second = Duration::from_secs(1);
    let mut done_count = 0;

    for seed in 0..200 {
        let plan = Plan::default().with(Fault::Latency, Rule::always()).latency(second..=second);
        let stores = seeded(plan, seed);
        let path = path();
        let write = put(&stores.chaos, &path, PutMode::Overwrite);
        assert!(timeout(second / 2, write).await.is_err(), "it takes twice as long");
        done_count += usize::from(body(stores.inner.as_ref(), &path).await.is_some());
    }

    assert!((60..140).contains(&done_count), "{done_count} of 200: about half");
}

#[tokio::test(start_paused = true)]
async fn bodies_take_their_time_in_both_directions() {
    let plan = Plan::default().with(Fault::Bandwidth, Rule::always()).bandwidth(1_000);
    let stores = stores(plan);
    let started = Instant::now();

    stores.chaos.put(&path(), vec![0; 3_000].into()).await.expect("it is only slow");
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    stores.chaos.get_range(&path(), 0..1_000).await.expect("it is only slow");
    assert_eq!(started.elapsed(), Duration::from_secs(4));
    stores.chaos.head(&path()).await.expect("it has no body");
    assert_eq!(started.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn above_the_rate_requests_are_refused_until_the_bucket_fills_again() {
    let plan = Plan::default().with(Fault::Throttle, Rule::always()).throttle(10, 5);
    let stores = stores(plan);
    let path = path();
    let ask = || stores.chaos.head(&path);

    for _ in 0..5 {
        assert!(matches!(ask().await, Err(Error::NotFound { .. })), "the burst passes");
    }
    let above = ask().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let later = ask().await;
    let again = ask().await;

    assert!(matches!(above, Err(Error::Generic { .. })), "worth another try");
    assert_eq!(fault_of(above), Fault::Throttle);
    assert!(matches!(later, Err(Error::NotFound { .. })), "a tenth of a second is one request");
    assert_eq!(fault_of(again), Fault::Throttle);
}
