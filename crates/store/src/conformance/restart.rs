//! What outlives the process. Stores that keep nothing pass by having nothing to keep.

use std::time::Duration;

use taskwright_core::limits::{ID_WINDOW, LEASE};
use taskwright_core::{Extras, Json, Name, NewJob, StateName};

use super::Harness;
use super::scene::*;
use crate::request::*;

/// Every job is there as it was, and so are the counters and pauses.
pub async fn l5_everything_survives_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let extras = Extras { tags: vec!["red".into()], cost: 2, ..Extras::default() };
    let run_at = Some(scene.now().plus(HOUR));
    scene.add(jobs(1..=8)).await;
    scene.add(vec![NewJob { run_at, extras, priority: 3, ..job(9) }]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 6).await;
    let result = Some(Json::from_trusted(r#"{"sum":4}"#));
    scene.report(&claimed[0], Outcome::Completed { result }).await;
    scene.report(&claimed[1], failed()).await;
    scene.report(&claimed[2], Outcome::Snoozed { delay: MINUTE }).await;
    scene.report(&claimed[3], Outcome::Checkpoint { value: Json::from_trusted("3") }).await;
    scene.command(cancel(5, "wrong")).await;
    scene.command(cancel(7, "wrong")).await;
    scene.command(pause("default")).await;
    let ids: Vec<_> = (1..=9).map(id).collect();
    let before = scene.store.get(&Name::default_name(), &ids).await.expect("a get");
    let counts = scene.counts("default").await;
    let page = scene.list(everything()).await;

    let Some(scene) = scene.restarted().await else { return };

    let after = scene.store.get(&Name::default_name(), &ids).await.expect("a get");
    assert_eq!(after, before);
    assert_eq!(scene.counts("default").await, counts);
    assert_eq!(scene.list(everything()).await, page);
    let again = scene.insert(vec![job(1)]).await;
    assert!(
        matches!(again[..], [Inserted::Existing { state: StateName::Completed, .. }]),
        "{again:?}"
    );
    assert_eq!(scene.report(&claimed[0], completed()).await, Reported::Already);
    assert_eq!(scene.report(&claimed[1], completed()).await, Reported::Stale);
    assert_eq!(scene.report(&claimed[3], completed()).await, applied(StateName::Completed));
    assert_eq!(scene.report(&claimed[4], failed()).await, applied(StateName::Cancelled));
    scene.command(resume("default")).await;
    assert_eq!(numbers(&scene.take(&mut Hand::new(2), 9).await), [2, 8]);
    let newest = page.jobs[0].seq;
    scene.add(vec![job(10)]).await;
    assert!(scene.job(10).await.seq > newest, "numbers go on");
}

/// Tokens given after an opening cannot be mistaken for those given before it.
pub async fn l5_the_epoch_rises_with_each_opening(harness: &dyn Harness) {
    let mut scene = Scene::open(harness).await;
    let mut epoch = scene.store.describe().await.expect("a description").epoch;
    for number in 1..=3 {
        let Some(reopened) = scene.restarted().await else { return };
        scene = reopened;
        let now = scene.store.describe().await.expect("a description").epoch;
        assert!(now > epoch, "{now} comes after {epoch}");
        epoch = now;
        scene.add(vec![job(number)]).await;
        let claimed = scene.take_one(&mut Hand::new(number)).await;
        assert_eq!(claimed.token.epoch, epoch);
    }
}

/// A claim whose reply was lost in a crash is answered after it.
pub async fn s4_a_claim_is_repeated_after_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=4)).await;
    let worker = Hand::new(1);
    scene.store.claim(worker.claim(1, 1)).await.expect("a claim");
    let lost = scene.store.claim(worker.claim(2, 2)).await.expect("a claim");

    let Some(scene) = scene.restarted().await else { return };

    assert_eq!(scene.store.claim(worker.claim(2, 2)).await.expect("the same claim"), lost);
    scene.store.claim(worker.claim(1, 1)).await.expect_err("an old number");
    assert_eq!(numbers(&scene.store.claim(worker.claim(3, 2)).await.expect("a claim")), [4]);
    scene.beat(&worker, 2, &lost).await;
    assert_eq!(scene.state(1).await, StateName::Available);
}

/// The id of a deleted job is remembered over a restart as well.
pub async fn s4_a_deleted_id_is_known_after_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    scene.command(cancel(1, "not needed")).await;
    scene.command(delete(1)).await;
    let Some(scene) = scene.restarted().await else { return };
    scene.clock.advance(ID_WINDOW - SECOND);
    let again = scene.insert(vec![job(1)]).await;
    assert!(matches!(again[..], [Inserted::Existing { .. }]), "{again:?}");
    let other = NewJob { fingerprint: 99, ..job(1) };
    let refused = scene.insert(vec![other]).await;
    assert_eq!(refused, [Inserted::Refused(Refusal::IdConflict(id(1)))]);
}

/// Nothing answers from what was deleted, however long ago it ended.
pub async fn a_job_that_ended_long_ago_is_gone_once_deleted(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=20)).await;
    let claimed = scene.take(&mut Hand::new(1), 20).await;
    for one in &claimed {
        scene.report(one, completed()).await;
    }
    let Some(scene) = scene.restarted().await else { return };
    scene.clock.advance(ID_WINDOW);
    for (number, one) in (1..).zip(&claimed) {
        scene.command(delete(number)).await;

        assert_eq!(scene.report(one, completed()).await, Reported::Unknown, "job {number}");
        assert_eq!(scene.command(delete(number)).await, Controlled::NotFound, "job {number}");
        assert_eq!(scene.command(redrive(number, 1)).await, Controlled::NotFound, "job {number}");
        assert_eq!(scene.find(number).await, None);
    }
    scene.add(vec![job(1)]).await;
    assert_eq!(scene.state(1).await, StateName::Available);
}

/// A clock that was set back while the store was down does not turn back its time.
pub async fn l6_time_does_not_go_back_over_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let latest = scene.now();
    scene.clock.turn_back(HOUR);
    let Some(scene) = scene.restarted().await else { return };
    scene.add(vec![job(2)]).await;
    let created_at = scene.job(2).await.created_at;
    assert!(created_at >= latest, "{created_at} is not before {latest}");
    assert_eq!(numbers(&scene.take(&mut Hand::new(1), 2).await), [1, 2]);
}

/// A store that was down for long takes nobody's lease away, but those who are gone lose it in the end.
pub async fn l6_an_opening_grants_every_lease_afresh(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut living = Hand::new(1);
    let claimed = scene.take(&mut living, 1).await;
    scene.take(&mut Hand::new(2), 1).await;
    scene.serve(LEASE.as_secs() - 1).await;
    scene.clock.advance(MINUTE);

    let Some(scene) = scene.restarted().await else { return };

    assert_eq!(scene.sweep().await.lapsed, 0);
    scene.clock.advance(Duration::from_secs(10));
    assert_eq!(scene.sweep().await.lapsed, 0);
    assert_eq!(scene.beat(&living, 1, &claimed).await, HeartbeatReply::default());
    scene.serve(LEASE.as_secs() - 3).await;
    assert_eq!(scene.counts("default").await.running, 2);
    scene.beat(&living, 1, &claimed).await;
    scene.serve(3).await;
    assert_eq!(scene.state(2).await, StateName::Available);
    assert_eq!(scene.report(&claimed[0], completed()).await, applied(StateName::Completed));
}

/// Workers that lived in the process of the store are gone with it: their jobs need not wait.
pub async fn workers_in_process_end_with_it(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut inside = Hand { in_process: true, ..Hand::new(1) };
    let claimed = scene.take_one(&mut inside).await;
    scene.take_one(&mut Hand::new(2)).await;

    let Some(scene) = scene.restarted().await else { return };
    scene.sweep().await;

    let job = scene.job(1).await;
    assert_eq!(job.life.state.name(), StateName::Available);
    assert_eq!((job.life.failures, job.attempts.len()), (0, 1));
    assert_eq!(scene.state(2).await, StateName::Running);
    assert_eq!(scene.report(&claimed, completed()).await, Reported::Stale);
    assert_eq!(scene.take_one(&mut Hand::new(3)).await.token.attempt, 2);
}
