//! Uploads in parts.

use object_store::{MultipartUpload as _, ObjectStoreExt as _};

use super::{body, fault_of, path, stores};
use crate::{Fault, Operation, Plan, Rule};

#[tokio::test]
async fn an_upload_without_faults_is_the_object() {
    let stores = stores(Plan::default());

    let mut upload = stores.chaos.put_multipart(&path()).await.expect("it begins");
    upload.put_part("one ".into()).await.expect("it is taken");
    upload.put_part("two".into()).await.expect("it is taken");
    upload.complete().await.expect("it is done");

    assert_eq!(body(stores.inner.as_ref(), &path()).await, Some("one two".into()));
}

#[tokio::test]
async fn an_upload_that_lost_a_part_has_no_end() {
    let rule = Rule::odds(0.5).on(Operation::UploadPart);
    let stores = stores(Plan::default().with(Fault::FailBefore, rule));
    let mut upload = loop {
        if let Ok(upload) = stores.chaos.put_multipart(&path()).await {
            break upload;
        }
    };

    let mut parts = Vec::new();
    for _ in 0..20 {
        parts.push(upload.put_part("part".into()).await);
    }

    assert!(parts.iter().any(Result::is_ok));
    assert!(parts.iter().any(Result::is_err));
    upload.complete().await.expect_err("a part is missing");
    assert_eq!(body(stores.inner.as_ref(), &path()).await, None);
}

#[tokio::test]
async fn the_end_of_an_upload_can_lose_its_answer() {
    let rule = Rule::always().on(Operation::UploadComplete);
    let stores = stores(Plan::default().with(Fault::FailAfter, rule));

    let mut upload = stores.chaos.put_multipart(&path()).await.expect("it begins");
    upload.put_part("part".into()).await.expect("it is taken");

    assert_eq!(fault_of(upload.complete().await), Fault::FailAfter);
    assert_eq!(body(stores.inner.as_ref(), &path()).await, Some("part".into()));
}
