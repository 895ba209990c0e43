//! The PostgreSQL store on a database that somebody runs, beside the bare statements there.
//!
//! Every measurement has a schema of its own, `taskwright_bench_…`, which is dropped after it.

use std::sync::Arc;
use std::time::Duration;

use taskwright_engine::{Api, Engine, Error, ErrorCode, Result};
use taskwright_postgres::connect::{Pool, Repeat, Target};
use taskwright_postgres::{PostgresOptions, PostgresStore};

use crate::bare::Bare;
use crate::delay;
use crate::life;
use crate::limited::{self, Jobs};
use crate::measure::{Figure, Latencies, Tally, Unit};
use crate::run::{Bench, Options};

/// Jobs a batch.
const BATCH: usize = 1_000;
/// Callers that each enqueue batches, as many as those of other queues beside which this is measured.
/// Two are as fast on a machine that does nothing else.
const PRODUCERS: usize = 4;
/// Callers that each claim and complete batches.
const CLAIMERS: usize = 3;
/// Callers that each enqueue single jobs.
const SINGLE_CALLERS: usize = 64;
/// Jobs that are drained.
const DRAINED: usize = 400_000;
/// Jobs that are drained where they are limited.
const LIMITED: usize = 100_000;

struct Measurement {
    name: &'static str,
    run: fn(&Postgres<'_>) -> Result<Figure>,
}

const MEASUREMENTS: &[Measurement] = &[
    Measurement { name: "postgres.inprocess.batch1000.enqueue", run: |p| p.batch_enqueue() },
    Measurement { name: "postgres.inprocess.batch1000.drain", run: |p| p.drain() },
    Measurement { name: "postgres.limited.drain", run: |p| p.limited(Jobs::Limited) },
    Measurement { name: "postgres.fair.drain", run: |p| p.limited(Jobs::Fair) },
    Measurement { name: "postgres.inprocess.single.enqueue", run: |p| p.single_enqueue() },
    Measurement { name: "postgres.inprocess.concurrent64.enqueue", run: |p| p.concurrent() },
    Measurement { name: "postgres.inprocess.batch1000.life", run: |p| p.lives(CLAIMERS, BATCH) },
    Measurement {
        name: "postgres.inprocess.concurrent64.life",
        run: |p| p.lives(SINGLE_CALLERS, 1),
    },
    Measurement { name: "postgres.inprocess.idle.start", run: |p| p.start() },
    Measurement { name: "postgres.inprocess.delay", run: |p| p.delay() },
];

/// Measures on the database that `url` names what `options` ask for; how many figures there were.
pub(crate) fn run(bench: &Bench, url: &str, each: &mut impl FnMut(&Figure)) -> Result<usize> {
    let only = bench.options.only.as_deref().unwrap_or_default();
    let mut measured = 0;
    for measurement in MEASUREMENTS.iter().filter(|measurement| measurement.name.contains(only)) {
        let place = Postgres::new(bench, url, measurement.name, measured)?;
        let figure = (measurement.run)(&place);
        let cleared = place.clear();
        each(&figure?);
        cleared?;
        measured += 1;
    }
    Ok(measured)
}

/// The names of all figures.
pub(crate) fn names() -> Vec<&'static str> {
    MEASUREMENTS.iter().map(|measurement| measurement.name).collect()
}

/// One measurement and its schema.
struct Postgres<'b> {
    bench: &'b Bench,
    name: &'static str,
    url: String,
    schema: String,
    pool: Pool,
}

impl<'b> Postgres<'b> {
    fn new(bench: &'b Bench, url: &str, name: &'static str, number: usize) -> Result<Self> {
        let schema = format!("taskwright_bench_{}_{number}", std::process::id());
        let mark = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{mark}schema={schema}");
        let pool = Pool::new(Target::parse(&url)?)?;
        Ok(Postgres { bench, name, url, schema, pool })
    }

    fn options(&self) -> &Options {
        &self.bench.options
    }

    /// Runs a measurement on a fresh store.
    fn measured<T, F>(&self, measurement: impl FnOnce(Arc<dyn Api>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.bench.runtime.block_on(async {
            let api = self.opened().await?;
            let measured = measurement(Arc::clone(&api)).await;
            api.close().await?;
            measured
        })
    }

    async fn opened(&self) -> Result<Arc<dyn Api>> {
        let options =
            PostgresOptions { node_name: "bench".to_owned(), ..PostgresOptions::default() };
        let api: Arc<dyn Api> = Engine::start(PostgresStore::open(&self.url, options).await?)?;
        Ok(api)
    }

    /// A table of its own for bare statements, in the same schema.
    fn bare<T, F>(&self, floor: impl FnOnce(Bare) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.bench.runtime.block_on(async {
            let bare = Bare::create(&self.pool, &self.schema).await?;
            floor(bare).await
        })
    }

    fn batch_enqueue(&self) -> Result<Figure> {
        let length = self.options().length() / 3;
        let floor =
            self.bare(|bare| async move { bare.enqueues(PRODUCERS, BATCH, length).await })?;
        let tally = self
            .measured(|api| async move { life::enqueues(&api, PRODUCERS, BATCH, length).await })?;
        Ok(self.rate(&tally).over(floor.rate()))
    }

    /// The rate at which jobs with a limit key, or besides with a group in a fair queue, are drained, over
    /// that of plain jobs before them.
    fn limited(&self, kind: Jobs) -> Result<Figure> {
        let jobs = self.options().scaled(LIMITED);
        let drained = |kind| {
            self.measured(|api| async move {
                limited::preload(&api, kind, jobs).await?;
                life::drain(&api, CLAIMERS, BATCH).await
            })
        };
        let plain: Tally = drained(Jobs::Plain)?;
        let limited: Tally = drained(kind)?;
        Ok(self.rate(&limited).over(plain.rate()))
    }

    fn drain(&self) -> Result<Figure> {
        let jobs = self.options().scaled(DRAINED);
        let floor = self.bare(|bare| async move { bare.drain(jobs, CLAIMERS, BATCH).await })?;
        let tally = self.measured(|api| async move {
            life::preload(&api, jobs).await?;
            life::drain(&api, CLAIMERS, BATCH).await
        })?;
        if tally.jobs != jobs as u64 {
            let message = format!("{} of {jobs} jobs were drained; measure again", tally.jobs);
            return Err(Error::new(ErrorCode::Unavailable, message));
        }
        Ok(self.rate(&tally).over(floor.rate()))
    }

    /// One producer on a thread of its own, as a program without other work is.
    fn single_enqueue(&self) -> Result<Figure> {
        let length = self.options().length() / 3;
        let floor = self.bare(|bare| async move { bare.enqueues(1, 1, length).await })?;
        let caller = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let caller = caller.map_err(|error| {
            Error::new(ErrorCode::Unavailable, format!("cannot start the producer: {error}"))
        })?;
        let tally = caller.block_on(async {
            let api = self.opened().await?;
            let tally = life::enqueues(&api, 1, 1, length).await;
            api.close().await?;
            tally
        })?;
        Ok(self.rate(&tally).over(floor.rate()))
    }

    fn concurrent(&self) -> Result<Figure> {
        let length = self.options().length() / 3;
        let tally = self
            .measured(|api| async move { life::enqueues(&api, SINGLE_CALLERS, 1, length).await })?;
        Ok(self.rate(&tally))
    }

    fn lives(&self, callers: usize, batch: usize) -> Result<Figure> {
        let length = self.options().length() / 3;
        let tally =
            self.measured(|api| async move { life::lives(&api, callers, batch, length).await })?;
        Ok(self.rate(&tally))
    }

    fn start(&self) -> Result<Figure> {
        let samples = self.options().scaled(1_000).max(100);
        let latencies = self.measured(|api| async move { delay::starts(&api, samples).await })?;
        Ok(self.latency(&latencies))
    }

    fn delay(&self) -> Result<Figure> {
        let samples = self.options().scaled(200).max(40);
        let late = self.measured(|api| async move { delay::delayed(&api, samples).await })?;
        Ok(self.latency(&late))
    }

    fn rate(&self, tally: &Tally) -> Figure {
        Figure::rate(self.name, tally)
    }

    fn latency(&self, latencies: &Latencies) -> Figure {
        let p99 = latencies.percentile_ms(99.0);
        let mut figure = Figure::new(self.name, p99.unwrap_or(0.0), Unit::Milliseconds);
        figure.p50_ms = latencies.percentile_ms(50.0);
        figure.p99_ms = p99;
        figure
    }

    /// Drops the schema with all that was measured.
    fn clear(self) -> Result<()> {
        let statement = format!("drop schema if exists {0}, {0}_bare cascade", self.schema);
        let statement = statement.as_str();
        let deadline = std::time::Instant::now() + Duration::from_secs(120);
        self.bench.runtime.block_on(async {
            let dropped = self.pool.with(deadline, Repeat::Yes, |connection| async move {
                connection.batch(statement).await
            });
            dropped.await?;
            self.pool.close();
            Ok(())
        })
    }
}
