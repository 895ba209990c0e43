//! Statements of the store, sent to the schema it lives in.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use taskwright_store::{Error, ErrorKind, Result};
use tokio_postgres::Row;

use crate::connect::{Connection, Fault, Parameter, Pool, Repeat};

/// An argument of a statement, with its type.
pub(crate) type Argument<'a> = Parameter<'a>;

/// The schema that statements name where no other was chosen.
pub(crate) const SCHEMA_DEFAULT: &str = "taskwright";

/// The code of the error that a unique key is taken.
pub(crate) const TAKEN: &str = "23505";

/// A pool of connections, and the schema that statements are for.
pub(crate) struct Link {
    pub pool: Pool,
    /// `None`: the default.
    schema: Option<String>,
}

/// A duration in microseconds, as the database counts time.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The error for an answer that lacks what it must hold.
pub(crate) fn no_answer(what: &str) -> Error {
    let message = format!(
        "the database did not answer with {what}; check that the schema is of this version (`taskwright doctor`)"
    );
    Error::new(ErrorKind::Corrupt, message)
}

impl Link {
    /// `schema` is the name of a schema; it is checked where it is read from a URL.
    pub fn new(pool: Pool, schema: &str) -> Self {
        let schema = (schema != SCHEMA_DEFAULT).then(|| format!("\"{schema}\"."));
        Link { pool, schema }
    }

    /// A statement with the schema's name in it.
    pub fn sql<'s>(&self, statement: &'s str) -> Cow<'s, str> {
        match &self.schema {
            None => Cow::Borrowed(statement),
            Some(schema) => Cow::Owned(statement.replace("taskwright.", schema)),
        }
    }

    /// The rows that a statement answers. It may be sent again where its answer was lost, as every
    /// call of a store may be repeated.
    pub async fn query(&self, statement: &str, arguments: &[Argument<'_>]) -> Result<Vec<Row>> {
        let sql = self.sql(statement);
        let sql = sql.as_ref();
        self.pool
            .with(self.pool.deadline(), Repeat::Yes, |connection| async move {
                connection.query(sql, arguments).await
            })
            .await
    }

    /// As [`Link::query`]; the inner error is the code of one of our own, or of an id that was taken
    /// at the same moment.
    pub async fn attempt(
        &self,
        statement: &str,
        arguments: &[Argument<'_>],
    ) -> Result<std::result::Result<Vec<Row>, String>> {
        let sql = self.sql(statement);
        let sql = sql.as_ref();
        self.pool
            .with(self.pool.deadline(), Repeat::Yes, |connection| async move {
                match connection.query(sql, arguments).await {
                    Ok(rows) => Ok(Ok(rows)),
                    Err(fault) => raised(&fault).map(Err).ok_or(fault),
                }
            })
            .await
    }

    /// The moment at which a call that begins now has to have ended.
    pub fn deadline(&self) -> Instant {
        self.pool.deadline()
    }

    /// A number between 0 and 1, to spread what would happen at the same time.
    pub fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        // Without randomness everything happens at once, which is slow, not wrong.
        let _ = getrandom::fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
    }
}

/// The code of an error of our own, or of an id that was taken at the same moment.
pub(crate) fn raised(fault: &Fault) -> Option<String> {
    let Fault::Database(error) = fault else { return None };
    let code = error.code()?.code();
    (code.starts_with("TW") || code == TAKEN).then(|| code.to_owned())
}

/// The statements of one transaction.
pub(crate) struct Transaction<'l> {
    pub connection: Connection,
    pub link: &'l Link,
}

impl Transaction<'_> {
    /// The rows that a statement answers.
    pub async fn query(
        &self,
        statement: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<Row>, Fault> {
        self.connection.query(self.link.sql(statement).as_ref(), arguments).await
    }
}
