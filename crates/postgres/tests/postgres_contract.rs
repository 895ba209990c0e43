//! The PostgreSQL store is held to the contract and compared with the naive model, on a real server.

mod support;

use support::harness::PostgresHarness;
use taskwright_store::conformance::random::model_test;
use taskwright_testbed::{available, fresh_schema};

/// `None`, with a word about it, where there is no PostgreSQL.
fn harness() -> Option<PostgresHarness> {
    let schema = available("postgres_contract", fresh_schema())?;
    let (url, name) = (schema.url().to_owned(), schema.name().to_owned());
    Some(PostgresHarness::new(&url, &name, schema))
}

taskwright_store::conformance!(
    postgres,
    match harness() {
        Some(harness) => harness,
        None => return,
    }
);

#[test]
fn the_postgres_store_follows_the_model() {
    if harness().is_some() {
        model_test(|| harness().expect("a harness, as before"));
    }
}
