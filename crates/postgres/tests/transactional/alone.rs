//! An open transaction of the application, and what it enqueued, are in nobody's way.

use std::time::Duration;

use taskwright_core::{Json, Name, StateName};
use taskwright_postgres::transaction;
use taskwright_store::{Insert, Store};
use taskwright_testbed::{available, fresh_schema};
use tokio::time::timeout;

use crate::support::client::Application;
use crate::support::jobs::{Hand, SECOND, job, open, state_of, url_of};
use crate::support::random::Random;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_does_not_wait_for_a_completion() {
    let test = "postgres_transactional::a_heartbeat";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    let mut hand = Hand::new(&mut random);
    let jobs = vec![job(random.job_id()), job(random.job_id())];
    store.insert(Insert { jobs, partial: false }).await.unwrap();
    let claimed = hand.take(&*store, 2, Duration::ZERO).await;
    let (first, second) = (&claimed[0], &claimed[1]);

    let application = Application::of(&schema).await;
    application.batch_execute("begin").await.unwrap();
    let namespace = Name::default_name();
    in_schema.complete(&*application, &namespace, first.id, first.token, None).await.unwrap();
    let held = claimed.iter().map(|job| (job.id, job.token)).collect();
    let mut beat = hand.heartbeat(held);
    beat.progress =
        claimed.iter().map(|job| (job.id, job.token, Json::from_trusted("50"))).collect();
    let reply = timeout(2 * SECOND, store.heartbeat(beat)).await.expect("no wait").unwrap();
    assert!(reply.lost.is_empty(), "{reply:?}");
    application.batch_execute("commit").await.unwrap();
    assert_eq!(state_of(&*store, first.id).await, Some(StateName::Completed));
    let found = store.get(&namespace, &[second.id]).await.unwrap().remove(0).unwrap();
    assert_eq!(found.progress, Some(Json::from_trusted("50")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_outlasts_what_others_write_to_its_job() {
    let test = "postgres_transactional::a_completion_outlasts";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    let mut hand = Hand::new(&mut random);
    let jobs = vec![job(random.job_id())];
    store.insert(Insert { jobs, partial: false }).await.unwrap();
    let claimed = hand.take(&*store, 1, Duration::ZERO).await.remove(0);

    let other = Application::of(&schema).await;
    other.batch_execute("begin; update job set progress = '1'").await.unwrap();
    let application = Application::of(&schema).await;
    let waits = format!(
        "select count(*) from pg_stat_activity where pid = {} and wait_event_type = 'Lock'",
        application.backend
    );
    let namespace = Name::default_name();
    let completion = in_schema.complete(&*application, &namespace, claimed.id, claimed.token, None);
    let commit = async {
        while schema.psql(&waits).unwrap() != "1" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        other.batch_execute("commit").await.unwrap();
    };
    let (completed, ()) =
        timeout(10 * SECOND, async { tokio::join!(completion, commit) }).await.unwrap();
    completed.unwrap();
    assert_eq!(state_of(&*store, claimed.id).await, Some(StateName::Completed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_be_taken_in_holds_up_no_other() {
    let test = "postgres_transactional::cannot_be_taken_in";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let enqueue = format!("select {}.enqueue", schema.name());
    // A newer version may know what this is, so it stays.
    let odd = format!("{enqueue}('task', extras => '{{\"of_a_later_version\": 1}}')");
    schema.psql(&odd).unwrap();
    let id = random.job_id();
    schema.psql(&format!("{enqueue}('task', id => '{id}')")).unwrap();
    store.sweep(1_000).await.unwrap();
    assert_eq!(state_of(&*store, id).await, Some(StateName::Available));
    assert_eq!(schema.psql("select count(*) from intake").unwrap(), "1");
    let refused = schema.psql(&format!("{enqueue}('task', extras => 'no json')")).unwrap_err();
    assert!(refused.to_string().contains("22"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_without_room_hold_up_no_other() {
    let test = "postgres_transactional::without_room";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    store.insert(Insert { jobs: vec![job(random.job_id())], partial: false }).await.unwrap();
    // All lanes that there can be, and more jobs for others than a sweep takes in at once.
    let fill = "insert into lane (namespace, queue, task, requirement, priority, kind) \
        select 1, 'full', 't' || n, 0, 0, 0 from generate_series(2, 4096) n; \
        insert into counter (lane, state, amount) select number, 1, 1 from lane where queue = 'full'; \
        insert into intake (id, namespace, queue, task, args, priority, max_attempts, fingerprint) \
        select gen_random_uuid(), 'default', 'more', 't' || n, '1', 0, 1, 7 \
        from generate_series(1, 1100) n";
    schema.psql(fill).unwrap();
    let id = random.job_id();
    schema.psql(&format!("select {}.enqueue('task', id => '{id}')", schema.name())).unwrap();
    store.sweep(1_000).await.unwrap();
    assert_eq!(state_of(&*store, id).await, Some(StateName::Available));
    assert_eq!(schema.psql("select count(*) from intake").unwrap(), "1100");
}
