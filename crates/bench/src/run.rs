//! Which measurements there are, and in which order they run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::Timestamp;
use taskwright_core::limits::{ID_WINDOW, LEASE};
use taskwright_engine::{Api, Engine, Error, ErrorCode, Result};
use taskwright_local::{FileOptions, LocalStore, MemoryOptions};
use taskwright_store::{Clock, ManualClock, Store, SystemClock};

use crate::delay;
use crate::floor::BareLog;
use crate::http::Served;
use crate::life;
use crate::measure::{Figure, Unit};
use crate::order::OrderedLog;
use crate::postgres;
use crate::size;
use crate::trouble;

/// Callers that each send batches.
pub(crate) const BATCH_CALLERS: usize = 12;
/// Jobs a batch.
pub(crate) const BATCH: usize = 100;
/// Callers that each send single jobs.
const SINGLE_CALLERS: usize = 64;
/// Connections to the server.
const CONNECTIONS: usize = 4;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Short runs: for a first look, not for figures to quote.
    pub quick: bool,
    /// Only figures whose name contains this.
    pub only: Option<String>,
    /// Where the files of the measured stores go: on the disk that is to be measured.
    pub directory: PathBuf,
    /// The PostgreSQL database to measure instead, by its URL.
    pub store: Option<String>,
}

impl Options {
    pub(crate) fn length(&self) -> Duration {
        if self.quick { Duration::from_secs(2) } else { Duration::from_secs(30) }
    }

    pub(crate) fn scaled(&self, full: usize) -> usize {
        if self.quick { full / 20 } else { full }
    }
}

/// One measurement and the names of its figures.
struct Measurement {
    names: &'static [&'static str],
    run: fn(&Bench) -> Result<Vec<Figure>>,
}

const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        names: &["file.inprocess.batch100.life"],
        run: |b| b.file_lives(BATCH_CALLERS, BATCH, "batch100"),
    },
    Measurement {
        names: &["file.inprocess.concurrent64.life"],
        run: |b| b.file_lives(SINGLE_CALLERS, 1, "concurrent64"),
    },
    Measurement {
        names: &["file.inprocess.concurrent64.enqueue"],
        run: Bench::file_concurrent_enqueue,
    },
    Measurement { names: &["file.inprocess.batch100.enqueue"], run: Bench::file_batch_enqueue },
    Measurement { names: &["file.inprocess.single.enqueue"], run: Bench::file_single_enqueue },
    Measurement { names: &["file.inprocess.batch100.drain"], run: Bench::file_drain },
    Measurement {
        names: &["file.inprocess.limited.drain", "file.inprocess.fair.drain"],
        run: |b| b.limited_drain("file"),
    },
    Measurement {
        names: &["memory.inprocess.limited.drain", "memory.inprocess.fair.drain"],
        run: |b| b.limited_drain("memory"),
    },
    Measurement { names: &["memory.inprocess.batch100.life"], run: Bench::memory_lives },
    Measurement { names: &["file.inprocess.idle.start"], run: Bench::file_start },
    Measurement { names: &["file.inprocess.delay"], run: Bench::file_delay },
    Measurement {
        names: &["file.http.batch100.enqueue", "file.http.batch100.drain"],
        run: Bench::http_bulk,
    },
    Measurement { names: &["file.http.idle.start"], run: Bench::http_start },
    Measurement { names: &["file.inprocess.failonce.life"], run: Bench::fail_once },
    Measurement { names: &["file.inprocess.poison.dead"], run: Bench::poison },
    Measurement { names: &["memory.inprocess.lostworker.recovery"], run: Bench::lost_worker },
    Measurement {
        names: &["file.queued.memory", "file.queued.open", "file.claimcost.queued"],
        run: Bench::queued,
    },
    Measurement {
        names: &["file.claimcost.scheduled", "file.claimcost.finished"],
        run: Bench::claim_cost,
    },
    Measurement { names: &["file.passed.disk"], run: Bench::passed },
    Measurement { names: &["file.idle.processor", "file.idle.memory"], run: Bench::idle },
];

/// Runs what `options` ask for, and hands over each figure as soon as it is there.
///
/// # Errors
/// When a store cannot be made or used, or nothing is measured by the name asked for.
pub fn run(options: Options, mut each: impl FnMut(&Figure)) -> Result<()> {
    let bench = Bench::new(options)?;
    let mut measured = 0;
    if let Some(url) = &bench.options.store {
        measured = postgres::run(&bench, url, &mut each)?;
        return if measured > 0 { Ok(()) } else { Err(nothing(&postgres::names())) };
    }
    for measurement in MEASUREMENTS {
        let only = bench.options.only.as_deref().unwrap_or_default();
        if !measurement.names.iter().any(|name| name.contains(only)) {
            continue;
        }
        for figure in (measurement.run)(&bench)? {
            each(&figure);
            measured += 1;
        }
    }
    if measured == 0 {
        let names: Vec<_> = MEASUREMENTS.iter().flat_map(|m| m.names).copied().collect();
        return Err(nothing(&names));
    }
    Ok(())
}

fn nothing(names: &[&str]) -> Error {
    let message = format!("nothing is measured by that name; there are {}", names.join(", "));
    Error::new(ErrorCode::NotFound, message)
}

pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) runtime: tokio::runtime::Runtime,
}

/// A store in a directory that is gone after the measurement.
pub(crate) struct Opened {
    store: Arc<dyn Store>,
    pub(crate) api: Arc<dyn Api>,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(options: Options) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            let message = format!("cannot start the threads of the measurement: {error}");
            Error::new(ErrorCode::Unavailable, message)
        })?;
        Ok(Bench { options, runtime })
    }

    fn directory(&self) -> Result<tempfile::TempDir> {
        let place = &self.options.directory;
        tempfile::Builder::new().prefix("taskwright-bench-").tempdir_in(place).map_err(|error| {
            let message = format!("cannot make a directory in {}: {error}", place.display());
            Error::new(ErrorCode::Unusable, message)
        })
    }

    pub(crate) fn open(&self) -> Result<Opened> {
        let directory = self.directory()?;
        let (store, api) = open_file(&directory.path().join("data"), FileOptions::default())?;
        Ok(Opened { store, api, directory })
    }

    fn floor(&self) -> Result<(Arc<BareLog>, tempfile::TempDir)> {
        let directory = self.directory()?;
        Ok((Arc::new(BareLog::create(directory.path())?), directory))
    }

    fn file_lives(&self, callers: usize, batch: usize, shape: &str) -> Result<Vec<Figure>> {
        let length = self.options.length();
        let floor = {
            let (log, _directory) = self.floor()?;
            self.runtime.block_on(log.lives(callers, batch, length / 3))
        };
        let queued = self.options.scaled(100_000);
        let with_order = {
            let directory = self.directory()?;
            let log = Arc::new(OrderedLog::create(directory.path())?);
            self.runtime.block_on(log.lives(callers, batch, queued, length / 3))
        };
        let opened = self.open()?;
        let tally = self.runtime.block_on(async {
            life::preload(&opened.api, queued).await?;
            let mut tally = life::lives(&opened.api, callers, batch, length).await?;
            // A table that lags would have to be paid for later: wait for it inside the time.
            let began = Instant::now();
            opened.store.list(everything(1)).await?;
            tally.elapsed += began.elapsed();
            Ok::<_, Error>(tally)
        })?;
        let figure = Figure::rate(format!("file.inprocess.{shape}.life"), &tally);
        Ok(vec![
            Figure::rate(format!("floor.log.{shape}.life"), &floor),
            Figure::rate(format!("floor.log_with_order.{shape}.life"), &with_order),
            figure.over(floor.rate()).over_with_order(with_order.rate()),
        ])
    }

    fn file_concurrent_enqueue(&self) -> Result<Vec<Figure>> {
        let length = self.options.length() / 3;
        let floor = {
            let (log, _directory) = self.floor()?;
            self.runtime.block_on(log.enqueues(SINGLE_CALLERS, 1, length))
        };
        let opened = self.open()?;
        let tally =
            self.runtime.block_on(life::enqueues(&opened.api, SINGLE_CALLERS, 1, length))?;
        let name = "file.inprocess.concurrent64.enqueue";
        let mut figures = vec![Figure::rate(name, &tally).over(floor.rate())];
        if let (Some(ours), Some(bare)) =
            (tally.latencies.percentile_ms(99.0), floor.latencies.percentile_ms(99.0))
        {
            let name = "file.inprocess.concurrent64.enqueue.p99";
            figures.push(Figure::new(name, ours, Unit::Milliseconds).over(bare));
        }
        Ok(figures)
    }

    fn file_batch_enqueue(&self) -> Result<Vec<Figure>> {
        let length = self.options.length() / 3;
        let floor = {
            let (log, _directory) = self.floor()?;
            self.runtime.block_on(log.enqueues(BATCH_CALLERS, BATCH, length))
        };
        let opened = self.open()?;
        let tally =
            self.runtime.block_on(life::enqueues(&opened.api, BATCH_CALLERS, BATCH, length))?;
        Ok(vec![Figure::rate("file.inprocess.batch100.enqueue", &tally).over(floor.rate())])
    }

    fn file_single_enqueue(&self) -> Result<Vec<Figure>> {
        let length = self.options.length() / 3;
        let floor = {
            let directory = self.directory()?;
            BareLog::syncs(directory.path(), length)?
        };
        let opened = self.open()?;
        // One blocking producer: its own thread, no runtime between it and the store.
        let caller = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let caller = caller.map_err(|error| {
            Error::new(ErrorCode::Unavailable, format!("cannot start the producer: {error}"))
        })?;
        let tally = caller.block_on(async {
            let producer = life::Caller::new(&opened.api, 1);
            let window = crate::measure::Window::new(length);
            let mut tally = crate::measure::Tally::default();
            while !window.is_over() {
                let began = Instant::now();
                producer.enqueue(1).await?;
                tally.latencies.note(began);
                tally.jobs += 1;
            }
            tally.elapsed = window.began.elapsed();
            Ok::<_, Error>(tally)
        })?;
        Ok(vec![Figure::rate("file.inprocess.single.enqueue", &tally).over(floor.rate())])
    }

    fn file_drain(&self) -> Result<Vec<Figure>> {
        let opened = self.open()?;
        let tally = self.runtime.block_on(async {
            life::preload(&opened.api, self.options.scaled(1_000_000)).await?;
            life::drain(&opened.api, BATCH_CALLERS, BATCH).await
        })?;
        Ok(vec![Figure::rate("file.inprocess.batch100.drain", &tally)])
    }

    fn memory_lives(&self) -> Result<Vec<Figure>> {
        let store = LocalStore::open_memory(MemoryOptions::default(), Arc::new(SystemClock))?;
        let api: Arc<dyn Api> = Engine::start(store)?;
        let length = self.options.length() / 3;
        let tally = self.runtime.block_on(life::lives(&api, BATCH_CALLERS, BATCH, length))?;
        Ok(vec![Figure::rate("memory.inprocess.batch100.life", &tally)])
    }

    fn start_figures(
        &self,
        name: &str,
        api: &Arc<dyn Api>,
        directory: &Path,
    ) -> Result<Vec<Figure>> {
        let floor = BareLog::syncs(directory, Duration::from_millis(500))?;
        let fsync_ms = floor.latencies.percentile_ms(50.0).unwrap_or(0.0);
        let samples = self.options.scaled(2_000).max(300);
        let latencies = self.runtime.block_on(delay::starts(api, samples))?;
        let p99 = latencies.percentile_ms(99.0).unwrap_or(0.0);
        let mut figure = Figure::new(name, p99, Unit::Milliseconds).over(fsync_ms);
        figure.p50_ms = latencies.percentile_ms(50.0);
        figure.p99_ms = Some(p99);
        Ok(vec![figure])
    }

    fn file_start(&self) -> Result<Vec<Figure>> {
        let opened = self.open()?;
        self.start_figures("file.inprocess.idle.start", &opened.api, opened.directory.path())
    }

    fn file_delay(&self) -> Result<Vec<Figure>> {
        let opened = self.open()?;
        let samples = self.options.scaled(1_000).max(100);
        let late = self.runtime.block_on(delay::delayed(&opened.api, samples))?;
        let p99 = late.percentile_ms(99.0);
        let mut figure =
            Figure::new("file.inprocess.delay", p99.unwrap_or(0.0), Unit::Milliseconds);
        figure.p50_ms = late.percentile_ms(50.0);
        figure.p99_ms = p99;
        Ok(vec![figure])
    }

    fn http_bulk(&self) -> Result<Vec<Figure>> {
        let opened = self.open()?;
        let served = Served::start(Arc::clone(&opened.api), opened.directory.path())?;
        let put = served.enqueues(CONNECTIONS, BATCH, self.options.length() / 3)?;
        self.runtime.block_on(async { opened.store.list(everything(1)).await })?;
        let taken = served.drain(CONNECTIONS, BATCH)?;
        Ok(vec![
            Figure::rate("file.http.batch100.enqueue", &put),
            Figure::rate("file.http.batch100.drain", &taken),
        ])
    }

    fn http_start(&self) -> Result<Vec<Figure>> {
        let opened = self.open()?;
        let served = Served::start(Arc::clone(&opened.api), opened.directory.path())?;
        let client = self.runtime.block_on(served.client())?;
        self.start_figures("file.http.idle.start", client.api(), opened.directory.path())
    }

    fn fail_once(&self) -> Result<Vec<Figure>> {
        let opened = self.open()?;
        let jobs = self.options.scaled(200_000);
        let tally = self.runtime.block_on(trouble::all_fail_once(&opened.api, jobs))?;
        Ok(vec![Figure::rate("file.inprocess.failonce.life", &tally)])
    }

    fn poison(&self) -> Result<Vec<Figure>> {
        let opened = self.open()?;
        let jobs = self.options.scaled(200_000);
        let tally = self.runtime.block_on(trouble::all_die(&opened.api, jobs))?;
        Ok(vec![Figure::rate("file.inprocess.poison.dead", &tally)])
    }

    fn lost_worker(&self) -> Result<Vec<Figure>> {
        let clock = Arc::new(ManualClock::new(trouble::some_day()));
        let store: Arc<dyn Store> =
            LocalStore::open_memory(MemoryOptions::default(), Arc::<ManualClock>::clone(&clock))?;
        let api: Arc<dyn Api> = Engine::start_unswept(Arc::clone(&store))?;
        let jobs = self.options.scaled(20_000);
        let taken = self.runtime.block_on(trouble::lost_worker(&store, &api, jobs, |by| {
            clock.advance(by);
        }))?;
        let name = format!("memory.inprocess.lostworker.recovery.{jobs}jobs");
        let beyond_lease = Figure::new(name, taken.as_secs_f64() * 1e3, Unit::Milliseconds);
        Ok(vec![beyond_lease.over(LEASE.as_secs_f64() * 1e3)])
    }

    fn queued(&self) -> Result<Vec<Figure>> {
        let jobs = self.options.scaled(1_000_000);
        let opened = self.open()?;
        let few = self.runtime.block_on(size::claims(&opened.api, 2_000))?;
        self.runtime.block_on(life::preload(&opened.api, jobs))?;
        self.runtime.block_on(opened.store.list(everything(1)))?;
        let memory = size::resident_bytes() as f64 / (1024.0 * 1024.0);
        let many = self.runtime.block_on(size::claims(&opened.api, 2_000))?;
        self.runtime.block_on(opened.api.close())?;
        let place = opened.directory.path().join("data");
        drop((opened.api, opened.store));
        let began = Instant::now();
        let (_store, api) = open_file(&place, FileOptions::default())?;
        let taken = began.elapsed();
        self.runtime.block_on(api.close())?;
        Ok(vec![
            Figure::new(format!("file.queued.memory.{jobs}jobs"), memory, Unit::Mebibytes),
            Figure::new(format!("file.queued.open.{jobs}jobs"), taken.as_secs_f64(), Unit::Seconds),
            cost("file.claimcost.queued", &many, &few),
        ])
    }

    fn claim_cost(&self) -> Result<Vec<Figure>> {
        let jobs = self.options.scaled(1_000_000);
        let opened = self.open()?;
        let few = self.runtime.block_on(size::claims(&opened.api, 2_000))?;
        let scheduled = self.runtime.block_on(async {
            let now = opened.store.describe().await?.now;
            size::schedule(&opened.api, jobs, now).await?;
            size::claims(&opened.api, 2_000).await
        })?;
        let opened = self.open()?;
        let finished = self.runtime.block_on(async {
            life::preload(&opened.api, jobs).await?;
            life::drain(&opened.api, BATCH_CALLERS, BATCH).await?;
            opened.store.list(everything(1)).await?;
            size::claims(&opened.api, 2_000).await
        })?;
        Ok(vec![
            cost("file.claimcost.scheduled", &scheduled, &few),
            cost("file.claimcost.finished", &finished, &few),
        ])
    }

    fn passed(&self) -> Result<Vec<Figure>> {
        let jobs = self.options.scaled(3_000_000);
        let directory = self.directory()?;
        let place = directory.path().join("data");
        let mut options = FileOptions::default();
        options.retention.count = 1_000;
        let clock = Arc::new(ShiftedClock::default());
        let store: Arc<dyn Store> =
            LocalStore::open_file(&place, options, Arc::<ShiftedClock>::clone(&clock))?;
        let api: Arc<dyn Api> = Engine::start(Arc::clone(&store))?;
        self.runtime.block_on(async {
            let mut left = jobs;
            while left > 0 {
                let part = left.min(100_000);
                life::preload(&api, part).await?;
                life::drain(&api, BATCH_CALLERS, BATCH).await?;
                left -= part;
            }
            while store.sweep(1_000).await?.more {}
            // Ids are remembered for a while after the end of their jobs: until that is over.
            clock.shift(ID_WINDOW);
            for _ in 0..jobs.div_ceil(1_000) {
                store.sweep(1_000).await?;
            }
            store.list(everything(1)).await?;
            Ok::<_, Error>(())
        })?;
        self.runtime.block_on(api.close())?;
        let bytes = size::directory_bytes(&place) as f64 / (1024.0 * 1024.0);
        Ok(vec![Figure::new(format!("file.passed.disk.{jobs}jobs"), bytes, Unit::Mebibytes)])
    }

    fn idle(&self) -> Result<Vec<Figure>> {
        crate::http::idle_server(&self.options.directory, self.options.length())
    }
}

/// The system's clock, put forward by hand.
#[derive(Default)]
struct ShiftedClock(std::sync::atomic::AtomicU64);

impl ShiftedClock {
    fn shift(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), std::sync::atomic::Ordering::Relaxed);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_secs(self.0.load(std::sync::atomic::Ordering::Relaxed));
        SystemClock.now().plus(ahead)
    }
}

fn open_file(place: &Path, options: FileOptions) -> Result<(Arc<dyn Store>, Arc<dyn Api>)> {
    let store: Arc<dyn Store> = LocalStore::open_file(place, options, Arc::new(SystemClock))?;
    let api: Arc<dyn Api> = Engine::start(Arc::clone(&store))?;
    Ok((store, api))
}

/// The median of one claim beside that of a claim in an empty store.
fn cost(name: &str, many: &crate::measure::Latencies, few: &crate::measure::Latencies) -> Figure {
    let median = |latencies: &crate::measure::Latencies| latencies.percentile_ms(50.0);
    let mut figure = Figure::new(name, median(many).unwrap_or(0.0), Unit::Milliseconds);
    figure.p50_ms = median(many);
    figure.p99_ms = many.percentile_ms(99.0);
    figure.over(median(few).unwrap_or(0.0))
}

fn everything(limit: usize) -> taskwright_store::Filter {
    taskwright_store::Filter {
        namespace: taskwright_core::Name::default_name(),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit,
    }
}
