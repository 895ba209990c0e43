//! Leases, and jobs that are lost with their workers.

use taskwright_core::limits::{LEASE, LOSSES_MAX, SERVED_PER_SWEEP_MAX};
use taskwright_core::{Cause, StateName, Verdict, lifecycle::State};

use super::Harness;
use super::scene::*;

/// A worker that says it lives keeps what it holds.
pub async fn a_heartbeat_keeps_the_lease(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 1).await;
    for _ in 0..6 {
        scene.serve(10).await;
        scene.beat(&worker, 1, &claimed).await;
    }
    assert_eq!(scene.report(&claimed[0], completed()).await, applied(StateName::Completed));
}

/// A claim is a sign of life as well, even one that gives nothing.
pub async fn a_claim_keeps_the_lease(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 1).await;
    for _ in 0..3 {
        scene.serve(10).await;
        scene.take(&mut worker, 1).await;
    }
    assert_eq!(scene.report(&claimed[0], completed()).await, applied(StateName::Completed));
}

/// Without a sign of life for a lease of served time, all jobs of the worker are lost.
pub async fn l6_a_lease_ends_after_the_time_served(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let due_at = scene.now();
    let claimed = scene.take(&mut Hand::new(1), 2).await;
    let mut living = Hand::new(2);
    let others = scene.take(&mut living, 1).await;
    scene.serve(LEASE.as_secs() - 1).await;
    assert_eq!(scene.counts("default").await.running, 3);
    scene.beat(&living, 1, &others).await;
    scene.serve(2).await;

    assert_eq!(scene.state(3).await, StateName::Running);
    for job in &claimed {
        let job = scene.job(job.id.as_u128()).await;
        assert_eq!(job.life.state.name(), StateName::Available);
        assert_eq!((job.life.losses, job.life.failures), (1, 0));
        assert_eq!(job.run_at, due_at);
        assert_eq!(job.attempts.len(), 1);
        assert_eq!(job.attempts[0].verdict, Verdict::Lapsed);
        assert_eq!(&*job.error.expect("an error").kind, "lost");
    }
}

/// A store that was suspended, or a clock that jumped ahead, takes nobody's lease away.
pub async fn l6_a_gap_between_sweeps_lapses_nobody(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 1).await;
    let sweeps = LEASE.as_secs() / SERVED_PER_SWEEP_MAX.as_secs();
    for _ in 0..sweeps {
        scene.clock.advance(24 * HOUR);
        assert_eq!(scene.sweep().await.lapsed, 0);
    }
    // Sweeps that follow each other at once serve no time.
    for _ in 0..100 {
        assert_eq!(scene.sweep().await.lapsed, 0);
    }
    assert_eq!(scene.beat(&worker, 1, &claimed).await.lost, []);
    assert_eq!(scene.state(1).await, StateName::Running);
}

/// A job that is lost with its worker again and again is put into quarantine, its evidence kept.
pub async fn l7_three_losses_are_the_end(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    for loss in 1..=LOSSES_MAX {
        let claimed = scene.take_one(&mut Hand::new(loss.into())).await;
        assert_eq!((claimed.token.attempt, claimed.failures), (loss, 0));
        scene.outlive_lease().await;
    }
    let dead = scene.job(1).await;
    assert_eq!(dead.life.state, State::Dead(Cause::Quarantined));
    assert_eq!((dead.life.losses, dead.life.failures), (LOSSES_MAX, 0));
    assert_eq!(dead.attempts.len(), LOSSES_MAX as usize);
    assert!(dead.attempts.iter().all(|attempt| attempt.verdict == Verdict::Lapsed));
    assert!(dead.finished_at.is_some());
    assert_eq!(scene.take(&mut Hand::new(9), 1).await, []);
}

/// A worker is given one suspect at a time, and the jobs behind it.
pub async fn l7_a_worker_holds_one_suspect(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    for loser in [1, 2] {
        assert_eq!(scene.take(&mut Hand::new(loser), 3).await.len(), 3, "no suspects yet");
        scene.outlive_lease().await;
    }
    scene.add(jobs(4..=5)).await;

    let mut worker = Hand::new(3);
    let claimed = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&claimed), [1, 4, 5]);
    assert_eq!(scene.take(&mut worker, 9).await, []);
    assert_eq!(numbers(&scene.take(&mut Hand::new(4), 9).await), [2]);

    scene.report(&claimed[0], failed()).await;
    let again = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&again), [3], "it holds none now, and job 1 is still a suspect");
}

/// Good jobs that were lost beside a poison job complete, and only the poison job dies.
pub async fn l7_neighbours_of_a_poison_job_complete(harness: &dyn Harness) {
    const POISON: u128 = 3;
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=8)).await;
    for number in 1..=40 {
        let mut worker = Hand::new(number);
        let claimed = scene.take(&mut worker, 4).await;
        if claimed.is_empty() {
            break;
        }
        if claimed.iter().any(|job| job.id == id(POISON)) {
            // The whole process dies with all that it holds.
            scene.outlive_lease().await;
        } else {
            for job in &claimed {
                scene.report(job, completed()).await;
            }
        }
    }
    assert_eq!(scene.job(POISON).await.life.state, State::Dead(Cause::Quarantined));
    let counts = scene.counts("default").await;
    assert_eq!((counts.dead, counts.live(), counts.completed), (1, 0, 7));
}
