//! What the store does under strain, on a database of its own:
//!
//! ```text
//! cargo run --release -p taskwright-postgres --example strain -- URL rate [JOBS]
//! … URL held [SECONDS] [FINISHED]   a transaction stays open, with so many jobs finished before
//! … URL full [JOBS]                 claims beside delayed and finished jobs
//! … URL lanes [JOBS]                one lane and fifty
//! … URL lives [CALLERS] [JOBS]      callers that enqueue, claim and complete one job at a time
//! … URL idle [WORKERS] [SECONDS]    workers that wait
//! ```

mod held;
mod idle;
mod load;

use std::time::{Duration, Instant};

use load::{Load, drained};
use taskwright_core::Timestamp;
use taskwright_store::{Result, Store};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_default();
    let what = arguments.next().unwrap_or_default();
    let numbers: Vec<u64> = arguments.filter_map(|text| text.parse().ok()).collect();
    let number = |place: usize, otherwise| numbers.get(place).copied().unwrap_or(otherwise);
    let load = Load::open(&url).await?;
    match what.as_str() {
        "rate" => rate(&load, number(0, 200_000)).await?,
        "held" => held::run(&url, &load, number(0, 600), number(1, 5_000_000)).await?,
        "full" => full(&load, number(0, 1_000_000)).await?,
        "lanes" => lanes(&load, number(0, 200_000)).await?,
        "lives" => lives(&load, number(0, 64), number(1, 20_000)).await?,
        "idle" => idle::run(&url, number(0, 100), number(1, 30)).await?,
        _ => println!("what to do: rate, held, full, lanes, lives or idle"),
    }
    load.store.close().await
}

fn line(what: &str, jobs: u64, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    println!("{what:<40} {:>9.0} /s   {seconds:.2} s", jobs as f64 / seconds);
}

/// Bulk and single enqueues, and drains with several sizes of batches.
async fn rate(load: &Load, jobs: u64) -> Result<()> {
    for (claimers, batch) in [(2, 1_000), (3, 500), (4, 1_000)] {
        let began = Instant::now();
        load.enqueue(2, jobs, 1_000, 1).await?;
        line("enqueue, 2 x 1000", jobs, began.elapsed());
        let began = Instant::now();
        let done = load.drain(claimers, batch, 1).await?;
        line(&format!("drain, {claimers} x {batch}"), done, began.elapsed());
    }
    let began = Instant::now();
    load.enqueue(1, 3_000, 1, 1).await?;
    line("enqueue, 1 x 1", 3_000, began.elapsed());
    let began = Instant::now();
    load.enqueue(64, 64_000, 1, 1).await?;
    line("enqueue, 64 x 1", 64_000, began.elapsed());
    let began = Instant::now();
    let done = load.drain(8, 50, 1).await?;
    line("drain, 8 x 50", done, began.elapsed());
    Ok(())
}

/// What a claim of 100 takes on an empty store, and beside many jobs that nobody may claim now.
async fn full(load: &Load, jobs: u64) -> Result<()> {
    drained(load, "empty").await?;
    let began = Instant::now();
    load.enqueue_later(jobs, Timestamp::ZERO.plus(load::now() + Duration::from_secs(86_400)))
        .await?;
    line("enqueue, delayed", jobs, began.elapsed());
    drained(load, "beside delayed ones").await?;
    load.enqueue(2, jobs, 1_000, 1).await?;
    let began = Instant::now();
    let done = load.drain(2, 1_000, 1).await?;
    line("drain", done, began.elapsed());
    drained(load, "beside delayed and finished ones").await
}

async fn lives(load: &Load, callers: u64, jobs: u64) -> Result<()> {
    let began = Instant::now();
    let done = load.live(callers, jobs).await?;
    line(&format!("lives, {callers} x 1"), done, began.elapsed());
    Ok(())
}

async fn lanes(load: &Load, jobs: u64) -> Result<()> {
    for lanes in [1, 50] {
        load.enqueue(2, jobs, 1_000, lanes).await?;
        let began = Instant::now();
        let done = load.drain(2, 1_000, lanes).await?;
        line(&format!("drain, {lanes} lanes"), done, began.elapsed());
    }
    Ok(())
}
