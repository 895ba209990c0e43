//! The floor of the PostgreSQL store: the statements that any queue there has to make, bare.
//!
//! A job is a row with an id, a rank to claim it by and 200 bytes of args. It is written by one
//! statement and one commit, taken by an update of the rows of smallest rank that nobody has locked,
//! and moved to a table of ended jobs when it is done. No ids are checked, nothing is counted, leased
//! or told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_postgres::connect::{Connection, Fault, Parameter, Pool, Repeat};
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::life::{args_of_200_bytes, worker_id};
use crate::measure::{Tally, Window};

/// The longest that one statement may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Two tables, and a way to them.
#[derive(Clone)]
pub(crate) struct Bare {
    pool: Pool,
    statements: Arc<Statements>,
    rank: Arc<AtomicI64>,
}

struct Statements {
    put: String,
    take: String,
    end: String,
}

impl Bare {
    /// Makes the tables in a schema, which is made too.
    pub async fn create(pool: &Pool, schema: &str) -> Result<Self> {
        let tables = format!(
            "create schema {schema}_bare; \
             create table {schema}_bare.job (id uuid primary key, rank bigint not null, \
                 state smallint not null, args text not null) with (fillfactor = 85); \
             create index on {schema}_bare.job (rank) where state = 1; \
             create table {schema}_bare.ended (id uuid not null, rank bigint, state smallint, \
                 args text not null)"
        );
        let tables = tables.as_str();
        let made = pool.with(Instant::now() + LIMIT, Repeat::No, |connection| async move {
            connection.batch(tables).await
        });
        made.await?;
        let statements = Statements {
            put: format!(
                "insert into {schema}_bare.job select id, rank, 1, $3 \
                 from unnest($1::uuid[], $2::bigint[]) t (id, rank)"
            ),
            take: format!(
                "update {schema}_bare.job set state = 5 where ctid = any(array( \
                     select ctid from {schema}_bare.job where state = 1 order by rank limit $1 \
                     for update skip locked)) returning id, args"
            ),
            end: format!(
                "with gone as (delete from {schema}_bare.job where id = any($1) returning *) \
                 insert into {schema}_bare.ended select * from gone"
            ),
        };
        Ok(Bare { pool: pool.clone(), statements: Arc::new(statements), rank: Arc::default() })
    }

    async fn ask(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        let ask = |connection: Connection| async move {
            let rows: Result<Vec<Row>, Fault> = connection.query(statement, parameters).await;
            rows
        };
        Ok(self.pool.with(Instant::now() + LIMIT, Repeat::No, ask).await?)
    }

    async fn put(&self, batch: usize) -> Result<()> {
        let first = self.rank.fetch_add(i64::try_from(batch).unwrap_or(0), Ordering::Relaxed);
        let ranks: Vec<i64> = (first..).take(batch).collect();
        // Ids that grow, as those of jobs do.
        let chance = u64::try_from(worker_id(0).as_u128() >> 80).unwrap_or(0);
        let ids: Vec<Uuid> =
            ranks.iter().map(|rank| Uuid::from_u64_pair(rank.unsigned_abs(), chance)).collect();
        let args = args_of_200_bytes();
        let parameters: [Parameter<'_>; 3] =
            [(&ids, Type::UUID_ARRAY), (&ranks, Type::INT8_ARRAY), (&args.as_str(), Type::TEXT)];
        self.ask(&self.statements.put, &parameters).await.map(drop)
    }

    /// Writes only: `callers` at once, `batch` rows a statement.
    pub async fn enqueues(&self, callers: usize, batch: usize, length: Duration) -> Result<Tally> {
        let window = Window::new(length);
        let put = |bare: Bare| async move {
            let mut tally = Tally::default();
            while !window.is_over() {
                let began = Instant::now();
                bare.put(batch).await?;
                tally.latencies.note(began);
                tally.jobs += batch as u64;
            }
            tally.elapsed = window.began.elapsed();
            Ok(tally)
        };
        total((0..callers).map(|_| tokio::spawn(put(self.clone()))).collect()).await
    }

    /// Takes and ends `jobs` rows that are written first: `callers` at once, `batch` rows a statement.
    pub async fn drain(&self, jobs: usize, callers: usize, batch: usize) -> Result<Tally> {
        for _ in 0..jobs / batch {
            self.put(batch).await?;
        }
        let began = Instant::now();
        let take = |bare: Bare| async move {
            let max = i64::try_from(batch).unwrap_or(i64::MAX);
            let mut tally = Tally::default();
            loop {
                let rows = bare.ask(&bare.statements.take, &[(&max, Type::INT8)]).await?;
                let ids: Vec<Uuid> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
                if ids.is_empty() {
                    return Ok(tally);
                }
                bare.ask(&bare.statements.end, &[(&ids, Type::UUID_ARRAY)]).await?;
                tally.jobs += ids.len() as u64;
                tally.elapsed = began.elapsed();
            }
        };
        total((0..callers).map(|_| tokio::spawn(take(self.clone()))).collect()).await
    }
}

async fn total(tasks: Vec<JoinHandle<Result<Tally>>>) -> Result<Tally> {
    let mut total = Tally::default();
    for task in tasks {
        let tally = task.await.map_err(|error| {
            let message = format!("a caller of the bare statements ended early: {error}");
            Error::new(ErrorCode::Unavailable, message)
        })?;
        total.join(tally?);
    }
    Ok(total)
}
