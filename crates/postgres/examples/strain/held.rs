//! A REPEATABLE READ transaction is held open while jobs go in and out at a steady rate.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taskwright_store::{Error, ErrorKind, Result};
use tokio_postgres::NoTls;

use crate::load::{Claimer, Load, percentiles};

const WINDOW: Duration = Duration::from_secs(10);
const BATCH: u64 = 500;
/// The part of the top rate that is asked for.
const PART: f64 = 0.4;

#[derive(Default)]
struct Seen {
    claims: Mutex<Vec<Duration>>,
    done: AtomicU64,
    enqueued: AtomicU64,
    stop: AtomicBool,
}

pub async fn run(url: &str, load: &Load, seconds: u64, finished: u64) -> Result<()> {
    let began = Instant::now();
    for _ in 0..finished / 100_000 {
        load.enqueue(2, 100_000, 1_000, 1).await?;
        load.drain(2, 1_000, 1).await?;
    }
    println!("{finished} jobs finished in {:.0} s", began.elapsed().as_secs_f64());
    let top = top_rate(load).await?;
    let rate = top * PART;
    println!("top rate {top:.0} /s in and out; asked for {rate:.0} /s");
    let plain = url.split('?').next().unwrap_or(url);
    let (client, connection) = tokio_postgres::connect(plain, NoTls).await.map_err(failed)?;
    tokio::spawn(connection);
    client
        .batch_execute(
            "begin isolation level repeatable read; select count(*) from taskwright.meta",
        )
        .await
        .map_err(failed)?;
    let seen = Arc::new(Seen::default());
    let mut tasks = vec![tokio::spawn(produce(Arc::clone(&load.store), Arc::clone(&seen), rate))];
    for _ in 0..2 {
        let claimer = Claimer::new(&load.store, 1);
        tasks.push(tokio::spawn(consume(claimer, Arc::clone(&seen))));
    }
    for window in 1..=seconds / WINDOW.as_secs() {
        tokio::time::sleep(WINDOW).await;
        report(&seen, window);
    }
    seen.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        if let Ok(Err(error)) = task.await {
            println!("{error}");
        }
    }
    let left = load.drain(2, 1_000, 1).await?;
    let (done, enqueued) =
        (seen.done.load(Ordering::Relaxed), seen.enqueued.load(Ordering::Relaxed));
    println!(
        "enqueued {enqueued}, done {done}, left at the end {left}, stranded {}",
        enqueued - done - left
    );
    client.batch_execute("rollback").await.map_err(failed)
}

fn failed(error: tokio_postgres::Error) -> Error {
    Error::new(ErrorKind::Unavailable, error.to_string())
}

/// Jobs a second that go in and out at the same time.
async fn top_rate(load: &Load) -> Result<f64> {
    let began = Instant::now();
    let (put, first) = tokio::join!(load.enqueue(1, 100_000, 500, 1), load.drain(1, 500, 1));
    put?;
    let done = first? + load.drain(2, 500, 1).await?;
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

async fn produce(
    store: Arc<taskwright_postgres::PostgresStore>,
    seen: Arc<Seen>,
    rate: f64,
) -> Result<()> {
    let load = Load { store };
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(BATCH as f64 / rate));
    while !seen.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        load.enqueue(1, BATCH, BATCH, 1).await?;
        seen.enqueued.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}

async fn consume(mut claimer: Claimer, seen: Arc<Seen>) -> Result<()> {
    while !seen.stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let jobs = claimer.claim(BATCH as usize, Duration::ZERO).await?;
        if jobs.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        if let Ok(mut claims) = seen.claims.lock() {
            claims.push(began.elapsed());
        }
        seen.done.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        claimer.complete(jobs).await?;
    }
    Ok(())
}

fn report(seen: &Seen, window: u64) {
    let mut claims = match seen.claims.lock() {
        Ok(mut claims) => std::mem::take(&mut *claims),
        Err(_) => return,
    };
    let (p50, p99) = percentiles(&mut claims);
    let done = seen.done.load(Ordering::Relaxed);
    let behind = seen.enqueued.load(Ordering::Relaxed).saturating_sub(done);
    let rate = done as f64 / (window * WINDOW.as_secs()) as f64;
    println!(
        "{:>4} s  claim p50 {p50:>7.2} ms  p99 {p99:>7.2} ms  {rate:>7.0} /s so far  {behind} behind",
        window * WINDOW.as_secs()
    );
}
