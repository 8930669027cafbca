//! Plans, seeds and switches.

use futures::FutureExt as _;
use object_store::{ObjectStoreExt as _, PutMode};

use super::{path, put, seeded, stores};
use crate::{Fault, Operation, Plan, Rule};

fn half() -> Plan {
    Plan::default().with(Fault::FailBefore, Rule::odds(0.5))
}

async fn fates(seed: u64, plan: Plan) -> Vec<bool> {
    let stores = seeded(plan, seed);
    let mut fates = Vec::new();
    for _ in 0..1_000 {
        fates.push(put(&stores.chaos, &path(), PutMode::Overwrite).await.is_ok());
    }
    fates
}

#[tokio::test]
async fn the_same_seed_brings_the_same_faults() {
    assert_eq!(fates(1, half()).await, fates(1, half()).await);
    assert_ne!(fates(1, half()).await, fates(2, half()).await);
}

#[tokio::test]
async fn odds_are_what_they_say() {
    let rare = Plan::default().with(Fault::FailBefore, Rule::odds(0.1));

    let failed_count = fates(1, rare).await.into_iter().filter(|ok| !ok).count();

    assert!((60..140).contains(&failed_count), "{failed_count} of 1000");
}

#[tokio::test]
async fn odds_outside_their_bounds_are_never_and_always() {
    let plan = |odds| Plan::default().with(Fault::FailBefore, Rule::odds(odds));

    assert!(fates(1, plan(-1.0)).await.into_iter().all(|ok| ok));
    assert!(fates(1, plan(f64::NAN)).await.into_iter().all(|ok| ok));
    assert!(fates(1, plan(2.0)).await.into_iter().all(|ok| !ok));
}

#[tokio::test]
async fn a_budget_is_kept_and_a_new_plan_fills_it_again() {
    let plan = || Plan::default().with(Fault::FailBefore, Rule::always().at_most(3));
    let stores = stores(plan());
    let failed_count = async || {
        let mut count = 0;
        for _ in 0..10 {
            count += usize::from(put(&stores.chaos, &path(), PutMode::Overwrite).await.is_err());
        }
        count
    };

    assert_eq!(failed_count().await, 3);
    stores.chaos.set_plan(plan());
    assert_eq!(failed_count().await, 3);
    assert_eq!(stores.chaos.counts().of(Fault::FailBefore), 6);
    assert_eq!(stores.chaos.counts().requests(), 20);
}

#[tokio::test]
async fn a_rule_may_be_for_some_requests_and_paths_only() {
    let rule = Rule::always().on(Operation::Get).on(Operation::Head).at("wal/");
    let stores = stores(Plan::default().with(Fault::FailBefore, rule));
    let (here, elsewhere) = ("db/wal/1".into(), "db/manifest/1".into());

    for path in [&here, &elsewhere] {
        put(&stores.chaos, path, PutMode::Overwrite).await.expect("puts are not meant");
    }

    stores.chaos.get(&here).await.expect_err("this one is meant");
    stores.chaos.head(&here).await.expect_err("this one is meant");
    stores.chaos.get(&elsewhere).await.expect("this path is not meant");
}

#[tokio::test]
async fn calm_ends_all_faults_until_they_are_wanted_again() {
    let stores = stores(Plan::default().with(Fault::FailBefore, Rule::always()));

    put(&stores.chaos, &path(), PutMode::Overwrite).await.expect_err("before");
    stores.chaos.calm();
    stores.chaos.deny_for(std::time::Duration::from_secs(60));
    put(&stores.chaos, &path(), PutMode::Overwrite).await.expect("while it is calm");
    stores.chaos.resume();
    put(&stores.chaos, &path(), PutMode::Overwrite).await.expect_err("after");
}

#[test]
fn a_store_without_faults_needs_no_runtime() {
    let stores = stores(Plan::default());

    let wrote = put(&stores.chaos, &path(), PutMode::Create).now_or_never();

    wrote.expect("it does not wait").expect("memory takes it");
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    for fault in Fault::ALL {
        assert_eq!(Fault::from_name(fault.name()), Some(fault));
    }
    assert_eq!(Fault::from_name("no such fault"), None);
}
