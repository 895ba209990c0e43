//! Jobs in, jobs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use taskwright_core::{Extras, JobId, Json, Name, NewJob, OnConflict, Timestamp, WorkerId};
use taskwright_postgres::{PostgresOptions, PostgresStore};
use taskwright_store::{
    Claim, ClaimedJob, Error, ErrorKind, Insert, Outcome, Profile, Report, Result, Store,
};

static NUMBER: AtomicU64 = AtomicU64::new(0);

pub struct Load {
    pub store: Arc<PostgresStore>,
}

pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn queue(lane: u64) -> Name {
    Name::new(format!("queue-{lane}")).unwrap_or_else(|_| Name::default_name())
}

fn job(lane: u64, run_at: Option<Timestamp>) -> NewJob {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    NewJob {
        namespace: Name::default_name(),
        id: JobId::v7(Timestamp::ZERO.plus(now()), random),
        task: Name::default_name(),
        queue: queue(lane),
        args: Json::from_trusted(format!("{{\"payload\":\"{number:0>184}\"}}")),
        priority: 0,
        run_at,
        max_attempts: 20,
        timeout_ms: None,
        fingerprint: number,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    }
}

/// What a claimer does until it finds nothing.
pub struct Claimer {
    store: Arc<PostgresStore>,
    worker: WorkerId,
    seq: u64,
    profile: Arc<Profile>,
}

impl Claimer {
    pub fn new(store: &Arc<PostgresStore>, lanes: u64) -> Self {
        let worker = NUMBER.fetch_add(1, Ordering::Relaxed);
        let salt = u128::from(now().as_micros() as u64);
        let queues = (0..lanes).map(queue).collect();
        Claimer {
            store: Arc::clone(store),
            worker: WorkerId::from_u128(salt << 64 | u128::from(worker)),
            seq: 0,
            profile: Arc::new(Profile { queues, tasks: None, labels: Default::default() }),
        }
    }

    pub async fn claim(&mut self, max: usize, wait: Duration) -> Result<Vec<ClaimedJob>> {
        self.seq += 1;
        let claim = Claim {
            namespace: Name::default_name(),
            worker: self.worker,
            seq: self.seq,
            profile: Arc::clone(&self.profile),
            max,
            free: Default::default(),
            wait,
            in_process: false,
        };
        self.store.claim(claim).await
    }

    pub async fn complete(&self, jobs: Vec<ClaimedJob>) -> Result<()> {
        let report = |job: ClaimedJob| Report {
            namespace: Name::default_name(),
            id: job.id,
            token: job.token,
            outcome: Outcome::Completed { result: None },
        };
        self.store.report(jobs.into_iter().map(report).collect()).await.map(drop)
    }
}

impl Load {
    pub async fn open(url: &str) -> Result<Self> {
        let store = PostgresStore::open(url, PostgresOptions::default()).await?;
        Ok(Load { store })
    }

    /// So many callers insert so many jobs together, over some lanes.
    pub async fn enqueue(&self, callers: u64, jobs: u64, batch: u64, lanes: u64) -> Result<()> {
        let calls = jobs / callers / batch;
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let store = Arc::clone(&self.store);
                tokio::spawn(async move {
                    for _ in 0..calls {
                        let jobs = (0..batch).map(|number| job(number % lanes, None)).collect();
                        store.insert(Insert { jobs, partial: false }).await?;
                    }
                    Ok(())
                })
            })
            .collect();
        all(tasks).await.map(drop)
    }

    pub async fn enqueue_later(&self, jobs: u64, run_at: Timestamp) -> Result<()> {
        for _ in 0..jobs / 1_000 {
            let jobs = (0..1_000).map(|_| job(0, Some(run_at))).collect();
            self.store.insert(Insert { jobs, partial: false }).await?;
        }
        Ok(())
    }

    /// So many callers enqueue, claim and complete one job at a time; how many lives that was.
    pub async fn live(&self, callers: u64, jobs: u64) -> Result<u64> {
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let store = Arc::clone(&self.store);
                let mut claimer = Claimer::new(&self.store, 1);
                tokio::spawn(async move {
                    for _ in 0..jobs / callers {
                        store.insert(Insert { jobs: vec![job(0, None)], partial: false }).await?;
                        let jobs = claimer.claim(1, Duration::from_secs(10)).await?;
                        claimer.complete(jobs).await?;
                    }
                    Ok(jobs / callers)
                })
            })
            .collect();
        Ok(all(tasks).await?.into_iter().sum())
    }

    /// So many claimers complete all there is; how much it was.
    pub async fn drain(&self, claimers: u64, batch: usize, lanes: u64) -> Result<u64> {
        let tasks: Vec<_> = (0..claimers)
            .map(|_| {
                let mut claimer = Claimer::new(&self.store, lanes);
                tokio::spawn(async move {
                    let mut done = 0;
                    loop {
                        let jobs = claimer.claim(batch, Duration::ZERO).await?;
                        if jobs.is_empty() {
                            return Ok(done);
                        }
                        done += jobs.len() as u64;
                        claimer.complete(jobs).await?;
                    }
                })
            })
            .collect();
        Ok(all(tasks).await?.into_iter().sum())
    }
}

/// What a claim of 100 jobs takes, over 200 claims.
pub async fn drained(load: &Load, what: &str) -> Result<()> {
    load.enqueue(1, 20_000, 1_000, 1).await?;
    let mut claimer = Claimer::new(&load.store, 1);
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        let jobs = claimer.claim(100, Duration::ZERO).await?;
        times.push(began.elapsed());
        claimer.complete(jobs).await?;
    }
    let (p50, p99) = percentiles(&mut times);
    println!("claim of 100, {what:<36} p50 {p50:.2} ms   p99 {p99:.2} ms");
    Ok(())
}

/// The median and the 99th percentile, in milliseconds.
pub fn percentiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        times.get(place.min(times.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64) * 1e3
    };
    (at(0.5), at(0.99))
}

pub async fn all<T>(tasks: Vec<tokio::task::JoinHandle<Result<T>>>) -> Result<Vec<T>> {
    let mut values = Vec::new();
    for task in tasks {
        let ended = |error| Error::new(ErrorKind::Invalid, format!("a task ended early: {error}"));
        values.push(task.await.map_err(ended)??);
    }
    Ok(values)
}
