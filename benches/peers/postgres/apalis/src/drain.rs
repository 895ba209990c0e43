//! Drain: workers run what was enqueued.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use futures::future::try_join_all;
use tokio::runtime::Handle;

use crate::job::{Job, Marks};
use crate::settings::Settings;
use crate::{QUEUE, figure, pool};

const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// Runs all jobs.
pub async fn all(url: &str, settings: &Settings) -> Result<()> {
    let marks = Arc::new(Marks::new(settings.jobs));
    let mut pools = Vec::new();
    for _ in 0..settings.workers {
        // For fetching and for listening.
        pools.push(pool(url, 3).await?);
    }
    let began = Instant::now();
    let working = pools.into_iter().enumerate().map(|(number, pool)| {
        let work = (pool, number, settings.clone(), Arc::clone(&marks));
        // A thread for each, as the compiler does not see that `work` may move between threads.
        tokio::task::spawn_blocking(move || {
            let (pool, number, settings, marks) = work;
            Handle::current().block_on(self::work(pool, number, settings, marks))
        })
    });
    let worked = tokio::time::timeout(DRAINED_WITHIN, try_join_all(working)).await;
    for ended in worked.with_context(|| format!("draining within {DRAINED_WITHIN:?}"))?? {
        ended?;
    }
    let seconds = (marks.last()? - began).as_secs_f64();
    let left = left(url).await?;
    if left > 0 {
        bail!("{left} of {} jobs ran, but are not recorded as done", settings.jobs);
    }
    figure::print("batch1000.drain", settings.jobs as usize, seconds, Vec::new());
    Ok(())
}

async fn work(pool: PgPool, number: usize, settings: Settings, marks: Arc<Marks>) -> Result<()> {
    let config = Config::default().queue(QUEUE).batch_size(settings.batch_size);
    let backend = PostgresStorage::<Job>::new(&pool)
        .with_config(config)
        .with_pubsub()
        .poll_with_interval(Duration::from_millis(100));
    let worker = WorkerBuilder::new(format!("worker-{number}"))
        .backend(backend)
        .concurrency(settings.concurrency)
        .data(Arc::clone(&marks))
        .build(noop);
    let all_ran = async move {
        marks.all().await.map_err(|error| WorkerError::PanicError(error.to_string()))
    };
    worker.run_until(all_ran).await.context("running a worker")
}

async fn noop(job: Job, marks: Data<Arc<Marks>>) -> Result<(), BoxDynError> {
    marks.ran(&job);
    Ok(())
}

async fn left(url: &str) -> Result<i64> {
    let pool = pool(url, 1).await?;
    let count = sqlx::query_scalar("select count(*) from apalis.jobs where status <> 'Done'");
    count.fetch_one(&pool).await.context("counting what is left")
}
