//! Strict queues: priorities are absolute.

use taskwright_core::{Extras, Name, NewJob, Policy, Rate, Subject};

use super::Harness;
use super::lines::grouped;
use super::policies::at_once;
use super::scene::*;
use crate::request::*;

const NOTHING: [u128; 0] = [];

fn strict() -> Option<Policy> {
    Some(Policy { strict: true, ..Policy::default() })
}

fn queue() -> Subject {
    Subject::Queue(Name::default_name())
}

fn group() -> Subject {
    Subject::Group { queue: Name::default_name(), group: "a".into() }
}

/// A job of this priority.
fn urgent(number: u128, priority: i8) -> NewJob {
    NewJob { priority, ..job(number) }
}

fn of_queue(queue: &str, job: NewJob) -> NewJob {
    NewJob { queue: name(queue), ..job }
}

/// A job of group `a` of this priority.
fn of_group(number: u128, priority: i8) -> NewJob {
    NewJob { priority, ..grouped(number, "a") }
}

/// A job of this priority with the limit key `k`.
fn of_key(number: u128, priority: i8) -> NewJob {
    let extras = Extras { limit_keys: vec!["k".into()], ..Extras::default() };
    NewJob { extras, ..urgent(number, priority) }
}

fn adjust(number: u128, priority: i8) -> Command {
    let (namespace, id) = (Name::default_name(), id(number));
    Command::Adjust { namespace, id, priority: Some(priority), run_at: None }
}

impl Scene<'_> {
    /// Adds jobs one after another, an hour apart: more than any head start of priority.
    async fn add_slowly(&self, jobs: Vec<NewJob>) {
        for job in jobs {
            self.add(vec![job]).await;
            self.clock.advance(HOUR);
        }
    }
}

/// In a strict queue the most urgent job is next, however long the others have waited; of the same
/// priority the oldest. A peek shows it so.
pub async fn u1_the_most_urgent_job_is_next(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), strict()).await;
    let other_task = |job| NewJob { task: name("other"), ..job };
    let more = vec![urgent(3, 1), other_task(urgent(4, 10)), urgent(5, 10)];
    scene.add_slowly([vec![urgent(1, -10), other_task(urgent(2, 0))], more].concat()).await;
    assert_eq!(scene.peek(9).await, [4, 5, 3, 2, 1]);
    assert_eq!(scene.peek(2).await, [4, 5]);
    let mut worker = Hand::new(1);
    assert_eq!(scene.work_off(&mut worker, 2).await, [4, 5]);
    let Some(scene) = scene.restarted().await else { return };
    scene.add(vec![urgent(6, 2)]).await;
    assert_eq!(scene.work_off(&mut worker, 4).await, [6, 3, 2, 1]);
}

/// A queue becomes strict while it is full, and stops being so.
pub async fn u1_a_full_queue_becomes_strict(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=4)).await;
    scene.clock.advance(HOUR);
    scene.add((11..=14).map(|number| urgent(number, 5)).collect()).await;
    let mut worker = Hand::new(1);
    assert_eq!(scene.work_off(&mut worker, 1).await, [1]);
    scene.limit(queue(), strict()).await;
    assert_eq!(scene.peek(9).await, [11, 12, 13, 14, 2, 3, 4]);
    assert_eq!(scene.work_off(&mut worker, 2).await, [11, 12]);
    scene.limit(queue(), None).await;
    assert_eq!(scene.peek(9).await, [2, 3, 4, 13, 14]);
    assert_eq!(scene.work_off(&mut worker, 2).await, [2, 3]);
    scene.limit(queue(), strict()).await;
    assert_eq!(scene.work_off(&mut worker, 3).await, [13, 14, 4]);
}

/// Between queues age decides, that of the job that is next in each: so a strict queue starves no other.
pub async fn u1_levels_are_of_one_queue(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), strict()).await;
    scene.limit(Subject::Queue(name("second")), strict()).await;
    for job in [urgent(1, 0), of_queue("second", urgent(20, 0)), of_queue("plain", job(30))] {
        scene.add(vec![job]).await;
        scene.clock.advance(SECOND);
    }
    let later = vec![urgent(2, 9), of_queue("second", urgent(21, -1)), of_queue("plain", job(31))];
    scene.clock.advance(HOUR);
    scene.add_slowly(later).await;
    let mut worker = Hand::serving(1, &["default", "second", "plain"], None);
    assert_eq!(scene.work_off(&mut worker, 6).await, [20, 30, 2, 1, 21, 31]);
}

/// Where little may run at once, what becomes free goes to the most urgent job.
pub async fn u1_room_goes_to_the_most_urgent_job(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), at_once(1).map(|one| Policy { strict: true, ..one })).await;
    scene.add_slowly(vec![urgent(1, 0), urgent(2, 0)]).await;
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    assert_eq!(first.id, id(1));
    scene.add_slowly(vec![urgent(3, 1), urgent(4, 2)]).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.report(&first, completed()).await;
    assert_eq!(scene.work_off(&mut worker, 3).await, [4, 3, 2]);
}

/// Who was ready before as a candidate of a group or limit key does not keep a more urgent job in line.
pub async fn u1_no_line_holds_up_the_most_urgent_job(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), strict()).await;
    scene.limit(group(), at_once(1)).await;
    scene.limit(Subject::Key("k".into()), at_once(1)).await;
    let mut worker = Hand::new(1);
    scene.add_slowly(vec![of_group(1, 0), of_group(2, 0), of_group(3, 4), of_group(4, 1)]).await;
    let first = scene.take_one(&mut worker).await;
    assert_eq!(first.id, id(3));
    scene.add_slowly(vec![of_group(5, 2)]).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING, "one of the group at a time");
    scene.report(&first, completed()).await;
    assert_eq!(scene.work_off(&mut worker, 4).await, [5, 4, 1, 2]);

    scene.add_slowly(vec![of_key(11, 0), of_key(12, 3), of_key(13, 2)]).await;
    assert_eq!(scene.work_off(&mut worker, 3).await, [12, 13, 11]);
}

/// Also where a queue becomes strict while many jobs stand in line.
pub async fn u1_a_long_line_is_left_by_urgency(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(group(), at_once(0)).await;
    scene.add((1..=200).map(|number| of_group(number, 0)).collect()).await;
    scene.clock.advance(HOUR);
    scene.add((201..=220).map(|number| of_group(number, 1)).collect()).await;
    scene.limit(queue(), strict()).await;
    scene.limit(group(), at_once(150)).await;
    let mut worker = Hand::new(1);
    assert_eq!(scene.work_off(&mut worker, 20).await, (201..=220).collect::<Vec<_>>());
    assert_eq!(scene.work_off(&mut worker, 3).await, [1, 2, 3]);
    scene.add(vec![of_group(300, 2)]).await;
    assert_eq!(scene.work_off(&mut worker, 2).await, [300, 4]);
}

/// Where a line is served little by little, the most urgent job leaves it first.
pub async fn u1_the_most_urgent_job_leaves_a_line_first(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), strict()).await;
    let three = Rate { burst: 3, ..Rate::new(3, 30 * HOUR) };
    scene.limit(group(), Some(Policy { rate: Some(three), ..Policy::default() })).await;
    let mut worker = Hand::new(1);
    scene.add((101..=103).map(|number| of_group(number, 0)).collect()).await;
    assert_eq!(scene.work_off(&mut worker, 3).await, [101, 102, 103]);
    scene.add_slowly(vec![of_group(1, 0), of_group(2, 0), of_group(3, 1), of_group(4, -1)]).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.clock.advance(30 * HOUR);
    scene.store.sweep(1).await.expect("a sweep");
    assert_eq!(scene.work_off(&mut worker, 1).await, [3]);
    scene.sweep().await;
    assert_eq!(scene.work_off(&mut worker, 2).await, [1, 2]);
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
}

/// What comes back after a failure, a release or a loss keeps its level; a suspect that the worker may
/// not have holds nobody up.
pub async fn u1_what_comes_back_keeps_its_level(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), strict()).await;
    scene.add_slowly(vec![urgent(1, 0), urgent(2, 5), urgent(3, 5)]).await;
    let mut worker = Hand::new(1);
    for outcome in [failed(), Outcome::Released] {
        let job = scene.take_one(&mut worker).await;
        assert!(job.priority == 5, "{job:?}");
        scene.report(&job, outcome).await;
    }
    let mut lost = Hand::new(2);
    for _ in 0..2 {
        let mut two = scene.given(&mut lost, 2).await;
        two.sort_unstable();
        assert_eq!(two, [2, 3]);
        scene.outlive_lease().await;
    }
    let mut first = scene.take(&mut worker, 2).await;
    first.sort_by_key(|job| std::cmp::Reverse(job.priority));
    assert_eq!(first[0].priority, 5);
    assert_eq!(first[1].id, id(1), "a worker holds one suspect");
    scene.report_all(first.iter().map(|job| (job, completed())).collect()).await;
    assert_eq!(scene.work_off(&mut worker, 1).await.len(), 1);
}

/// A job that is made more or less urgent while it waits, ready or in line, goes by what it is now.
pub async fn u1_priorities_are_adjusted_live(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), strict()).await;
    scene.limit(group(), at_once(1)).await;
    scene.add_slowly(jobs(1..=3)).await;
    scene.command(adjust(3, 1)).await;
    scene.command(adjust(1, -1)).await;
    assert_eq!(scene.peek(9).await, [3, 2, 1]);
    let mut worker = Hand::new(1);
    assert_eq!(scene.work_off(&mut worker, 3).await, [3, 2, 1]);

    scene.add_slowly((11..=14).map(|number| of_group(number, 0)).collect()).await;
    scene.command(adjust(13, 2)).await;
    scene.command(adjust(14, 1)).await;
    scene.command(adjust(11, -1)).await;
    assert_eq!(scene.work_off(&mut worker, 4).await, [13, 14, 12, 11]);
}
