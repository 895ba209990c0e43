//! Workers that are gone, and stores that were.

use std::time::Duration;

use taskwright_core::{StateName, Verdict};
use taskwright_store::{Reported, Store};

use crate::scene::{Hand, Place, complete, insert, jobs, look, serve_seconds};

#[tokio::test]
async fn a_thousand_jobs_of_a_killed_worker_are_claimable_within_its_lease_and_two_seconds() {
    let place = Place::new();
    let store = place.open();
    insert(&store, jobs(0..1_000, 10)).await.unwrap();
    let (mut gone, mut next) = (Hand::new(1), Hand::new(2));
    let held = gone.claim(&store, 1_000).await.unwrap();
    assert_eq!(held.len(), 1_000);

    assert_eq!(serve_seconds(&place, &store, 14).await.lapsed, 0, "its lease is not over");
    assert_eq!(next.claim(&store, 1_000).await.unwrap().len(), 0);
    assert_eq!(serve_seconds(&place, &store, 3).await.lapsed, 1_000);
    let again = next.claim(&store, 1_000).await.unwrap();
    assert_eq!(again.len(), 1_000);
    assert!(again.iter().all(|job| job.token.attempt == 2 && job.failures == 0));

    let late = complete(&store, &held).await.unwrap();
    assert!(late.iter().all(|answer| *answer == Reported::Stale), "a late report counted");
    complete(&store, &again).await.unwrap();
    for job in look(&store, 0..1_000).await {
        let job = job.unwrap();
        assert_eq!((job.state().name(), job.life.losses), (StateName::Completed, 1));
        let [lost] = &job.attempts[..] else { panic!("{:?}", job.attempts) };
        assert_eq!((lost.attempt, lost.worker, lost.verdict), (1, gone.id, Verdict::Lapsed));
        let error = lost.error.as_ref().unwrap();
        assert_eq!(&*error.kind, "lost");
        assert!(error.message.contains(&gone.id.to_string()), "{}", error.message);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn nothing_lapses_at_once_after_a_minute_without_a_server() {
    let place = Place::new();
    let store = place.open();
    insert(&store, jobs(0..200, 10)).await.unwrap();
    let (mut lives, mut gone) = (Hand::new(1), Hand::new(2));
    let kept = lives.claim(&store, 100).await.unwrap();
    gone.claim(&store, 100).await.unwrap();
    serve_seconds(&place, &store, 10).await;
    store.close().await.unwrap();
    drop(store);

    place.clock.advance(Duration::from_secs(60));
    let store = place.open();
    assert_eq!(store.sweep(1_000).await.unwrap().lapsed, 0);
    assert_eq!(serve_seconds(&place, &store, 13).await.lapsed, 0, "leases are granted afresh");
    let told = lives.heartbeat(&store, &kept).await.unwrap();
    assert_eq!(told.lost, []);
    assert_eq!(serve_seconds(&place, &store, 4).await.lapsed, 100, "one worker is gone");
    let reported = complete(&store, &kept).await.unwrap();
    assert!(reported.iter().all(|answer| matches!(answer, Reported::Applied { .. })));
    store.close().await.unwrap();
}

/// A process that stands still sweeps late: that time was not served.
#[tokio::test]
async fn nothing_lapses_because_the_clock_jumps() {
    let place = Place::new();
    let store = place.open();
    insert(&store, jobs(0..10, 10)).await.unwrap();
    let mut worker = Hand::new(1);
    worker.claim(&store, 10).await.unwrap();
    for _ in 0..6 {
        place.clock.advance(Duration::from_secs(3_600));
        assert_eq!(store.sweep(1_000).await.unwrap().lapsed, 0);
    }
    store.close().await.unwrap();
}
