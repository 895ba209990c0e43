//! The fault wrapper does what it says, and the store behind it what it was asked.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{Extras, JobId, Json, Name, NewJob, OnConflict, StateName, Timestamp};
use taskwright_store::*;

fn naive() -> Arc<dyn Store> {
    Arc::new(NaiveStore::new(Arc::new(ManualClock::new(Timestamp::from_millis(1)))))
}

fn insert(number: u128) -> Insert {
    let job = NewJob {
        namespace: Name::default_name(),
        id: JobId::from_u128(number),
        task: Name::new("task").expect("a name"),
        queue: Name::default_name(),
        args: Json::null(),
        priority: 0,
        run_at: None,
        max_attempts: 20,
        timeout_ms: None,
        fingerprint: 1,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    };
    Insert { jobs: vec![job], partial: false }
}

#[tokio::test]
async fn an_unsent_call_does_nothing() {
    let store = FaultStore::scripted(naive());
    store.next_fault(Fault::Unsent);
    let error = store.insert(insert(1)).await.expect_err("it was not sent");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.is_retryable());
    let answers = store.insert(insert(1)).await.expect("the second call");
    assert_eq!(answers, [Inserted::New { seq: 1 }]);
}

#[tokio::test]
async fn a_call_whose_reply_is_lost_is_done() {
    let store = FaultStore::scripted(naive());
    store.next_fault(Fault::ReplyLost);
    let error = store.insert(insert(1)).await.expect_err("its reply was lost");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let answers = store.insert(insert(1)).await.expect("the second call");
    assert_eq!(answers, [Inserted::Existing { seq: 1, state: StateName::Available }]);
}

#[tokio::test]
async fn faults_come_in_the_order_they_were_asked_for() {
    let store = FaultStore::scripted(naive());
    store.next_fault(Fault::None);
    store.next_fault(Fault::Delayed(Duration::from_millis(1)));
    store.next_fault(Fault::Unsent);
    let answers = [
        store.sweep(1).await.is_ok(),
        store.sweep(1).await.is_ok(),
        store.sweep(1).await.is_ok(),
        store.sweep(1).await.is_ok(),
    ];
    assert_eq!(answers, [true, true, false, true]);
}

async fn failures(rates: FaultRates) -> Vec<bool> {
    let store = FaultStore::by_chance(naive(), rates);
    let mut failed = Vec::new();
    for _ in 0..2_000 {
        failed.push(store.describe().await.is_err());
    }
    failed
}

#[tokio::test]
async fn chance_follows_its_seed_and_its_rates() {
    let rates = FaultRates {
        seed: 7,
        unsent: 100,
        reply_lost: 100,
        delayed: 100,
        delay_max: Duration::from_micros(10),
    };
    let first = failures(rates).await;
    assert_eq!(failures(rates).await, first, "the same seed gives the same faults");
    assert_ne!(failures(FaultRates { seed: 8, ..rates }).await, first);
    let failed = first.iter().filter(|&&failed| failed).count();
    assert!((300..500).contains(&failed), "about 400 of 2,000: {failed}");
    let never = FaultRates { unsent: 0, reply_lost: 0, ..rates };
    assert!(failures(never).await.iter().all(|&failed| !failed));
}
