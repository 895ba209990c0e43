//! The store's time, and what it brings.

use taskwright_core::{Extras, NewJob, StateName, lifecycle::State};

use super::Harness;
use super::scene::*;
use crate::request::*;

/// When the clock goes back, the store's time stands still.
pub async fn l6_time_never_goes_back(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let latest = scene.now();
    let later = Some(latest.plus(MINUTE));
    scene.add(vec![job(1), NewJob { run_at: later, ..job(2) }]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 1).await;

    scene.clock.turn_back(HOUR);
    scene.add(vec![job(3)]).await;
    assert_eq!(scene.job(3).await.created_at, latest);
    scene.report(&claimed[0], completed()).await;
    assert_eq!(scene.job(1).await.finished_at, Some(latest));
    assert_eq!(scene.take_one(&mut worker).await.started_at, latest);
    assert_eq!(scene.sweep().await, Swept::default());
    assert!(scene.store.describe().await.expect("a description").now >= latest);
    assert_eq!(scene.state(2).await, StateName::Available);

    // An hour and a minute later by the clock, and a minute later for the store.
    scene.clock.advance(HOUR + MINUTE);
    assert_eq!(scene.sweep().await.due, 1);
    assert_eq!(scene.take_one(&mut worker).await.started_at, latest.plus(MINUTE));
}

/// A sweep does about as much as it may and says whether there is more.
pub async fn a_small_sweep_says_that_there_is_more(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let run_at = Some(scene.now().plus(MINUTE));
    let scheduled = (1..=50).map(|number| NewJob { run_at, ..job(number) });
    scene.add(scheduled.collect()).await;
    scene.clock.advance(MINUTE);

    let first = scene.store.sweep(10).await.expect("a sweep");
    assert!(first.more);
    assert!((1..50).contains(&first.due), "{first:?}");
    let mut due = first.due;
    for _ in 0..50 {
        let swept = scene.store.sweep(10).await.expect("a sweep");
        due += swept.due;
        if !swept.more {
            break;
        }
    }
    assert_eq!(due, 50);
    assert_eq!(scene.counts("default").await.ready, 50);
    assert_eq!(scene.sweep().await, Swept::default());
}

fn expiring(number: u128, scene: &Scene<'_>) -> NewJob {
    let expires_at = Some(scene.now().plus(MINUTE));
    NewJob { extras: Extras { expires_at, ..Extras::default() }, ..job(number) }
}

/// A job that has not started in time ends expired; one that runs goes on.
pub async fn jobs_expire(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let running = expiring(1, &scene);
    let waiting = expiring(2, &scene);
    let scheduled = NewJob { run_at: Some(scene.now().plus(HOUR)), ..expiring(3, &scene) };
    scene.add(vec![running, waiting, scheduled]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take_one(&mut worker).await;
    scene.clock.advance(MINUTE - SECOND);
    assert_eq!(scene.sweep().await.expired, 0);

    scene.clock.advance(SECOND);
    assert_eq!(scene.sweep().await.expired, 2);

    for number in [2, 3] {
        let job = scene.job(number).await;
        assert_eq!(job.life.state, State::Expired);
        assert_eq!(job.finished_at, Some(scene.now()));
    }
    let counts = scene.counts("default").await;
    assert_eq!((counts.expired, counts.ready, counts.scheduled, counts.running), (2, 0, 0, 1));
    assert_eq!(scene.report(&claimed, completed()).await, applied(StateName::Completed));
}

/// A retry does not start after `expires_at` either.
pub async fn a_retry_expires(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![expiring(1, &scene)]).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    scene.clock.advance(2 * MINUTE);
    scene.sweep().await;
    assert_eq!(scene.report(&claimed, failed()).await, applied(StateName::Available));
    assert_eq!(scene.take(&mut Hand::new(2), 1).await, []);
    assert_eq!(scene.sweep().await.expired, 1);
    assert_eq!(scene.state(1).await, StateName::Expired);
}

/// An operator who restarts an expired job wants it to run.
pub async fn a_redriven_job_no_longer_expires(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![expiring(1, &scene)]).await;
    scene.clock.advance(MINUTE);
    scene.sweep().await;
    assert_eq!(scene.command(redrive(1, 0)).await, done(StateName::Available));
    scene.clock.advance(MINUTE);
    assert_eq!(scene.sweep().await.expired, 0);
    assert_eq!(scene.take_one(&mut Hand::new(1)).await.id, id(1));
}

/// A sweep tells when the next job comes due, so that the next sweep can be on time.
pub async fn a_sweep_tells_when_the_next_job_comes_due(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let swept = scene.store.sweep(10).await.expect("a sweep");
    assert_eq!((swept.now, swept.next_due), (scene.now(), None));
    let [soon, later] = [scene.now().plus(SECOND / 4), scene.now().plus(MINUTE)];
    let scheduled = [(1, later), (2, soon)];
    scene
        .add(scheduled.map(|(number, at)| NewJob { run_at: Some(at), ..job(number) }).into())
        .await;
    scene.add(vec![job(3)]).await;
    let next_due = async || scene.store.sweep(10).await.expect("a sweep").next_due;
    assert_eq!(next_due().await, Some(soon));

    scene.clock.advance(SECOND / 4);
    let swept = scene.store.sweep(10).await.expect("a sweep");
    assert_eq!((swept.due, swept.now, swept.next_due), (1, soon, Some(later)));
    scene.command(cancel(1, "not needed")).await;
    assert_eq!(next_due().await, None);

    let claimed = scene.take_one(&mut Hand::new(1)).await;
    scene.report(&claimed, Outcome::Snoozed { delay: SECOND / 2 }).await;
    assert_eq!(next_due().await, Some(soon.plus(SECOND / 2)));
}
