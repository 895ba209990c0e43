//! Get, list, counts, events, and the end of a store.

use std::sync::Arc;

use taskwright_core::{Extras, Json, Name, NewJob, StateName, Timestamp};

use super::Harness;
use super::scene::*;
use crate::error::ErrorKind;
use crate::events::{Event, Events, Heard, Nudge};
use crate::request::*;
use crate::view::*;

/// Lists and peeks carry no args, results and attempts; a get does.
pub async fn s6_lists_leave_out_the_big_fields(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take_one(&mut worker).await;
    scene.report(&claimed, failed()).await;
    let claimed = scene.take(&mut worker, 2).await;
    let result = Some(Json::from_trusted("42"));
    for job in &claimed {
        scene.report(job, Outcome::Completed { result: result.clone() }).await;
    }
    scene.add(vec![job(3)]).await;

    let whole = scene.job(1).await;
    assert_eq!((&whole.args, &whole.result), (&Some(Json::from_trusted("1")), &result));
    assert_eq!(whole.attempts.len(), 1);
    let listed = scene.list(everything()).await.jobs;
    let first = listed.iter().find(|job| job.id == id(1)).expect("the job");
    assert_eq!(*first, Job { args: None, result: None, attempts: Vec::new(), ..whole });
    let queue = Name::default_name();
    let peeked = scene.store.peek(&queue, &queue, 1).await.expect("a peek");
    assert_eq!(peeked[0], Job { args: None, ..scene.job(3).await });
}

/// A list can be read page by page, newest first, while jobs are added.
pub async fn lists_page_by_cursor(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    assert_eq!(scene.list(everything()).await, Page::default());
    scene.add(jobs(1..=25)).await;
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = scene.list(Filter { before, limit: 10, ..everything() }).await;
        assert!(page.jobs.len() <= 10);
        seen.extend(page.jobs.iter().map(|job| job.id.as_u128()));
        scene.add(vec![job(100 + seen.len() as u128)]).await;
        before = page.next;
        if before.is_none() {
            break;
        }
        assert_eq!(page.next, page.jobs.last().map(|job| job.seq), "the cursor is the last seq");
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
    let beyond = scene.list(Filter { before: Some(0), ..everything() }).await;
    assert_eq!(beyond, Page::default());
}

/// Each filter leaves out what it does not name, and they can be combined.
pub async fn lists_filter(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let new = |number, queue, task, tags: &[&str]| NewJob {
        queue: name(queue),
        task: name(task),
        extras: Extras { tags: tags.iter().map(|&tag| tag.into()).collect(), ..Extras::default() },
        ..job(number)
    };
    scene.add(vec![new(1, "a", "x", &["red"]), new(2, "a", "y", &["red", "big"])]).await;
    scene.add(vec![new(3, "b", "x", &[]), new(4, "b", "y", &["big"])]).await;
    scene.add(vec![NewJob { namespace: name("elsewhere"), ..new(5, "a", "x", &["red"]) }]).await;
    scene.take(&mut Hand::serving(1, &["b"], None), 1).await;
    scene.command(cancel(2, "not needed")).await;

    let listed = async |filter: Filter| -> Vec<u128> {
        scene.list(filter).await.jobs.iter().map(|job| job.id.as_u128()).collect()
    };
    let queue = |text| Some(name(text));
    assert_eq!(listed(Filter { queue: queue("a"), ..everything() }).await, [2, 1]);
    assert_eq!(listed(Filter { task: queue("x"), ..everything() }).await, [3, 1]);
    assert_eq!(listed(Filter { queue: queue("c"), ..everything() }).await, []);
    assert_eq!(listed(Filter { tag: Some("big".into()), ..everything() }).await, [4, 2]);
    assert_eq!(listed(Filter { tag: Some("bi".into()), ..everything() }).await, []);
    let in_state = async |state| listed(Filter { state: Some(state), ..everything() }).await;
    assert_eq!(in_state(StateName::Running).await, [3]);
    assert_eq!(in_state(StateName::Available).await, [4, 1]);
    assert_eq!(in_state(StateName::Cancelled).await, [2]);
    assert_eq!(in_state(StateName::Completed).await, []);
    let both = Filter { queue: queue("a"), tag: Some("red".into()), ..everything() };
    assert_eq!(listed(Filter { state: Some(StateName::Available), ..both.clone() }).await, [1]);
    assert_eq!(listed(Filter { limit: 1, ..both }).await, [2]);
    let elsewhere = Filter { namespace: name("elsewhere"), ..everything() };
    assert_eq!(listed(elsewhere).await, [5]);
}

/// After everything that can happen to jobs, the counters are what a count finds.
pub async fn counts_equal_a_recount(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let expires_at = Some(scene.now().plus(SECOND));
    let expiring = Extras { expires_at, ..Extras::default() };
    let run_at = Some(scene.now().plus(HOUR));
    scene.add(jobs(1..=9)).await;
    scene.add(vec![NewJob { extras: expiring, ..job(10) }, NewJob { run_at, ..job(11) }]).await;
    scene.add(vec![NewJob { queue: name("other"), ..job(12) }]).await;
    let oldest = scene.now();
    scene.clock.advance(SECOND);
    scene.sweep().await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 6).await;
    scene.report(&claimed[0], completed()).await;
    scene.report(&claimed[1], Outcome::Released).await;
    scene.report(&claimed[2], Outcome::Snoozed { delay: HOUR }).await;
    scene.report(&claimed[3], Outcome::Cancelled { reason: "no".into() }).await;
    let error = taskwright_core::JobError::new("error", "it broke");
    scene.report(&claimed[4], Outcome::Failed { error, retry: Retry::Never }).await;
    scene.command(cancel(9, "not needed")).await;
    scene.command(delete(9)).await;

    let expected = QueueCounts {
        ready: 3,
        scheduled: 2,
        running: 1,
        completed: 1,
        dead: 1,
        cancelled: 1,
        expired: 1,
        oldest_ready_at: Some(full_second(oldest)),
        ..QueueCounts::empty(name("default"))
    };
    assert_eq!(scene.counts("default").await, expected);
    let all = scene.store.counts(&Name::default_name()).await.expect("counts");
    assert!(all.is_sorted_by_key(|counts| counts.queue.clone()), "by name");
    let listed = scene.list(everything()).await.jobs;
    for counts in all {
        for state in StateName::ALL {
            let recount = listed
                .iter()
                .filter(|job| job.queue == counts.queue && job.life.state.name() == state);
            assert_eq!(counts.of(state), recount.count() as u64, "{state} in {}", counts.queue);
        }
    }
}

fn full_second(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().div_euclid(1_000_000) * 1_000_000)
}

/// A get answers each id in its place, known or not, once or twice.
pub async fn get_keeps_the_order(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let ids = [id(3), id(9), id(1), id(3)];
    let jobs = scene.store.get(&Name::default_name(), &ids).await.expect("a get");
    let found: Vec<_> = jobs.iter().map(|job| job.as_ref().map(|job| job.id)).collect();
    assert_eq!(found, [Some(id(3)), None, Some(id(1)), Some(id(3))]);
    let elsewhere = scene.store.get(&name("elsewhere"), &ids).await.expect("a get");
    assert_eq!(elsewhere, [None, None, None, None]);
}

/// No call of one namespace shows or changes anything of another.
pub async fn namespaces_do_not_see_each_other(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take_one(&mut worker).await;
    let elsewhere = name("elsewhere");

    let claim = Claim { namespace: elsewhere.clone(), ..Hand::new(1).next_claim(9) };
    assert_eq!(scene.store.claim(claim).await.expect("a claim"), []);
    let heartbeat = worker.heartbeat(9, held(std::slice::from_ref(&claimed)));
    let heartbeat = Heartbeat { namespace: elsewhere.clone(), ..heartbeat };
    let reply = scene.store.heartbeat(heartbeat).await.expect("a heartbeat");
    assert_eq!(reply.lost, held(&[claimed]));
    let commands = vec![
        Command::Cancel { namespace: elsewhere.clone(), id: id(2), reason: "no".into() },
        Command::Pause { namespace: elsewhere.clone(), queue: name("default") },
    ];
    let answers = scene.store.control("tester", commands).await.expect("the commands");
    assert_eq!(answers[0], Controlled::NotFound);
    let peeked = scene.store.peek(&elsewhere, &name("default"), 9).await.expect("a peek");
    assert_eq!(peeked, []);
    let listed = scene.list(Filter { namespace: elsewhere.clone(), ..everything() }).await;
    assert_eq!(listed, Page::default());

    assert_eq!(scene.state(1).await, StateName::Running);
    assert_eq!(scene.take_one(&mut worker).await.id, id(2));
}

/// Reads events until one of this job in this state, for as long as a test may take.
async fn hear(events: &mut Events, number: u128, state: StateName) -> Event {
    let heard = async {
        loop {
            let Heard::Events(group) = events.next().await else { continue };
            let wanted = |event: &&Event| event.id == id(number) && event.state == state;
            if let Some(event) = group.iter().find(wanted) {
                return event.clone();
            }
        }
    };
    tokio::time::timeout(MINUTE, heard).await.expect("the change is announced")
}

/// Whoever listens hears of new jobs, of starts and of ends.
pub async fn s8_changes_are_announced(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut events = scene.store.events();
    scene.add(vec![job(1)]).await;
    let inserted = hear(&mut events, 1, StateName::Available).await;
    assert_eq!((inserted.namespace, inserted.attempt), (Name::default_name(), 0));
    assert_eq!((inserted.queue, inserted.task), (name("default"), name("task")));
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    assert_eq!(hear(&mut events, 1, StateName::Running).await.attempt, 1);
    scene.report(&claimed, completed()).await;
    assert_eq!(hear(&mut events, 1, StateName::Completed).await.attempt, 1);
    scene.command(redrive(1, 0)).await;
    hear(&mut events, 1, StateName::Available).await;
    scene.command(cancel(1, "no")).await;
    hear(&mut events, 1, StateName::Cancelled).await;
}

/// A worker is nudged where a running job of its was asked to stop.
pub async fn s8_a_cancel_nudges_the_worker(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut nudges = scene.store.nudges();
    scene.add(jobs(1..=2)).await;
    let worker = &mut Hand::new(7);
    scene.take_one(worker).await;

    scene.command(cancel(2, "it waits")).await;
    scene.command(cancel(1, "it runs")).await;

    let nudged = async { nudges.next().await.expect("nudges of an open store") };
    let nudged = tokio::time::timeout(MINUTE, nudged).await.expect("the worker is nudged");
    let nudge = Nudge { namespace: Name::default_name(), worker: worker.id };
    assert_eq!(nudged.to_vec(), [nudge]);
    assert!(scene.job(1).await.life.cancel_requested, "it is told once it is so");
}

/// A store says what it is, and its time is never behind its clock.
pub async fn a_store_describes_itself(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let described = scene.store.describe().await.expect("a description");
    assert!(!described.kind.is_empty());
    assert!(!described.location.is_empty());
    assert!(described.epoch >= 1);
    assert!(described.now >= scene.now());
}

/// After the close every call says so.
pub async fn a_closed_store_answers_closed(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    let mut events = scene.store.events();
    let store = &scene.store;
    store.close().await.expect("a close");

    let default = Name::default_name();
    let insert = Insert { jobs: vec![job(2)], partial: false };
    let report = Report {
        namespace: default.clone(),
        id: claimed.id,
        token: claimed.token,
        outcome: completed(),
    };
    let mut worker = Hand::new(1);
    let errors = [
        store.insert(insert).await.err(),
        store.claim(worker.next_claim(1)).await.err(),
        store.report(vec![report]).await.err(),
        store.heartbeat(worker.heartbeat(1, vec![])).await.err(),
        store.sweep(9).await.err(),
        store.control("tester", vec![pause("default")]).await.err(),
        store.get(&default, &[id(1)]).await.err(),
        store.list(everything()).await.err(),
        store.peek(&default, &default, 1).await.err(),
        store.counts(&default).await.err(),
        store.workers(&default).await.err(),
    ];
    for (index, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("call {index} answers after the close"));
        assert_eq!(error.kind, ErrorKind::Closed, "call {index}: {error}");
    }
    while let Heard::Events(_) | Heard::Missed = next_of(&mut events).await {}
    store.close().await.expect("closing again does no harm");
}

async fn next_of(events: &mut Events) -> Heard {
    tokio::time::timeout(MINUTE, events.next()).await.expect("the stream ends")
}

/// A claim that waits when the store is closed does not wait on.
pub async fn a_close_ends_waiting_claims(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    let claim = Claim { wait: MINUTE, ..worker.next_claim(1) };
    let store = Arc::clone(&scene.store);
    let claim = tokio::spawn(async move { store.claim(claim).await });
    while scene.store.workers(&Name::default_name()).await.expect("the workers").is_empty() {
        tokio::task::yield_now().await;
    }
    scene.store.close().await.expect("a close");
    match claim.await.expect("the worker") {
        Ok(jobs) => assert_eq!(jobs, []),
        Err(error) => assert_eq!(error.kind, ErrorKind::Closed, "{error}"),
    }
}
