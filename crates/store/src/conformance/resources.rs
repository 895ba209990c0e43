//! Jobs that take of the resources of their worker.

use std::sync::Arc;

use taskwright_core::{NewJob, Resources, StateName, Subject};

use super::Harness;
use super::claim::{arrival, waiting};
use super::lines::grouped;
use super::policies::{at_once, per_minute};
use super::scene::*;
use crate::request::*;

fn resources(text: &str) -> Resources {
    text.parse().expect("valid resources")
}

/// A job that takes so much.
fn taking(number: u128, amounts: &str) -> NewJob {
    taken(job(number), amounts)
}

/// The same job, taking so much.
fn taken(mut job: NewJob, amounts: &str) -> NewJob {
    for (resource, amount) in resources(amounts).iter() {
        let requires = job.extras.requires.with_taken(resource.as_str(), amount);
        job.extras.requires = requires.expect("a valid amount");
    }
    job
}

/// Jobs that take so much, numbered from 1.
fn all_taking<const N: usize>(amounts: [&str; N]) -> Vec<NewJob> {
    (1..).zip(amounts).map(|(number, amounts)| taking(number, amounts)).collect()
}

impl Hand {
    /// A worker that serves the default queue and every task, with so much in all.
    fn with_resources(number: u128, slots: usize, amounts: &str) -> Self {
        let mut profile = Profile::clone(&profile(&["default"], None));
        profile.labels.set_slots(slots).expect("a label");
        for (resource, amount) in resources(amounts).iter() {
            profile.labels.set_capacity(resource.as_str(), amount).expect("a resource");
        }
        Hand { profile: Arc::new(profile), ..Hand::new(number) }
    }

    /// Its next claim, with so much free.
    fn with_free(&mut self, max: usize, free: &str) -> Claim {
        Claim { free: resources(free), ..self.next_claim(max) }
    }
}

impl Scene<'_> {
    async fn fitting(&self, worker: &mut Hand, max: usize, free: &str) -> Vec<ClaimedJob> {
        self.store.claim(worker.with_free(max, free)).await.expect("a claim")
    }
}

/// What a claim gives takes no more together than is free of a resource, by rank.
pub async fn c1_a_claim_fits_what_is_free(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(all_taking(["memory=8", "", "memory=16", "memory=9", "", "memory=64"])).await;
    let mut worker = Hand::with_resources(1, 9, "memory=64");
    let claimed = scene.fitting(&mut worker, 9, "memory=32").await;
    assert_eq!(numbers(&claimed), [1, 2, 3], "4 takes more than is left");
    let taken = claimed.iter().map(|job| job.extras.requires.to_string());
    assert_eq!(taken.collect::<Vec<_>>(), ["8 of memory", "", "16 of memory"]);
    assert_eq!(numbers(&scene.fitting(&mut worker, 1, "memory=64").await), [4], "one slot");
    assert_eq!(numbers(&scene.fitting(&mut worker, 9, "memory=63").await), [5]);
    assert_eq!(numbers(&scene.fitting(&mut worker, 9, "memory=63").await), [0; 0]);
    assert_eq!(numbers(&scene.fitting(&mut worker, 9, "").await), [0; 0]);
    assert_eq!(numbers(&scene.fitting(&mut worker, 9, "memory=64").await), [6]);
}

/// Of two resources and the slots each must be enough.
pub async fn c1_a_claim_fits_all_that_it_takes(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(all_taking(["gpu=1", "gpu=1,memory=8", "memory=8"])).await;
    let mut both = taking(4, "gpu=2,memory=4");
    both.extras = both.extras.with_cost(2).expect("a valid cost");
    scene.add(vec![both, taking(5, "memory=1")]).await;
    let mut worker = Hand::with_resources(1, 4, "gpu=2,memory=16");
    let mut given = async |max, free| numbers(&scene.fitting(&mut worker, max, free).await);
    assert_eq!(given(4, "gpu=1,memory=16").await, [1]);
    assert_eq!(given(4, "gpu=1,memory=7").await, [0; 0]);
    assert_eq!(given(4, "gpu=0,memory=16").await, [0; 0]);
    assert_eq!(given(4, "gpu=2,memory=16").await, [2, 3], "4 would take a third gpu");
    assert_eq!(given(1, "gpu=2,memory=16").await, [0; 0], "and two slots");
    assert_eq!(given(2, "gpu=2,memory=3").await, [0; 0]);
    assert_eq!(given(3, "gpu=2,memory=5").await, [4, 5]);
}

/// Whatever the lanes and their order, a claim takes a beginning of them.
pub async fn c1_what_is_taken_is_summed_over_lanes(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    for (number, memory) in (1..).zip([1, 3, 1, 1, 2, 3, 1, 2, 1, 5]) {
        let task = name(["task", "other"][number as usize % 2]);
        let priority = if number == 9 { 5 } else { 0 };
        let job = taking(number, &format!("memory={memory}"));
        scene.add(vec![NewJob { task, priority, ..job }]).await;
        scene.clock.advance(SECOND);
    }
    let mut worker = Hand::with_resources(1, 100, "memory=10");
    let mut given = async |free| numbers(&scene.fitting(&mut worker, 100, free).await);
    assert_eq!(given("memory=6").await, [9, 1, 2, 3]);
    assert_eq!(given("memory=5").await, [4, 5], "6 would make it six");
    assert_eq!(given("memory=6").await, [6, 7, 8]);
    assert_eq!(given("memory=9").await, [10]);
}

/// A worker is given nothing that stands behind a job which does not fit yet, and that one once enough
/// is free.
pub async fn c2_what_does_not_fit_is_not_overtaken_by_its_worker(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::with_resources(1, 4, "memory=4");
    scene.add(all_taking(["memory=1", "memory=1"])).await;
    let running = scene.fitting(&mut worker, 4, "memory=4").await;
    assert_eq!(numbers(&running), [1, 2]);
    scene.add(vec![taking(3, "memory=4"), job(4), taking(5, "memory=1")]).await;
    assert_eq!(scene.fitting(&mut worker, 2, "memory=2").await, []);
    scene.report(&running[0], completed()).await;
    assert_eq!(scene.fitting(&mut worker, 3, "memory=3").await, [], "also what takes nothing");
    let mut other = Hand::with_resources(2, 4, "memory=2");
    let passed = scene.fitting(&mut other, 1, "memory=2").await;
    assert_eq!(numbers(&passed), [4], "one that never has enough is not held up");
    scene.report(&running[1], completed()).await;
    assert_eq!(numbers(&scene.fitting(&mut worker, 4, "memory=4").await), [3]);
    assert_eq!(numbers(&scene.fitting(&mut worker, 4, "memory=1").await), [5]);
}

/// A claim does not wait behind a job that does not fit, and one that waits is answered.
pub async fn c2_a_claim_does_not_wait_for_resources(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::with_resources(1, 16, "memory=4");
    let claim = waiting(&scene, &mut worker);
    arrival(&scene, &worker).await;
    scene.add(vec![taking(1, "memory=4")]).await;
    assert_eq!(claim.await.expect("the worker"), [], "nothing is free");
    assert_eq!(waiting(&scene, &mut worker).await.expect("the worker"), []);
    assert_eq!(numbers(&scene.fitting(&mut worker, 1, "memory=4").await), [1]);
}

/// A claim that waits with enough free is given the job.
pub async fn a_waiting_claim_is_fed_what_fits(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::with_resources(1, 4, "memory=4");
    let claim = Claim { wait: MINUTE, ..worker.with_free(4, "memory=3") };
    let store = Arc::clone(&scene.store);
    let given = tokio::spawn(async move { store.claim(claim).await.expect("a claim") });
    arrival(&scene, &worker).await;
    scene.add(vec![taking(1, "memory=3")]).await;
    assert_eq!(numbers(&given.await.expect("the worker")), [1]);
}

/// A worker that has less in all is not offered a job, nor one with a label of that name.
pub async fn c3_a_worker_without_enough_is_not_held_up(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![taking(1, "memory=8"), job(2), taking(3, "memory=2"), job(4)]).await;
    let mut silent = Hand::new(1);
    assert_eq!(scene.given(&mut silent, 1).await, [2], "it has not said what it has");
    let mut small = Hand::with_resources(2, 4, "memory=7");
    assert_eq!(numbers(&scene.fitting(&mut small, 4, "memory=7").await), [3, 4]);
    let mut labelled = Hand::new(3);
    labelled.profile = with_labels("memory=8");
    assert_eq!(numbers(&scene.fitting(&mut labelled, 4, "memory=8").await), [0; 0]);
    let mut exact = Hand::with_resources(4, 4, "memory=8");
    assert_eq!(numbers(&scene.fitting(&mut exact, 4, "memory=8").await), [1]);
}

fn with_labels(labels: &str) -> Arc<Profile> {
    let labels = labels.parse().expect("valid labels");
    Arc::new(Profile { labels, ..Profile::clone(&profile(&["default"], None)) })
}

/// A job that does not fit has taken no token and no room; one without room holds nobody up.
pub async fn c2_limits_come_before_resources(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(Subject::Queue(name("default")), per_minute(3, 3)).await;
    let key = |group: &str| Subject::Group { queue: name("default"), group: group.into() };
    scene.limit(key("a"), at_once(1)).await;
    scene.add(vec![taken(grouped(1, "a"), "memory=3")]).await;
    scene.add(vec![taken(grouped(2, "a"), "memory=4"), taking(3, "memory=1")]).await;
    let mut worker = Hand::with_resources(1, 4, "memory=4");
    for _ in 0..5 {
        assert_eq!(scene.fitting(&mut worker, 4, "memory=2").await, []);
    }
    let first = scene.fitting(&mut worker, 4, "memory=4").await;
    assert_eq!(numbers(&first), [1, 3], "2 stands in line");
    scene.report(&first[0], completed()).await;
    assert_eq!(scene.fitting(&mut worker, 4, "memory=3").await, [], "2 has room, and not enough");
    assert_eq!(numbers(&scene.fitting(&mut worker, 4, "memory=4").await), [2]);
}

/// In a fair queue the job whose turn it is must fit: nobody takes its turn, and it loses none.
pub async fn c2_turns_wait_for_resources(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let fair = taskwright_core::Policy { fair: true, ..Default::default() };
    scene.limit(Subject::Queue(name("default")), Some(fair)).await;
    scene.add(vec![taken(grouped(1, "a"), "memory=3"), taken(grouped(2, "a"), "memory=3")]).await;
    scene.add(vec![grouped(11, "b"), grouped(12, "b")]).await;
    let mut worker = Hand::with_resources(1, 4, "memory=4");
    assert_eq!(numbers(&scene.fitting(&mut worker, 4, "memory=4").await), [1, 11]);
    assert_eq!(scene.fitting(&mut worker, 4, "memory=1").await, [], "it is the turn of a");
    assert_eq!(numbers(&scene.fitting(&mut worker, 4, "memory=4").await), [2, 12]);
}

/// The same claim again answers the same jobs, whatever is free then.
pub async fn s4_a_repeated_claim_takes_no_more(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(all_taking(["memory=2", "memory=2", "memory=1"])).await;
    let worker = Hand::with_resources(1, 4, "memory=4");
    let claim =
        |seq, free| scene.store.claim(Claim { free: resources(free), ..worker.claim(seq, 4) });
    let first = claim(1, "memory=3").await.expect("a claim");
    assert_eq!(numbers(&first), [1]);
    assert_eq!(claim(1, "memory=4").await.expect("a claim"), first);
    assert_eq!(claim(2, "memory=1").await.expect("a claim"), []);
    assert_eq!(numbers(&claim(2, "memory=3").await.expect("a claim")), [2, 3]);
    assert!(claim(1, "memory=4").await.is_err(), "the number of an earlier claim");
}

/// However a job comes back it takes what it took, and workers show what is taken; also after a restart.
pub async fn c1_what_is_taken_is_kept(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(all_taking(["gpu=1,memory=2", "memory=2", "memory=2", ""])).await;
    let mut worker = Hand::with_resources(1, 9, "gpu=1,memory=9");
    let claimed = scene.fitting(&mut worker, 9, "gpu=1,memory=5").await;
    assert_eq!(numbers(&claimed), [1, 2]);
    let namespace = default_namespace();
    let workers = scene.store.workers(&namespace).await.expect("workers");
    assert_eq!(workers[0].resources_taken, resources("gpu=1,memory=4"));
    assert_eq!(workers[0].slots_taken, 2);
    let profile = workers[0].profile.as_ref().expect("what it serves");
    assert_eq!(profile.labels.capacities(), resources("gpu=1,memory=9"));
    scene.clock.advance(SECOND);
    scene.report(&claimed[0], Outcome::Released).await;
    scene.report(&claimed[1], failed()).await;
    let workers = scene.store.workers(&namespace).await.expect("workers");
    assert_eq!(workers[0].resources_taken, Resources::NONE);
    let Some(scene) = scene.restarted().await else { return };
    assert_eq!(scene.job(1).await.extras.requires.taken(), resources("gpu=1,memory=2"));
    assert_eq!(scene.fitting(&mut worker, 9, "gpu=0,memory=9").await, []);
    assert_eq!(numbers(&scene.fitting(&mut worker, 9, "gpu=1,memory=3").await), [1]);
    assert_eq!(scene.state(2).await, StateName::Available);
    assert_eq!(numbers(&scene.fitting(&mut worker, 9, "memory=4").await), [3, 4, 2]);
}

fn default_namespace() -> taskwright_core::Name {
    taskwright_core::Name::default_name()
}
