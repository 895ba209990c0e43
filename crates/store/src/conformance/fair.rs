//! Fair queues: groups take turns.

use taskwright_core::{
    Extras, Json, Name, NewJob, OnConflict, Policy, Replace, Subject, Unique, Until, turns,
};

use super::Harness;
use super::lines::grouped;
use super::policies::at_once;
use super::scene::*;
use crate::request::*;

fn fair() -> Option<Policy> {
    Some(Policy { fair: true, ..Policy::default() })
}

fn queue() -> Subject {
    Subject::Queue(Name::default_name())
}

fn group(text: &str) -> Subject {
    Subject::Group { queue: Name::default_name(), group: text.into() }
}

fn weight(weight: u32) -> Option<Policy> {
    Some(Policy { weight: Some(weight), ..Policy::default() })
}

/// Jobs of a group with these numbers.
fn crowd(numbers: std::ops::RangeInclusive<u128>, group: &str) -> Vec<NewJob> {
    numbers.map(|number| grouped(number, group)).collect()
}

impl Scene<'_> {
    /// Starts jobs one after another, each ended before the next.
    pub(super) async fn work_off(&self, worker: &mut Hand, jobs: usize) -> Vec<u128> {
        let mut started = Vec::new();
        for _ in 0..jobs {
            let job = self.take_one(worker).await;
            started.push(job.id.as_u128());
            self.report(&job, completed()).await;
        }
        started
    }
}

/// Who comes with one job waits for one of the others, however many those have.
pub async fn f1_groups_take_turns(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), fair()).await;
    scene.add(crowd(1..=200, "a")).await;
    let mut worker = Hand::new(1);
    assert_eq!(scene.work_off(&mut worker, 50).await, (1..=50).collect::<Vec<_>>());
    scene.add(crowd(501..=503, "b")).await;
    scene.add(crowd(601..=601, "c")).await;
    let next = scene.work_off(&mut worker, 6).await;
    assert_eq!(next, [501, 601, 51, 502, 52, 503], "b and c begin where a is");
    assert_eq!(scene.work_off(&mut worker, 3).await, [53, 54, 55]);
}

/// Of a group with weight 3 three start while one does of another.
pub async fn f2_weights_are_kept(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), fair()).await;
    scene.limit(group("gold*"), weight(3)).await;
    scene.add(crowd(1..=100, "other")).await;
    scene.add(crowd(101..=300, "gold 7")).await;
    let mut worker = Hand::new(1);
    let started = scene.work_off(&mut worker, 80).await;
    let gold = started.iter().filter(|number| **number > 100).count();
    assert!((59..=61).contains(&gold), "{gold} of 80: {started:?}");

    scene.limit(group("gold*"), weight(1)).await;
    let ready = scene.work_off(&mut worker, 2 * turns::READY_MAX as usize).await;
    let started = scene.work_off(&mut worker, 40).await;
    let gold = started.iter().filter(|number| **number > 100).count();
    assert!((19..=21).contains(&gold), "after {} starts: {gold} of 40", ready.len());
}

/// Groups that end and come again, one job at a time, get no more than their share.
pub async fn f3_coming_back_jumps_no_queue(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), fair()).await;
    scene.limit(group("big"), weight(2)).await;
    scene.add(crowd(1..=200, "big")).await;
    let mut worker = Hand::new(1);
    let mut small = 1_000;
    scene.add(crowd(small..=small, "small")).await;
    let mut count = 0;
    for _ in 0..60 {
        let job = scene.take_one(&mut worker).await;
        if job.id == id(small) {
            (small, count) = (small + 1, count + 1);
            scene.add(crowd(small..=small, "small")).await;
        }
        scene.report(&job, completed()).await;
    }
    assert!((19..=21).contains(&count), "{count} of 60 with a third of the weight");
}

/// What a group has cancelled it has not had.
pub async fn f4_cancelled_jobs_cost_nothing(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), fair()).await;
    scene.add(crowd(1..=500, "a")).await;
    scene.add(crowd(501..=600, "b")).await;
    let mut worker = Hand::new(1);
    scene.work_off(&mut worker, 10).await;
    let cancels = (6..=499).map(|number| cancel(number, "no")).collect();
    scene.store.control("tester", cancels).await.expect("cancels");
    let next = scene.work_off(&mut worker, turns::READY_MAX as usize).await;
    assert!(next.contains(&500), "its last job is not behind what it gave up: {next:?}");
}

/// Jobs without a group are as one group together.
pub async fn f5_jobs_without_group_are_one_group(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), fair()).await;
    scene.add(jobs(1..=30)).await;
    scene.add(crowd(101..=130, "a")).await;
    scene.add(crowd(201..=230, "b")).await;
    let mut worker = Hand::new(1);
    let started = scene.work_off(&mut worker, 30).await;
    let of = |from: u128, to: u128| started.iter().filter(|n| (from..to).contains(*n)).count();
    assert_eq!([of(0, 100), of(100, 200), of(200, 300)], [10; 3], "{started:?}");
}

/// A queue becomes fair while it is full, and stops being so.
pub async fn f6_a_full_queue_becomes_fair(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(crowd(1..=100, "a")).await;
    scene.add(crowd(101..=110, "b")).await;
    let mut worker = Hand::new(1);
    assert_eq!(scene.work_off(&mut worker, 2).await, [1, 2]);
    scene.limit(queue(), fair()).await;
    let started = scene.work_off(&mut worker, 10).await;
    let of_b = started.iter().filter(|number| **number > 100).count();
    assert!((4..=6).contains(&of_b), "{started:?}");

    scene.limit(queue(), None).await;
    let some = scene.take(&mut worker, 9).await;
    assert!(numbers(&some).is_sorted(), "an answer goes by age");
    let again = scene.store.claim(worker.claim(worker.last_claim, 9)).await.expect("a claim");
    assert_eq!(again, some);
    for job in &some {
        scene.report(job, completed()).await;
    }
    let rest = scene.work_off(&mut worker, 89).await;
    let mut sorted = [numbers(&some), rest.clone()].concat();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 98, "every job starts once");
    assert!(rest.iter().rev().take(20).is_sorted_by(|a, b| a > b), "the rest by age: {rest:?}");
}

/// Between queues age decides: that of the job whose turn it is.
pub async fn f7_a_fair_queue_starves_no_other(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), fair()).await;
    let plain = |number| NewJob { queue: name("plain"), ..job(number) };
    scene.add(crowd(1..=3, "a")).await;
    scene.clock.advance(SECOND);
    scene.add(vec![plain(10), plain(11)]).await;
    scene.clock.advance(SECOND);
    scene.add(crowd(4..=5, "b")).await;
    let mut worker = Hand::serving(1, &["default", "plain"], None);
    let started = scene.work_off(&mut worker, 7).await;
    assert_eq!(started, [1, 10, 11, 4, 2, 5, 3]);
}

/// Turns, and limits of queue, group and keys, hold together and outlive a restart.
pub async fn f8_turns_and_limits_hold_together(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), at_once(2).map(|two| Policy { fair: true, ..two })).await;
    scene.limit(group("*"), at_once(1)).await;
    scene.limit(Subject::Key("*".into()), at_once(1)).await;
    let limited = |number, group: &str| {
        let NewJob { extras, .. } = grouped(number, group);
        NewJob { extras: Extras { limit_keys: vec![group.into()], ..extras }, ..job(number) }
    };
    for (from, group) in [(1, "a"), (101, "b"), (201, "c")] {
        scene.add((from..from + 40).map(|number| limited(number, group)).collect()).await;
    }
    let mut worker = Hand::new(1);
    let first = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&first), [1, 101], "one of a group at a time, two of the queue");
    scene.report(&first[0], completed()).await;
    let second = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&second), [201]);
    scene.report(&first[1], failed()).await;
    scene.report(&second[0], completed()).await;

    let Some(scene) = scene.restarted().await else { return };
    let mut started = Vec::new();
    for _ in 0..8 {
        let two = scene.take(&mut worker, 9).await;
        assert_eq!(two.len(), 2);
        started.extend(numbers(&two));
        for job in &two {
            scene.report(job, completed()).await;
        }
    }
    let of = |from: u128| started.iter().filter(|n| (from..from + 100).contains(*n)).count();
    for from in [1, 101, 201] {
        assert!((5..=6).contains(&of(from)), "{started:?}");
    }
}

/// Whose args or timeout are replaced, or who is adjusted to what he is, keeps his turn: so a call that
/// is repeated changes nothing either.
pub async fn f9_a_change_that_is_not_of_place_costs_no_turn(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(queue(), fair()).await;
    let replace = Replace { args: true, priority: true, timeout: true, ..Replace::default() };
    let held = |number| {
        let unique = Some(Unique { key: "first".into(), until: Until::Finished });
        let NewJob { extras, .. } = grouped(number, "a");
        let on_conflict = OnConflict::Replace(replace);
        NewJob { extras: Extras { unique, ..extras }, on_conflict, ..job(number) }
    };
    scene.add(vec![held(1)]).await;
    scene.add(crowd(2..=3, "a")).await;
    scene.add(crowd(11..=13, "b")).await;
    let args = Json::from_trusted("9");
    for _ in 0..2 {
        let jobs = vec![NewJob { args: args.clone(), ..held(4) }];
        let answers = scene.store.insert(Insert { jobs, partial: false }).await.expect("inserts");
        assert!(matches!(answers[..], [Inserted::Duplicate { replaced: true, .. }]), "{answers:?}");
    }
    let namespace = Name::default_name();
    let again = Command::Adjust { namespace, id: id(2), priority: Some(0), run_at: None };
    let answers = scene.store.control("tester", vec![again]).await.expect("adjusts");
    assert!(matches!(answers[..], [Controlled::Done { .. }]), "{answers:?}");
    assert_eq!(scene.job(1).await.args, Some(args));
    assert_eq!(scene.work_off(&mut Hand::new(1), 6).await, [1, 11, 2, 12, 3, 13]);
}
