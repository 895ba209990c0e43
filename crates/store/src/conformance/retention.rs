//! How long ended jobs are kept.

use std::time::Duration;

use taskwright_core::limits::ID_WINDOW;
use taskwright_core::{JobError, Json, NewJob, StateName};

use super::Harness;
use super::scene::*;
use crate::request::*;
use crate::retention::Retention;

/// Runs the next job and ends it in this way.
async fn end_next(scene: &Scene<'_>, worker: &mut Hand, outcome: Outcome) {
    let claimed = scene.take_one(worker).await;
    scene.report(&claimed, outcome).await;
    scene.clock.advance(SECOND);
}

fn dead() -> Outcome {
    Outcome::Failed { error: JobError::new("error", "it broke"), retry: Retry::Never }
}

async fn kept(scene: &Scene<'_>) -> Vec<u128> {
    let page = scene.list(everything()).await;
    page.jobs.iter().rev().map(|job| job.id.as_u128()).collect()
}

/// Ended jobs are deleted after their age, wherever they ended; the others stay.
pub async fn ended_jobs_are_pruned_by_age(harness: &dyn Harness) {
    let retention = Retention { age: HOUR, ..Retention::default() };
    let scene = Scene::keeping(harness, retention).await;
    scene.add(jobs(1..=4)).await;
    let mut worker = Hand::new(1);
    let ended_at = scene.now();
    end_next(&scene, &mut worker, completed()).await;
    end_next(&scene, &mut worker, dead()).await;
    scene.command(cancel(3, "not needed")).await;

    scene.clock.set(ended_at.plus(HOUR).minus(SECOND));
    assert_eq!(scene.sweep().await.pruned, 0);
    scene.clock.set(ended_at.plus(HOUR));
    assert_eq!(scene.sweep().await.pruned, 1);
    assert_eq!(kept(&scene).await, [2, 3, 4]);
    scene.clock.advance(MINUTE);
    assert_eq!(scene.sweep().await.pruned, 1);
    assert_eq!(kept(&scene).await, [2, 4]);
    let counts = scene.counts("default").await;
    assert_eq!((counts.completed, counts.cancelled, counts.dead, counts.ready), (0, 0, 1, 1));
}

/// Dead jobs are kept for another time than the others.
pub async fn dead_jobs_have_an_age_of_their_own(harness: &dyn Harness) {
    let retention = Retention { age: 100 * HOUR, dead_age: 2 * HOUR, ..Retention::default() };
    let scene = Scene::keeping(harness, retention).await;
    scene.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    end_next(&scene, &mut worker, dead()).await;
    end_next(&scene, &mut worker, completed()).await;
    scene.clock.advance(HOUR);
    assert_eq!(scene.sweep().await.pruned, 0);
    scene.clock.advance(HOUR);
    assert_eq!(scene.sweep().await.pruned, 1);
    assert_eq!(kept(&scene).await, [2]);
}

/// Beyond their number those that ended first go first; dead jobs are counted apart.
pub async fn ended_jobs_are_pruned_by_count(harness: &dyn Harness) {
    let retention = Retention { count: 3, ..Retention::default() };
    let scene = Scene::keeping(harness, retention).await;
    scene.add(jobs(1..=9)).await;
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    end_next(&scene, &mut worker, dead()).await;
    for _ in 3..=6 {
        end_next(&scene, &mut worker, completed()).await;
    }
    scene.report(&first, completed()).await;

    assert_eq!(scene.sweep().await.pruned, 2);

    assert_eq!(kept(&scene).await, [1, 2, 5, 6, 7, 8, 9]);
    assert_eq!(scene.sweep().await.pruned, 0);
}

/// Beyond their size those that ended first go first.
pub async fn ended_jobs_are_pruned_by_bytes(harness: &dyn Harness) {
    let retention = Retention { bytes: 100_000, ..Retention::default() };
    let scene = Scene::keeping(harness, retention).await;
    let mut worker = Hand::new(1);
    for number in 1..=20 {
        let args = Json::from_trusted(format!("\"{}\"", "x".repeat(10_000)));
        scene.add(vec![NewJob { args, ..job(number) }]).await;
        end_next(&scene, &mut worker, completed()).await;
    }
    scene.sweep().await;

    let kept = kept(&scene).await;
    assert!((5..=10).contains(&kept.len()), "about 100 kB of 200 kB stay: {kept:?}");
    assert_eq!(kept, (21 - kept.len() as u128..=20).collect::<Vec<_>>());
}

/// A pruned job does not run again because its insert is repeated late.
pub async fn s4_a_pruned_id_is_known_for_the_window(harness: &dyn Harness) {
    let age = Duration::from_secs(10);
    let scene = Scene::keeping(harness, Retention { age, ..Retention::default() }).await;
    scene.add(vec![job(1)]).await;
    let ended_at = scene.now();
    end_next(&scene, &mut Hand::new(1), completed()).await;
    scene.clock.set(ended_at.plus(age));
    assert_eq!(scene.sweep().await.pruned, 1);
    assert_eq!(scene.find(1).await, None);

    scene.clock.set(ended_at.plus(ID_WINDOW).minus(SECOND));
    scene.sweep().await;
    let again = scene.insert(vec![job(1)]).await;
    assert!(
        matches!(again[..], [Inserted::Existing { state: StateName::Completed, .. }]),
        "{again:?}"
    );
    scene.clock.set(ended_at.plus(ID_WINDOW));
    scene.sweep().await;
    scene.add(vec![job(1)]).await;
    assert_eq!(scene.state(1).await, StateName::Available);
}
