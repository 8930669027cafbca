//! Writes that have no effect, and writes that have one and do not say so.

use std::time::Duration;

use object_store::{Error, ObjectStoreExt as _, PutMode};
use tokio::time::timeout;

use super::{body, fault_of, once, path, put, stores};
use crate::{Fault, Plan, Rule};

const LONG: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_request_that_fails_before_has_no_effect() {
    let stores = stores(once(Fault::FailBefore));

    let failed = put(&stores.chaos, &path(), PutMode::Overwrite).await;

    assert!(matches!(failed, Err(Error::Generic { .. })), "worth another try");
    assert_eq!(fault_of(failed), Fault::FailBefore);
    assert_eq!(body(stores.inner.as_ref(), &path()).await, None);
}

#[tokio::test]
async fn a_write_that_fails_after_has_its_effect() {
    let stores = stores(once(Fault::FailAfter));

    let failed = put(&stores.chaos, &path(), PutMode::Create).await;

    assert_eq!(fault_of(failed), Fault::FailAfter);
    assert_eq!(body(stores.inner.as_ref(), &path()).await, Some("body".into()));
}

#[tokio::test]
async fn a_deletion_and_a_copy_can_fail_after_too() {
    let stores = stores(Plan::default().with(Fault::FailAfter, Rule::always()));
    let copy = "copy".into();
    put(stores.inner.as_ref(), &path(), PutMode::Overwrite).await.expect("memory takes it");

    assert_eq!(fault_of(stores.chaos.copy(&path(), &copy).await), Fault::FailAfter);
    assert_eq!(fault_of(stores.chaos.delete(&path()).await), Fault::FailAfter);

    assert_eq!(body(stores.inner.as_ref(), &path()).await, None);
    assert_eq!(body(stores.inner.as_ref(), &copy).await, Some("body".into()));
}

#[tokio::test]
async fn a_full_disk_says_so_as_the_system_does() {
    let stores = stores(once(Fault::NoSpace));

    let error = put(&stores.chaos, &path(), PutMode::Create).await.expect_err("no room");

    let mut causes =
        std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |error| {
            error.source()
        });
    let told = causes.find_map(|cause| cause.downcast_ref::<std::io::Error>()).expect("a cause");
    assert_eq!(told.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(body(stores.inner.as_ref(), &path()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_never_ends_and_has_no_effect() {
    let stores = stores(once(Fault::Hang));

    let waited = timeout(LONG, put(&stores.chaos, &path(), PutMode::Overwrite)).await;

    assert!(waited.is_err(), "it hangs until its caller gives up");
    assert_eq!(body(stores.inner.as_ref(), &path()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_times_out_where_the_client_has_a_limit() {
    let stores = stores(once(Fault::Hang).hang_limit(Duration::from_secs(30)));
    let started = tokio::time::Instant::now();

    let failed = stores.chaos.get(&path()).await;

    assert_eq!(fault_of(failed), Fault::Hang);
    assert_eq!(started.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_denied_request_opens_a_window_in_which_all_are_denied() {
    let plan = once(Fault::Deny403).deny_window(Duration::from_secs(5));
    let stores = stores(plan);

    let first = put(&stores.chaos, &path(), PutMode::Overwrite).await;
    let second = stores.chaos.get(&path()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let third = put(&stores.chaos, &path(), PutMode::Overwrite).await;

    assert!(matches!(first, Err(Error::PermissionDenied { .. })));
    assert!(matches!(second, Err(Error::PermissionDenied { .. })));
    third.expect("the window is over");
    assert_eq!(stores.chaos.counts().of(Fault::Deny403), 2);
}

#[tokio::test(start_paused = true)]
async fn access_can_be_denied_for_a_while_without_a_plan() {
    let stores = stores(Plan::default());

    stores.chaos.deny_for(Duration::from_secs(1));
    let denied = stores.chaos.head(&path()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let missing = stores.chaos.head(&path()).await;

    assert!(matches!(denied, Err(Error::PermissionDenied { .. })));
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}
