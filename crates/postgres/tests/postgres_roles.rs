//! Roles with no more rights than they need: one that owns the schema, one that runs jobs, one that
//! only enqueues, one that only looks, and everybody else.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

#[path = "support/load.rs"]
mod load;
mod support;

use std::time::Duration;

use load::{Load, open};
use support::harness::PostgresHarness;
use taskwright_postgres::connect::{Pool, Repeat, Target};
use taskwright_postgres::migrate::{Migration, Migrator, Step, migrations};
use taskwright_store::{ErrorKind, Store};
use taskwright_testbed::{Postgres, available, fresh_schema};

/// A role on the server that tests share; it may use what is granted to it, schema by schema.
const SHARED: &str = "taskwright_test_app";

/// A store whose schema is made by one role and used by another.
async fn used_by_the_app_role() -> Option<PostgresHarness> {
    let schema = available("postgres_roles", fresh_schema())?;
    schema
        .psql(&format!(
            "select pg_advisory_xact_lock(7001);
             do $$ begin if not exists (select from pg_roles where rolname = '{SHARED}') then
                 create role {SHARED} login; end if; end $$"
        ))
        .unwrap();
    let separator = if schema.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}user={SHARED}", schema.url());
    let own = format!("{}{separator}schema={}", schema.url(), schema.name());
    Migrator::new(&own).unwrap().run(None, &mut |_| ()).await.unwrap();
    schema.psql(&format!("select {}.grant_app('{SHARED}')", schema.name())).unwrap();
    let name = schema.name().to_owned();
    Some(PostgresHarness::new(&url, &name, schema))
}

fn waited_for() -> Option<PostgresHarness> {
    let prepared = std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(used_by_the_app_role())
    });
    prepared.join().unwrap()
}

taskwright_store::conformance!(
    app_role,
    match waited_for() {
        Some(harness) => harness,
        None => return,
    }
);

/// A server with a role for each purpose, and a schema that `owner` has made.
struct Server(Postgres);

impl Server {
    fn without_schema(test: &str) -> Option<Self> {
        let server = available(&format!("postgres_roles::{test}"), Postgres::new())?;
        server
            .psql(
                "create role owner login; create role app login; create role website login;
                 create role eyes login; create role stranger login;
                 grant create on database postgres to owner;
                 create schema secrets; create table secrets.salary (amount integer);
                 insert into secrets.salary values (7)",
            )
            .unwrap();
        Some(Server(server))
    }

    async fn new(test: &str) -> Option<Self> {
        let server = Server::without_schema(test)?;
        let migrator = Migrator::new(&server.url("owner")).unwrap();
        migrator.run(None, &mut |_| ()).await.unwrap();
        server
            .may(
                "owner",
                "select taskwright.grant_app('app'); select taskwright.grant_enqueue('website');
                 select taskwright.grant_read('eyes')",
            )
            .await;
        Some(server)
    }

    fn url(&self, role: &str) -> String {
        let url = self.0.url("postgres");
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}user={role}")
    }

    async fn run(&self, role: &str, sql: &str) -> taskwright_store::Result<()> {
        let pool = Pool::new(Target::parse(&self.url(role)).unwrap()).unwrap();
        let done = pool.with(pool.deadline(), Repeat::No, |connection| async move {
            connection.batch(sql).await
        });
        done.await
    }

    async fn may(&self, role: &str, sql: &str) {
        self.run(role, sql).await.unwrap_or_else(|error| panic!("{role}: {sql}: {error}"));
    }

    /// Each of these is refused for want of a right, and for nothing else.
    async fn may_not(&self, role: &str, statements: &[&str]) {
        for sql in statements {
            let error = self.run(role, sql).await.expect_err(&format!("{role}: {sql}"));
            assert!(error.message.contains("SQLSTATE 42501"), "{role}: {sql}: {error}");
        }
    }
}

/// What only the owner may do.
const FOR_OWNERS: [&str; 12] = [
    "drop table taskwright.job",
    "alter table taskwright.job add column mine text",
    "truncate taskwright.job",
    "create table taskwright.mine (n integer)",
    "create index mine on taskwright.job (id)",
    "create or replace function taskwright.open_bucket(p_now bigint) returns integer
     language sql as 'select 1'",
    "drop function taskwright.drop_bucket",
    "drop schema taskwright cascade",
    "insert into taskwright.schema_version values (9, 9)",
    "delete from taskwright.schema_step",
    "update taskwright.migration set holder = 'me'",
    "insert into taskwright.member values ('stranger', 'app')",
];

/// What nobody but the superuser may do.
const FOR_OTHERS: [&str; 3] = [
    "select * from secrets.salary",
    "create schema mine",
    "select taskwright.grant_app('stranger')",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_role_runs_jobs_and_changes_no_schema() {
    let Some(server) = Server::new("app").await else { return };
    let node = open(&server.url("app"), "app").await.unwrap();
    let mut load = Load::new();
    load.add(&node);
    load.goes_on(100).await;
    // A sweep does the same when there are many ended jobs.
    server.may("app", "select taskwright.open_bucket(1)").await;
    load.goes_on(20).await;
    server.may("app", "select taskwright.open_bucket(2)").await;
    load.settle(&node).await;
    let buckets = "select count(*) from taskwright.bucket";
    assert_eq!(server.0.psql(buckets).unwrap(), "3");
    server.may("app", "select taskwright.drop_bucket(2, 2, 0)").await;
    assert_eq!(server.0.psql(buckets).unwrap(), "2");
    server.may("app", "select taskwright.enqueue('task'); select * from taskwright.jobs").await;
    server.may_not("app", &FOR_OWNERS).await;
    server.may_not("app", &FOR_OTHERS).await;
    node.describe().await.unwrap();
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_enqueue_role_enqueues_and_nothing_else() {
    let Some(server) = Server::new("enqueue").await else { return };
    let node = open(&server.url("app"), "app").await.unwrap();
    let enqueue = "select taskwright.enqueue('task', '{\"to\": 7}', queue => 'slow', \
                   id => '00000000-0000-0000-0000-000000000007')";
    server.may("website", enqueue).await;
    server.may("website", enqueue).await;
    node.sweep(100).await.unwrap();
    let jobs = "select queue, task, state from taskwright.jobs";
    assert_eq!(server.0.psql(jobs).unwrap(), "slow|task|available");
    server.may_not("website", &FOR_OWNERS).await;
    server.may_not("website", &FOR_OTHERS).await;
    let tables = "select string_agg(relname, ' ') from pg_class \
                  where relnamespace = 'taskwright'::regnamespace and relkind in ('r', 'p', 'v')";
    for table in server.0.psql(tables).unwrap().split(' ') {
        server.may_not("website", &[&format!("select from taskwright.{table}")]).await;
    }
    let more = [
        "insert into taskwright.intake (id, namespace, queue, task, args, priority, max_attempts, \
         fingerprint) values (gen_random_uuid(), 'default', 'default', 'task', '1', 0, 1, 1)",
        "delete from taskwright.job",
        "select nextval('taskwright.job_seq')",
        "select taskwright.open_bucket(1)",
        "select taskwright.drop_bucket(1, 1, 1)",
        "select taskwright.complete_job(gen_random_uuid(), '1.1.1')",
        "select taskwright.time_of(null)",
    ];
    server.may_not("website", &more).await;
    // What the caller's search path holds is not what the function uses.
    server
        .may(
            "website",
            "create temp table intake (id uuid); \
             create function pg_temp.octet_length(text) returns integer language sql as 'select 0'; \
             set search_path = pg_temp, taskwright, pg_catalog; select enqueue('task')",
        )
        .await;
    let waiting = "select count(*) from taskwright.intake";
    assert_eq!(server.0.psql(waiting).unwrap(), "1");
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_read_role_looks_and_strangers_may_nothing() {
    let Some(server) = Server::new("read").await else { return };
    server.may("eyes", "select * from taskwright.jobs; select * from taskwright.counter").await;
    server.may_not("eyes", &FOR_OWNERS).await;
    server.may_not("eyes", &FOR_OTHERS).await;
    let writes = [
        "update taskwright.meta set served = 0",
        "delete from taskwright.job",
        "select taskwright.enqueue('task')",
        "select taskwright.open_bucket(1)",
        "select nextval('taskwright.job_seq')",
    ];
    server.may_not("eyes", &writes).await;
    server.may_not("stranger", &writes).await;
    server.may_not("stranger", &FOR_OWNERS).await;
    server.may_not("stranger", &["select * from taskwright.jobs"]).await;
    // Not even who is let into the schema by mistake.
    server.may("owner", "grant usage on schema taskwright to public").await;
    server.may_not("stranger", &writes).await;
    server.may_not("stranger", &["select * from taskwright.jobs"]).await;
    let public = "select count(*) from pg_proc where pronamespace = 'taskwright'::regnamespace \
                  and has_function_privilege('stranger', oid, 'execute')";
    assert_eq!(server.0.psql(public).unwrap(), "0");
    // And a role from which all was taken is a stranger again.
    server.may("owner", "revoke usage on schema taskwright from public").await;
    server.may("owner", "select taskwright.revoke_role('eyes')").await;
    server.may_not("eyes", &["select * from taskwright.jobs"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_follow_migrations() {
    let Some(server) = Server::new("follow").await else { return };
    server.0.psql("create role gone").unwrap();
    server.may("owner", "select taskwright.grant_read('gone')").await;
    server.0.psql("drop owned by gone; drop role gone").unwrap();
    let steps = vec![Step::new(
        "shades",
        "create table taskwright.shade (name text primary key);
         create function taskwright.shades() returns bigint language sql
         security definer set search_path = pg_catalog, pg_temp
         as 'select count(*) from taskwright.shade';",
    )];
    let mut all = migrations();
    all.push(Migration { version: 2, min_reader: 1, steps });
    let by_app = Migrator::new(&server.url("app")).unwrap().with(all.clone());
    let error = by_app.run(None, &mut |_| ()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unusable);
    assert_eq!(
        error.message,
        "the schema \"taskwright\" has version 1 and has to be migrated, which the user \"app\" may not do: run `taskwright migrate --store URL` with the role \"owner\", which owns it"
    );
    let by_owner = Migrator::new(&server.url("owner")).unwrap().with(all);
    by_owner.run(None, &mut |_| ()).await.unwrap();
    server
        .may("app", "insert into taskwright.shade values ('red'); select taskwright.shades()")
        .await;
    server.may("eyes", "select * from taskwright.shade").await;
    let wrong = ["insert into taskwright.shade values ('x')", "select taskwright.shades()"];
    for role in ["eyes", "website", "stranger"] {
        server.may_not(role, &wrong).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_make_or_use_a_schema_is_told_what_to_do() {
    let Some(server) = Server::without_schema("told") else { return };
    let refused = async |url: String| {
        let error = open(&url, "app").await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Unusable);
        error.message
    };
    assert_eq!(
        refused(server.url("app")).await,
        "there is no schema \"taskwright\", and the user \"app\" may not create one: run `taskwright migrate --store URL` with a role that may (GRANT CREATE ON DATABASE), then `select taskwright.grant_app('app')`"
    );
    // A schema that a superuser has made for its owner, who may create no others.
    server.0.psql("revoke create on database postgres from owner; create schema taskwright authorization owner").unwrap();
    assert_eq!(
        refused(server.url("app")).await,
        "the schema \"taskwright\" is empty, and the user \"app\" may not create tables in it: run `taskwright migrate --store URL` with the role \"owner\", which owns it, then `select taskwright.grant_app('app')`"
    );
    Migrator::new(&server.url("owner")).unwrap().run(None, &mut |_| ()).await.unwrap();
    assert_eq!(
        refused(server.url("app")).await,
        "the user \"app\" may not use the schema \"taskwright\" of \"owner\": let that role run `select taskwright.grant_app('app')`"
    );
    server.may("owner", "select taskwright.grant_app('app')").await;
    open(&server.url("app"), "app").await.unwrap().close().await.unwrap();
    // An app role whose schema is a version behind would wait for nobody; here there is none behind.
    let patience = Duration::from_millis(100);
    let plan = Migrator::new(&server.url("app")).unwrap().patience(patience).plan(None).await;
    assert!(plan.unwrap().steps.is_empty());
}
