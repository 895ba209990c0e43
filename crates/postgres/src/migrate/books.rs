//! What a schema keeps of itself: its version, the steps that were done, who migrates it.

use std::collections::HashSet;

use taskwright_store::{Error, ErrorKind, Result};
use tokio_postgres::types::Type;

use crate::link::{Link, no_answer};
use crate::row::get;

/// Processes not heard of for so long are gone, in microseconds.
const GONE: i64 = 30_000_000;

/// The tables, made before the first step. The script may run where they are there already.
pub(crate) const TABLES: &str = "\
create table if not exists taskwright.schema_version (
    version        integer     not null primary key,
    min_reader     integer     not null,
    applied_at     timestamptz not null default clock_timestamp()
);
create table if not exists taskwright.schema_step (
    version        integer     not null,
    step           integer     not null,
    name           text        not null,
    done_at        timestamptz not null default clock_timestamp(),
    primary key (version, step)
);
create table if not exists taskwright.migration (
    one            boolean     not null primary key default true check (one),
    holder         text,
    held_by        text,
    version        integer,
    lease_until    timestamptz
);
insert into taskwright.migration default values on conflict do nothing;
";

/// What is known of a schema before it is touched.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// 0: there is no schema, or none of ours.
    pub version: i32,
    /// Programs that know only lower versions cannot work with it.
    pub min_reader: i32,
    /// Whether the tables of this module are there.
    pub has_books: bool,
    /// Whether the user of the URL may migrate it.
    pub may_migrate: bool,
    /// The user of the URL.
    pub user: String,
    /// Whose it is, where it is there.
    pub owner: Option<String>,
    /// Steps of migrations, finished or not.
    pub done: HashSet<(i32, i32)>,
}

/// Looks at the schema; a user who may not use it is told so.
pub(crate) async fn look(link: &Link, schema: &str) -> Result<Found> {
    let rows = link
        .query(
            "select current_user::text as user, c.oid is not null as has_books, \
                    coalesce(has_schema_privilege(n.oid, 'usage'), true) as may_use, \
                    case when c.oid is not null then pg_has_role(c.relowner, 'usage') \
                         when n.oid is not null then has_schema_privilege(n.oid, 'create') \
                         else has_database_privilege(current_database(), 'create') \
                    end as may_migrate, \
                    pg_get_userbyid(coalesce(c.relowner, n.nspowner))::text as owner \
             from (select) one left join pg_namespace n on n.nspname = $1 \
             left join pg_class c on c.relnamespace = n.oid and c.relname = 'schema_version'",
            &[(&schema, Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| no_answer("what it knows of the schema"))?;
    let mut found = Found {
        version: 0,
        min_reader: 0,
        has_books: get(row, "has_books")?,
        may_migrate: get(row, "may_migrate")?,
        user: get(row, "user")?,
        owner: get(row, "owner")?,
        done: HashSet::new(),
    };
    if !found.has_books {
        return Ok(found);
    }
    if !get::<bool>(row, "may_use")? {
        return Err(not_granted(link, schema, &found));
    }
    let rows = link
        .query(
            "select (select max(version) from taskwright.schema_version) as newest, \
                    (select max(min_reader) from taskwright.schema_version) as min_reader, \
                    s.version, s.step \
             from (select) one left join taskwright.schema_step s on true",
            &[],
        )
        .await?;
    for row in &rows {
        found.version = get::<Option<i32>>(row, "newest")?.unwrap_or(0);
        found.min_reader = get::<Option<i32>>(row, "min_reader")?.unwrap_or(0);
        if let Some(version) = get::<Option<i32>>(row, "version")? {
            found.done.insert((version, get(row, "step")?));
        }
    }
    Ok(found)
}

/// The names of the processes that have the store open and could no longer work with a schema that
/// asks for `min_reader`; `None`: there are none.
pub(crate) async fn left_behind(link: &Link, min_reader: i32) -> Result<Option<String>> {
    // Whoever is there knows version 1.
    if min_reader <= 1 {
        return Ok(None);
    }
    let rows = link
        .query(
            "select string_agg(distinct quote_ident(name), ', ') as names from taskwright.node \
             where knows < $1 and seen_at > taskwright.time_of(null) - $2",
            &[(&min_reader, Type::INT4), (&GONE, Type::INT8)],
        )
        .await?;
    rows.first().map_or(Ok(None), |row| get(row, "names"))
}

fn not_granted(link: &Link, schema: &str, found: &Found) -> Error {
    let (user, owner) = (&found.user, found.owner.as_deref().unwrap_or("the owner"));
    let grant = link.sql("select taskwright.grant_app(");
    let message = format!(
        "the user {user:?} may not use the schema {schema:?} of {owner:?}: let that role run `{grant}'{user}')`"
    );
    Error::new(ErrorKind::Unusable, message)
}
