//! Control.

use taskwright_core::{Cause, JobError, Name, NewJob, StateName, lifecycle::State};

use super::Harness;
use super::scene::*;
use crate::request::*;

fn dead() -> Outcome {
    Outcome::Failed { error: JobError::new("error", "it broke"), retry: Retry::Never }
}

/// Nothing but a redrive gets a job out of its end.
pub async fn l2_final_states_absorb(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 2).await;
    scene.report(&claimed[0], completed()).await;
    scene.report(&claimed[1], dead()).await;
    scene.command(cancel(3, "not needed")).await;
    let ends = [(1, StateName::Completed), (2, StateName::Dead), (3, StateName::Cancelled)];
    let mut before = Vec::new();
    for (number, state) in ends {
        assert_eq!(scene.command(cancel(number, "again")).await, Controlled::Refused { state });
        before.push(scene.job(number).await);
    }
    scene.serve(30).await;
    scene.beat(&worker, 9, &claimed).await;
    assert_eq!(scene.take(&mut worker, 9).await, []);
    for (job, (number, _)) in before.into_iter().zip(ends) {
        assert_eq!(scene.job(number).await, job);
    }
}

/// A redriven job runs again at once; its attempts are counted on.
pub async fn l2_a_redrive_restarts_an_ended_job(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![NewJob { max_attempts: 2, ..job(1) }]).await;
    let mut worker = Hand::new(1);
    for _ in 0..2 {
        let claimed = scene.take_one(&mut worker).await;
        scene.report(&claimed, failed()).await;
    }
    assert_eq!(scene.job(1).await.life.state, State::Dead(Cause::Exhausted));
    scene.clock.advance(MINUTE);

    assert_eq!(scene.command(redrive(1, 0)).await, done(StateName::Available));

    let job = scene.job(1).await;
    assert_eq!((job.run_at, job.finished_at, job.result), (scene.now(), None, None));
    assert_eq!((job.life.attempt, job.life.failures, job.life.max_attempts), (2, 2, 4));
    assert_eq!(job.attempts.len(), 2);
    let third = scene.take_one(&mut worker).await;
    assert_eq!((third.token.attempt, third.failures, third.max_attempts), (3, 2, 4));
    assert_eq!(scene.report(&third, failed()).await, applied(StateName::Available));
    let fourth = scene.take_one(&mut worker).await;
    assert_eq!(scene.report(&fourth, failed()).await, applied(StateName::Dead));
}

/// A redrive may say how many attempts it gives, and any end can be left by it.
pub async fn l2_a_redrive_gives_as_many_attempts_as_asked(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 2).await;
    scene.report(&claimed[0], dead()).await;
    let result = Some(taskwright_core::Json::from_trusted("1"));
    scene.report(&claimed[1], Outcome::Completed { result }).await;
    scene.command(cancel(3, "not needed")).await;
    for number in 1..=3 {
        assert_eq!(scene.command(redrive(number, 1)).await, done(StateName::Available));
        let again = Controlled::Refused { state: StateName::Available };
        assert_eq!(scene.command(redrive(number, 1)).await, again);
    }
    let job = scene.job(3).await;
    assert_eq!((job.cancel_reason, job.life.cancel_requested), (None, false));
    assert_eq!(scene.job(2).await.result, None);
    for claimed in scene.take(&mut worker, 3).await {
        assert_eq!(scene.report(&claimed, failed()).await, applied(StateName::Dead));
    }
    assert_eq!(scene.counts("default").await.dead, 3);
}

/// A quarantined job that is redriven is no suspect before it is lost again twice.
pub async fn a_redrive_lifts_a_quarantine(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    for loser in 1..=3 {
        scene.take_one(&mut Hand::new(loser)).await;
        scene.outlive_lease().await;
    }
    assert_eq!(scene.job(1).await.life.state, State::Dead(Cause::Quarantined));

    scene.command(redrive(1, 0)).await;

    for loser in 4..=6 {
        let life = scene.job(1).await.life;
        assert_eq!(life.is_suspect(), loser == 6);
        scene.take_one(&mut Hand::new(loser)).await;
        scene.outlive_lease().await;
    }
    assert_eq!(scene.job(1).await.life.state, State::Dead(Cause::Quarantined));
}

/// A job that waits ends at once; one that runs is asked to.
pub async fn a_cancel_ends_a_waiting_job(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let run_at = Some(scene.now().plus(HOUR));
    scene.add(vec![job(1), job(2), NewJob { run_at, ..job(3) }]).await;
    let mut worker = Hand::new(1);
    assert_eq!(scene.take_one(&mut worker).await.id, id(1));

    assert_eq!(scene.command(cancel(1, "stop")).await, done(StateName::Running));
    for number in [2, 3] {
        assert_eq!(scene.command(cancel(number, "stop")).await, done(StateName::Cancelled));
        let job = scene.job(number).await;
        assert_eq!(job.finished_at, Some(scene.now()));
        assert_eq!(job.cancel_reason.as_deref(), Some("stop"));
    }
    assert_eq!(scene.command(cancel(4, "stop")).await, Controlled::NotFound);
    assert!(scene.job(1).await.life.cancel_requested);
    scene.clock.advance(HOUR);
    assert_eq!(scene.sweep().await.due, 0);
    assert_eq!(scene.take(&mut worker, 9).await, []);
}

/// Ended jobs can be deleted and are gone; others are kept.
pub async fn delete_takes_ended_jobs_only(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    let refused = |state| Controlled::Refused { state };
    assert_eq!(scene.command(delete(1)).await, refused(StateName::Running));
    assert_eq!(scene.command(delete(2)).await, refused(StateName::Available));
    scene.report(&claimed, completed()).await;

    assert_eq!(scene.command(delete(1)).await, Controlled::Done { state: None });

    assert_eq!(scene.command(delete(1)).await, Controlled::NotFound);
    assert_eq!(scene.command(redrive(1, 0)).await, Controlled::NotFound);
    assert_eq!(scene.find(1).await, None);
    assert_eq!(scene.counts("default").await.completed, 0);
    assert_eq!(scene.list(everything()).await.jobs.len(), 1);
}

/// Pausing twice is pausing once; commands of one call are answered in order.
pub async fn pause_and_resume_may_be_repeated(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let commands = vec![pause("new"), pause("new"), cancel(1, "none"), resume("other")];
    let answers = scene.store.control("tester", commands).await.expect("the commands");
    let nothing = Controlled::Done { state: None };
    assert_eq!(answers, [nothing.clone(), nothing.clone(), Controlled::NotFound, nothing]);
    assert!(scene.counts("new").await.paused);
    assert!(!scene.counts("other").await.paused);
    let elsewhere = scene.store.counts(&name("elsewhere")).await.expect("counts");
    assert!(elsewhere.iter().all(|counts| !counts.paused));
    scene.command(resume("new")).await;
    scene.command(resume("new")).await;
    assert!(!scene.counts("new").await.paused);
    assert_eq!(scene.counts("new").await.queue, Name::new("new").expect("a name"));
}
