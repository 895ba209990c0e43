//! Jobs that cost more than one slot.

use std::sync::Arc;

use taskwright_core::{NewJob, StateName, Subject};

use super::Harness;
use super::claim::{arrival, waiting};
use super::lines::grouped;
use super::policies::{at_once, per_minute};
use super::scene::*;
use crate::request::*;

/// A job that takes so many slots.
fn costing(number: u128, slots: u32) -> NewJob {
    costly(job(number), slots)
}

/// The same job, taking so many slots.
fn costly(job: NewJob, slots: u32) -> NewJob {
    let extras = job.extras.with_cost(slots).expect("a valid cost");
    NewJob { extras, ..job }
}

/// Jobs with these costs, numbered from 1.
fn all_costing<const N: usize>(costs: [u32; N]) -> Vec<NewJob> {
    (1..).zip(costs).map(|(number, slots)| costing(number, slots)).collect()
}

impl Hand {
    /// A worker that serves the default queue and every task, with so many slots.
    fn with_slots(number: u128, slots: usize) -> Self {
        let mut profile = Profile::clone(&profile(&["default"], None));
        profile.labels.set_slots(slots).expect("a label");
        Hand { profile: Arc::new(profile), ..Hand::new(number) }
    }
}

/// What a claim gives takes no more slots together than are free, by rank.
pub async fn c1_a_claim_fits_into_its_slots(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(all_costing([2, 1, 2, 1, 4, 1])).await;
    let mut worker = Hand::with_slots(1, 8);
    let claimed = scene.take(&mut worker, 5).await;
    assert_eq!(numbers(&claimed), [1, 2, 3]);
    let costs = claimed.iter().map(|job| (job.extras.cost, job.extras.requires.to_string()));
    let two = || (2, "slots>=2".to_owned());
    assert_eq!(costs.collect::<Vec<_>>(), [two(), (0, String::new()), two()]);
    assert_eq!(scene.given(&mut worker, 2).await, [4], "5 takes more than is left");
    assert_eq!(scene.given(&mut worker, 3).await, [0; 0]);
    assert_eq!(scene.given(&mut worker, 8).await, [5, 6]);
    assert_eq!(scene.job(5).await.extras.cost, 4);
}

/// Whatever the lanes, their order and the suspects among them, a claim takes a beginning of them.
pub async fn c1_costs_are_summed_over_lanes(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    for (number, slots) in (1..).zip([1, 3, 1, 1, 2, 3, 1, 2, 1, 5]) {
        let task = name(["task", "other"][number as usize % 2]);
        let priority = if number == 9 { 5 } else { 0 };
        scene.add(vec![NewJob { task, priority, ..costing(number, slots) }]).await;
        scene.clock.advance(SECOND);
    }
    let mut worker = Hand::with_slots(1, 10);
    assert_eq!(scene.peek(20).await, [9, 1, 2, 3, 4, 5, 6, 7, 8, 10]);
    assert_eq!(scene.given(&mut worker, 6).await, [9, 1, 2, 3]);
    assert_eq!(scene.given(&mut worker, 5).await, [4, 5], "6 would make it six");
    assert_eq!(scene.given(&mut worker, 6).await, [6, 7, 8]);
    assert_eq!(scene.given(&mut worker, 9).await, [10]);
}

/// A worker is given nothing that stands behind a job which does not fit yet, and that one once it has
/// run empty.
pub async fn c2_a_large_job_is_not_overtaken_by_its_worker(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::with_slots(1, 4);
    scene.add(all_costing([1, 1])).await;
    let running = scene.take(&mut worker, 4).await;
    assert_eq!(numbers(&running), [1, 2]);
    scene.add(vec![costing(3, 4), job(4), job(5)]).await;
    assert_eq!(scene.given(&mut worker, 2).await, [0; 0]);
    scene.report(&running[0], completed()).await;
    assert_eq!(scene.given(&mut worker, 3).await, [0; 0], "however much comes free, short of all");
    scene.report(&running[1], completed()).await;
    let large = scene.take(&mut worker, 4).await;
    assert_eq!(numbers(&large), [3]);
    scene.report(&large[0], completed()).await;
    assert_eq!(scene.given(&mut worker, 4).await, [4, 5]);
}

/// A claim does not wait behind a job that does not fit: its worker knows better when to ask again.
pub async fn c2_a_claim_does_not_wait_for_what_does_not_fit(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::with_slots(1, 16);
    let claim = waiting(&scene, &mut worker);
    arrival(&scene, &worker).await;
    scene.add(vec![costing(1, 11)]).await;
    assert_eq!(claim.await.expect("the worker"), [], "it waits with ten slots free");
    assert_eq!(waiting(&scene, &mut worker).await.expect("the worker"), []);
    assert_eq!(scene.given(&mut worker, 11).await, [1]);
}

/// A worker with fewer slots in all is not offered a job, and others behind it are given.
pub async fn c3_a_large_job_holds_no_small_worker_up(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![costing(1, 4), job(2), costing(3, 2), job(4)]).await;
    let mut silent = Hand::new(1);
    assert_eq!(scene.given(&mut silent, 1).await, [2], "it has not said how many slots it has");
    let mut small = Hand::with_slots(2, 3);
    assert_eq!(scene.given(&mut small, 3).await, [3, 4]);
    let mut exact = Hand::with_slots(3, 4);
    assert_eq!(scene.given(&mut exact, 4).await, [1]);
}

/// A job that does not fit has taken no token and no room.
pub async fn c2_what_does_not_fit_takes_nothing(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(Subject::Queue(name("default")), per_minute(1, 1)).await;
    scene.limit(Subject::Key("api".into()), at_once(1)).await;
    let keyed = |job: NewJob| NewJob {
        extras: taskwright_core::Extras { limit_keys: vec!["api".into()], ..job.extras },
        ..job
    };
    scene.add(vec![keyed(costing(1, 3)), keyed(job(2))]).await;
    let mut worker = Hand::with_slots(1, 4);
    for _ in 0..3 {
        assert_eq!(scene.given(&mut worker, 2).await, [0; 0]);
    }
    assert_eq!(scene.given(&mut worker, 4).await, [1], "its token is still there");
    assert_eq!(scene.given(&mut worker, 4).await, [0; 0]);
}

/// A large job whose key has no room stands in line, and holds nobody up.
pub async fn c2_a_large_job_without_room_holds_nobody_up(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let key = |group: &str| Subject::Group { queue: name("default"), group: group.into() };
    scene.limit(key("a"), at_once(1)).await;
    scene.add(vec![costly(grouped(1, "a"), 2), costly(grouped(2, "a"), 3), job(3)]).await;
    let mut worker = Hand::with_slots(1, 4);
    let first = scene.take(&mut worker, 4).await;
    assert_eq!(numbers(&first), [1, 3]);
    scene.report(&first[0], completed()).await;
    scene.add(vec![job(4)]).await;
    assert_eq!(scene.given(&mut worker, 1).await, [0; 0], "now it has room, and does not fit");
    assert_eq!(scene.given(&mut worker, 3).await, [2]);
    assert_eq!(scene.given(&mut worker, 1).await, [4]);
}

/// In a fair queue the job whose turn it is must fit: nobody takes its turn, and it loses none.
pub async fn c2_turns_wait_for_slots(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let fair = taskwright_core::Policy { fair: true, ..Default::default() };
    scene.limit(Subject::Queue(name("default")), Some(fair)).await;
    scene.add(vec![costly(grouped(1, "a"), 3), costly(grouped(2, "a"), 3)]).await;
    scene.add(vec![grouped(11, "b"), grouped(12, "b"), grouped(13, "b")]).await;
    let mut worker = Hand::with_slots(1, 4);
    assert_eq!(scene.given(&mut worker, 4).await, [1, 11]);
    assert_eq!(scene.given(&mut worker, 2).await, [0; 0], "it is the turn of a");
    assert_eq!(scene.given(&mut worker, 4).await, [2, 12]);
    assert_eq!(scene.given(&mut worker, 4).await, [13]);
}

/// The same claim again answers the same jobs, also where it ended at one that did not fit.
pub async fn s4_a_repeated_claim_gives_no_more_than_fitted(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(all_costing([2, 2, 1])).await;
    let worker = Hand::with_slots(1, 4);
    let claim = |seq, max| worker.claim(seq, max);
    let first = scene.store.claim(claim(1, 3)).await.expect("a claim");
    assert_eq!(numbers(&first), [1]);
    let again = scene.store.claim(claim(1, 9)).await.expect("a claim");
    assert_eq!(again, first);
    assert_eq!(scene.store.claim(claim(2, 1)).await.expect("a claim"), []);
    let once_more = scene.store.claim(claim(2, 3)).await.expect("a claim");
    assert_eq!(numbers(&once_more), [2, 3], "a claim that gave nothing leaves its number");
}

/// However a job comes back, it costs what it cost; also after a restart.
pub async fn c1_costs_are_kept(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(all_costing([2, 2, 2])).await;
    let mut worker = Hand::with_slots(1, 4);
    let claimed = scene.take(&mut worker, 4).await;
    assert_eq!(numbers(&claimed), [1, 2]);
    scene.clock.advance(SECOND);
    scene.report(&claimed[0], Outcome::Released).await;
    scene.report(&claimed[1], failed()).await;
    let Some(scene) = scene.restarted().await else { return };
    assert_eq!(scene.job(1).await.extras.cost, 2);
    assert_eq!(scene.given(&mut worker, 1).await, [0; 0]);
    assert_eq!(scene.given(&mut worker, 3).await, [1]);
    assert_eq!(scene.state(2).await, StateName::Available);
    assert_eq!(scene.given(&mut worker, 4).await, [3, 2]);
}
