//! Ordered groups and keys: one job at a time, in the order in which they were enqueued.

use taskwright_core::{
    Extras, JobError, Name, NewJob, Ordered, Policy, StateName, Subject, Timestamp,
};

use super::Harness;
use super::lines::grouped;
use super::policies::at_once;
use super::scene::*;
use crate::request::*;
use crate::retention::Retention;

const NOTHING: [u128; 0] = [];

fn ordered(ordered: Ordered) -> Option<Policy> {
    Some(Policy { ordered: Some(ordered), ..Policy::default() })
}

fn group() -> Subject {
    Subject::Group { queue: Name::default_name(), group: "a".into() }
}

fn key() -> Subject {
    Subject::Key("account".into())
}

fn in_order(numbers: std::ops::RangeInclusive<u128>) -> Vec<NewJob> {
    numbers.map(|number| grouped(number, "a")).collect()
}

/// A job with limit keys.
fn keyed(number: u128, keys: &[&str]) -> NewJob {
    let limit_keys = keys.iter().map(|key| (*key).into()).collect();
    NewJob { extras: Extras { limit_keys, ..Extras::default() }, ..job(number) }
}

fn died() -> Outcome {
    Outcome::Failed { error: JobError::new("error", "it broke"), retry: Retry::Never }
}

fn adjust(number: u128, run_at: Timestamp) -> Command {
    let (namespace, id) = (Name::default_name(), id(number));
    Command::Adjust { namespace, id, priority: None, run_at: Some(run_at) }
}

impl Scene<'_> {
    /// Starts the only job that may start, and ends it so.
    async fn next_ends(&self, worker: &mut Hand, number: u128, outcome: Outcome) {
        let claimed = self.take(worker, 9).await;
        assert_eq!(numbers(&claimed), [number]);
        assert_eq!(self.given(worker, 9).await, NOTHING, "one at a time");
        self.report(&claimed[0], outcome).await;
    }
}

/// The jobs of a group run one after another in the order of their numbers, whatever their
/// priorities, over all workers; other groups and jobs go on beside it.
pub async fn o1_a_group_runs_in_order(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(group(), ordered(Ordered::Block)).await;
    let urgent = NewJob { priority: 9, ..grouped(3, "a") };
    let free = [grouped(11, "b"), grouped(12, "b"), job(13)];
    scene.add([in_order(1..=2), vec![urgent, grouped(4, "a")], free.to_vec()].concat()).await;
    let (mut first, mut second) = (Hand::new(1), Hand::new(2));
    let claimed = scene.take(&mut first, 9).await;
    assert_eq!(numbers(&claimed), [1, 11, 12, 13]);
    assert_eq!(scene.given(&mut second, 9).await, NOTHING);
    scene.report(&claimed[0], completed()).await;
    scene.next_ends(&mut second, 2, completed()).await;
    scene.next_ends(&mut first, 3, completed()).await;
    let Some(scene) = scene.restarted().await else { return };
    scene.next_ends(&mut second, 4, completed()).await;
}

/// The head stays the head while it waits for its retry, or after it was snoozed, released or lost.
pub async fn o1_the_head_keeps_its_place(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key(), ordered(Ordered::Block)).await;
    scene.add(vec![keyed(1, &["account"]), keyed(2, &["account"])]).await;
    let mut worker = Hand::new(1);
    let later = Retry::After(MINUTE);
    let failed = Outcome::Failed { error: JobError::new("error", "it broke"), retry: later };
    for outcome in [failed, Outcome::Snoozed { delay: MINUTE }] {
        scene.next_ends(&mut worker, 1, outcome).await;
        assert_eq!(scene.given(&mut worker, 9).await, NOTHING, "the second waits with it");
        scene.clock.advance(MINUTE);
        scene.sweep().await;
    }
    scene.next_ends(&mut worker, 1, Outcome::Released).await;
    let mut lost = Hand::new(2);
    assert_eq!(scene.given(&mut lost, 9).await, [1]);
    scene.outlive_lease().await;
    scene.next_ends(&mut worker, 1, completed()).await;
    scene.next_ends(&mut worker, 2, completed()).await;
}

/// A delayed job keeps its place: those behind it wait for its time as well.
pub async fn o1_a_delayed_job_keeps_its_place(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(group(), ordered(Ordered::Skip)).await;
    let delayed = NewJob { run_at: Some(scene.now().plus(HOUR)), ..grouped(1, "a") };
    scene.add([vec![delayed], in_order(2..=3)].concat()).await;
    let mut worker = Hand::new(1);
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.clock.advance(HOUR);
    scene.sweep().await;
    scene.next_ends(&mut worker, 1, completed()).await;
    let later = scene.now().plus(HOUR);
    assert_eq!(scene.command(adjust(2, later)).await, done(StateName::Available));
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING, "an adjusted one keeps it, too");
    assert_eq!(scene.command(cancel(2, "no")).await, done(StateName::Cancelled));
    scene.next_ends(&mut worker, 3, completed()).await;
}

/// Completed, cancelled and expired heads give way.
pub async fn o1_ended_heads_give_way(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(group(), ordered(Ordered::Block)).await;
    let mut short = grouped(2, "a");
    short.extras.expires_at = Some(scene.now().plus(MINUTE));
    scene.add([in_order(1..=1), vec![short], in_order(3..=5)].concat()).await;
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    scene.clock.advance(MINUTE);
    scene.sweep().await;
    assert_eq!(scene.state(2).await, StateName::Expired);
    assert_eq!(scene.command(cancel(3, "no")).await, done(StateName::Cancelled));
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.report(&first, completed()).await;
    let fourth = scene.take_one(&mut worker).await;
    assert_eq!(fourth.id, id(4));
    scene.command(cancel(4, "no")).await;
    scene.report(&fourth, Outcome::Released).await;
    assert_eq!(scene.state(4).await, StateName::Cancelled);
    scene.next_ends(&mut worker, 5, completed()).await;
}

/// A dead head keeps back those behind it until it is deleted, or redriven and ended well.
pub async fn o1_a_dead_head_blocks(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(group(), ordered(Ordered::Block)).await;
    scene.add(in_order(1..=4)).await;
    let mut worker = Hand::new(1);
    scene.next_ends(&mut worker, 1, died()).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    let Some(scene) = scene.restarted().await else { return };
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING, "after a restart as well");
    assert_eq!(scene.command(redrive(1, 0)).await, done(StateName::Available));
    scene.next_ends(&mut worker, 1, completed()).await;
    scene.next_ends(&mut worker, 2, died()).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    assert_eq!(scene.command(delete(2)).await, Controlled::Done { state: None });
    scene.next_ends(&mut worker, 3, completed()).await;
    scene.next_ends(&mut worker, 4, completed()).await;
}

/// Where the policy says so, a dead head gives way.
pub async fn o1_a_dead_head_is_skipped(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(group(), ordered(Ordered::Skip)).await;
    scene.add(in_order(1..=3)).await;
    let mut worker = Hand::new(1);
    scene.next_ends(&mut worker, 1, died()).await;
    let second = scene.take_one(&mut worker).await;
    assert_eq!(second.id, id(2));
    scene.command(redrive(1, 0)).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING, "what runs goes on");
    scene.report(&second, completed()).await;
    scene.next_ends(&mut worker, 1, completed()).await;
    scene.next_ends(&mut worker, 3, completed()).await;
}

/// A redriven job that is older is the head again before those that wait, even if one of them was
/// ready already.
pub async fn o1_a_redriven_job_comes_first(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(group(), ordered(Ordered::Block)).await;
    scene.add(in_order(1..=3)).await;
    let mut worker = Hand::new(1);
    scene.next_ends(&mut worker, 1, completed()).await;
    scene.clock.advance(MINUTE);
    assert_eq!(scene.command(redrive(1, 0)).await, done(StateName::Available));
    scene.next_ends(&mut worker, 1, completed()).await;
    scene.next_ends(&mut worker, 2, completed()).await;
    scene.next_ends(&mut worker, 3, completed()).await;
}

/// The dead that were there before the policy count as well, until retention takes them.
pub async fn o1_old_dead_jobs_block_until_they_go(harness: &dyn Harness) {
    let retention = Retention { dead_age: HOUR, ..Retention::default() };
    let scene = Scene::keeping(harness, retention).await;
    scene.add(in_order(1..=3)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 1).await;
    scene.report(&claimed[0], died()).await;
    scene.sweep().await;
    scene.limit(group(), ordered(Ordered::Block)).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.limit(group(), ordered(Ordered::Skip)).await;
    scene.next_ends(&mut worker, 2, completed()).await;
    scene.limit(group(), ordered(Ordered::Block)).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.clock.advance(HOUR);
    scene.sweep().await;
    scene.sweep().await;
    assert!(scene.find(1).await.is_none(), "it is pruned");
    scene.next_ends(&mut worker, 3, completed()).await;
}

/// It is set while several run: nothing new starts until those have ended. Without it, all go on.
pub async fn o1_an_order_is_set_and_removed_live(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(in_order(1..=6)).await;
    let mut worker = Hand::new(1);
    let running = scene.take(&mut worker, 2).await;
    let pattern = Subject::Group { queue: Name::default_name(), group: "*".into() };
    scene.limit(pattern.clone(), ordered(Ordered::Block)).await;
    scene.report(&running[0], completed()).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.report(&running[1], failed()).await;
    scene.next_ends(&mut worker, 2, completed()).await;
    let third = scene.take_one(&mut worker).await;
    assert_eq!(third.id, id(3));
    scene.limit(pattern, None).await;
    assert_eq!(scene.given(&mut worker, 9).await, [4, 5, 6]);
}

/// All keys of a job must have room: the order of one and the limits of others hold together.
pub async fn o1_order_and_limits_hold_together(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key(), ordered(Ordered::Block)).await;
    scene.limit(Subject::Key("disk".into()), at_once(1)).await;
    let both = |number| keyed(number, &["disk", "account"]);
    scene.add(vec![both(1), both(2), keyed(3, &["disk"]), keyed(4, &["account"])]).await;
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    assert_eq!((first.id, scene.given(&mut worker, 9).await), (id(1), NOTHING.to_vec()));
    let later = Outcome::Snoozed { delay: MINUTE };
    scene.report(&first, later).await;
    assert_eq!(scene.given(&mut worker, 9).await, [3], "the disk is free, the account is not");
    scene.clock.advance(MINUTE);
    scene.sweep().await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING, "the disk is taken");
    scene.outlive_lease().await;
    let mut other = Hand::new(2);
    let mut started = Vec::new();
    for _ in 0..4 {
        let claimed = scene.take(&mut other, 1).await;
        started.extend(numbers(&claimed));
        for job in &claimed {
            scene.report(job, completed()).await;
        }
    }
    started.retain(|number| *number != 3);
    assert_eq!(started, [1, 2, 4]);
}

/// A long line costs no claim more than a short one gives: the next is always the head.
pub async fn o1_a_long_line_is_worked_off_in_order(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(in_order(1..=150)).await;
    scene.limit(group(), ordered(Ordered::Block)).await;
    let mut worker = Hand::new(1);
    for expected in 1..=150 {
        let claimed = scene.take(&mut worker, 3).await;
        assert_eq!(numbers(&claimed), [expected]);
        scene.report(&claimed[0], completed()).await;
    }
}
