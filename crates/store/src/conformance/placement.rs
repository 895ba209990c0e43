//! Requirements and labels: a worker is offered only what it matches.

use std::sync::Arc;

use taskwright_core::limits::{BATCH_MAX, LANES_MAX};
use taskwright_core::{Extras, Name, NewJob, StateName};

use super::Harness;
use super::claim::{arrival, waiting};
use super::moving::{everything_of, import, naive};
use super::policies::at_once;
use super::scene::*;
use crate::request::*;

/// A job that requires something of its worker.
fn requiring(number: u128, requires: &str) -> NewJob {
    let requires = requires.parse().expect("a valid requirement");
    NewJob { extras: Extras { requires, ..Extras::default() }, ..job(number) }
}

impl Hand {
    /// A worker that serves the default queue and every task, with these labels.
    fn labelled(number: u128, labels: &str) -> Self {
        let labels = labels.parse().expect("valid labels");
        let profile = Arc::new(Profile { labels, ..(*profile(&["default"], None)).clone() });
        Hand { profile, ..Hand::new(number) }
    }
}

/// A worker gets the jobs whose requirement its labels meet, every term of it, and no others.
pub async fn a_claim_takes_only_what_its_labels_match(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let all = ["", "gpu", "gpu>=24", "gpu>=24,region=eu", "!spot", "region in (eu us)", "gpu=b"];
    let inserted = (1..).zip(all).map(|(number, requires)| requiring(number, requires));
    scene.add(inserted.collect()).await;

    let mut small = Hand::labelled(1, "gpu=16,region=us,spot");
    let claimed = scene.take(&mut small, 9).await;
    assert_eq!(numbers(&claimed), [1, 2, 6]);
    assert_eq!(claimed[1].extras.requires.to_string(), "gpu");
    let mut plain = Hand::new(2);
    assert_eq!(numbers(&scene.take(&mut plain, 9).await), [5]);
    let mut big = Hand::labelled(3, "gpu=24,region=eu");
    assert_eq!(numbers(&scene.take(&mut big, 9).await), [3, 4]);
    let counts = scene.counts("default").await;
    assert_eq!((counts.ready, counts.running), (1, 6), "the rest waits for a worker");
    assert_eq!(numbers(&scene.take(&mut Hand::labelled(4, "gpu=b"), 9).await), [7]);
}

/// What is required belongs to queue and task: a worker must serve those as well.
pub async fn labels_do_not_replace_queue_and_task(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let elsewhere = NewJob { queue: name("elsewhere"), ..requiring(1, "gpu") };
    let other_task = NewJob { task: name("other"), ..requiring(2, "gpu") };
    scene.add(vec![elsewhere, other_task, requiring(3, "gpu")]).await;
    let served = Hand::serving(1, &["default"], Some(&["task"]));
    let labels = "gpu".parse().expect("valid labels");
    let profile = Arc::new(Profile { labels, ..(*served.profile).clone() });
    assert_eq!(numbers(&scene.take(&mut Hand { profile, ..served }, 9).await), [3]);
}

/// A job that no worker matches is kept, whoever claims, until one does.
pub async fn what_nobody_matches_waits(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![requiring(1, "gpu>=24"), job(2)]).await;
    let mut plain = Hand::new(1);
    assert_eq!(numbers(&scene.take(&mut plain, 9).await), [2]);
    scene.clock.advance(HOUR);
    scene.sweep().await;
    assert_eq!(scene.take(&mut plain, 9).await, []);
    assert_eq!(scene.state(1).await, StateName::Available);
    assert_eq!(scene.peek(9).await, [1], "a peek shows what any worker could be given");
    assert_eq!(numbers(&scene.take(&mut Hand::labelled(2, "gpu=80"), 9).await), [1]);
}

/// The order of claims is over all jobs that the worker matches, whatever they require.
pub async fn claims_merge_requirements_by_rank(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let all = ["gpu", "", "gpu>=8", "!gpu", "gpu", "gpu>=99", ""];
    for (number, requires) in (1..).zip(all) {
        scene.add(vec![requiring(number, requires)]).await;
        scene.clock.advance(SECOND);
    }
    scene.add(vec![NewJob { priority: 5, ..requiring(8, "gpu>=8") }]).await;
    assert_eq!(scene.peek(9).await, [8, 1, 2, 3, 4, 5, 6, 7]);

    let mut worker = Hand::labelled(1, "gpu=16");
    assert_eq!(numbers(&scene.take(&mut worker, 4).await), [8, 1, 2, 3]);
    assert_eq!(numbers(&scene.take(&mut worker, 4).await), [5, 7]);
}

/// The labels of a worker are those of its claim: with others it is offered other jobs.
pub async fn a_worker_may_change_its_labels(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![requiring(1, "gpu"), requiring(2, "disk"), requiring(3, "gpu")]).await;
    let mut worker = Hand::labelled(1, "gpu");
    assert_eq!(numbers(&scene.take(&mut worker, 1).await), [1]);
    worker.profile = Hand::labelled(1, "disk").profile;
    assert_eq!(numbers(&scene.take(&mut worker, 9).await), [2]);
}

/// A claim that waits is answered by what it matches, and by nothing else.
pub async fn a_waiting_claim_is_fed_what_it_matches(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::labelled(1, "gpu=24");
    let claim = waiting(&scene, &mut worker);
    arrival(&scene, &worker).await;
    scene.add(vec![requiring(1, "gpu>=80"), requiring(2, "!gpu")]).await;
    scene.add(vec![requiring(3, "gpu>=24")]).await;
    assert_eq!(numbers(&claim.await.expect("the worker")), [3]);
    assert_eq!(scene.counts("default").await.ready, 2);
}

/// However a job comes back to be ready, it requires what it required.
pub async fn a_job_keeps_what_it_requires(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let with_gpu = Hand::labelled(1, "gpu=24");
    let later = Some(scene.now().plus(MINUTE));
    let due_later = NewJob { run_at: later, ..requiring(6, "gpu") };
    let once = NewJob { max_attempts: 1, ..requiring(5, "gpu") };
    scene.add((1..=4).map(|number| requiring(number, "gpu")).collect()).await;
    scene.add(vec![once, due_later, requiring(7, "gpu")]).await;
    let mut gpu = with_gpu.clone();
    let claimed = scene.take(&mut gpu, 5).await;
    assert_eq!(numbers(&claimed), [1, 2, 3, 4, 5]);

    scene.report(&claimed[0], failed()).await;
    let wait = Outcome::Snoozed { delay: MINUTE };
    scene.report(&claimed[1], wait).await;
    scene.report(&claimed[2], Outcome::Released).await;
    scene.report(&claimed[4], failed()).await;
    scene.command(redrive(5, 1)).await;
    let namespace = Name::default_name();
    let adjust = Command::Adjust { namespace, id: id(7), priority: Some(3), run_at: None };
    scene.command(adjust).await;
    scene.clock.advance(MINUTE);
    scene.sweep().await;
    scene.beat(&gpu, gpu.last_claim, &[]).await;

    let mut plain = Hand::new(2);
    assert_eq!(scene.take(&mut plain, 9).await, []);
    assert_eq!(scene.counts("default").await.ready, 7);
    let mut again = with_gpu;
    again.last_claim = gpu.last_claim;
    let mut all = numbers(&scene.take(&mut again, 9).await);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7]);
    scene.outlive_lease().await;
    assert_eq!(scene.take(&mut plain, 9).await, [], "a lost attempt requires the same");
    assert_eq!(scene.take(&mut Hand::labelled(3, "gpu"), 9).await.len(), 7);
}

/// A key has room for a worker of each requirement: a job that nobody matches keeps none from others.
pub async fn a_job_in_line_keeps_what_it_requires(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(taskwright_core::Subject::Key("disk".into()), at_once(1)).await;
    let keyed = |number, requires: &str| {
        let mut job = requiring(number, requires);
        job.extras.limit_keys = vec!["disk".into()];
        job
    };
    scene.add(vec![keyed(1, "gpu"), keyed(2, "gpu"), keyed(3, "")]).await;
    assert_eq!(scene.peek(9).await, [1, 3], "one of each lane is a candidate");
    let mut plain = Hand::new(1);
    let claimed = scene.take(&mut plain, 9).await;
    assert_eq!(numbers(&claimed), [3]);
    let mut gpu = Hand::labelled(2, "gpu");
    assert_eq!(scene.take(&mut gpu, 9).await, []);
    scene.report(&claimed[0], completed()).await;
    assert_eq!(scene.take(&mut plain, 9).await, []);
    assert_eq!(numbers(&scene.take(&mut gpu, 9).await), [1]);
}

/// Each requirement of a queue and task is a lane, and there is room for so many.
pub async fn s11_requirements_are_lanes(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let lane = |number: u128| requiring(number, &format!("gpu>={number}"));
    let all: Vec<_> = (1..=LANES_MAX as u128).map(lane).collect();
    for batch in all.chunks(BATCH_MAX) {
        scene.add(batch.to_vec()).await;
    }
    let beyond = LANES_MAX as u128 + 1;

    let answers = scene.insert(vec![lane(beyond)]).await;
    assert_eq!(answers, [Inserted::Refused(Refusal::LanesFull { max: LANES_MAX })]);
    scene.add(vec![requiring(beyond, "gpu>=7")]).await;

    let mut small = Hand::labelled(1, "gpu=9");
    let claimed = numbers(&scene.take(&mut small, 99).await);
    assert_eq!(claimed, [1, 2, 3, 4, 5, 6, 7, 8, 9, beyond]);
}

/// Workers are shown with what they serve, as their newest claim said, whether or not it got jobs.
pub async fn workers_show_what_they_serve(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let shown = async || {
        let views = scene.store.workers(&Name::default_name()).await.expect("the workers");
        views.into_iter().map(|view| view.profile).collect::<Vec<_>>()
    };
    let mut worker = Hand::serving(1, &["b", "a"], Some(&["y", "x"]));
    scene.beat(&worker, 0, &[]).await;
    assert_eq!(shown().await, [None], "it has not claimed yet");
    scene.take(&mut worker, 1).await;
    assert_eq!(shown().await, [Some(Arc::clone(&worker.profile))]);

    worker.profile = Hand::labelled(1, "gpu=24,spot").profile;
    scene.add(vec![job(1)]).await;
    scene.take(&mut worker, 1).await;
    scene.beat(&worker, 1, &[]).await;
    assert_eq!(shown().await, [Some(Arc::clone(&worker.profile))]);
    let mut other = Hand::labelled(2, "gpu=16");
    let claim = waiting(&scene, &mut other);
    arrival(&scene, &other).await;
    assert_eq!(shown().await, [Some(worker.profile), Some(other.profile)]);
    claim.abort();
}

/// A restart and a move change nothing of what jobs require.
pub async fn requirements_survive_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    other.add(vec![requiring(1, "gpu>=24"), requiring(2, "gpu"), job(3)]).await;
    import(&scene, everything_of(&other).await).await;
    let mut worker = Hand::labelled(1, "gpu=16");
    let claimed = scene.take(&mut worker, 1).await;
    assert_eq!(numbers(&claimed), [2]);
    let back = scene.beside(naive(&scene));
    import(&back, everything_of(&scene).await).await;
    assert_eq!(numbers(&back.take(&mut Hand::new(7), 9).await), [3]);
    assert_eq!(numbers(&back.take(&mut Hand::labelled(8, "gpu=80"), 9).await), [1, 2]);

    let Some(scene) = scene.restarted().await else { return };
    assert_eq!(scene.job(1).await.extras.requires.to_string(), "gpu>=24");
    assert_eq!(scene.report(&claimed[0], failed()).await, applied(StateName::Available));
    assert_eq!(numbers(&scene.take(&mut Hand::new(2), 9).await), [3]);
    assert_eq!(numbers(&scene.take(&mut Hand::labelled(3, "gpu=8"), 9).await), [2]);
    assert_eq!(numbers(&scene.take(&mut Hand::labelled(4, "gpu=80"), 9).await), [1]);
}
