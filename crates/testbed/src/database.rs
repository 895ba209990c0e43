//! Databases and schemas of one test, dropped with their handle.

use crate::location::with_parameter;
use crate::session::{self, Session};
use crate::{Error, names};

/// A database of one test. Dropped with its connections when this is dropped.
pub struct Database {
    name: String,
    url: String,
    server: Session,
    own: Session,
}

impl Database {
    /// Makes an empty one over `server`; `url` says where a database of that name is, `own` connects
    /// to it.
    pub(crate) fn create(
        server: &Session,
        url: impl FnOnce(&str) -> String,
        own: impl FnOnce(&str) -> Result<Session, Error>,
    ) -> Result<Database, Error> {
        let name = names::unique()?;
        server.run(&format!("create database {name} template template0"))?;
        Ok(Database { url: url(&name), own: own(&name)?, server: server.clone(), name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs `sql`, which may be many statements, in one transaction; the rows as lines, columns
    /// with `|` between them, as `psql -At` prints them.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.own.run(sql).map(lines)
    }

    /// Ends the connections of everybody else to this database; how many there were.
    pub fn terminate_backends(&self) -> Result<usize, Error> {
        terminate_backends(&self.server, &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.own.close();
        let dropped =
            self.server.run(&format!("drop database if exists {} with (force)", self.name));
        if let Err(error) = dropped {
            eprintln!("{} stays for an hour: {error}", self.name);
        }
    }
}

/// A schema of one test in a database that stays. Dropped with all that is in it when this is
/// dropped. It does not exist until somebody creates it.
pub struct Schema {
    name: String,
    url: String,
    session: Session,
}

impl Schema {
    pub(crate) fn new(url: String, session: Session) -> Result<Schema, Error> {
        Ok(Schema { name: names::unique()?, url, session })
    }

    /// Its name: letters, digits and `_`, at most 35 bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database in which it is; other tests use that too.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, for connections that begin with this schema as their `search_path`.
    pub fn url_with_search_path(&self) -> String {
        with_parameter(&self.url, &format!("options=-c%20search_path%3D{}", self.name))
    }

    /// Creates it, for those who do not do so themselves.
    pub fn create(&self) -> Result<(), Error> {
        self.session.run(&format!("create schema {}", self.name)).map(drop)
    }

    /// Runs `sql`, which may be many statements, in one transaction that begins with this schema as
    /// its `search_path`; the rows as lines, columns with `|` between them, as `psql -At` prints
    /// them.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        let rows = self.session.run(&format!("set search_path to {}; {sql}", self.name))?;
        Ok(lines(rows))
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop_it = drop_schema(&self.name);
        // What a test has left running may hold locks there.
        let dropped = self.session.run(&drop_it).or_else(|_| {
            self.session.run(&end_those_with_locks_in(&self.name))?;
            self.session.run(&drop_it)
        });
        if let Err(error) = dropped {
            eprintln!("{} stays for an hour: {error}", self.name);
        }
    }
}

/// Drops it and all that is in it, unless that is in use.
pub fn drop_schema(name: &str) -> String {
    format!(
        "select set_config('lock_timeout', '500ms', true); drop schema if exists {name} cascade"
    )
}

/// Who has made a table that nobody else sees yet has a lock on the schema only.
fn end_those_with_locks_in(schema: &str) -> String {
    format!(
        "select pg_terminate_backend(pid) from pg_locks
         where pid <> pg_backend_pid() and (
             relation in (select oid from pg_class where relnamespace = to_regnamespace('{schema}'))
             or classid = 'pg_namespace'::regclass and objid = to_regnamespace('{schema}'))"
    )
}

/// Ends the connections of everybody else to `database`; how many there were.
pub fn terminate_backends(server: &Session, database: &str) -> Result<usize, Error> {
    let rows = server.run(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = {} and application_name <> {}",
        quoted(database),
        quoted(session::NAME)
    ))?;
    Ok(rows.len())
}

/// A text as SQL writes it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rows as `psql -At` prints them.
pub fn lines(rows: Vec<Vec<String>>) -> String {
    let lines: Vec<_> = rows.iter().map(|row| row.join("|")).collect();
    lines.join("\n")
}
