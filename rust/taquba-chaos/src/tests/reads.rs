//! Bodies that are not what was written.

use futures::TryStreamExt as _;
use object_store::{GetOptions, ObjectStore as _, ObjectStoreExt as _};

use super::{body, fault_of, once, path, stores};
use crate::{Fault, Plan, Rule};

const BODY: &[u8] = b"0123456789";

#[tokio::test]
async fn a_body_can_end_early_without_a_word() {
    let stores = stores(once(Fault::TruncateGet));
    stores.inner.put(&path(), BODY.into()).await.expect("memory takes it");

    let got = stores.chaos.get(&path()).await.expect("it says nothing");

    assert_eq!(got.meta.size, 10, "the header tells the truth");
    let short = got.bytes().await.expect("it says nothing");
    assert!(short.len() < BODY.len());
    assert!(BODY.starts_with(&short));
    assert_eq!(body(&stores.chaos, &path()).await, Some(BODY.into()), "the object is whole");
}

#[tokio::test]
async fn one_bit_of_a_body_can_flip_on_the_way() {
    let stores = stores(once(Fault::FlipGet));
    stores.inner.put(&path(), BODY.into()).await.expect("memory takes it");
    let options = GetOptions::new().with_range(Some(2..6));

    let got = stores.chaos.get_opts(&path(), options).await.expect("it says nothing");
    let got = got.bytes().await.expect("it says nothing");

    assert_eq!(bits_apart(&got, &BODY[2..6]), 1);
    assert_eq!(body(&stores.chaos, &path()).await, Some(BODY.into()), "the object is whole");
}

#[tokio::test]
async fn rot_stays() {
    let stores = stores(once(Fault::Rot));
    stores.inner.put(&path(), BODY.into()).await.expect("memory takes it");

    let first = body(&stores.chaos, &path()).await.expect("it is there");
    let second = body(&stores.chaos, &path()).await.expect("it is there");

    assert_eq!(bits_apart(&first, BODY), 1);
    assert_eq!(first, second);
}

#[tokio::test]
async fn what_is_empty_or_missing_does_not_rot() {
    let stores = stores(Plan::default().with(Fault::Rot, Rule::always()));
    stores.inner.put(&path(), Vec::new().into()).await.expect("memory takes it");

    assert_eq!(body(&stores.chaos, &path()).await, Some(Vec::new().into()));
    assert_eq!(body(&stores.chaos, &"nobody".into()).await, None);

    assert_eq!(stores.chaos.counts().total(), 0);
}

#[tokio::test]
async fn a_body_can_break_off_halfway() {
    let stores = stores(once(Fault::DropStream));
    stores.inner.put(&path(), BODY.into()).await.expect("memory takes it");

    let got = stores.chaos.get(&path()).await.expect("the header comes");
    let mut chunks = got.into_stream();
    let first = chunks.try_next().await.expect("the first half comes");

    assert_eq!(first, Some(BODY[..5].into()));
    assert_eq!(fault_of(chunks.try_next().await), Fault::DropStream);
}

fn bits_apart(left: &[u8], right: &[u8]) -> u32 {
    assert_eq!(left.len(), right.len(), "a flip changes no length");
    left.iter().zip(right).map(|(left, right)| (left ^ right).count_ones()).sum()
}
