//! Claim.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{Extras, Name, NewJob, Shard, StateName};
use tokio::task::JoinHandle;

use super::Harness;
use super::scene::*;
use crate::error::ErrorKind;
use crate::request::*;

/// A worker gets jobs of its namespace, queues and tasks, and no others.
pub async fn a_claim_takes_only_what_the_worker_serves(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let of = |number, queue, task| NewJob { queue: name(queue), task: name(task), ..job(number) };
    scene.add(vec![of(1, "a", "x"), of(2, "a", "y"), of(3, "b", "x"), of(4, "b", "y")]).await;
    scene.add(vec![NewJob { namespace: name("elsewhere"), ..of(5, "a", "x") }]).await;

    let mut worker = Hand::serving(1, &["a", "unheard-of"], Some(&["x", "unheard-of"]));
    assert_eq!(numbers(&scene.take(&mut worker, 9).await), [1]);
    let mut nothing = Hand::serving(2, &["b"], Some(&[]));
    assert_eq!(scene.take(&mut nothing, 9).await, []);
    let mut elsewhere = Hand::serving(3, &["a"], None);
    let claim = Claim { namespace: name("elsewhere"), ..elsewhere.next_claim(9) };
    assert_eq!(numbers(&scene.store.claim(claim).await.expect("a claim")), [5]);
}

/// Without tasks a worker serves all of them, those first heard of later too.
pub async fn a_consumer_by_hand_takes_every_task(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::serving(1, &["default"], None);
    assert_eq!(scene.take(&mut worker, 9).await, []);
    scene.add(vec![NewJob { task: name("new"), ..job(1) }, job(2)]).await;
    assert_eq!(numbers(&scene.take(&mut worker, 9).await), [1, 2]);
}

/// A claimed job carries its input, its fence and its limits.
pub async fn a_claimed_job_says_all_that_a_worker_needs(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let extras = Extras {
        trace: Some("00-trace".into()),
        cost: 2,
        shard: Some(Shard { index: 1, total: 3 }),
        ..Extras::default()
    };
    let timeout_ms = Some(30_000);
    let new = NewJob { timeout_ms, max_attempts: 4, priority: 3, extras, ..job(1) };
    scene.add(vec![new.clone()]).await;
    let created_at = scene.now();
    scene.clock.advance(SECOND);
    let mut worker = Hand::new(1);

    let first = scene.take_one(&mut worker).await;

    assert_eq!((first.id, first.args.clone(), first.extras), (new.id, new.args, new.extras));
    assert_eq!((first.queue, first.task), (new.queue, new.task));
    assert_eq!((first.token.attempt, first.failures, first.max_attempts), (1, 0, 4));
    assert_eq!((first.timeout_ms, first.priority), (Some(30_000), 3));
    assert_eq!((first.created_at, first.run_at), (created_at, created_at));
    assert_eq!(first.started_at, scene.now());
    let shown = scene.job(1).await;
    assert_eq!(shown.life.token(), Some(first.token));
    assert_eq!((shown.worker, shown.started_at), (Some(worker.id), Some(scene.now())));
    assert_eq!(shown.seq, first.seq);
}

/// Workers that claim at the same time never get the same job, and together they get all.
pub async fn s3_a_claimed_job_is_in_no_other_claim(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=200)).await;
    let claims = (1..=8).map(|number| {
        let store = Arc::clone(&scene.store);
        tokio::spawn(async move {
            let mut worker = Hand::new(number);
            let mut taken = Vec::new();
            loop {
                let claimed = store.claim(worker.next_claim(7)).await.expect("a claim");
                if claimed.is_empty() {
                    return taken;
                }
                taken.extend(numbers(&claimed));
            }
        })
    });
    let mut all = Vec::new();
    for claims in claims.collect::<Vec<_>>() {
        all.extend(claims.await.expect("a worker"));
    }
    assert_eq!(all.len(), 200);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (1..=200).collect());
}

/// A claim whose reply was lost is repeated: same number, same jobs, same tokens.
pub async fn s4_a_repeated_claim_answers_the_jobs_that_still_run(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=5)).await;
    let worker = Hand::new(1);
    let claim = |seq, max| scene.store.claim(worker.claim(seq, max));
    let first = claim(1, 3).await.expect("a claim");
    assert_eq!(numbers(&first), [1, 2, 3]);

    assert_eq!(claim(1, 3).await.expect("the same claim"), first);
    scene.report(&first[1], completed()).await;
    let rest = claim(1, 5).await.expect("the same claim");
    assert_eq!(rest, [first[0].clone(), first[2].clone()]);

    scene.report(&first[0], Outcome::Released).await;
    scene.report(&first[2], completed()).await;
    assert_eq!(claim(1, 5).await.expect("the same claim"), []);
    assert_eq!(numbers(&claim(2, 5).await.expect("the next claim")), [1, 4, 5]);
}

/// A claim with a number below the last that gave jobs comes late, and is refused.
pub async fn an_older_claim_number_is_invalid(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let worker = Hand::new(1);
    assert_eq!(scene.store.claim(worker.claim(5, 1)).await.expect("a claim").len(), 1);

    for seq in [4, 1, 0] {
        let error = scene.store.claim(worker.claim(seq, 1)).await.expect_err("an old number");
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
    let unknown = Hand::new(2);
    let error = scene.store.claim(unknown.claim(0, 1)).await.expect_err("numbers begin at 1");
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert_eq!(scene.counts("default").await.ready, 2);
}

/// A claim that gave nothing can be made again with its number.
pub async fn an_empty_claim_may_be_repeated(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let worker = Hand::new(1);
    assert_eq!(scene.store.claim(worker.claim(1, 1)).await.expect("a claim"), []);
    scene.add(vec![job(1)]).await;
    assert_eq!(scene.store.claim(worker.claim(1, 1)).await.expect("a claim").len(), 1);
}

pub(super) fn waiting(scene: &Scene<'_>, worker: &mut Hand) -> JoinHandle<Vec<ClaimedJob>> {
    let store = Arc::clone(&scene.store);
    let claim = Claim { wait: MINUTE, ..worker.next_claim(10) };
    tokio::spawn(async move { store.claim(claim).await.expect("a claim") })
}

/// Lets a claim that was just started arrive at the store: the worker is known then.
pub(super) async fn arrival(scene: &Scene<'_>, worker: &Hand) {
    let is_known = async || {
        let workers = scene.store.workers(&Name::default_name()).await.expect("the workers");
        workers.iter().any(|view| view.id == worker.id)
    };
    while !is_known().await {
        tokio::task::yield_now().await;
    }
}

/// A claim that waits is answered by the insert of a job that it can take.
pub async fn a_waiting_claim_is_fed_by_an_insert(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    let claim = waiting(&scene, &mut worker);
    arrival(&scene, &worker).await;
    scene.add(vec![NewJob { queue: name("elsewhere"), ..job(1) }]).await;
    scene.add(vec![job(2), job(3)]).await;
    let claimed = claim.await.expect("the worker");
    assert_eq!(numbers(&claimed), [2, 3]);
    assert_eq!(scene.state(2).await, StateName::Running);
}

/// A claim that waits is answered when a job comes due.
pub async fn a_waiting_claim_is_fed_by_a_sweep(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let run_at = Some(scene.now().plus(MINUTE));
    scene.add(vec![NewJob { run_at, ..job(1) }]).await;
    let mut worker = Hand::new(1);
    let claim = waiting(&scene, &mut worker);
    arrival(&scene, &worker).await;
    scene.clock.advance(MINUTE);
    scene.sweep().await;
    assert_eq!(numbers(&claim.await.expect("the worker")), [1]);
}

/// A claim that waits is answered when another worker gives a job back.
pub async fn a_waiting_claim_is_fed_by_a_release(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let first = scene.take_one(&mut Hand::new(1)).await;
    let mut worker = Hand::new(2);
    let claim = waiting(&scene, &mut worker);
    arrival(&scene, &worker).await;
    scene.report(&first, Outcome::Released).await;
    let claimed = claim.await.expect("the worker");
    assert_eq!(numbers(&claimed), [1]);
    assert_eq!(claimed[0].token.attempt, 2);
}

/// A claim that waits is answered when a queue is resumed.
pub async fn a_waiting_claim_is_fed_by_a_resume(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.command(pause("default")).await;
    scene.add(vec![job(1)]).await;
    let mut worker = Hand::new(1);
    let claim = waiting(&scene, &mut worker);
    arrival(&scene, &worker).await;
    scene.command(resume("default")).await;
    assert_eq!(numbers(&claim.await.expect("the worker")), [1]);
}

/// Claims that wait together get each what one insert brings, and nothing twice.
pub async fn waiting_claims_share_what_comes(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut workers: Vec<_> = (1..=3).map(Hand::new).collect();
    let mut claims = tokio::task::JoinSet::new();
    for worker in &mut workers {
        let claim = waiting(&scene, worker);
        claims.spawn(async move { claim.await.expect("the worker") });
        arrival(&scene, worker).await;
    }
    for number in 1..=3 {
        scene.add(vec![job(number)]).await;
        let fed = claims.join_next().await.expect("a claim").expect("the worker");
        assert_eq!(numbers(&fed), [number]);
    }
}

/// Where nothing comes, the wait ends with no jobs.
pub async fn a_waiting_claim_ends_empty(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    let claim = Claim { wait: Duration::from_millis(20), ..worker.next_claim(1) };
    assert_eq!(scene.store.claim(claim).await.expect("a claim"), []);
}

/// A claim that nobody waits for any more takes no job away for good.
pub async fn a_dropped_claim_keeps_no_job_from_others(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut gone = Hand::new(1);
    let claim = waiting(&scene, &mut gone);
    arrival(&scene, &gone).await;
    claim.abort();
    assert!(claim.await.expect_err("the claim was dropped").is_cancelled());
    scene.add(vec![job(1)]).await;

    // Either nobody took it, or the worker got it undelivered; then its next heartbeat says so.
    scene.beat(&gone, gone.last_claim, &[]).await;
    let claimed = scene.take(&mut Hand::new(2), 1).await;
    assert_eq!(numbers(&claimed), [1]);
    assert_eq!(claimed[0].failures, 0);
}

/// Jobs of a paused queue stay until it is resumed; what runs goes on.
pub async fn a_paused_queue_gives_nothing(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let elsewhere = |number| NewJob { queue: name("elsewhere"), ..job(number) };
    scene.add(vec![job(1), job(2), elsewhere(3)]).await;
    let mut worker = Hand::serving(1, &["default", "elsewhere"], None);
    let running = scene.take_one(&mut worker).await;

    let paused = scene.command(pause("default")).await;
    assert_eq!(paused, Controlled::Done { state: None });
    assert!(scene.counts("default").await.paused);
    assert!(!scene.counts("elsewhere").await.paused);
    assert_eq!(numbers(&scene.take(&mut worker, 9).await), [3]);
    assert_eq!(scene.report(&running, completed()).await, applied(StateName::Completed));
    scene.add(vec![job(4)]).await;
    assert_eq!(scene.take(&mut worker, 9).await, []);

    scene.command(resume("default")).await;
    assert_eq!(numbers(&scene.take(&mut worker, 9).await), [2, 4]);
}

/// A job at its `expires_at` is not started, even before a sweep has ended it.
pub async fn a_job_out_of_time_is_not_given(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let expires_at = Some(scene.now().plus(MINUTE));
    let extras = Extras { expires_at, ..Extras::default() };
    scene.add(vec![NewJob { extras, ..job(1) }, job(2)]).await;
    scene.clock.advance(MINUTE);
    assert_eq!(scene.peek(9).await, [2]);
    assert_eq!(numbers(&scene.take(&mut Hand::new(1), 9).await), [2]);
    assert_eq!(scene.state(1).await, StateName::Available);
}
