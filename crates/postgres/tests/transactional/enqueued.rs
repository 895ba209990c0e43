//! A job that is enqueued in a transaction exists if and only if that commits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::{JobId, Name};
use taskwright_postgres::transaction;
use taskwright_store::{Filter, Store};
use taskwright_testbed::{Schema, available, fresh_schema};
use uuid::Uuid;

use crate::support::client::Application;
use crate::support::jobs::{Hand, complete, job, open, sweeping, url_of};
use crate::support::random::{Random, rounds};

/// How a transaction ends.
#[derive(Copy, Clone, Debug)]
enum End {
    Commit,
    Rollback,
    /// The backend is terminated before this step.
    Terminated(u64),
    /// The application dies before this step.
    Dies(u64),
    /// The backend is terminated while the commit is under way.
    CommitAndTerminated,
}

const STEPS: u64 = 4;

fn end(random: &mut Random) -> End {
    match random.below(8) {
        0..=2 => End::Commit,
        3 => End::Rollback,
        4 | 5 => End::Terminated(random.below(STEPS)),
        6 => End::Dies(random.below(STEPS)),
        _ => End::CommitAndTerminated,
    }
}

fn terminate(schema: &Schema, backend: i32) {
    schema.psql(&format!("select pg_terminate_backend({backend})")).unwrap();
}

/// One transaction; it may fail anywhere, as its connection is lost in it.
async fn transact(
    schema: &Schema,
    application: &mut Option<Application>,
    id: JobId,
    end: End,
) -> Result<(), transaction::Error> {
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    for step in 0..STEPS {
        match end {
            End::Terminated(at) if at == step => {
                terminate(schema, application.as_ref().unwrap().backend)
            }
            End::Dies(at) if at == step => {
                application.take().unwrap().dies();
                return Ok(());
            }
            _ => {}
        }
        let client = application.as_ref().unwrap();
        match step {
            0 => client.batch_execute("begin").await?,
            1 => {
                let order = Uuid::from_u128(id.as_u128());
                client.execute("insert into orders values ($1)", &[&order]).await?;
            }
            2 => drop(in_schema.enqueue(&**client, &job(id)).await?),
            _ => match end {
                End::Rollback => client.batch_execute("rollback").await?,
                End::CommitAndTerminated => {
                    let commit = client.batch_execute("commit");
                    let backend = client.backend;
                    tokio::task::block_in_place(|| terminate(schema, backend));
                    commit.await?;
                }
                _ => client.batch_execute("commit").await?,
            },
        }
    }
    Ok(())
}

async fn is_lost(application: Option<&Application>) -> bool {
    match application {
        Some(application) => application.batch_execute("rollback").await.is_err(),
        None => true,
    }
}

/// Claims what there is, and panics if the order of a job is not there.
async fn claims(schema: &Schema, url: String, mut hand: Hand) {
    let store = open(&url).await;
    let application = Application::of(schema).await;
    loop {
        let jobs = hand.take(&*store, 100, Duration::from_millis(200)).await;
        for job in &jobs {
            let order = Uuid::from_u128(job.id.as_u128());
            let found = application.query("select 1 from orders where id = $1", &[&order]).await;
            assert_eq!(found.unwrap().len(), 1, "job {} was claimed before its commit", job.id);
        }
        complete(&*store, &jobs).await;
    }
}

async fn known_jobs(store: &dyn Store) -> BTreeSet<JobId> {
    let mut filter = Filter {
        namespace: Name::default_name(),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit: 1_000,
    };
    let mut known = BTreeSet::new();
    loop {
        let page = store.list(filter.clone()).await.unwrap();
        known.extend(page.jobs.iter().map(|job| job.id));
        let Some(next) = page.next else { return known };
        filter.before = Some(next);
    }
}

fn orders(schema: &Schema) -> BTreeSet<JobId> {
    let lines = schema.psql("select id from orders").unwrap();
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_exists_if_and_only_if_its_order_does() {
    let test = "postgres_transactional::a_job_exists";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let url = url_of(&schema);
    let store = open(&url).await;
    schema.psql("create table orders (id uuid primary key)").unwrap();
    let sweeper = sweeping(&store, Duration::from_millis(20));
    let hand = Hand::new(&mut random);
    let (url, name) = (url.clone(), schema.name().to_owned());
    let schema = Arc::new(schema);
    let claimer = tokio::spawn({
        let schema = Arc::clone(&schema);
        async move { claims(&schema, url, hand).await }
    });
    println!("in the schema {name}");

    let begun = Instant::now();
    let rounds = rounds() * 10;
    let mut application = Some(Application::of(&schema).await);
    let mut committed = 0;
    for round in 0..rounds {
        if is_lost(application.as_ref()).await {
            application = Some(Application::of(&schema).await);
        }
        let (id, end) = (random.job_id(), end(&mut random));
        let done = transact(&schema, &mut application, id, end).await;
        let find = format!("select 1 from orders where id = '{id}'");
        let is_there = || schema.psql(&find).unwrap() == "1";
        match end {
            End::Commit => {
                done.unwrap_or_else(|error| panic!("round {round}: {error}"));
                committed += 1;
            }
            End::CommitAndTerminated => {}
            _ => assert!(!is_there(), "round {round}: {end:?} left an order behind"),
        }
        assert!(!claimer.is_finished(), "round {round}: the claimer has failed");
    }
    println!("{rounds} transactions, {committed} committed for sure, in {:?}", begun.elapsed());

    // The last ones are taken in by a sweep.
    let expected = orders(&schema);
    let deadline = Instant::now() + Duration::from_secs(20);
    while known_jobs(&*store).await.len() < expected.len() {
        assert!(Instant::now() < deadline, "jobs are missing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(known_jobs(&*store).await, expected);
    assert!(expected.len() >= committed);
    sweeper.abort();
    claimer.abort();
    let claimer = claimer.await.unwrap_err();
    assert!(claimer.is_cancelled(), "{claimer}");
}
