//! In which order jobs run.

use std::time::Duration;

use taskwright_core::rank::AGING_DEFAULT;
use taskwright_core::{JobError, NewJob, StateName};

use super::Harness;
use super::scene::*;
use crate::request::*;

/// A level of priority is worth a minute of waiting: urgent work goes first, old work wins in the end.
pub async fn claims_follow_age_and_priority(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let with_priority = |number, priority| NewJob { priority, ..job(number) };
    scene.add(vec![with_priority(1, -10), with_priority(2, 0), with_priority(3, 10)]).await;
    scene.clock.advance(AGING_DEFAULT + SECOND);
    scene.add(vec![with_priority(4, 0), with_priority(5, 1), with_priority(6, 2)]).await;

    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 4).await;
    assert_eq!(numbers(&claimed), [3, 6, 2, 5]);
    assert_eq!(numbers(&scene.take(&mut worker, 4).await), [4, 1]);

    scene.clock.advance(21 * AGING_DEFAULT);
    scene.add(vec![with_priority(7, -10)]).await;
    scene.clock.advance(20 * AGING_DEFAULT + SECOND);
    scene.add(vec![with_priority(8, 10)]).await;
    assert_eq!(numbers(&scene.take(&mut worker, 2).await), [7, 8]);
}

/// Jobs of one instant and priority run in the order of their insertion.
pub async fn ties_go_by_seq(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(30), job(10), job(20)]).await;
    scene.add(vec![job(5)]).await;
    let mut worker = Hand::new(1);
    assert_eq!(numbers(&scene.take(&mut worker, 2).await), [30, 10]);
    assert_eq!(numbers(&scene.take(&mut worker, 9).await), [20, 5]);
}

/// A worker of several queues and tasks gets the smallest rank of all of them.
pub async fn claims_merge_queues_and_tasks_by_rank(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let lanes = [("a", "x"), ("b", "x"), ("a", "y"), ("c", "x"), ("b", "y"), ("a", "x")];
    for (number, (queue, task)) in (1..).zip(lanes) {
        scene.add(vec![NewJob { queue: name(queue), task: name(task), ..job(number) }]).await;
        scene.clock.advance(SECOND);
    }
    let urgent = NewJob { queue: name("b"), task: name("y"), priority: 5, ..job(7) };
    scene.add(vec![urgent]).await;

    let mut some = Hand::serving(1, &["b", "a"], Some(&["y", "x"]));
    assert_eq!(numbers(&scene.take(&mut some, 4).await), [7, 1, 2, 3]);
    assert_eq!(numbers(&scene.take(&mut some, 4).await), [5, 6]);
    assert_eq!(scene.state(4).await, StateName::Available);
}

/// A job that was given back is still before those that were inserted after it.
pub async fn a_released_job_keeps_its_place(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let inserted_at = scene.now();
    scene.add(vec![job(1)]).await;
    scene.clock.advance(SECOND);
    scene.add(vec![job(2)]).await;
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    scene.clock.advance(SECOND);

    assert_eq!(scene.report(&first, Outcome::Released).await, applied(StateName::Available));

    assert_eq!(scene.job(1).await.run_at, inserted_at);
    assert_eq!(numbers(&scene.take(&mut worker, 2).await), [1, 2]);
}

/// A retry and a snooze wait in line from the instant they are due at.
pub async fn a_retry_queues_from_its_own_time(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 3).await;
    let wait = |seconds| Retry::After(Duration::from_secs(seconds));
    let failed = |retry| Outcome::Failed { error: JobError::new("error", "it broke"), retry };
    scene.report(&claimed[0], failed(wait(30))).await;
    scene.report(&claimed[1], failed(wait(10))).await;
    scene.report(&claimed[2], Outcome::Snoozed { delay: Duration::from_secs(20) }).await;
    assert_eq!(scene.job(1).await.run_at, scene.now().plus(Duration::from_secs(30)));
    assert_eq!(scene.job(3).await.run_at, scene.now().plus(Duration::from_secs(20)));
    scene.clock.advance(Duration::from_secs(15));
    scene.add(vec![job(4)]).await;
    scene.clock.advance(Duration::from_secs(15));

    assert_eq!(scene.sweep().await.due, 3);
    assert_eq!(numbers(&scene.take(&mut worker, 4).await), [2, 4, 3, 1]);
}

/// A peek shows what claims would give, and takes nothing.
pub async fn peek_shows_the_order_of_claims(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    for number in 1..=6 {
        let task = name(if number % 2 == 0 { "even" } else { "odd" });
        let priority = if number == 5 { 3 } else { 0 };
        scene.add(vec![NewJob { task, priority, ..job(number) }]).await;
        scene.clock.advance(SECOND);
    }
    scene.add(vec![NewJob { queue: name("elsewhere"), priority: 9, ..job(7) }]).await;
    let later = Some(scene.now().plus(HOUR));
    scene.add(vec![NewJob { run_at: later, priority: 9, ..job(8) }]).await;

    assert_eq!(scene.peek(2).await, [5, 1]);
    scene.command(pause("default")).await;
    assert_eq!(scene.peek(10).await, [5, 1, 2, 3, 4, 6]);
    scene.command(resume("default")).await;
    let mut worker = Hand::new(1);
    assert_eq!(numbers(&scene.take(&mut worker, 10).await), [5, 1, 2, 3, 4, 6]);
    assert_eq!(scene.peek(10).await, []);
}
