//! The key-value space, and effects of settlements.

use bytes::Bytes;

use super::super::Origin;
use super::harness::*;
use crate::command::{Command, Effect, Expected, Reply, Verdict};
use crate::error::{Error, Result};
use crate::ids::KvKey;
use crate::limits::{EFFECTS_COUNT_MAX, KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX};
use crate::record::keys;

fn key(text: &str) -> KvKey {
    text.parse().expect("a good key")
}

fn put(text: &'static str) -> Command {
    let value = Some(Bytes::from_static(text.as_bytes()));
    Command::KvWrite { key: key("k"), expected: Expected::Anything, value }
}

fn compare(expected: Option<&'static str>, value: &'static str) -> Command {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let expected = Expected::Value(expected.map(bytes));
    Command::KvWrite { key: key("k"), expected, value: Some(bytes(value)) }
}

fn written(reply: Result<Reply>) -> bool {
    match reply {
        Ok(Reply::Written(is_met)) => is_met,
        other => panic!("{other:?}"),
    }
}

fn stored(h: &Harness) -> Option<Bytes> {
    h.rows.get(&keys::kv(&key("k"))).map(|stored| stored.slice(1..))
}

#[test]
fn a_comparison_sees_what_is_stored_and_what_is_on_its_way() {
    let mut h = Harness::new();
    assert!(written(h.ask_with_reads(compare(None, "1"))));
    assert!(!written(h.ask_with_reads(compare(None, "2"))), "it is on its way");
    h.commit();
    assert!(!written(h.ask_with_reads(compare(None, "2"))), "it is stored");
    assert!(written(h.ask_with_reads(compare(Some("1"), "2"))));
    h.commit();

    assert_eq!(stored(&h), Some(Bytes::from_static(b"2")));
}

#[test]
fn of_two_comparisons_that_wait_for_one_read_the_second_sees_the_first() {
    let mut h = Harness::new();
    let mut fx = h.apply(compare(None, "1"));
    let second = h.apply(compare(None, "2"));
    assert_eq!(second.value_reads.len(), 0, "one read serves both");
    let (read, number) = fx.value_reads.remove(0);

    let mut fx = super::super::Effects::default();
    h.state.value_read(&read, number, Ok(None), &mut fx);

    let met: Vec<bool> = fx.replies.into_iter().map(|(_, reply, _)| written(reply)).collect();
    assert_eq!(met, [true, false]);
}

#[test]
fn what_was_read_before_a_write_is_not_believed_after_it() {
    let mut h = Harness::new();
    let mut fx = h.apply(compare(None, "old"));
    let (read, number) = fx.value_reads.remove(0);
    h.ask(put("new")).expect("written");
    h.commit();

    let mut fx = super::super::Effects::default();
    h.state.value_read(&read, number, Ok(None), &mut fx);
    let met: Vec<bool> = fx.replies.into_iter().map(|(_, reply, _)| written(reply)).collect();
    assert_eq!(met, [false], "the key holds `new`");

    // A second answer to the same question has nobody who waits for it.
    let mut late = h.apply(compare(None, "later"));
    let mut fx = super::super::Effects::default();
    h.state.value_read(&read, number, Ok(None), &mut fx);
    assert!(fx.replies.is_empty());
    let (read, number) = late.value_reads.remove(0);
    h.state.value_read(&read, number, Ok(Some(Bytes::from_static(b"new"))), &mut fx);
    assert_eq!(fx.replies.len(), 1);
}

#[test]
fn nothing_is_kept_in_memory_of_a_key_that_rests() {
    let mut h = Harness::new();
    h.ask(put("1")).expect("written");
    h.ask_with_reads(compare(Some("1"), "2")).expect("compared");
    h.commit();
    h.ask_with_reads(compare(Some("x"), "3")).expect("compared");

    assert_eq!(format!("{:?}", h.state.kv).matches("Cell {").count(), 0, "{:?}", h.state.kv);
}

#[test]
fn everybody_who_waits_for_a_value_is_known() {
    let mut h = Harness::new();
    h.apply(compare(None, "1"));

    assert_eq!(h.state.waiting_origins(), [Origin { outlet: OUTLET, ticket: Some(0) }]);
}

#[test]
fn keys_and_values_have_limits() {
    let long = "k".repeat(KV_KEY_BYTES_MAX + 1);
    assert!(matches!(long.parse::<KvKey>(), Err(Error::InvalidKey { size_bytes: 1025 })));
    assert!(matches!("".parse::<KvKey>(), Err(Error::InvalidKey { size_bytes: 0 })));
    let value = Some(Bytes::from(vec![0; KV_VALUE_BYTES_MAX + 1]));
    let write = Command::KvWrite { key: key("k"), expected: Expected::Anything, value };

    let mut h = Harness::new();

    assert!(matches!(h.ask(write), Err(Error::ValueTooLarge { .. })));
    assert!(!h.state.has_rows());
}

#[test]
fn effects_happen_in_the_commit_of_the_settlement() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    let value = Some(Bytes::from_static(b"done"));
    let effects = vec![
        Effect::Enqueue { queue: queue(), jobs: vec![job("next")] },
        Effect::Kv { key: key("k"), value },
    ];
    let reply = h.ask(Command::Settle { token: claim.token, verdict: Verdict::Ack, effects });
    assert!(reply.is_ok(), "{reply:?}");
    assert_eq!(stored(&h), None);
    h.commit();

    assert_eq!(stored(&h), Some(Bytes::from_static(b"done")));
    assert_eq!(h.claim_one().payload, "next");
}

#[test]
fn the_effects_of_a_lost_claim_do_not_happen() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    h.end(claim.token, Verdict::Ack);
    h.commit();
    let effects = vec![Effect::Enqueue { queue: queue(), jobs: vec![job("next")] }];

    let late = h.ask(Command::Settle { token: claim.token, verdict: Verdict::Ack, effects });

    assert!(is_claim_lost(&late));
    assert!(!h.state.has_rows());
}

#[test]
fn effects_that_cannot_all_happen_leave_the_claim_as_it_was() {
    let mut h = Harness::new();
    h.enqueue("a");
    h.commit();
    let claim = h.claim_one();
    let jobs = vec![job("next"); EFFECTS_COUNT_MAX + 1];
    let effects = vec![Effect::Enqueue { queue: queue(), jobs }];

    let refused = h.ask(Command::Settle { token: claim.token, verdict: Verdict::Ack, effects });

    assert!(matches!(refused, Err(Error::TooManyEffects { count: 1001 })), "{refused:?}");
    assert!(h.settle(claim.token, Verdict::Ack).is_ok());
}
