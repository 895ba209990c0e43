//! Retry budgets, and queues that take no new job while as many wait as may.

use std::time::Duration;

use taskwright_core::limits::RETRY_BUDGET_MAX;
use taskwright_core::{
    Extras, JobError, Json, Name, NewJob, OnConflict, Policy, Rate, StateName, Subject, Timestamp,
    Unique, Until,
};

use super::Harness;
use super::scene::*;
use crate::document::{DocumentId, DocumentKind, Tick, Ticked};
use crate::request::*;

fn own_queue() -> Subject {
    Subject::Queue(Name::default_name())
}

fn budget(count: u32, period: Duration, burst: u32) -> Option<Policy> {
    let retries = Some(Rate { burst, ..Rate::new(count, period) });
    Some(Policy { retries, ..Policy::default() })
}

fn waiting(max: u32) -> Option<Policy> {
    Some(Policy { waiting: Some(max), ..Policy::default() })
}

fn full(max: u32) -> Inserted {
    Inserted::Refused(Refusal::WaitingFull { queue: Name::default_name(), max })
}

fn failed_for(wait: Duration) -> Outcome {
    Outcome::Failed { error: JobError::new("error", "it broke"), retry: Retry::After(wait) }
}

fn is_new(answer: &Inserted) -> bool {
    matches!(answer, Inserted::New { .. })
}

impl Scene<'_> {
    /// Reports that these of the claimed jobs failed, in their order.
    async fn fail_all(&self, claimed: &[ClaimedJob], numbers: std::ops::RangeInclusive<u128>) {
        for number in numbers {
            let job = claimed.iter().find(|job| job.id == id(number)).expect("it was claimed");
            assert_eq!(self.report(job, failed()).await, applied(StateName::Available));
        }
    }

    /// When these jobs are due, in seconds after an instant.
    async fn due_after(
        &self,
        from: Timestamp,
        numbers: std::ops::RangeInclusive<u128>,
    ) -> Vec<u64> {
        let mut due = Vec::new();
        for number in numbers {
            due.push(self.job(number).await.run_at.since(from).as_secs());
        }
        due
    }

    async fn insert_each(&self, jobs: Vec<NewJob>) -> Vec<Inserted> {
        self.store.insert(Insert { jobs, partial: true }).await.expect("an insert")
    }
}

/// Failed attempts come back no faster than the budget of their queue allows, whoever reports them
/// and however many at once; first attempts are not held up.
pub async fn b1_retries_come_back_by_the_budget(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), budget(6, MINUTE, 2)).await;
    scene.add(jobs(1..=6)).await;
    let mut worker = Hand::new(1);
    let failing = scene.now();
    let claimed = scene.take(&mut worker, 6).await;
    let reports = claimed[..4].iter().map(|job| (job, failed())).collect();
    scene.report_all(reports).await;
    scene.report(&claimed[4], failed()).await;
    scene.report(&claimed[5], Outcome::TimedOut).await;
    assert_eq!(scene.due_after(failing, 1..=5).await, [0, 0, 10, 20, 30]);
    assert!(scene.job(6).await.run_at >= failing.plus(40 * SECOND), "a timeout is a failure");

    scene.add(vec![job(7)]).await;
    assert_eq!(scene.given(&mut worker, 9).await, [1, 2, 7], "a first attempt starts at once");
    scene.clock.advance(10 * SECOND);
    scene.sweep().await;
    assert_eq!(scene.given(&mut worker, 9).await, [3]);
    scene.clock.advance(HOUR);
    scene.sweep().await;
    assert_eq!(scene.given(&mut worker, 9).await, [4, 5, 6], "none was dropped");
}

/// The budget is the earliest instant, and so is the wait that the error or the retry policy asks for.
pub async fn b1_a_longer_wait_is_kept(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), budget(1, MINUTE, 1)).await;
    scene.add(jobs(1..=4)).await;
    let mut worker = Hand::new(1);
    let failing = scene.now();
    let claimed = scene.take(&mut worker, 4).await;
    for (job, wait) in claimed.iter().zip([HOUR, 30 * SECOND, HOUR, SECOND]) {
        scene.report(job, failed_for(wait)).await;
    }
    assert_eq!(scene.due_after(failing, 1..=4).await, [3_600, 60, 3_600, 180]);
}

/// What is not to be retried takes no place in the budget: jobs that die or were cancelled, attempts
/// that completed, were snoozed, released or lost, and reports that say nothing new.
pub async fn b1_only_retries_take_a_place(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), budget(1, MINUTE, 1)).await;
    scene.add(jobs(1..=8)).await;
    scene.add(vec![NewJob { max_attempts: 1, ..job(9) }]).await;
    let mut worker = Hand::new(1);
    let failing = scene.now();
    let claimed = scene.take(&mut worker, 9).await;
    scene.report(&claimed[0], completed()).await;
    scene.report(&claimed[1], Outcome::Snoozed { delay: SECOND }).await;
    scene.report(&claimed[2], Outcome::Released).await;
    let never = Outcome::Failed { error: JobError::new("error", "it broke"), retry: Retry::Never };
    scene.report(&claimed[3], never).await;
    scene.command(cancel(5, "enough")).await;
    assert_eq!(scene.report(&claimed[4], failed()).await, applied(StateName::Cancelled));
    assert_eq!(scene.report(&claimed[8], failed()).await, applied(StateName::Dead));
    assert_eq!(scene.report(&claimed[1], failed()).await, Reported::Stale);
    assert_eq!(scene.due_after(failing, 2..=3).await, [1, 0], "snoozed and released");

    scene.report(&claimed[5], failed()).await;
    assert_eq!(scene.report(&claimed[5], failed()).await, Reported::Already);
    scene.report(&claimed[6], failed()).await;
    assert_eq!(scene.due_after(failing, 6..=7).await, [0, 60]);
    scene.outlive_lease().await;
    let lost = scene.job(8).await;
    assert_eq!((lost.life.state.name(), lost.life.losses), (StateName::Available, 1));
    assert_eq!(lost.run_at, failing, "a lost attempt keeps its place");
}

/// What a budget has given away is not forgotten, and it puts no retry off for longer than a day.
pub async fn b1_a_budget_survives_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), budget(1, 10 * HOUR, 1)).await;
    scene.add(jobs(1..=6)).await;
    let claimed = scene.take(&mut Hand::new(1), 6).await;
    let failing = scene.now();
    scene.fail_all(&claimed, 1..=2).await;
    let Some(scene) = scene.restarted().await else { return };
    scene.fail_all(&claimed, 3..=6).await;
    let hours: Vec<u64> =
        scene.due_after(failing, 1..=6).await.into_iter().map(|seconds| seconds / 3_600).collect();
    let day = RETRY_BUDGET_MAX.as_secs() / 3_600;
    assert_eq!(hours, [0, 10, 20, day, day, day]);
}

/// A budget that is changed begins anew; one that is set again as it was goes on; without one the
/// retry policy alone decides.
pub async fn b1_a_changed_budget_begins_anew(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), budget(1, 10 * HOUR, 1)).await;
    scene.add(jobs(1..=7)).await;
    let claimed = scene.take(&mut Hand::new(1), 7).await;
    let failing = scene.now();
    scene.fail_all(&claimed, 1..=2).await;
    scene.limit(own_queue(), budget(1, 10 * HOUR, 1)).await;
    scene.fail_all(&claimed, 3..=3).await;
    scene.limit(own_queue(), budget(1, MINUTE, 1)).await;
    scene.fail_all(&claimed, 4..=5).await;
    scene.limit(own_queue(), None).await;
    scene.fail_all(&claimed, 6..=6).await;
    let due = scene.due_after(failing, 1..=6).await;
    assert_eq!(due, [0, 36_000, 72_000, 0, 60, 0]);
}

/// Other queues, and queues of other tenants, are not held back.
pub async fn b1_a_budget_is_of_one_queue(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), budget(1, MINUTE, 1)).await;
    let elsewhere = Command::SetPolicy {
        namespace: name("elsewhere"),
        subject: Subject::Queue(name("other")),
        policy: budget(1, MINUTE, 1),
    };
    scene.command(elsewhere).await;
    let other = |number| NewJob { queue: name("other"), ..job(number) };
    scene.add(vec![other(1), other(2), job(3), job(4)]).await;
    let mut worker = Hand::serving(1, &["default", "other"], None);
    let failing = scene.now();
    let claimed = scene.take(&mut worker, 4).await;
    scene.fail_all(&claimed, 1..=4).await;
    assert_eq!(scene.due_after(failing, 1..=4).await, [0, 0, 0, 60]);
}

/// With as many waiting as may, in whatever place, a new job is refused, and nothing else changes;
/// other queues take theirs.
pub async fn w1_a_full_queue_refuses_new_jobs(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), waiting(3)).await;
    let at_once = Policy { concurrency: Some(0), ..Policy::default() };
    scene.limit(Subject::Key("api".into()), Some(at_once)).await;
    let later = NewJob { run_at: Some(scene.now().plus(HOUR)), ..job(2) };
    let extras = Extras { limit_keys: vec!["api".into()], ..Extras::default() };
    let in_line = NewJob { extras, ..job(3) };
    scene.add(vec![job(1), later, in_line]).await;
    let counts = scene.counts("default").await;
    assert_eq!((counts.ready, counts.scheduled, counts.in_line), (1, 1, 1));

    assert_eq!(scene.insert(vec![job(4)]).await, [full(3)]);
    assert_eq!(scene.find(4).await, None);
    let keyed = Extras { limit_keys: vec!["api".into()], ..Extras::default() };
    assert_eq!(scene.insert(vec![NewJob { extras: keyed, ..job(4) }]).await, [full(3)]);
    scene.add(vec![NewJob { queue: name("other"), ..job(5) }]).await;
    let elsewhere = NewJob { namespace: name("elsewhere"), ..job(6) };
    assert!(is_new(&scene.insert(vec![elsewhere]).await[0]));

    let mut worker = Hand::new(1);
    let claimed = scene.take_one(&mut worker).await;
    scene.add(vec![job(4)]).await;
    assert_eq!(scene.insert(vec![job(7)]).await, [full(3)], "what runs does not wait");
    scene.report(&claimed, completed()).await;
    scene.command(cancel(4, "enough")).await;
    scene.add(vec![job(7)]).await;
    scene.limit(own_queue(), waiting(0)).await;
    assert_eq!(scene.insert(vec![job(8)]).await, [full(0)]);
    scene.limit(own_queue(), None).await;
    scene.add(jobs(8..=9)).await;
}

/// Of a call that is written as a whole nothing is, where one job has no room; where each stands for
/// itself, those are refused that have none.
pub async fn w1_a_whole_call_is_refused(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), waiting(4)).await;
    scene.add(jobs(1..=2)).await;
    let other = NewJob { queue: name("other"), ..job(9) };
    let answers = scene.insert([jobs(3..=5), vec![other.clone()]].concat()).await;
    assert_eq!(answers, [Inserted::Skipped, Inserted::Skipped, full(4), Inserted::Skipped]);
    assert_eq!(scene.counts("default").await.ready, 2);
    assert_eq!(scene.find(9).await, None);

    let answers = scene.insert_each([jobs(3..=5), vec![other]].concat()).await;
    assert!([0, 1, 3].iter().all(|&place| is_new(&answers[place])), "{answers:?}");
    assert_eq!(answers[2], full(4));
    assert_eq!(scene.counts("default").await.ready, 4);
}

/// A repetition, and a duplicate of a unique key, need no room.
pub async fn w1_what_is_known_is_no_new_job(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), waiting(2)).await;
    let unique = |number| {
        let unique = Unique { key: "key".into(), until: Until::Finished };
        NewJob { extras: Extras { unique: Some(unique), ..Extras::default() }, ..job(number) }
    };
    scene.add(vec![unique(1), job(2)]).await;
    let refusing = NewJob { on_conflict: OnConflict::Refuse, ..unique(4) };
    let answers = scene.insert_each(vec![job(2), unique(1), unique(3), refusing, job(5)]).await;
    let state = StateName::Available;
    assert!(matches!(answers[0], Inserted::Existing { .. }), "{answers:?}");
    assert!(matches!(answers[1], Inserted::Existing { .. }), "{answers:?}");
    assert!(matches!(answers[2], Inserted::Duplicate { state: s, .. } if s == state));
    let key = "key".into();
    assert_eq!(answers[3], Inserted::Refused(Refusal::UniqueTaken { key, holder: id(1) }));
    assert_eq!(answers[4], full(2));
    let other = NewJob { fingerprint: 77, ..job(2) };
    assert_eq!(
        scene.insert(vec![other]).await,
        [Inserted::Refused(Refusal::IdConflict(id(2)))],
        "an id that is taken is told first"
    );
}

/// Retries, snoozes, releases, redrives and lost attempts come back however many wait.
pub async fn w1_what_comes_back_is_never_refused(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=5)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 5).await;
    scene.limit(own_queue(), waiting(1)).await;
    scene.add(vec![job(6)]).await;
    scene.report(&claimed[0], failed()).await;
    scene.report(&claimed[1], Outcome::Snoozed { delay: MINUTE }).await;
    scene.report(&claimed[2], Outcome::Released).await;
    scene.report(&claimed[3], completed()).await;
    assert_eq!(scene.command(redrive(4, 0)).await, done(StateName::Available));
    scene.outlive_lease().await;
    let counts = scene.counts("default").await;
    assert_eq!((counts.ready, counts.scheduled), (5, 1));
    assert_eq!(scene.insert(vec![job(7)]).await, [full(1)]);
}

/// The jobs of a schedule are written however many wait.
pub async fn w1_ticks_are_never_refused(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), waiting(1)).await;
    let kind = DocumentKind::Schedule;
    let tick = Tick {
        id: DocumentId { namespace: Name::default_name(), kind, name: name("nightly") },
        expected: None,
        revision: 1,
        body: Some(Json::from_trusted("{}")),
        wake_at: None,
        jobs: jobs(1..=3),
        asked: None,
    };
    let ticked = scene.store.tick(vec![tick]).await.expect("a tick").pop().expect("an answer");
    let Ticked::Done { inserted } = ticked else { panic!("{ticked:?}") };
    assert!(inserted.len() == 3 && inserted.iter().all(is_new), "{inserted:?}");
    assert_eq!(scene.insert(vec![job(4)]).await, [full(1)]);
}

/// A bound holds for a queue as it is: full before, without jobs, or with jobs that have ended; also
/// after a restart.
pub async fn w1_full_queues_are_those_of_the_moment(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=4)).await;
    let new = NewJob { queue: name("new"), ..job(10) };
    scene.limit(Subject::Queue(name("new")), waiting(1)).await;
    scene.add(vec![new.clone()]).await;
    let refused = Refusal::WaitingFull { queue: name("new"), max: 1 };
    let second = NewJob { id: id(11), ..new };
    assert_eq!(scene.insert(vec![second.clone()]).await, [Inserted::Refused(refused.clone())]);

    scene.limit(own_queue(), waiting(2)).await;
    assert_eq!(scene.insert(vec![job(5)]).await, [full(2)]);
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 3).await;
    for job in &claimed {
        scene.report(job, completed()).await;
    }
    let Some(scene) = scene.restarted().await else { return };
    scene.add(vec![job(5)]).await;
    assert_eq!(scene.insert(vec![job(6)]).await, [full(2)], "after a restart");
    assert_eq!(scene.insert(vec![second]).await, [Inserted::Refused(refused)]);
}

/// However many callers come at the same time, no more jobs get in than may wait.
pub async fn w1_many_callers_fill_a_queue_to_its_bound(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(own_queue(), waiting(25)).await;
    let callers: Vec<_> = (0..8_u128)
        .map(|caller| {
            let store = std::sync::Arc::clone(&scene.store);
            tokio::spawn(async move {
                let mut new = 0;
                for turn in 0..10 {
                    let number = caller * 100 + turn * 2 + 1;
                    let insert = Insert { jobs: jobs(number..=number + 1), partial: turn % 2 == 0 };
                    let answers = store.insert(insert).await.expect("an insert");
                    new += answers.iter().filter(|answer| is_new(answer)).count();
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for caller in callers {
        new += caller.await.expect("no panic");
    }
    let counts = scene.counts("default").await;
    assert_eq!((new, counts.ready), (25, 25));
}
