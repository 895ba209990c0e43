//! Policies of groups and limit keys: jobs without room wait in the line of the key that stops them.

use taskwright_core::{Extras, LineKey, Name, NewJob, Place, State, StateName, Subject};

use super::Harness;
use super::policies::{at_once, per_minute};
use super::scene::*;
use crate::request::*;

const NOTHING: [u128; 0] = [];

/// A job with limit keys.
fn keyed(number: u128, keys: &[&str]) -> NewJob {
    let limit_keys = keys.iter().map(|key| (*key).into()).collect();
    NewJob { extras: Extras { limit_keys, ..Extras::default() }, ..job(number) }
}

pub(super) fn grouped(number: u128, group: &str) -> NewJob {
    NewJob { extras: Extras { group: Some(group.into()), ..Extras::default() }, ..job(number) }
}

fn key(text: &str) -> Subject {
    Subject::Key(text.into())
}

impl Scene<'_> {
    /// Jobs that are ready, and that stand in lines.
    async fn waiting(&self) -> (u64, u64) {
        let counts = self.counts("default").await;
        (counts.ready, counts.in_line)
    }
}

/// As many jobs with a key run as it may; the others wait in its line and are in nobody's way.
pub async fn a2_jobs_without_room_stand_in_line(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("disk"), at_once(2)).await;
    let disk = (1..=5).map(|number| keyed(number, &["disk"])).collect();
    scene.add(disk).await;
    scene.add(vec![job(6)]).await;
    assert_eq!(scene.waiting().await, (3, 3), "as many are ready as there is room for");
    let number = LineKey::Key("disk".into()).number(&Name::default_name());
    assert_eq!(scene.job(3).await.life.state, State::Available(Place::Line(number)));
    assert_eq!(scene.peek(9).await, [1, 2, 6]);

    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&claimed), [1, 2, 6]);
    assert_eq!(scene.waiting().await, (0, 3));
    scene.report(&claimed[0], completed()).await;
    assert_eq!(scene.waiting().await, (1, 2), "a free key calls the next of its line");
    scene.report(&claimed[1], failed()).await;
    assert_eq!(scene.waiting().await, (2, 2));
    assert_eq!(scene.given(&mut worker, 9).await, [2, 3], "a retry keeps its place in the line");
}

/// Each key that a pattern names has a limit of its own, and so has each group.
pub async fn each_key_of_a_pattern_is_limited_for_itself(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("tenant:*"), at_once(1)).await;
    scene.limit(key("tenant:big"), at_once(3)).await;
    let group = Subject::Group { queue: Name::default_name(), group: "*".into() };
    scene.limit(group, at_once(1)).await;
    let keys = ["tenant:a", "tenant:b", "tenant:a", "tenant:big", "tenant:big", "free", "free"];
    let jobs = (1..).zip(keys).map(|(number, key)| keyed(number, &[key])).collect();
    scene.add(jobs).await;
    let groups = ["a", "a", "b"];
    scene.add((11..).zip(groups).map(|(number, group)| grouped(number, group)).collect()).await;
    let mut worker = Hand::new(1);
    assert_eq!(scene.given(&mut worker, 20).await, [1, 2, 4, 5, 6, 7, 11, 13]);
}

/// A job with several keys starts when all have room.
pub async fn a_job_needs_room_at_all_its_keys(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("tenant"), at_once(2)).await;
    scene.limit(key("user:*"), at_once(1)).await;
    let of = |number, user| keyed(number, &["tenant", user]);
    scene.add(vec![of(1, "user:a"), of(2, "user:a"), of(3, "user:b"), of(4, "user:c")]).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&claimed), [1, 3], "the second of user a holds nothing of the tenant's");
    scene.report(&claimed[1], completed()).await;
    let next = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&next), [4]);
    scene.report(&claimed[0], completed()).await;
    assert_eq!(scene.given(&mut worker, 9).await, [2]);
}

/// A key that no other job has stops the only one that has it.
pub async fn a_key_of_one_job_stops_it(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("open"), at_once(5)).await;
    scene.limit(key("shut"), at_once(0)).await;
    scene.add(vec![keyed(1, &["open", "shut"]), keyed(2, &["shut", "open"])]).await;
    assert_eq!(scene.waiting().await, (0, 2));
    let mut worker = Hand::new(1);
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.limit(key("shut"), at_once(1)).await;
    assert_eq!(scene.given(&mut worker, 9).await, [1]);
}

/// The line is served by rank: urgent jobs first, then by age.
pub async fn lines_are_served_in_order(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("one"), at_once(1)).await;
    scene.add(vec![keyed(1, &["one"])]).await;
    let mut worker = Hand::new(1);
    let mut running = scene.take_one(&mut worker).await;
    let urgent = NewJob { priority: 5, ..keyed(4, &["one"]) };
    scene.add(vec![keyed(2, &["one"]), keyed(3, &["one"]), urgent]).await;
    for expected in [4, 2, 3] {
        assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
        scene.report(&running, completed()).await;
        running = scene.take_one(&mut worker).await;
        assert_eq!(running.id, id(expected));
    }
}

/// A rate puts the key on the timer: a sweep calls the next of its line when its time has come.
pub async fn a3_a_key_with_a_rate_waits_for_its_time(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("api"), per_minute(6, 1)).await;
    scene.add((1..=4).map(|number| keyed(number, &["api"])).collect()).await;
    assert_eq!(scene.waiting().await, (1, 3));
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    scene.report(&first, completed()).await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    let swept = scene.store.sweep(100).await.expect("a sweep");
    assert_eq!((swept.promoted, swept.next_due), (0, Some(scene.now().plus(10 * SECOND))));

    scene.clock.advance(10 * SECOND);
    assert_eq!(scene.sweep().await.promoted, 1);
    assert_eq!(scene.given(&mut worker, 9).await, [2]);
    let Some(scene) = scene.restarted().await else { return };
    scene.sweep().await;
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING, "a restart returns no token");
    scene.clock.advance(10 * SECOND);
    scene.sweep().await;
    assert_eq!(scene.given(&mut worker, 9).await, [3]);
}

/// A claim finds those out that have no room any more, and gives what stands behind them.
pub async fn a4_ready_is_a_candidate(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add((1..=4).map(|number| keyed(number, &["disk"])).collect()).await;
    scene.add(vec![job(5)]).await;
    assert_eq!(scene.waiting().await, (5, 0), "nothing limits them");
    scene.limit(key("disk"), at_once(1)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&claimed), [1, 5]);
    assert_eq!(scene.waiting().await, (0, 3));
    scene.limit(key("disk"), None).await;
    assert_eq!(scene.waiting().await, (3, 0), "without a policy there is no line");
    assert_eq!(scene.given(&mut worker, 9).await, [2, 3, 4]);
}

/// What a claim itself makes ready stands in its answer where it belongs.
pub async fn a_claim_answers_in_order(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("one"), at_once(1)).await;
    scene.add(vec![keyed(1, &["one", "none"]), keyed(2, &["one"]), job(3)]).await;
    scene.limit(key("none"), at_once(0)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 9).await;
    assert_eq!(numbers(&claimed), [2, 3], "the first is put aside, so the second is called");
    let again = scene.store.claim(worker.claim(worker.last_claim, 9)).await.expect("a claim");
    assert_eq!(again, claimed);
}

/// Ready jobs that nobody takes do not hold a key against those of another task.
pub async fn a_line_is_served_lane_by_lane(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("disk"), at_once(1)).await;
    let unserved = |number| NewJob { task: name("unserved"), ..keyed(number, &["disk"]) };
    scene.add(vec![unserved(1), unserved(2), keyed(3, &["disk"]), keyed(4, &["disk"])]).await;
    let mut worker = Hand::serving(1, &["default"], Some(&["task"]));
    let claimed = scene.take_one(&mut worker).await;
    assert_eq!(claimed.id, id(3));
    scene.report(&claimed, completed()).await;
    assert_eq!(scene.given(&mut worker, 9).await, [4]);
}

/// Who stands in a line can be cancelled, adjusted, expired, and is there after a restart.
pub async fn jobs_in_line_are_jobs_like_others(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("one"), at_once(1)).await;
    let expires_at = Some(scene.now().plus(MINUTE));
    let mut short = keyed(5, &["one"]);
    short.extras.expires_at = expires_at;
    scene.add((1..=4).map(|number| keyed(number, &["one"])).chain([short]).collect()).await;
    let mut worker = Hand::new(1);
    let running = scene.take_one(&mut worker).await;
    assert_eq!(scene.command(cancel(2, "no")).await, done(StateName::Cancelled));
    let later = Some(scene.now().plus(HOUR));
    let adjust = |number, priority, run_at| Command::Adjust {
        namespace: Name::default_name(),
        id: id(number),
        priority,
        run_at,
    };
    assert_eq!(scene.command(adjust(3, None, later)).await, done(StateName::Available));
    assert_eq!(scene.counts("default").await.scheduled, 1);
    scene.clock.advance(MINUTE);
    assert_eq!(scene.sweep().await.expired, 1);
    assert_eq!(scene.waiting().await, (0, 1));
    let page = scene.list(Filter { state: Some(StateName::Available), ..everything() }).await;
    assert_eq!(page.jobs.len(), 2, "lists show who stands in line");

    let Some(scene) = scene.restarted().await else { return };
    assert_eq!(scene.waiting().await, (0, 1));
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.report(&running, completed()).await;
    assert_eq!(scene.given(&mut worker, 9).await, [4]);
}

/// The lease of a lost worker gives its room back.
pub async fn a1_a_lost_worker_gives_its_room_back(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(key("one"), at_once(1)).await;
    scene.add(vec![keyed(1, &["one"]), keyed(2, &["one"])]).await;
    let mut lost = Hand::new(1);
    scene.take_one(&mut lost).await;
    let mut worker = Hand::new(2);
    assert_eq!(scene.given(&mut worker, 9).await, NOTHING);
    scene.outlive_lease().await;
    assert_eq!(scene.given(&mut worker, 9).await, [1]);
}

/// With hundreds of ready jobs that have no room, a claim still comes to those behind them.
pub async fn a4_a_claim_looks_no_further_than_it_may(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add((1..=700).map(|number| keyed(number, &["none"])).collect()).await;
    scene.add(vec![job(701)]).await;
    scene.limit(key("none"), at_once(0)).await;
    let mut worker = Hand::new(1);
    let mut claims = 1;
    while scene.given(&mut worker, 1).await != [701] {
        claims += 1;
        assert!(claims < 10, "every claim puts some of them aside");
    }
    assert_eq!(claims, 3);
    assert_eq!(scene.waiting().await, (0, 700));
    scene.limit(key("none"), None).await;
    while scene.sweep().await.promoted > 0 {}
    assert_eq!(scene.waiting().await, (700, 0));
}
