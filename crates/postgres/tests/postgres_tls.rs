//! The contract and the model again, through TLS with a password, on a server that takes nobody
//! without.

mod support;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::harness::{PostgresHarness, some_follow_the_model};
use taskwright_testbed::{Error, Postgres, available};

/// One for all harnesses of this process.
static SERVER: LazyLock<Result<Postgres, Error>> =
    LazyLock::new(|| Postgres::options().tls().password().start());
static SCHEMAS: AtomicUsize = AtomicUsize::new(0);

/// `None`, with a word about it, where there is no PostgreSQL.
fn harness() -> Option<PostgresHarness> {
    let server = available("postgres_tls", SERVER.as_ref().map_err(Clone::clone))?;
    let schema = format!("tls_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
    let url = server.url("postgres");
    assert!(url.contains("sslmode=verify-full"), "{url}");
    Some(PostgresHarness::new(&url, &schema, ()))
}

taskwright_store::conformance!(
    tls,
    match harness() {
        Some(harness) => harness,
        None => return,
    }
);

#[test]
fn the_postgres_store_follows_the_model_through_tls() {
    if harness().is_some() {
        some_follow_the_model(|| harness().expect("a harness, as before"));
    }
}
