//! Heartbeat.

use std::time::Duration;

use taskwright_core::limits::HEARTBEAT_EVERY;
use taskwright_core::{Json, Load, LoadMeasure, Name, NewJob, StateName, Verdict};

use super::Harness;
use super::scene::*;
use crate::request::*;

/// A claim whose reply was lost runs elsewhere, unspent, as soon as the worker does not name it.
pub async fn what_was_never_delivered_is_released(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let mut worker = Hand::new(1);
    let arrived = scene.take(&mut worker, 1).await;
    let undelivered = scene.take(&mut worker, 2).await;

    let reply = scene.beat(&worker, 2, &arrived).await;

    assert_eq!(reply, HeartbeatReply::default());
    assert_eq!(scene.state(1).await, StateName::Running);
    for number in [2, 3] {
        let life = scene.job(number).await.life;
        assert_eq!(life.state.name(), StateName::Available);
        assert_eq!((life.failures, life.losses, life.released), (0, 0, 1));
    }
    let again = scene.take(&mut Hand::new(2), 9).await;
    assert_eq!(numbers(&again), [2, 3]);
    assert_eq!(again[0].token.attempt, 2);
    let attempts = scene.job(2).await.attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].verdict, Verdict::Released);
    assert_eq!(scene.report(&undelivered[0], completed()).await, Reported::Stale);
}

/// A claim that may still arrive is left alone.
pub async fn an_unsettled_claim_is_not_released(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    let first = scene.take(&mut worker, 1).await;
    scene.take(&mut worker, 1).await;
    scene.beat(&worker, 1, &first).await;
    assert_eq!(scene.counts("default").await.running, 2);
    scene.beat(&worker, 0, &[]).await;
    assert_eq!(scene.counts("default").await.running, 2);
    scene.beat(&worker, 1, &[]).await;
    assert_eq!(scene.state(1).await, StateName::Available);
    assert_eq!(scene.state(2).await, StateName::Running);
}

/// What a worker holds and has no right to any more comes back as lost.
pub async fn what_was_lost_is_named(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=4)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 4).await;
    scene.outlive_lease().await;
    let mut other = Hand::new(2);
    assert_eq!(scene.take_one(&mut other).await.id, id(1));

    let reply = scene.beat(&worker, 1, &claimed).await;
    assert_eq!(reply.lost, held(&claimed));
    assert_eq!(scene.state(1).await, StateName::Running);

    let mine = scene.take(&mut worker, 1).await;
    scene.report(&mine[0], completed()).await;
    let never = ClaimedJob { id: id(99), ..mine[0].clone() };
    let reply = scene.beat(&worker, 1, &[mine[0].clone(), never.clone()]).await;
    assert_eq!(reply.lost, held(&[mine[0].clone(), never]));
}

/// A wish to cancel is told with every heartbeat until the attempt has ended.
pub async fn cancel_orders_repeat_until_the_attempt_ends(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 2).await;
    scene.command(cancel(2, "wrong customer")).await;

    for _ in 0..2 {
        let reply = scene.beat(&worker, 1, &claimed).await;
        let order = CancelOrder {
            id: id(2),
            token: claimed[1].token,
            reason: "wrong customer".into(),
            timed_out: false,
        };
        assert_eq!(reply, HeartbeatReply { lost: vec![], cancel: vec![order] });
    }
    assert_eq!(scene.beat(&Hand::new(2), 1, &[]).await, HeartbeatReply::default());
    scene.report(&claimed[1], Outcome::Released).await;
    let reply = scene.beat(&worker, 1, &claimed[..1]).await;
    assert_eq!(reply, HeartbeatReply::default());
}

/// An attempt that runs too long is told to stop, and is ended one renewal later if it does not.
pub async fn a_timeout_is_ordered_and_then_enforced(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let timeout = Duration::from_secs(3);
    scene.add(vec![NewJob { timeout_ms: Some(3_000), ..job(1) }, job(2)]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 2).await;

    scene.clock.advance(timeout - SECOND);
    assert_eq!(scene.beat(&worker, 1, &claimed).await.cancel, []);
    scene.clock.advance(SECOND);
    assert_eq!(scene.sweep().await.timed_out, 0);
    let orders = scene.beat(&worker, 1, &claimed).await.cancel;
    assert_eq!(orders.len(), 1);
    assert_eq!((orders[0].id, orders[0].token), (id(1), claimed[0].token));
    assert!(orders[0].timed_out);

    scene.clock.advance(HEARTBEAT_EVERY - SECOND);
    assert_eq!(scene.sweep().await.timed_out, 0);
    scene.clock.advance(SECOND);
    assert_eq!(scene.sweep().await.timed_out, 1);
    let ended = scene.job(1).await;
    assert_eq!(ended.life.state.name(), StateName::Available);
    assert_eq!((ended.life.failures, ended.attempts.len()), (1, 1));
    assert_eq!(ended.attempts[0].verdict, Verdict::TimedOut);
    assert_eq!(&*ended.error.expect("an error").kind, "timeout");
    assert_eq!(scene.beat(&worker, 1, &claimed).await.lost, held(&claimed[..1]));
    assert_eq!(scene.report(&claimed[0], completed()).await, Reported::Stale);
}

/// Progress is shown while its attempt runs.
pub async fn progress_lasts_as_long_as_its_attempt(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 2).await;
    for value in ["1", r#"{"done":2}"#] {
        let value = Json::from_trusted(value);
        let heartbeat = worker.heartbeat(1, held(&claimed));
        let progress = vec![(id(1), claimed[0].token, value.clone())];
        scene.store.heartbeat(Heartbeat { progress, ..heartbeat }).await.expect("a heartbeat");
        assert_eq!(scene.job(1).await.progress, Some(value));
        assert_eq!(scene.job(2).await.progress, None);
    }
    scene.report(&claimed[0], Outcome::Released).await;
    assert_eq!(scene.job(1).await.progress, None);

    let again = scene.take_one(&mut worker).await;
    assert_eq!(scene.job(1).await.progress, None);
    let late = (id(1), claimed[0].token, Json::from_trusted("9"));
    let current = (id(1), again.token, Json::from_trusted("5"));
    let heartbeat = worker.heartbeat(1, held(&[again]));
    let beat = |progress| scene.store.heartbeat(Heartbeat { progress, ..heartbeat.clone() });
    beat(vec![late.clone()]).await.expect("a heartbeat");
    assert_eq!(scene.job(1).await.progress, None);
    beat(vec![current.clone(), late]).await.expect("a heartbeat");
    assert_eq!(scene.job(1).await.progress, Some(current.2), "an older attempt says nothing");
}

/// Workers are shown by id, with what they say of themselves and how much they hold.
pub async fn workers_are_shown(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let workers = async || scene.store.workers(&Name::default_name()).await.expect("the workers");
    assert_eq!(workers().await, []);
    scene.add(jobs(1..=3)).await;
    let first_seen_at = scene.now();
    let mut worker = Hand::new(2);
    let claimed = scene.take(&mut worker, 2).await;
    scene.clock.advance(SECOND);
    let measured = LoadMeasure {
        cpu_percent: Some(97),
        memory_percent: None,
        lag: Some(Duration::from_millis(3)),
    };
    let max = LoadMeasure { cpu_percent: Some(90), ..LoadMeasure::default() };
    let load = Load { measured, max, takes: Some(2) };
    let info = WorkerInfo { name: "here:1".into(), slots: 4, stopping: true, load };
    let heartbeat = Heartbeat { info: info.clone(), ..worker.heartbeat(1, held(&claimed)) };
    scene.store.heartbeat(heartbeat).await.expect("a heartbeat");
    let beginner = Hand::new(1);
    scene.beat(&beginner, 0, &[]).await;

    let shown = workers().await;

    assert_eq!(shown.iter().map(|view| view.id).collect::<Vec<_>>(), [beginner.id, worker.id]);
    assert_eq!((&shown[1].info, shown[1].running), (&info, 2));
    assert_eq!((shown[1].first_seen_at, shown[1].last_seen_at), (first_seen_at, scene.now()));
    assert_eq!(shown[0].running, 0);
    assert_eq!(scene.store.workers(&name("elsewhere")).await.expect("the workers"), []);
    scene.outlive_lease().await;
    assert_eq!(workers().await, []);
}
