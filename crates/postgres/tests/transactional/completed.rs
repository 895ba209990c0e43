//! A job that is completed in a transaction is completed if and only if that commits.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use taskwright_core::{Json, Name, StateName};
use taskwright_postgres::transaction::{self, Error};
use taskwright_store::{ClaimedJob, Insert, Outcome, Reported, Store};
use taskwright_testbed::{Schema, available, fresh_schema};
use uuid::Uuid;

use crate::support::client::Application;
use crate::support::jobs::{Hand, complete, completed_by, job, open, report, url_of};
use crate::support::random::{Random, rounds};

/// How the transaction of an attempt ends.
#[derive(Copy, Clone, Debug)]
enum End {
    Commit,
    Rollback,
    /// The backend is terminated before this step.
    Terminated(u64),
    /// The application dies before this step.
    Dies(u64),
    /// The attempt had ended before.
    Stale,
}

const STEPS: u64 = 4;

fn end(random: &mut Random) -> End {
    match random.below(8) {
        0..=2 => End::Commit,
        3 => End::Rollback,
        4 => End::Terminated(random.below(STEPS)),
        5 => End::Dies(random.below(STEPS)),
        _ => End::Stale,
    }
}

/// One transaction with the effect of a job and its completion.
async fn transact(
    schema: &Schema,
    application: &mut Option<Application>,
    claimed: &ClaimedJob,
    end: End,
) -> Result<(), Error> {
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    let effect = Uuid::from_u128(claimed.id.as_u128());
    for step in 0..STEPS {
        match end {
            End::Terminated(at) if at == step => {
                let backend = application.as_ref().unwrap().backend;
                schema.psql(&format!("select pg_terminate_backend({backend})")).unwrap();
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
            1 => drop(client.execute("insert into effects values ($1)", &[&effect]).await?),
            2 => {
                let result = Json::from_trusted(format!("\"{}\"", claimed.token));
                let namespace = Name::default_name();
                let (id, token) = (claimed.id, claimed.token);
                in_schema.complete(&**client, &namespace, id, token, Some(&result)).await?;
            }
            _ if matches!(end, End::Rollback) => client.batch_execute("rollback").await?,
            _ => client.batch_execute("commit").await?,
        }
    }
    Ok(())
}

fn effects(schema: &Schema) -> BTreeSet<String> {
    schema.psql("select id from effects").unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_completed_if_and_only_if_its_effect_is_there() {
    let test = "postgres_transactional::a_job_is_completed";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    schema.psql("create table effects (id uuid primary key)").unwrap();
    let mut hand = Hand::new(&mut random);

    let begun = Instant::now();
    let rounds = rounds() * 10;
    let mut application: Option<Application> = None;
    let mut stale = 0;
    for round in 0..rounds {
        let is_alive = match &application {
            Some(application) => application.batch_execute("rollback").await.is_ok(),
            None => false,
        };
        if !is_alive {
            application = Some(Application::of(&schema).await);
        }
        let id = random.job_id();
        store.insert(Insert { jobs: vec![job(id)], partial: false }).await.unwrap();
        let claimed = hand.take(&*store, 10, Duration::ZERO).await;
        let [claimed] = claimed.try_into().unwrap_or_else(|jobs: Vec<_>| panic!("{jobs:?}"));
        assert_eq!(claimed.id, id);

        let end = end(&mut random);
        let mut attempt = claimed.clone();
        if matches!(end, End::Stale) {
            let released = report(id, claimed.token, Outcome::Released);
            store.report(vec![released]).await.unwrap();
            attempt = hand.take(&*store, 10, Duration::ZERO).await.remove(0);
        }
        let done = transact(&schema, &mut application, &claimed, end).await;
        match (end, done) {
            (End::Commit, done) => {
                done.unwrap_or_else(|error| panic!("round {round}: {error}"));
                // Another attempt to complete it finds it done.
                let again = report(id, claimed.token, completed_by(claimed.token));
                assert_eq!(store.report(vec![again]).await.unwrap(), [Reported::Already]);
                continue;
            }
            (End::Stale, Err(Error::Stale(of))) => {
                assert_eq!(of, id);
                stale += 1;
            }
            (End::Stale, other) => panic!("round {round}: a stale token was answered {other:?}"),
            _ => {}
        }
        let find = format!("select count(*) from effects where id = '{id}'");
        assert_eq!(schema.psql(&find).unwrap(), "0", "round {round}: {end:?} left its effect");
        // The attempt is as it was, and completes.
        let applied = Reported::Applied { state: StateName::Completed };
        if round % 2 == 0 {
            assert_eq!(complete(&*store, &[attempt]).await, [applied]);
            schema.psql(&format!("insert into effects values ('{id}')")).unwrap();
        } else {
            let mut other = Some(Application::of(&schema).await);
            transact(&schema, &mut other, &attempt, End::Commit).await.unwrap();
        }
    }
    println!("{rounds} transactions, {stale} of them stale, in {:?}", begun.elapsed());
    let [counts] = store.counts(&Name::default_name()).await.unwrap().try_into().unwrap();
    assert_eq!((counts.completed, counts.live()), (rounds, 0), "{counts:?}");
    assert_eq!(effects(&schema).len() as u64, rounds);
}
