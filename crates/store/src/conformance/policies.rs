//! Policies of queues and tasks: they hold back whole lanes, whose jobs stay ready.

use std::sync::Arc;

use taskwright_core::limits::POLICIES_MAX;
use taskwright_core::{Name, NewJob, Policy, Rate, Subject};

use super::Harness;
use super::scene::*;
use crate::request::*;

pub(super) fn at_once(concurrency: u32) -> Option<Policy> {
    Some(Policy { concurrency: Some(concurrency), ..Policy::default() })
}

pub(super) fn per_minute(count: u32, burst: u32) -> Option<Policy> {
    let rate = Some(Rate { burst, ..Rate::new(count, MINUTE) });
    Some(Policy { rate, ..Policy::default() })
}

pub(super) fn set(subject: Subject, policy: Option<Policy>) -> Command {
    Command::SetPolicy { namespace: Name::default_name(), subject, policy }
}

impl Scene<'_> {
    pub(super) async fn limit(&self, subject: Subject, policy: Option<Policy>) {
        assert_eq!(self.command(set(subject, policy)).await, Controlled::Done { state: None });
    }

    /// The numbers of the jobs that a worker is given, at most so many.
    pub(super) async fn given(&self, worker: &mut Hand, max: usize) -> Vec<u128> {
        numbers(&self.take(worker, max).await)
    }
}

/// What was set is shown, the newest setting of each subject.
pub async fn policies_are_kept(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let queue = || Subject::Queue(name("mail"));
    let group = || Subject::Group { queue: name("mail"), group: "größe *".into() };
    let both = per_minute(7, 3).map(|rate| Policy { concurrency: Some(0), ..rate });
    scene.limit(group(), both).await;
    scene.limit(queue(), at_once(5)).await;
    scene.limit(Subject::Task(name("send")), per_minute(1, 1)).await;
    scene.limit(Subject::Key("tenant:*".into()), at_once(2)).await;
    let retries = Some(Rate { burst: 9, ..Rate::new(8, MINUTE) });
    let bounded = at_once(6).map(|six| Policy { retries, waiting: Some(0), ..six });
    scene.limit(queue(), bounded).await;
    scene.limit(Subject::Task(name("send")), None).await;
    let elsewhere =
        Command::SetPolicy { namespace: name("elsewhere"), subject: queue(), policy: at_once(1) };
    scene.command(elsewhere).await;

    let expected =
        vec![(queue(), bounded), (group(), both), (Subject::Key("tenant:*".into()), at_once(2))];
    let expected: Vec<_> = expected.into_iter().filter_map(|(s, p)| Some((s, p?))).collect();
    let policies = scene.store.policies(&Name::default_name()).await.expect("policies");
    assert_eq!(policies, expected);
    let Some(scene) = scene.restarted().await else { return };
    let policies = scene.store.policies(&Name::default_name()).await.expect("policies");
    assert_eq!(policies, expected, "after a restart");
}

/// There is room for so many policies and no more.
pub async fn s11_policies_are_limited(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let numbered = |number: usize| Subject::Key(format!("key {number}").into());
    let commands = |from: usize, to: usize| {
        (from..to).map(|n| set(numbered(n), at_once(1))).collect::<Vec<_>>()
    };
    for from in (0..POLICIES_MAX).step_by(1_000) {
        let answers = scene.store.control("tester", commands(from, from + 1_000)).await;
        let is_done = |answer: &Controlled| *answer == Controlled::Done { state: None };
        assert!(answers.expect("commands").iter().all(is_done));
    }
    let full = Controlled::PoliciesFull { max: POLICIES_MAX };
    assert_eq!(scene.command(set(numbered(POLICIES_MAX), at_once(1))).await, full);
    scene.limit(numbered(7), at_once(2)).await;
    scene.limit(numbered(8), None).await;
    scene.limit(numbered(POLICIES_MAX), at_once(1)).await;
}

/// A queue runs as many jobs at once as it may, over all workers; the others stay ready.
pub async fn a1_a_queue_runs_so_many_at_once(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = NewJob { queue: name("other"), ..job(9) };
    scene.add([jobs(1..=5), vec![other]].concat()).await;
    scene.limit(Subject::Queue(Name::default_name()), at_once(2)).await;
    let mut first = Hand::serving(1, &["default", "other"], None);
    let mut second = Hand::new(2);

    let claimed = scene.take(&mut first, 5).await;
    assert_eq!(numbers(&claimed), [1, 2, 9], "other queues are not held back");
    assert_eq!(scene.given(&mut second, 5).await, [] as [u128; 0]);
    let counts = scene.counts("default").await;
    assert_eq!((counts.ready, counts.in_line, counts.running), (3, 0, 2));

    scene.report(&claimed[0], completed()).await;
    assert_eq!(scene.given(&mut second, 5).await, [3]);
    scene.report(&claimed[1], Outcome::Released).await;
    assert_eq!(scene.given(&mut second, 5).await, [2], "it kept its place");
    scene.limit(Subject::Queue(Name::default_name()), None).await;
    assert_eq!(scene.given(&mut second, 5).await, [4, 5]);
}

/// A task runs as many jobs at once as it may, over all queues.
pub async fn a1_a_task_runs_so_many_at_once(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(Subject::Task(name("task")), at_once(1)).await;
    let elsewhere = NewJob { queue: name("other"), ..job(2) };
    let free = NewJob { task: name("free"), ..job(3) };
    scene.add(vec![job(1), elsewhere, free]).await;
    let mut worker = Hand::serving(1, &["default", "other"], None);
    let claimed = scene.take(&mut worker, 5).await;
    assert_eq!(numbers(&claimed), [1, 3]);
    scene.report(&claimed[0], completed()).await;
    assert_eq!(scene.given(&mut worker, 5).await, [2]);
}

/// A waiting claim gets what an ended attempt, a changed policy or the time makes room for.
pub async fn a_waiting_claim_is_fed_by_room(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let queue = || Subject::Queue(Name::default_name());
    scene.limit(queue(), at_once(1)).await;
    scene.add(jobs(1..=4)).await;
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;

    let waiting = scene.wait_for_one(&mut worker);
    scene.report(&first, completed()).await;
    let second = waiting.await.expect("no panic");
    assert_eq!(numbers(&second), [2]);

    let waiting = scene.wait_for_one(&mut worker);
    scene.limit(queue(), at_once(2)).await;
    assert_eq!(numbers(&waiting.await.expect("no panic")), [3]);

    scene.limit(queue(), per_minute(1, 1)).await;
    assert_eq!(scene.given(&mut worker, 9).await, [4], "a rate begins when it is set");
    scene.add(jobs(5..=6)).await;
    assert_eq!(scene.given(&mut worker, 9).await, [] as [u128; 0]);
    let swept = scene.store.sweep(100).await.expect("a sweep");
    assert_eq!(swept.next_due, Some(scene.now().plus(MINUTE)), "when there is room again");
    let waiting = scene.wait_for_one(&mut worker);
    scene.clock.advance(MINUTE);
    scene.sweep().await;
    assert_eq!(numbers(&waiting.await.expect("no panic")), [5]);
}

impl Scene<'_> {
    /// A claim of one job that waits.
    fn wait_for_one(&self, worker: &mut Hand) -> tokio::task::JoinHandle<Vec<ClaimedJob>> {
        let store = Arc::clone(&self.store);
        let claim = Claim { wait: MINUTE, ..worker.next_claim(1) };
        tokio::spawn(async move { store.claim(claim).await.expect("a claim") })
    }
}

/// The starts of a queue keep to its rate, and a restart does not forget what was used.
pub async fn a3_a_queue_starts_so_many_in_a_time(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(Subject::Queue(Name::default_name()), per_minute(60, 3)).await;
    scene.add(jobs(1..=9)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&claimed), [1, 2, 3], "a burst");
    scene.report(&claimed[0], Outcome::Released).await;
    assert_eq!(scene.given(&mut worker, 9).await, [] as [u128; 0], "tokens are not returned");
    scene.clock.advance(SECOND);
    assert_eq!(scene.given(&mut worker, 9).await, [1]);
    let Some(scene) = scene.restarted().await else { return };
    assert_eq!(scene.given(&mut worker, 9).await, [] as [u128; 0]);
    scene.clock.advance(2 * SECOND);
    assert_eq!(scene.given(&mut worker, 9).await, [4, 5]);
}
