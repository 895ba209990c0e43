//! Enqueue: one by one and in bulk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use apalis::prelude::TaskSink;
use apalis_postgres::queries::push_tasks;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use futures::future::try_join_all;

use crate::job::Job;
use crate::settings::Settings;
use crate::{QUEUE, figure, pool};

const BATCH: u32 = 1_000;

/// Enqueues one by one, with so many callers at once.
pub async fn one_by_one(url: &str, measure: &str, callers: u32, settings: &Settings) -> Result<()> {
    let pool = pool(url, callers.min(settings.concurrent_connections)).await?;
    push(&pool, &[Job::new(0)]).await?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(settings.seconds);
    let calling = (0..callers).map(|_| {
        // Of the two ways, each time the faster one.
        if callers == 1 {
            tokio::spawn(call_with_statement(pool.clone(), until))
        } else {
            tokio::spawn(call_with_storage(pool.clone(), until))
        }
    });
    let mut latencies = Vec::new();
    for called in try_join_all(calling).await? {
        latencies.extend(called?);
    }
    figure::print(measure, latencies.len(), began.elapsed().as_secs_f64(), latencies);
    pool.close().await;
    Ok(())
}

async fn call_with_statement(pool: PgPool, until: Instant) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut at = Instant::now();
    while at < until {
        push(&pool, &[Job::new(latencies.len() as u32)]).await?;
        let done = Instant::now();
        latencies.push(done - at);
        at = done;
    }
    Ok(latencies)
}

async fn call_with_storage(pool: PgPool, until: Instant) -> Result<Vec<Duration>> {
    let mut storage = PostgresStorage::new(&pool).with_config(Config::default().queue(QUEUE));
    let mut latencies = Vec::new();
    let mut at = Instant::now();
    while at < until {
        storage.push(Job::new(latencies.len() as u32)).await.context("enqueueing a job")?;
        let done = Instant::now();
        latencies.push(done - at);
        at = done;
    }
    Ok(latencies)
}

/// Enqueues all jobs of the drain.
pub async fn in_bulk(url: &str, settings: &Settings) -> Result<()> {
    let pool = pool(url, settings.bulk_callers).await?;
    let next = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let calling = (0..settings.bulk_callers)
        .map(|_| tokio::spawn(call_in_bulk(pool.clone(), Arc::clone(&next), settings.jobs)));
    let mut latencies = Vec::new();
    for called in try_join_all(calling).await? {
        latencies.extend(called?);
    }
    let jobs = settings.jobs as usize;
    figure::print("batch1000.enqueue", jobs, began.elapsed().as_secs_f64(), latencies);
    pool.close().await;
    Ok(())
}

async fn call_in_bulk(pool: PgPool, next: Arc<AtomicU32>, jobs: u32) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= jobs {
            return Ok(latencies);
        }
        let at = Instant::now();
        let batch: Vec<_> = (first..jobs.min(first + BATCH)).map(Job::new).collect();
        push(&pool, &batch).await?;
        latencies.push(at.elapsed());
    }
}

/// What `push` and `push_bulk` do, but without a transaction around the one statement.
async fn push(pool: &PgPool, jobs: &[Job]) -> Result<()> {
    let tasks = jobs.iter().map(Job::task).collect::<Result<Vec<_>>>()?;
    let mut connection = pool.acquire().await.context("waiting for a connection")?;
    push_tasks(&mut *connection, QUEUE, tasks).await.context("enqueueing")
}
