//! Queues that let only so many jobs wait, and retry budgets, of nodes that know old policies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{JobError, Name, Policy, Rate, Subject, Timestamp};
use taskwright_postgres::{PostgresStore, transaction};
use taskwright_store::{Insert, Inserted, Outcome, Refusal, Report, Retry, Store};
use taskwright_testbed::{available, fresh_schema};

use super::words::{add, counts, key, keyed, limit, set, sweep_until};
use crate::support::client::Application;
use crate::support::jobs::{Hand, job, open, url_of};
use crate::support::random::Random;

fn own_queue() -> Subject {
    Subject::Queue(Name::default_name())
}

fn waiting(max: u32) -> Policy {
    Policy { waiting: Some(max), ..Policy::default() }
}

fn full(max: u32) -> Inserted {
    Inserted::Refused(Refusal::WaitingFull { queue: Name::default_name(), max })
}

/// How many of some jobs are written, each for itself.
async fn written(store: &PostgresStore, random: &mut Random, jobs: usize) -> usize {
    let jobs = (0..jobs).map(|_| job(random.job_id())).collect();
    let answers = store.insert(Insert { jobs, partial: true }).await.unwrap();
    answers.iter().filter(|answer| matches!(answer, Inserted::New { .. })).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_learns_of_the_bounds_that_another_sets() {
    let Some(schema) = available("postgres_limits::bounds", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let (one, other) = (open(&url_of(&schema)).await, open(&url_of(&schema)).await);
    // Each way to write: one, several alike, several that differ, with keys.
    add(&other, vec![job(random.job_id())]).await;
    limit(&one, own_queue(), waiting(3)).await;
    assert_eq!(written(&other, &mut random, 9).await, 2);
    let single = Insert { jobs: vec![job(random.job_id())], partial: false };
    assert_eq!(other.insert(single).await.unwrap(), [full(3)]);
    // It is raised, lowered and taken away, by the one that does not write.
    limit(&one, own_queue(), waiting(5)).await;
    assert_eq!(written(&other, &mut random, 9).await, 2);
    limit(&one, own_queue(), waiting(4)).await;
    assert_eq!(written(&other, &mut random, 1).await, 0);
    one.control("test", vec![set(own_queue(), None)]).await.unwrap();
    assert_eq!(written(&other, &mut random, 9).await, 9);
    limit(&one, own_queue(), waiting(15)).await;
    let differing =
        (0..2).map(|at| taskwright_core::NewJob { priority: at, ..job(random.job_id()) });
    let answers = other.insert(Insert { jobs: differing.collect(), partial: false }).await.unwrap();
    assert_eq!(answers, [Inserted::Skipped, full(15)]);
    let with_key = keyed(&mut random, &["some"]);
    add(&other, vec![with_key]).await;
    limit(&one, key("some"), waiting(0)).await;
    let with_key = keyed(&mut random, &["some"]);
    let answers = other.insert(Insert { jobs: vec![with_key], partial: false }).await.unwrap();
    assert_eq!(answers, [full(15)], "a queue, not the key");
    assert_eq!(counts(&other).await, (15, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_transactions_wait_until_their_queue_has_room() {
    let Some(schema) = available("postgres_limits::bound_intake", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let mut application = Application::of(&schema).await;
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    limit(&store, own_queue(), waiting(2)).await;
    let tx = application.transaction().await.unwrap();
    for _ in 0..3 {
        in_schema.enqueue(&tx, &job(random.job_id())).await.unwrap();
    }
    tx.commit().await.unwrap();
    sweep_until(&store, (2, 0, 0)).await;
    let claimed = Hand::new(&mut random).take(&*store, 1, Duration::ZERO).await;
    assert_eq!(claimed.len(), 1);
    sweep_until(&store, (2, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_retries_of_two_nodes_have_the_same_place() {
    const JOBS: usize = 40;

    let Some(schema) = available("postgres_limits::budgets", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let nodes = [open(&url_of(&schema)).await, open(&url_of(&schema)).await];
    // So slow that all of them fail within the time of one place.
    let retries = Some(Rate::new(1, Duration::from_secs(1_000)));
    limit(&nodes[0], own_queue(), Policy { retries, ..Policy::default() }).await;
    let new: Vec<_> = (0..JOBS).map(|_| job(random.job_id())).collect();
    let ids: Vec<_> = new.iter().map(|job| job.id).collect();
    add(&nodes[0], new).await;
    let claimed = Hand::new(&mut random).take(&*nodes[0], JOBS, Duration::ZERO).await;
    let reporting: Vec<_> = claimed
        .into_iter()
        .enumerate()
        .map(|(place, job)| {
            let node = Arc::clone(&nodes[place % 2]);
            let error = JobError::new("error", "it broke");
            let outcome = Outcome::Failed { error, retry: Retry::After(Duration::ZERO) };
            let namespace = Name::default_name();
            let report = Report { namespace, id: job.id, token: job.token, outcome };
            tokio::spawn(async move { node.report(vec![report]).await.unwrap() })
        })
        .collect();
    for reported in reporting {
        reported.await.unwrap();
    }
    let jobs = nodes[1].get(&Name::default_name(), &ids).await.unwrap();
    let due: BTreeSet<Timestamp> = jobs.into_iter().flatten().map(|job| job.run_at).collect();
    assert_eq!(due.len(), JOBS);
    let due: Vec<Timestamp> = due.into_iter().collect();
    let apart = Duration::from_secs(1_000);
    assert!(due[1..].windows(2).all(|two| two[1].since(two[0]) == apart), "{due:?}");
}
