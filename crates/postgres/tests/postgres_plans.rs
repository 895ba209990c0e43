//! What statements look at, counted by the database: a wrong plan does the work of all jobs for one.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::time::Duration;

use support::client::Application;
use support::jobs::{Hand, job, open, url_of};
use support::random::Random;
use taskwright_core::limits::BATCH_MAX;
use taskwright_core::{Extras, LineKey, Name, NewJob};
use taskwright_store::{Insert, Store};
use taskwright_testbed::{Schema, available, fresh_schema};

const DELAYED: usize = 50_000;
/// Jobs that run, and of those so many are completed at once.
const RUNNING: usize = 1_000;
const COMPLETED: usize = 100;

/// A schema with so many delayed jobs as the planner knows, and some more that run or are ready,
/// which it does not know of.
async fn crowded(test: &str) -> Option<(Schema, Application)> {
    let schema = available(&format!("postgres_plans::{test}"), fresh_schema())?;
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let tomorrow = store.now().await.unwrap().plus(Duration::from_secs(86_400));
    for _ in 0..DELAYED / BATCH_MAX {
        let job = |_| NewJob { run_at: Some(tomorrow), ..job(random.job_id()) };
        let jobs = (0..BATCH_MAX).map(job).collect();
        store.insert(Insert { jobs, partial: false }).await.unwrap();
    }
    schema.psql("analyze job").unwrap();
    for _ in 0..2 {
        let jobs = (0..RUNNING).map(|_| job(random.job_id())).collect();
        store.insert(Insert { jobs, partial: false }).await.unwrap();
    }
    let claimed = Hand::new(&mut random).take(&*store, RUNNING, Duration::ZERO).await;
    assert_eq!(claimed.len(), RUNNING);
    let application = Application::of(&schema).await;
    Some((schema, application))
}

/// How many rows of `job` a statement looks at; what it does is undone.
async fn looked_at(application: &Application, statement: &str) -> i64 {
    application.batch_execute("begin").await.unwrap();
    // What the transactions before did may be counted still.
    let before = counted(application).await;
    application.batch_execute(statement).await.unwrap();
    let rows = counted(application).await - before;
    application.batch_execute("rollback").await.unwrap();
    rows
}

async fn counted(application: &Application) -> i64 {
    let count = "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint \
        from pg_stat_xact_user_tables where relid = 'job'::regclass";
    application.query_one(count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn completing_jobs_looks_at_no_others_beside_many_delayed_ones() {
    let Some((schema, application)) = crowded("completing").await else { return };
    let arguments = format!(
        "select format('null, (select min(number) from namespace), %L::bigint[], %L::uuid[], \
             %L::int[], %L::int[], %L::text[]', array_agg(seq), array_agg(id), array_agg(epoch), \
             array_agg(attempt), array_agg(null::text)) \
         from (select * from job where state = 5 order by seq limit {COMPLETED}) j"
    );
    let arguments = schema.psql(&arguments).unwrap();
    // The first call of a session plans, the others use that plan.
    for _ in 0..3 {
        let name = schema.name();
        let check = format!(
            "do $$ begin assert (select count(*) from {name}.complete({arguments})) = {COMPLETED}; \
             end $$"
        );
        let rows = looked_at(&application, &check).await;
        // Each is found, locked and deleted; by the wrong index, it would be sought among all that run.
        assert!(rows <= 4 * COMPLETED as i64, "{rows} rows for {COMPLETED} jobs");
    }
}

#[tokio::test]
async fn claiming_jobs_looks_at_no_others_beside_many_delayed_ones() {
    let Some((schema, application)) = crowded("claiming").await else { return };
    let name = schema.name();
    for _ in 0..3 {
        let one = format!(
            "do $$ begin assert (select count(*) from {name}.claim(null, (select min(number) from \
             {name}.namespace), array['default'], null, gen_random_uuid(), 1, false, 1, {COMPLETED}, \
             1000000, 1000000, '{{}}', '{{}}', '{{}}', 0, null, null)) = {COMPLETED}; end $$"
        );
        let together = format!(
            "do $$ begin assert (select count(*) from {name}.claim_together(null, (select \
             min(number) from {name}.namespace), array['default'], null, array[gen_random_uuid(), \
             gen_random_uuid()], 1, false, array[1, 1], array[{COMPLETED} / 2, {COMPLETED} / 2], \
             1000000, 1000000, '{{}}', '{{}}', '{{}}', 0, null, null)) = {COMPLETED}; end $$"
        );
        for statement in [one, together] {
            let rows = looked_at(&application, &statement).await;
            assert!(rows <= 4 * COMPLETED as i64, "{rows} rows for {COMPLETED} jobs");
        }
    }
}

#[tokio::test]
async fn counting_jobs_of_a_key_looks_at_no_others() {
    let Some((schema, application)) = crowded("keys").await else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let keyed = |key: &str, random: &mut Random| {
        let extras = Extras { limit_keys: vec![key.into()], ..Extras::default() };
        NewJob { extras, ..job(random.job_id()) }
    };
    let mut hand = Hand::new(&mut random);
    // Those without keys are taken first.
    let waiting = hand.take(&*store, BATCH_MAX, Duration::ZERO).await;
    for (key, amount) in [("common", BATCH_MAX - 2), ("rare", 2)] {
        let jobs = (0..amount).map(|_| keyed(key, &mut random)).collect();
        store.insert(Insert { jobs, partial: false }).await.unwrap();
    }
    assert_eq!(waiting.len(), RUNNING);
    let running = hand.take(&*store, BATCH_MAX, Duration::ZERO).await;
    assert_eq!(running.len(), BATCH_MAX);
    for (key, amount) in [("common", BATCH_MAX - 3), ("rare", 3)] {
        let jobs = (0..amount).map(|_| keyed(key, &mut random)).collect();
        store.insert(Insert { jobs, partial: false }).await.unwrap();
    }
    let (name, namespace) = (schema.name(), "(select min(number) from namespace)");
    let rare = LineKey::Key("rare".into()).number(&Name::default_name()).cast_signed();
    let common = LineKey::Key("common".into()).number(&Name::default_name()).cast_signed();
    let line = format!(
        "update {name}.job set state = 3, line = {common} where state = 1 and keys @> array[{common}]"
    );
    for (what, check, most) in [
        (
            "running",
            format!("(select running from {name}.key_usage({namespace}, array[{rare}])) = 2"),
            4,
        ),
        (
            "ready",
            format!("(select sum(amount) from {name}.key_ready(array[{rare}], array[1000])) = 3"),
            6,
        ),
        (
            "in line",
            format!(
                "(select count(*) from {name}.first_in_lines(0, array[{common}], 7, '{{}}')) = 7"
            ),
            20,
        ),
        (
            "all lines",
            format!("(select count(*) from {name}.lines_after(-1::bigint << 62, 9)) <= 1"),
            4,
        ),
        (
            "head",
            format!(
                "(select count(h.seq) from {name}.key_heads(0, array[{common}, {rare}], array[true, \
                 false]) h) = 2"
            ),
            8,
        ),
    ] {
        if what == "in line" {
            application.batch_execute(&line).await.unwrap();
        }
        for _ in 0..3 {
            let check = format!("do $$ begin assert {check}; end $$");
            let rows = looked_at(&application, &check).await;
            assert!(rows <= most, "{what}: {rows} rows");
        }
    }
}
