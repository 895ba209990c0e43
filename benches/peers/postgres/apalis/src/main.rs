//! Measures apalis-postgres, and prints one JSON object a line: see ../README.md.
//!
//! The database that `DATABASE_URL` names is empty; `--quick` is for a first look.

mod drain;
mod enqueue;
mod figure;
mod job;
mod settings;

use anyhow::{Context, Result};
use apalis_postgres::{PgPool, PostgresStorage};
use sqlx::postgres::PgPoolOptions;

use settings::Settings;

/// The queue of all jobs.
const QUEUE: &str = "noop";

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::read(std::env::args().any(|argument| argument == "--quick"))?;
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL names no database")?;
    let pool = pool(&url, 1).await?;
    PostgresStorage::setup(&pool).await.context("setting apalis up")?;

    enqueue::one_by_one(&url, "single.enqueue", 1, &settings).await?;
    clear(&pool).await?;
    enqueue::one_by_one(&url, "concurrent64.enqueue", 64, &settings).await?;
    clear(&pool).await?;
    enqueue::in_bulk(&url, &settings).await?;
    // As autovacuum does within a minute in a database that lives.
    sqlx::query("analyze").execute(&pool).await.context("telling PostgreSQL how much there is")?;
    drain::all(&url, &settings).await
}

/// So many connections, opened as they are needed.
async fn pool(url: &str, connections: u32) -> Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(connections).connect(url).await;
    pool.context("connecting to PostgreSQL")
}

async fn clear(pool: &PgPool) -> Result<()> {
    sqlx::query("truncate apalis.jobs").execute(pool).await.context("clearing the queue")?;
    Ok(())
}
