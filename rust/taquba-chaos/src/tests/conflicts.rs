//! Conditional writes that are refused for no good reason.

use std::borrow::Cow;

use object_store::{
    Attribute, Attributes, Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    UpdateVersion,
};

use super::{body, fault_of, once, path, put, stores};
use crate::{Fault, Plan, Rule};

#[tokio::test]
async fn a_conflict_can_be_about_nothing() {
    let stores = stores(once(Fault::ConflictAbsent));

    let refused = put(&stores.chaos, &path(), PutMode::Create).await;

    assert!(matches!(refused, Err(Error::AlreadyExists { .. })));
    assert_eq!(body(stores.inner.as_ref(), &path()).await, None, "nothing is there");
    put(&stores.chaos, &path(), PutMode::Create).await.expect("the next try succeeds");
}

#[tokio::test]
async fn a_true_conflict_is_not_counted_as_a_fault() {
    let stores = stores(once(Fault::ConflictAbsent));
    put(stores.inner.as_ref(), &path(), PutMode::Create).await.expect("memory takes it");

    let refused = put(&stores.chaos, &path(), PutMode::Create).await;

    assert!(matches!(refused, Err(Error::AlreadyExists { .. })));
    assert_eq!(stores.chaos.counts().total(), 0);
}

#[tokio::test]
async fn a_conflict_can_be_with_oneself() {
    let stores = stores(Plan::default().with(Fault::ConflictOwn, Rule::always()));
    let created = put(&stores.chaos, &path(), PutMode::Create).await;
    let e_tag = stores.inner.head(&path()).await.expect("it is there").e_tag;
    let version = UpdateVersion { e_tag, version: None };

    let updated =
        stores.chaos.put_opts(&path(), "new".into(), PutMode::Update(version).into()).await;

    assert!(matches!(created, Err(Error::AlreadyExists { .. })));
    assert!(matches!(updated, Err(Error::Precondition { .. })));
    assert_eq!(body(stores.inner.as_ref(), &path()).await, Some("new".into()), "both were done");
}

#[tokio::test]
async fn a_conflict_with_another_leaves_what_the_writer_does_not_know_as_its_own() {
    let stores = stores(once(Fault::ConflictForeign));
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::Metadata(Cow::Borrowed("mine")), "1".into());
    let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };

    let refused = stores.chaos.put_opts(&path(), "body".into(), options).await;

    assert!(matches!(refused, Err(Error::AlreadyExists { .. })));
    assert_eq!(fault_of(refused), Fault::ConflictForeign);
    let left = stores.inner.get(&path()).await.expect("somebody else's is there");
    assert_eq!(left.attributes.len(), 0);
    assert_eq!(left.bytes().await.expect("memory reads"), "body");
}

#[tokio::test]
async fn an_update_can_be_refused_although_nothing_has_changed() {
    let stores = stores(once(Fault::Precondition412));
    put(stores.inner.as_ref(), &path(), PutMode::Create).await.expect("memory takes it");
    let e_tag = stores.inner.head(&path()).await.expect("it is there").e_tag;
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });

    let refused = put(&stores.chaos, &path(), mode.clone()).await;

    assert!(matches!(refused, Err(Error::Precondition { .. })));
    put(&stores.chaos, &path(), mode).await.expect("the same condition still holds");
}

#[tokio::test]
async fn conditions_are_what_conflicts_need() {
    let plan = [Fault::ConflictAbsent, Fault::ConflictOwn, Fault::ConflictForeign]
        .into_iter()
        .fold(Plan::default(), |plan, fault| plan.with(fault, Rule::always()));
    let stores = stores(plan.with(Fault::Precondition412, Rule::always()));

    put(&stores.chaos, &path(), PutMode::Overwrite).await.expect("it has no condition");

    assert_eq!(stores.chaos.counts().total(), 0);
}
