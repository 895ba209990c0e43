//! Schemas are made and migrated while others use them, whoever is killed in the middle.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

#[path = "support/load.rs"]
mod load;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use load::{Load, open};
use taskwright_postgres::connect::{Connection, Pool, Target};
use taskwright_postgres::migrate::{Migration, Migrator, Progress, Step, migrations};
use taskwright_store::{ErrorKind, Store};
use taskwright_testbed::{Schema, available, fresh_schema};
use tokio::sync::watch;
use tokio::time::timeout;

const ROUNDS: usize = 20;
const LONG: Duration = Duration::from_secs(60);

fn schema(test: &str) -> Option<Schema> {
    available(&format!("postgres_migrations::{test}"), fresh_schema())
}

fn url(schema: &Schema) -> String {
    let separator = if schema.url().contains('?') { '&' } else { '?' };
    format!("{}{separator}schema={}", schema.url(), schema.name())
}

fn migrator(schema: &Schema) -> Migrator {
    Migrator::new(&url(schema)).unwrap()
}

/// The steps, as a migrator told that it did them; the tables of the migrations themselves apart.
async fn run(migrator: Migrator) -> taskwright_store::Result<Vec<(i32, i32)>> {
    let mut done = Vec::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Done(step, _) = progress
            && step.version > 0
        {
            done.push((step.version, step.number));
        }
    };
    migrator.run(None, &mut note).await?;
    Ok(done)
}

/// Lets a migrator end behind a step as `kill -9` would end it: without a word to anybody.
async fn killed(migrator: Migrator, behind: (i32, i32)) {
    let running = tokio::spawn(async move {
        let mut kill = |progress: Progress<'_>| {
            if let Progress::Done(step, _) = progress
                && (step.version, step.number) == behind
            {
                std::panic::resume_unwind(Box::new("killed"));
            }
        };
        migrator.run(None, &mut kill).await
    });
    assert!(running.await.unwrap_err().is_panic());
}

/// What the schema says it has been through.
fn recorded(schema: &Schema) -> String {
    schema
        .psql("select string_agg(version || '.' || step, ' ' order by version, step) from schema_step")
        .unwrap()
}

fn steps_of_first() -> usize {
    migrations()[0].steps.len()
}

fn all_of_first() -> String {
    let steps: Vec<_> = (1..=steps_of_first()).map(|step| format!("1.{step}")).collect();
    steps.join(" ")
}

/// A migration as a later version may bring it.
fn second() -> Migration {
    let steps = vec![
        Step::new("colour", "alter table taskwright.job add column colour text;"),
        Step::alone(
            "colour_index",
            "create index concurrently job_colour on taskwright.job (colour) where colour is not null",
            "drop index concurrently if exists taskwright.job_colour",
        ),
        Step::new(
            "shades",
            "create table taskwright.shade (name text primary key);
             create function taskwright.shades() returns bigint language sql
             security definer set search_path = pg_catalog, pg_temp
             as 'select count(*) from taskwright.shade';",
        ),
    ];
    Migration { version: 2, min_reader: 1, steps }
}

fn up_to_second() -> Vec<Migration> {
    let mut all = migrations();
    all.push(second());
    all
}

#[test]
fn no_migration_shuts_out_the_version_before() {
    for (expected, migration) in (1..).zip(migrations()) {
        assert_eq!(migration.version, expected);
        assert!(migration.min_reader <= (migration.version - 1).max(1));
        assert!(!migration.steps.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_starters_at_once_one_makes_the_schema() {
    for round in 0..ROUNDS {
        let Some(schema) = schema("two_starters") else { return };
        let (one, other) = (run(migrator(&schema)), run(migrator(&schema)));
        let (url_one, url_other) = (url(&schema), url(&schema));
        let (one, other, node, another) =
            tokio::join!(one, other, open(&url_one, "one"), open(&url_other, "other"));
        let did = one.unwrap().len() + other.unwrap().len();
        assert!(did <= steps_of_first(), "round {round}: {did} steps");
        assert_eq!(recorded(&schema), all_of_first(), "round {round}");
        let (node, another) = (node.unwrap(), another.unwrap());
        let mut load = Load::new();
        load.add(&node);
        load.add(&another);
        load.goes_on(20).await;
        load.settle(&node).await;
        node.close().await.unwrap();
        another.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_second_goes_on_where_the_first_was_killed() {
    for round in 0..ROUNDS {
        let Some(schema) = schema("killed") else { return };
        let last = i32::try_from(1 + round % (steps_of_first() - 1)).unwrap();
        let lease = Duration::from_millis(300);
        killed(migrator(&schema).lease(lease), (1, last)).await;
        let version = schema.psql("select count(*) from schema_version").unwrap();
        assert_eq!(version, "0", "round {round}");
        let (one, other) =
            (run(migrator(&schema).lease(lease)), run(migrator(&schema).lease(lease)));
        let (one, other) = tokio::join!(one, other);
        let mut done = one.unwrap();
        done.extend(other.unwrap());
        done.sort_unstable();
        let rest = (last + 1..).take(steps_of_first() - usize::try_from(last).unwrap());
        assert_eq!(done, rest.map(|step| (1, step)).collect::<Vec<_>>(), "round {round}");
        assert_eq!(recorded(&schema), all_of_first(), "round {round}");
        let node = open(&url(&schema), "one").await.unwrap();
        let mut load = Load::new();
        load.add(&node);
        load.goes_on(10).await;
        load.settle(&node).await;
        node.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_nodes_work_through_a_migration_beside_them() {
    old_nodes_work_through_a_migration(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_nodes_work_through_a_migration_that_is_killed() {
    for behind in 1..3 {
        old_nodes_work_through_a_migration(Some((2, behind))).await;
    }
}

/// Two nodes of the version before are at work while the schema is migrated, by one who is killed
/// behind a step and then by two at once; a third one comes later.
async fn old_nodes_work_through_a_migration(killed_behind: Option<(i32, i32)>) {
    let Some(schema) = schema("beside") else { return };
    let url = url(&schema);
    let (one, other) = (open(&url, "one").await.unwrap(), open(&url, "other").await.unwrap());
    let mut load = Load::new();
    load.add(&one);
    load.add(&other);
    load.goes_on(100).await;
    // What an attempt that was killed in the middle of it has left behind.
    schema.psql("alter table job add column left_over text").unwrap();
    schema.psql("create index job_colour on job (left_over)").unwrap();
    let lease = Duration::from_millis(300);
    let second =
        || Migrator::new(&format!("{url}&pool=1")).unwrap().with(up_to_second()).lease(lease);
    if let Some(step) = killed_behind {
        killed(second(), step).await;
        load.goes_on(50).await;
    }
    let migrators = [0; 2].map(|_| tokio::spawn(run(second())));
    let mut done = Vec::new();
    for migrator in migrators {
        done.extend(timeout(LONG, migrator).await.unwrap().unwrap().unwrap());
    }
    done.sort_unstable();
    let last = killed_behind.map_or(0, |(_, step)| step);
    assert_eq!(done, (last + 1..=3).map(|step| (2, step)).collect::<Vec<_>>());
    let index = "select indisvalid, pg_get_indexdef(indexrelid) ~ 'colour IS NOT NULL' \
                 from pg_index where indexrelid = 'job_colour'::regclass";
    assert_eq!(schema.psql(index).unwrap(), "t|t");
    load.goes_on(100).await;
    // A node that knows only 1 starts, too.
    let late = open(&url, "late").await.unwrap();
    load.add(&late);
    load.goes_on(100).await;
    let (jobs, slowest) = load.settle(&late).await;
    println!("{jobs} jobs through a migration; the slowest call took {slowest:?}");
    let newest = schema.psql("select max(version), max(min_reader) from schema_version").unwrap();
    assert_eq!(newest, "2|1");
    for node in [one, other, late] {
        node.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_waits_for_a_lock_holds_nobody_up() {
    let Some(schema) = schema("holds_nobody_up") else { return };
    let url = url(&schema);
    let node = open(&url, "one").await.unwrap();
    let mut load = Load::new();
    load.add(&node);
    load.goes_on(50).await;
    let (end, ended) = watch::channel(false);
    let (began, begun) = watch::channel(false);
    let pool = Pool::new(Target::parse(&url).unwrap()).unwrap();
    let look = format!("select count(*) from {}.job", schema.name());
    let reader = tokio::spawn(async move {
        let deadline = Instant::now() + LONG;
        pool.transact(deadline, |connection: Connection| {
            let (look, began, mut ended) = (look.clone(), began.clone(), ended.clone());
            async move {
                connection.batch(&look).await?;
                began.send_replace(true);
                let _ = ended.wait_for(|ended| *ended).await;
                Ok(())
            }
        })
        .await
    });
    let mut begun = begun;
    timeout(LONG, begun.wait_for(|begun| *begun)).await.unwrap().unwrap();
    let attempts = Arc::new(Mutex::new(0));
    let (tried, mut tries) = watch::channel(0);
    let counted = Arc::clone(&attempts);
    let migrator = migrator(&schema).with(up_to_second());
    let migration = tokio::spawn(async move {
        let mut count = |progress: Progress<'_>| {
            if let Progress::Again(..) = progress {
                *counted.lock().unwrap() += 1;
                tried.send_replace(*counted.lock().unwrap());
            }
        };
        migrator.run(None, &mut count).await
    });
    timeout(LONG, tries.wait_for(|tries| *tries >= 3)).await.unwrap().unwrap();
    load.goes_on(50).await;
    end.send_replace(true);
    reader.await.unwrap().unwrap();
    timeout(LONG, migration).await.unwrap().unwrap().unwrap();
    let (jobs, slowest) = load.settle(&node).await;
    let tries = *attempts.lock().unwrap();
    println!("{jobs} jobs beside {tries} attempts; the slowest call took {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_schema_that_allows_it_is_used_by_older_programs() {
    let Some(schema) = schema("too_new") else { return };
    open(&url(&schema), "one").await.unwrap().close().await.unwrap();
    schema.psql("insert into schema_version values (7, 1)").unwrap();
    open(&url(&schema), "one").await.unwrap().close().await.unwrap();
    schema.psql("insert into schema_version values (8, 7)").unwrap();
    let error = open(&url(&schema), "one").await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::TooNew);
    let expected = format!(
        "the schema {:?} has version 8 and can only be used by programs that know version 7, but this one knows up to 1: use a newer Taskwright",
        schema.name()
    );
    assert_eq!(error.message, expected);
    let error = run(migrator(&schema)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooNew);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_changes_nothing_and_a_run_follows_it() {
    let Some(schema) = schema("plan") else { return };
    let migrator = migrator(&schema).with(up_to_second());
    let plan = migrator.plan(Some(1)).await.unwrap();
    assert_eq!((plan.from, plan.to, plan.steps.len()), (0, 1, 1 + steps_of_first()));
    let own = format!("create table \"{}\".job", schema.name());
    assert!(plan.steps.iter().any(|step| step.sql.contains(&own)));
    let there = format!("select to_regnamespace('{}') is null", schema.name());
    assert_eq!(schema.psql(&there).unwrap(), "t");
    let done = migrator.run(Some(1), &mut |_| ()).await.unwrap();
    assert_eq!(done.steps.len(), plan.steps.len());
    assert!(migrator.plan(Some(1)).await.unwrap().steps.is_empty());
    let plan = migrator.plan(None).await.unwrap();
    let names: Vec<_> = plan.steps.iter().map(|step| (step.name, step.is_transaction)).collect();
    assert_eq!(names, [("colour", true), ("colour_index", false), ("shades", true)]);
    migrator.run(None, &mut |_| ()).await.unwrap();
    for nonsense in [0, 1, 3] {
        let error = migrator.plan(Some(nonsense)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_vain_is_told_for_whom() {
    let Some(schema) = schema("in_vain") else { return };
    migrator(&schema).run(Some(1), &mut |_| ()).await.unwrap();
    let hold = "update migration set holder = 'process 7', held_by = 'anna at 10.0.0.9', version = 2, \
                lease_until = clock_timestamp() + interval '1 hour'";
    schema.psql(hold).unwrap();
    let patience = Duration::from_millis(300);
    let late = migrator(&schema).with(up_to_second()).patience(patience);
    let error = run(late).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    let told = "process 7 of anna at 10.0.0.9 is migrating the schema to version 2";
    assert!(error.message.starts_with(told), "{error}");
    // A node that needs nothing of it starts all the same.
    open(&url(&schema), "one").await.unwrap().close().await.unwrap();
    schema.psql("update migration set lease_until = clock_timestamp()").unwrap();
    assert_eq!(run(migrator(&schema).with(up_to_second())).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_migration_pulls_the_schema_from_under_a_node_that_lives() {
    let Some(schema) = schema("from_under") else { return };
    let node = open(&url(&schema), "old").await.unwrap();
    let mut third = up_to_second();
    third.push(Migration {
        version: 3,
        min_reader: 2,
        steps: vec![Step::new("no_hue", "alter table taskwright.job drop column colour;")],
    });
    let migrator = migrator(&schema).with(third).patience(Duration::from_millis(300));
    // This program says of itself what it knows, whatever its version.
    let newest = migrations().len().to_string();
    assert_eq!(schema.psql("select knows from node").unwrap(), newest);
    let error = migrator.run(None, &mut |_| ()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert_eq!(
        error.message,
        "the schema cannot be migrated to version 3 while the nodes old use it, which do not know version 2: update or stop them first; after a crash, wait half a minute"
    );
    assert_eq!(migrator.plan(None).await.unwrap().from, 2);
    node.close().await.unwrap();
    migrator.run(None, &mut |_| ()).await.unwrap();
    let error = open(&url(&schema), "old").await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::TooNew);
}
