//! Payload objects: who names them, when they go.

use bytes::Bytes;

use super::super::Effects;
use super::harness::*;
use crate::command::{Command, NewJob, Reply, Verdict};
use crate::record::{Payload, PayloadFault, PayloadName, PayloadRef};

fn object(number: u64) -> PayloadRef {
    PayloadRef::to(PayloadName { epoch: 1, number }, &Bytes::from_static(b"large"))
}

fn large(number: u64) -> NewJob {
    NewJob { payload: Payload::Object(object(number)), ..NewJob::default() }
}

/// Claims a job and has its payload read as `read`.
fn claim_reading(h: &mut Harness, read: Result<Bytes, PayloadFault>) -> Effects {
    let mut fx = h.apply(Command::Claim { queue: queue(), count_max: 1, lease: None, wait: None });
    assert!(fx.replies.is_empty(), "the payload has to be read first");
    let (row, object) = fx.object_reads.remove(0);
    let mut fx = Effects::default();
    h.state.object_read(row, &object, read, h.now, &mut fx);
    fx
}

#[test]
fn an_object_is_delivered_as_its_bytes_and_goes_with_its_job() {
    let mut h = Harness::new();
    h.enqueue_job(large(1));
    h.commit();

    let fx = claim_reading(&mut h, Ok(Bytes::from_static(b"large")));
    let Ok(Reply::Claimed(claims)) = &fx.replies[0].1 else { panic!("{fx:?}") };
    assert_eq!(claims[0].payload, "large");
    let fx = h.end(claims[0].token, Verdict::Ack);
    assert!(fx.unnamed.is_empty(), "its row is still there");

    assert_eq!(h.commit().unnamed, [object(1).name]);
    assert_eq!(h.state.named_objects().count(), 0);
}

#[test]
fn an_object_is_named_again_after_a_restart() {
    let mut h = Harness::new();
    h.enqueue_job(large(1));
    h.commit();

    let h = h.crash();

    assert_eq!(h.state.named_objects().collect::<Vec<_>>(), [object(1).name]);
}

#[test]
fn a_duplicates_object_is_not_needed() {
    let mut h = Harness::new();
    let keyed = |number| NewJob { dedup_key: Some("k".into()), ..large(number) };
    let first = h.enqueue_job(keyed(1));
    let command = Command::Enqueue { queue: queue(), jobs: vec![keyed(2)] };
    let fx = h.apply(command);

    assert!(matches!(&fx.replies[0].1, Ok(Reply::Enqueued(jobs)) if jobs[0].job_id == first));
    assert_eq!(
        fx.unnamed,
        [object(2).name],
        "no row has named it, so nothing has to be waited for"
    );
}

#[test]
fn a_retry_keeps_its_object() {
    let mut h = Harness::new();
    h.enqueue_job(large(1));
    h.commit();
    let fx = claim_reading(&mut h, Ok(Bytes::from_static(b"large")));
    let Ok(Reply::Claimed(claims)) = &fx.replies[0].1 else { panic!("{fx:?}") };
    h.nack(claims[0].token);

    assert!(h.commit().unnamed.is_empty());
    assert_eq!(h.state.named_objects().count(), 1);
}

#[test]
fn a_job_whose_object_is_damaged_is_dead_and_says_so() {
    let mut h = Harness::new();
    h.enqueue_job(large(1));
    h.commit();

    let fault = PayloadFault::Damaged("it is gone".into());
    let fx = claim_reading(&mut h, Err(fault));

    let Ok(Reply::Claimed(claims)) = &fx.replies[0].1 else { panic!("{fx:?}") };
    assert!(claims.is_empty());
    h.commit();
    assert_eq!(h.stats().dead_count, 1);
}

#[test]
fn a_job_whose_object_cannot_be_read_now_is_tried_again() {
    let mut h = Harness::new();
    h.enqueue_job(large(1));
    h.commit();

    claim_reading(&mut h, Err(PayloadFault::Unavailable("no answer".into())));
    h.commit();

    assert_eq!((h.stats().scheduled_count, h.stats().retried_total), (1, 1));
}
