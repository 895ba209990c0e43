//! Jobs in transactions of the application's own: a job exists if and only if the rows written
//! beside it do, and is completed if and only if the rows of its effect are there.
//!
//! The schema is the application's own database's: the tables of Taskwright live beside its own. From
//! other languages, the SQL functions `taskwright.enqueue` and `taskwright.complete_job` do the same.
//!
//! ```no_run
//! use taskwright_core::{Extras, JobId, Json, Name, NewJob};
//! use taskwright_postgres::transaction::{self, tokio_postgres};
//!
//! # async fn order(client: &mut tokio_postgres::Client, job: NewJob) -> Result<(), Box<dyn std::error::Error>> {
//! let transaction = client.transaction().await?;
//! transaction.execute("insert into orders (item) values ('tea')", &[]).await?;
//! transaction::enqueue(&transaction, &job).await?;
//! transaction.commit().await?; // both, or neither
//! # Ok(())
//! # }
//! ```
//!
//! A worker does the same with the effect of a job:
//!
//! ```no_run
//! # use taskwright_core::{JobId, Json, Name, Token};
//! # use taskwright_postgres::transaction::{self, tokio_postgres};
//! # async fn charge(client: &mut tokio_postgres::Client, namespace: Name, id: JobId, token: Token) -> Result<(), Box<dyn std::error::Error>> {
//! let transaction = client.transaction().await?;
//! transaction.execute("insert into charges (item) values ('tea')", &[]).await?;
//! let result = Json::from_trusted("7");
//! transaction::complete(&transaction, &namespace, id, token, Some(&result)).await?;
//! transaction.commit().await?; // an attempt that is over is an error before
//! # Ok(())
//! # }
//! ```

use taskwright_core::{JobId, Json, Name, NewJob, OnConflict, Timestamp, Token};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::{extras_text, replaced_names};
use crate::link::SCHEMA_DEFAULT;

/// The driver whose transactions are meant, in the version that fits.
pub use tokio_postgres;

/// What `complete_job` raises where the attempt is over.
const STALE: &str = "TW010";

/// Longest name of a schema, as in a URL.
const SCHEMA_BYTES_MAX: usize = 48;

/// Why a job was not enqueued or completed. The transaction has failed, and can only be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The attempt is no longer the caller's: it lapsed, was cancelled, or has ended already.
    #[error(
        "job {0} is not run by this attempt any more: roll back, another attempt has its place"
    )]
    Stale(JobId),
    /// What PostgreSQL or the way to it said; its code tells whether the transaction is worth
    /// another try.
    #[error("PostgreSQL refused a job of this transaction, which is to be rolled back: {}", words(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The name of a schema that cannot be one of ours.
    #[error("{0:?} is no name of a schema of Taskwright: use up to 48 of a-z, 0-9 and _")]
    Schema(String),
}

/// The server's own words, which the driver's error keeps back.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

/// Enqueues a job in the schema `taskwright`; see [`Schema::enqueue`].
///
/// # Errors
/// [`Error::Database`].
pub async fn enqueue(client: &impl GenericClient, job: &NewJob) -> Result<JobId, Error> {
    Schema::default().enqueue(client, job).await
}

/// Completes a job in the schema `taskwright`; see [`Schema::complete`].
///
/// # Errors
/// [`Error::Stale`] and [`Error::Database`].
pub async fn complete(
    client: &impl GenericClient,
    namespace: &Name,
    id: JobId,
    token: Token,
    result: Option<&Json>,
) -> Result<(), Error> {
    Schema::default().complete(client, namespace, id, token, result).await
}

/// The schema that the store is in.
#[derive(Clone, Debug)]
pub struct Schema(String);

impl Default for Schema {
    fn default() -> Self {
        Schema(SCHEMA_DEFAULT.to_owned())
    }
}

impl Schema {
    /// Another than `taskwright`: what the store's URL says in `schema`.
    ///
    /// # Errors
    /// [`Error::Schema`] for what cannot be one.
    pub fn named(name: &str) -> Result<Self, Error> {
        let is_ours =
            |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
        let fits = (1..=SCHEMA_BYTES_MAX).contains(&name.len());
        if !fits || !name.bytes().all(is_ours) {
            return Err(Error::Schema(name.to_owned()));
        }
        Ok(Schema(name.to_owned()))
    }

    /// Enqueues a job in the transaction of `client`: it exists if and only if that commits, and
    /// starts within about a second of that. Nobody is waited for, and nobody waits for it.
    ///
    /// An id that is known already is answered as it is, so the call may be repeated; whether that
    /// is a job with other args is not told here but in the store's audit. So is a job that is left
    /// out because another one holds its unique key when it is taken in.
    ///
    /// # Errors
    /// [`Error::Database`]; with a code of class 22 where the job is beyond the limits.
    pub async fn enqueue(&self, client: &impl GenericClient, job: &NewJob) -> Result<JobId, Error> {
        let sql = format!(
            "select \"{}\".enqueue(task => $1, args => $2::json, queue => $3, priority => $4, \
             run_at => timestamptz 'epoch' + $5 * interval '1 microsecond', max_attempts => $6, \
             timeout_ms => $7, id => $8, namespace => $9, fingerprint => $10, extras => $11, \
             on_conflict => $12, replace => $13, replace_scheduled_only => $14, \
             replace_at_most_ms => $15)",
            self.0
        );
        let replace = match job.on_conflict {
            OnConflict::Replace(replace) => Some(replace),
            OnConflict::Keep | OnConflict::Refuse => None,
        };
        let replaced = replace.as_ref().map(replaced_names).filter(|names| !names.is_empty());
        let on_conflict = match (job.on_conflict, &replaced) {
            (OnConflict::Refuse, _) => "refuse",
            (_, Some(_)) => "replace",
            // To replace nothing is to keep the holder as it is.
            (_, None) => "keep",
        };
        let replace = replace.filter(|_| replaced.is_some());
        let at_most_ms = replace.and_then(|it| it.at_most_ms.filter(|_| it.run_at));
        client
            .query_typed(
                &sql,
                &[
                    (&job.task.as_str(), Type::TEXT),
                    (&job.args.as_str(), Type::TEXT),
                    (&job.queue.as_str(), Type::TEXT),
                    (&i32::from(job.priority), Type::INT4),
                    (&job.run_at.map(Timestamp::as_micros), Type::INT8),
                    (&job.max_attempts.cast_signed(), Type::INT4),
                    (&job.timeout_ms.map(u64::cast_signed), Type::INT8),
                    (&Uuid::from_u128(job.id.as_u128()), Type::UUID),
                    (&job.namespace.as_str(), Type::TEXT),
                    (&job.fingerprint.cast_signed(), Type::INT8),
                    (&extras_text(&job.extras), Type::TEXT),
                    (&on_conflict, Type::TEXT),
                    (&replaced, Type::TEXT_ARRAY),
                    (&replace.is_some_and(|replace| replace.scheduled_only), Type::BOOL),
                    (&at_most_ms.map(u64::cast_signed), Type::INT8),
                ],
            )
            .await?;
        Ok(job.id)
    }

    /// Completes a running job in the transaction of `client`: it is completed if and only if that
    /// commits. `token` is the attempt's, as the worker was given it.
    ///
    /// Until the end of the transaction the job is locked: a cancel or another report of it waits.
    ///
    /// # Errors
    /// [`Error::Stale`] where the attempt is no longer the caller's, so that what else the
    /// transaction did is undone; [`Error::Database`].
    pub async fn complete(
        &self,
        client: &impl GenericClient,
        namespace: &Name,
        id: JobId,
        token: Token,
        result: Option<&Json>,
    ) -> Result<(), Error> {
        // Columns of the type void would have to be looked up.
        let sql = format!(
            "select count(\"{}\".complete_job(id => $1, token => $2, result => $3::json, \
             namespace => $4)::text)",
            self.0
        );
        let completed = client
            .query_typed(
                &sql,
                &[
                    (&Uuid::from_u128(id.as_u128()), Type::UUID),
                    (&token.to_string(), Type::TEXT),
                    (&result.map(Json::as_str), Type::TEXT),
                    (&namespace.as_str(), Type::TEXT),
                ],
            )
            .await;
        match completed {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some_and(|code| code.code() == STALE) => {
                Err(Error::Stale(id))
            }
            Err(error) => Err(Error::Database(error)),
        }
    }
}
