//! One PostgreSQL server for many tests.
//!
//! It is the one that `TASKWRIGHT_TEST_POSTGRES` names, a URL of somebody who may create databases;
//! else one on 127.0.0.1:5432 that trusts `postgres`; else one of this process. A server that was
//! there before is neither restarted nor configured.

use std::sync::LazyLock;

use crate::database::{Database, Schema, drop_schema, quoted};
use crate::location::Location;
use crate::session::Session;
use crate::{Error, Postgres, names};

const VARIABLE: &str = "TASKWRIGHT_TEST_POSTGRES";
const USUAL: &str = "postgres://postgres@127.0.0.1:5432";

/// Where all schemas of tests are.
const SCHEMAS: &str = "taskwright_test";

/// So many functions that are gone are no trouble yet, …
const DEAD_MAX: u64 = 20_000;
/// … nor is a catalogue of functions of so many bytes.
const CATALOGUE_BYTES: u64 = 48 * 1024 * 1024;

/// The tables of the catalogue that grow with each schema.
const BLOATED: [&str; 9] = [
    "pg_proc",
    "pg_attribute",
    "pg_class",
    "pg_depend",
    "pg_index",
    "pg_type",
    "pg_constraint",
    "pg_rewrite",
    "pg_attrdef",
];

/// Only one process at a time removes what killed ones have left behind.
const CLEARING_LOCK: u32 = 7600;

/// The server.
#[derive(Clone)]
struct Shared {
    location: Location,
    server: Session,
}

static SHARED: LazyLock<Result<Shared, Error>> = LazyLock::new(find_shared);
static SCHEMA_HOME: LazyLock<Result<(String, Session), Error>> = LazyLock::new(find_schema_home);
static OWN: LazyLock<Result<Postgres, Error>> = LazyLock::new(Postgres::new);

/// A new, empty database on the shared server. Dropped when its handle is.
///
/// It takes some tens of milliseconds; [`fresh_schema`] takes less.
///
/// # Errors
///
/// [`Error::Unavailable`] where there is no server and PostgreSQL is not installed.
pub fn shared_database() -> Result<Database, Error> {
    let shared = SHARED.clone()?;
    let url = |name: &str| shared.location.database(name);
    Database::create(&shared.server, url, |name| Session::at(&shared.location.database(name)))
}

/// A name for a schema that nobody else has, in a database of the shared server that stays. Dropped
/// with all that is in it when its handle is. Nothing is created yet.
///
/// # Errors
///
/// [`Error::Unavailable`] where there is no server and PostgreSQL is not installed.
pub fn fresh_schema() -> Result<Schema, Error> {
    let (url, session) = SCHEMA_HOME.clone()?;
    Schema::new(url, session)
}

/// A server that was there before us, if anybody answers; asked for by name it must.
fn find_outside(database: &str) -> Result<Option<(Location, Session)>, Error> {
    let named = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    let location = Location::parse(named.as_deref().unwrap_or(USUAL))?;
    let session = Session::at(&location.database(database))?;
    let may_create = "select rolsuper or rolcreatedb from pg_roles where rolname = current_user";
    match (session.value(may_create), named) {
        (Ok(answer), _) if answer == "t" => Ok(Some((location, session))),
        (Ok(_), Some(url)) => Err(Error::Failed(format!(
            "{VARIABLE} is {url}, who may not create databases: ALTER ROLE … CREATEDB"
        ))),
        (Err(error), Some(url)) => Err(Error::Failed(format!("{VARIABLE} is {url}, but {error}"))),
        (_, None) => Ok(None),
    }
}

fn find_shared() -> Result<Shared, Error> {
    let shared = match find_outside("postgres")? {
        Some((location, server)) => Shared { location, server },
        None => {
            let url = OWN.as_ref().map_err(Clone::clone)?.url("postgres");
            Shared { location: Location::parse(&url)?, server: Session::at(&url)? }
        }
    };
    clear(&shared.server, "select datname from pg_database", |name| {
        format!("drop database if exists {name} with (force)")
    });
    Ok(shared)
}

/// One connection where that database exists already, which is nearly always.
fn find_schema_home() -> Result<(String, Session), Error> {
    let (location, session) = match find_outside(SCHEMAS) {
        Ok(Some(found)) => found,
        _ => {
            let shared = SHARED.clone()?;
            // Another process may have been faster.
            let created =
                shared.server.run(&format!("create database {SCHEMAS} template template0"));
            let session = Session::at(&shared.location.database(SCHEMAS))?;
            session.ping().map_err(|error| created.err().unwrap_or(error))?;
            (shared.location, session)
        }
    };
    clear(&session, "select nspname from pg_namespace", drop_schema);
    shrink(&session);
    Ok((location.database(SCHEMAS), session))
}

/// Frees what the catalogue keeps of schemas that are gone: thousands of them make each new one take
/// seconds in place of a quarter, and the server cleans up too seldom for that.
fn shrink(session: &Session) {
    let asked = format!(
        "select case when pg_relation_size('pg_catalog.pg_proc') > {CATALOGUE_BYTES} then 'full' \
             else 'analyze' end \
         from pg_stat_sys_tables where relname = 'pg_proc' \
           and (pg_relation_size('pg_catalog.pg_proc') > {CATALOGUE_BYTES} or n_dead_tup > {DEAD_MAX}) \
           and pg_try_advisory_lock({CLEARING_LOCK})"
    );
    let how = session.value(&asked).unwrap_or_default();
    if how.is_empty() {
        return;
    }
    // Nobody is held up for long; where somebody holds us up, another run does it.
    let _ = session.run("set lock_timeout = '200ms'");
    for table in BLOATED {
        let _ = session.run(&format!("vacuum ({how}) pg_catalog.{table}"));
    }
    let _ = session.run("reset lock_timeout");
    let _ = session.run(&format!("select pg_advisory_unlock({CLEARING_LOCK})"));
}

/// Drops what tests of earlier runs have left behind. What cannot be dropped now is dropped by
/// another run.
fn clear(session: &Session, names: &str, drop_one: impl Fn(&str) -> String) {
    let like = format!("{}%", names::PREFIX);
    let found = session
        .run(&format!("select * from ({names}) as t (name) where name like {}", quoted(&like)));
    let now = names::now_seconds();
    let stale: Vec<_> = found
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .filter(|name| names::is_stale(name, now))
        .collect();
    if stale.is_empty() {
        return;
    }
    let is_first = session.value(&format!("select pg_try_advisory_lock({CLEARING_LOCK})"));
    if is_first.is_ok_and(|answer| answer == "t") {
        for name in stale {
            let _ = session.run(&drop_one(&name));
        }
        let _ = session.run(&format!("select pg_advisory_unlock({CLEARING_LOCK})"));
    }
}
