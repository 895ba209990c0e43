//! The contract and the model again, with a pooler in between that gives each transaction another
//! connection.

mod support;

use std::sync::LazyLock;

use support::harness::{PostgresHarness, some_follow_the_model};
use taskwright_testbed::{Error, PgBouncer, available, fresh_schema};

/// One for all harnesses of this process. It has fewer connections than callers.
static POOLER: LazyLock<Result<PgBouncer, Error>> = LazyLock::new(|| {
    let settings = [("default_pool_size", "4"), ("server_round_robin", "1")];
    PgBouncer::with_settings(fresh_schema()?.url(), &settings)
});

/// `None`, with a word about it, where there is no PostgreSQL or no PgBouncer.
fn harness() -> Option<PostgresHarness> {
    let schema = available("postgres_pgbouncer", fresh_schema())?;
    let pooler = available("postgres_pgbouncer", POOLER.as_ref().map_err(Clone::clone))?;
    let database = schema.url().rsplit('/').next().expect("a URL that names a database");
    let (url, name) = (pooler.url(database), schema.name().to_owned());
    Some(PostgresHarness::new(&url, &name, schema))
}

taskwright_store::conformance!(
    pooled,
    match harness() {
        Some(harness) => harness,
        None => return,
    }
);

#[test]
fn the_postgres_store_follows_the_model_behind_a_pooler() {
    if harness().is_some() {
        some_follow_the_model(|| harness().expect("a harness, as before"));
    }
}
