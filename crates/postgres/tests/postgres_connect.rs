//! The way to PostgreSQL: calls, transactions, hints, and connections that are cut.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use taskwright_postgres::connect::{Connection, Fault, Health, Hint, Pool, Repeat, Target};
use taskwright_store::{Error, ErrorKind};
use taskwright_testbed::{Database, available, shared_database};
use tokio::time::timeout;
use tokio_postgres::types::Type;

const LONG: Duration = Duration::from_secs(20);

fn database(test: &str) -> Option<Database> {
    available(&format!("postgres_connect::{test}"), shared_database())
}

fn pool(database: &Database, parameters: &str) -> Pool {
    pool_at(&format!("{}?{parameters}", database.url()))
}

fn pool_at(url: &str) -> Pool {
    Pool::new(Target::parse(url).unwrap()).unwrap()
}

fn soon() -> Instant {
    Instant::now() + LONG
}

async fn number(connection: Connection, sql: &str) -> Result<i64, Fault> {
    Ok(connection.query_one(sql, &[]).await?.try_get(0)?)
}

async fn ask(pool: &Pool, sql: &str) -> Result<i64, Error> {
    pool.with(soon(), Repeat::Yes, |connection| number(connection, sql)).await
}

/// Asks the database itself until it says so.
async fn until_it_says(database: &Database, sql: &str, expected: &str) {
    let deadline = soon();
    while database.psql(sql).unwrap() != expected {
        assert!(Instant::now() < deadline, "{sql} is not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const BUSY_BACKENDS: &str = "select count(*) from pg_stat_activity where datname = \
    current_database() and query like '%pg_sleep(60)%' and state = 'active' and pid <> \
    pg_backend_pid()";
const BACKENDS: &str = "select count(*) from pg_stat_activity where datname = current_database() \
    and application_name = 'taskwright'";

#[tokio::test]
async fn a_call_runs_on_a_connection() {
    let Some(database) = database("a_call_runs_on_a_connection") else { return };
    let pool = pool(&database, "pool=2");
    assert_eq!(*pool.health().borrow(), Health::Untried);
    let sum = pool
        .with(soon(), Repeat::Yes, |connection| async move {
            let row = connection
                .query_one("select $1 + $2", &[(&1_i64, Type::INT8), (&2_i64, Type::INT8)])
                .await?;
            Ok(row.try_get::<_, i64>(0)?)
        })
        .await;
    assert_eq!(sum.unwrap(), 3);
    assert!(pool.health().borrow().is_connected());
}

#[tokio::test]
async fn statements_polled_together_are_sent_together() {
    let Some(database) = database("statements_polled_together") else { return };
    let pool = pool(&database, "");
    let answers = pool.with(soon(), Repeat::Yes, |connection| async move {
        let ask = |sql| number(connection.clone(), sql);
        tokio::try_join!(ask("select 1::int8"), ask("select 2::int8"), ask("select 3::int8"))
    });
    assert_eq!(answers.await.unwrap(), (1, 2, 3));
}

#[tokio::test]
async fn there_are_never_more_connections_than_allowed() {
    let Some(database) = database("never_more_connections") else { return };
    let pool = pool(&database, "pool=3");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let pool = pool.clone();
        calls.spawn(async move { ask(&pool, BACKENDS).await.unwrap() });
    }
    let counts = calls.join_all().await;
    assert!(counts.iter().all(|count| (1..=3).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn whoever_gets_no_connection_in_time_is_told() {
    let Some(database) = database("whoever_gets_no_connection") else { return };
    let pool = pool(&database, "pool=1");
    let occupied = pool.with(soon(), Repeat::No, |_connection| async {
        let deadline = Instant::now() + Duration::from_millis(100);
        Ok(pool.with(deadline, Repeat::Yes, |c| number(c, "select 1::int8")).await)
    });
    let error = occupied.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy, "{error}");
    assert!(error.message.contains("all 1 connections"), "{error}");
}

#[tokio::test]
async fn a_deadline_ends_the_call_on_the_server_too() {
    let Some(database) = database("a_deadline_ends_the_call") else { return };
    let pool = pool(&database, "");
    ask(&pool, "select 1::int8").await.unwrap();
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(400);
    let sleep =
        |connection: Connection| async move { connection.query("select pg_sleep(60)", &[]).await };
    let error = pool.with(deadline, Repeat::No, sleep).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("may have been done"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    until_it_says(&database, BUSY_BACKENDS, "0").await;
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled() {
    let Some(database) = database("a_call_that_is_dropped") else { return };
    let pool = pool(&database, "pool=1");
    let call = pool.with(soon(), Repeat::No, |connection| async move {
        connection.query("select pg_sleep(60)", &[]).await
    });
    tokio::select! {
        _ = call => panic!("it cannot have ended"),
        () = until_it_says(&database, BUSY_BACKENDS, "1") => {}
    }
    until_it_says(&database, BUSY_BACKENDS, "0").await;
    assert_eq!(ask(&pool, "select 1::int8").await.unwrap(), 1);
}

#[tokio::test]
async fn a_transaction_is_done_as_a_whole_or_not() {
    let Some(database) = database("a_transaction_is_done") else { return };
    database.psql("create table rows (n int8 primary key)").unwrap();
    let pool = pool(&database, "");
    let insert = |n: i64, then: Result<(), Error>| {
        pool.transact(soon(), move |connection| {
            let then = then.clone();
            async move {
                let sql = "insert into rows values ($1)";
                connection.execute(sql, &[(&n, Type::INT8)]).await?;
                Ok(then?)
            }
        })
    };
    insert(1, Ok(())).await.unwrap();
    let refused = Error::new(ErrorKind::Invalid, "not this one");
    assert_eq!(insert(2, Err(refused.clone())).await.unwrap_err(), refused);
    let taken = insert(1, Ok(())).await.unwrap_err();
    assert_eq!(taken.kind, ErrorKind::Invalid, "{taken}");
    assert_eq!(database.psql("select n from rows").unwrap(), "1");
}

#[tokio::test]
async fn a_failed_statement_that_nobody_noticed_is_no_success() {
    let Some(database) = database("a_failed_statement") else { return };
    database.psql("create table rows (n int8 primary key)").unwrap();
    let pool = pool(&database, "pool=1");
    let outcome = pool.transact(soon(), |connection| async move {
        connection.execute("insert into rows values (1)", &[]).await?;
        let _ = connection.execute("insert into rows values (1)", &[]).await;
        Ok(())
    });
    outcome.await.unwrap_err();
    assert_eq!(ask(&pool, "select count(*) from rows").await.unwrap(), 0);
}

#[tokio::test]
async fn deadlocks_are_repeated() {
    let Some(database) = database("deadlocks_are_repeated") else { return };
    database.psql("create table rows (n int8 primary key, times int8)").unwrap();
    database.psql("insert into rows values (1, 0), (2, 0)").unwrap();
    let pool = pool(&database, "");
    let runs = AtomicUsize::new(0);
    let meeting = tokio::sync::Barrier::new(2);
    let both = |first: i64, second: i64| {
        let (pool, runs, meeting) = (&pool, &runs, &meeting);
        pool.transact(soon(), move |connection| async move {
            let sql = "update rows set times = times + 1 where n = $1";
            connection.execute(sql, &[(&first, Type::INT8)]).await?;
            // Only the first two runs meet, and so must collide.
            if runs.fetch_add(1, Ordering::SeqCst) < 2 {
                meeting.wait().await;
            }
            connection.execute(sql, &[(&second, Type::INT8)]).await
        })
    };
    tokio::try_join!(both(1, 2), both(2, 1)).unwrap();
    assert!(runs.load(Ordering::SeqCst) > 2);
    assert_eq!(database.psql("select times from rows").unwrap(), "2\n2");
}

#[tokio::test]
async fn collisions_are_repeated_so_often_and_no_more() {
    let Some(database) = database("collisions_are_repeated") else { return };
    let pool = pool(&database, "");
    let runs = AtomicUsize::new(0);
    let collide = |connection: Connection| {
        runs.fetch_add(1, Ordering::SeqCst);
        let sql = "do $$ begin raise exception 'mine' using errcode = '40001'; end $$";
        async move { connection.batch(sql).await }
    };
    let error = pool.transact(soon(), collide).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy, "{error}");
    assert_eq!(runs.load(Ordering::SeqCst), 11);
}

#[tokio::test]
async fn a_connection_that_is_cut_in_a_call_is_replaced() {
    let Some(database) = database("a_connection_that_is_cut") else { return };
    let pool = pool(&database, "pool=1");
    let runs = AtomicUsize::new(0);
    let call = |repeat| {
        let runs = &runs;
        pool.with(soon(), repeat, move |connection| async move {
            match runs.fetch_add(1, Ordering::SeqCst) {
                0 => number(connection, "select pg_sleep(60)::text::int8").await,
                _ => number(connection, "select 7::int8").await,
            }
        })
    };
    let cut = async {
        until_it_says(&database, BUSY_BACKENDS, "1").await;
        assert_eq!(database.terminate_backends().unwrap(), 1);
    };
    let (answer, ()) = tokio::join!(call(Repeat::Yes), cut);
    assert_eq!(answer.unwrap(), 7);
    assert_eq!(runs.swap(0, Ordering::SeqCst), 2);
    let cut = async {
        until_it_says(&database, BUSY_BACKENDS, "1").await;
        assert_eq!(database.terminate_backends().unwrap(), 1);
    };
    let (answer, ()) = tokio::join!(call(Repeat::No), cut);
    let error = answer.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(ask(&pool, "select 8::int8").await.unwrap(), 8);
}

#[tokio::test]
async fn a_transaction_that_is_cut_before_its_commit_is_repeated() {
    let Some(database) = database("a_transaction_that_is_cut") else { return };
    database.psql("create table rows (n int8)").unwrap();
    let pool = pool(&database, "pool=1");
    let runs = AtomicUsize::new(0);
    let (database, runs) = (&database, &runs);
    let outcome = pool.transact(soon(), |connection| async move {
        connection.execute("insert into rows values (1)", &[]).await?;
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            database.terminate_backends().unwrap();
        }
        connection.execute("insert into rows values (2)", &[]).await
    });
    outcome.await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(database.psql("select n from rows").unwrap(), "1\n2");
}

#[tokio::test]
async fn a_cut_at_the_commit_is_told() {
    let Some(database) = database("a_cut_at_the_commit") else { return };
    let pool = pool(&database, "pool=1");
    let database = &database;
    let outcome = pool.transact(soon(), |connection| async move {
        connection.execute("select 1", &[]).await?;
        database.terminate_backends().unwrap();
        Ok(())
    });
    let error = outcome.await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("may have been done"), "{error}");
}

#[tokio::test]
async fn when_all_connections_are_cut_nobody_notices() {
    let Some(database) = database("when_all_connections_are_cut") else { return };
    let pool = pool(&database, "pool=4");
    let mut health = pool.health();
    for _ in 0..5 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let pool = pool.clone();
            calls.spawn(async move { ask(&pool, "select count(*) from pg_sleep(0.01)").await });
        }
        for answer in calls.join_all().await {
            assert_eq!(answer.unwrap(), 1);
        }
        database.terminate_backends().unwrap();
    }
    // Nobody calls, and yet there is a connection again.
    let connected = health.wait_for(Health::is_connected);
    timeout(LONG, connected).await.unwrap().unwrap();
    until_it_says(&database, BACKENDS, "1").await;
}

#[tokio::test]
async fn a_listener_hears_and_comes_back() {
    let Some(database) = database("a_listener_hears") else { return };
    let pool = pool(&database, "");
    let mut listener = pool.listen("tw \"quoted\" Channel");
    let mut next = async || timeout(LONG, listener.next()).await.unwrap().unwrap();
    assert_eq!(next().await, Hint::Reconnected);
    let notify = |payload: &str| {
        let sql = format!("select pg_notify('tw \"quoted\" Channel', '{payload}')");
        database.psql(&sql).unwrap();
    };
    notify("one");
    assert_eq!(next().await, Hint::Payload("one".to_string()));
    database.terminate_backends().unwrap();
    assert_eq!(next().await, Hint::Reconnected);
    notify("two");
    assert_eq!(next().await, Hint::Payload("two".to_string()));
}

#[tokio::test]
async fn what_cannot_work_is_told_at_once() {
    let Some(database) = database("what_cannot_work") else { return };
    let missing = pool_at(&database.url().replace(database.name(), "no_such_database_here"));
    let begun = Instant::now();
    let error = ask(&missing, "select 1::int8").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unusable, "{error}");
    assert!(error.message.contains("no_such_database_here"), "{error}");
    assert!(
        matches!(&*missing.health().borrow(), Health::Unreachable { why, .. } if *why == error.message)
    );
    let pool = pool(&database, "");
    let error = ask(&pool, "select n from no_such_table").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unusable, "{error}");
    let error = ask(&pool, "select 'x'").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_closed_pool_refuses_and_lets_go() {
    let Some(database) = database("a_closed_pool") else { return };
    let pool = pool(&database, "");
    ask(&pool, "select 1::int8").await.unwrap();
    pool.close();
    let error = ask(&pool, "select 1::int8").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Closed, "{error}");
    until_it_says(&database, BACKENDS, "0").await;
}
