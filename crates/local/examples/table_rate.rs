//! How fast the table takes what the journal acknowledged.
//!
//! `cargo run --release -p taskwright-local --example table_rate [-- JOBS]`
//!
//! Times are those of the processor, so that what else runs on the machine does not count; longest
//! times are those of the clock.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::{
    JobId, Json, Life, Name, Place, State, StateName, Timestamp, Token, Verdict,
};
use taskwright_local::change::{Change, Fixed, Lane, Position, Run, Update, Vital, WorkerFact};
use taskwright_local::table::{Checkpoint, Fold, Reader, Table};
use taskwright_store::{Filter, Retention};

const GROUP: u64 = 100;
const ROWS: usize = 10_000;
const LOG_BYTES: u64 = 8 << 20;
const PRUNED_AT_ONCE: usize = 2_000;
const LANES: u32 = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let jobs = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let ended = directory.path().join("lives");
    lives(&ended, jobs)?;
    prune(&ended, jobs)?;
    let backlog = directory.path().join("backlog");
    fill(&backlog, jobs)?;
    open(&backlog)?;
    look(&backlog, jobs)?;
    drain(&backlog, jobs)?;
    Ok(())
}

/// Jobs whose whole life falls into one fold.
fn lives(path: &Path, jobs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut feed = Feed::new(Table::open(path, 1)?);
    for first in (0..jobs).step_by(GROUP as usize) {
        feed.push([inserted, claimed, completed].map(|change| group(first, change)).into())?;
    }
    feed.finish("lives in one fold", jobs)
}

/// Lets all ended jobs go, at first while their ids must be remembered, then when that is over.
fn prune(path: &Path, jobs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut table = Table::open(path, 1)?;
    let (none, nothing) = (Default::default(), Retention { count: 0, ..Retention::default() });
    let half = Retention { count: jobs / 2, ..nothing };
    let window = taskwright_core::limits::ID_WINDOW;
    for (what, now, retention) in [
        ("prune, ids remembered", at(jobs), half),
        ("prune, ids forgotten", at(jobs).plus(window), nothing),
    ] {
        let mut pruning = Spent::default();
        let mut pruned = 0;
        loop {
            let done = pruning.on(|| {
                let done = table.prune(now, &retention, PRUNED_AT_ONCE, &none)?;
                table.give_back(256)?;
                if table.unwritten_bytes()? > LOG_BYTES {
                    table.checkpoint(Checkpoint::Passive)?;
                }
                Ok::<_, taskwright_store::Error>(done)
            })??;
            pruned += done.ids.len();
            if !done.more {
                break;
            }
        }
        while table.give_back(256)? {}
        table.checkpoint(Checkpoint::Whole)?;
        println!(
            "{what:<24} {pruned:>9} jobs: {:.2} us a job; longest {:?}; file {} MB",
            pruning.cpu.as_secs_f64() * 1e6 / pruned as f64,
            pruning.longest,
            std::fs::metadata(path)?.len() / 1_000_000,
        );
    }
    Ok(())
}

fn fill(path: &Path, jobs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut feed = Feed::new(Table::open(path, 1)?);
    for first in (0..jobs).step_by(GROUP as usize) {
        feed.push(vec![group(first, inserted)])?;
    }
    feed.finish("fill", jobs)
}

fn open(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let began = Cpu::now()?;
    let table = Table::open(path, 1)?;
    let loaded = table.load()?;
    let mut live = 0;
    table.live_jobs(|job| {
        black_box(job);
        live += 1;
    })?;
    println!(
        "{:<24} {:>9} jobs, {} lanes: {:?}",
        "open and load",
        live,
        loaded.lanes.len(),
        began.elapsed()?
    );
    let began = Cpu::now()?;
    let mut ids = 0;
    table.ended_ids(|_, _| ids += 1)?;
    println!("{:<24} {ids:>9} ids: {:?}", "ids of ended jobs", began.elapsed()?);
    Ok(())
}

/// Pages of a list and single jobs, as the dashboard and claims of old jobs ask for them.
fn look(path: &Path, jobs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut reader = Reader::open(path)?;
    let everything = Filter {
        namespace: Name::default_name(),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit: 100,
    };
    let queue = Filter { queue: Some(Name::new("queue1")?), ..everything.clone() };
    let deep = Filter { before: Some(jobs / 2), ..queue.clone() };
    let none = Filter { state: Some(StateName::Dead), ..everything.clone() };
    for (what, filter) in [
        ("first page of all", everything),
        ("first page of a queue", queue),
        ("a page far behind", deep),
        ("a state without jobs", none),
    ] {
        reader.look().list(&filter)?;
        let began = Instant::now();
        let page = reader.look().list(&filter)?;
        println!("{what:<24} {:>9} jobs: {:?}", page.jobs.len(), began.elapsed());
    }
    let seqs: Vec<_> = (0..jobs).step_by(1 + jobs as usize / 1_000).collect();
    let began = Instant::now();
    let args = reader.look().args(&seqs)?;
    println!("{:<24} {:>9} jobs: {:?}", "args of scattered jobs", args.len(), began.elapsed());
    Ok(())
}

fn drain(path: &Path, jobs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut feed = Feed::new(Table::open(path, 1)?);
    for first in (0..jobs).step_by(GROUP as usize) {
        feed.push([claimed, completed].map(|change| group(first, change)).into())?;
    }
    feed.finish("drain a backlog", jobs)
}

/// Feeds groups to a table and measures the parts.
struct Feed {
    table: Table,
    fold: Fold,
    position: Position,
    folding: Spent,
    applying: Spent,
    checkpoints: Spent,
}

/// Time spent on something.
#[derive(Default)]
struct Spent {
    cpu: Duration,
    longest: Duration,
}

impl Spent {
    fn on<T>(&mut self, run: impl FnOnce() -> T) -> Result<T, std::io::Error> {
        let (cpu, wall) = (Cpu::now()?, Instant::now());
        let result = run();
        self.cpu += cpu.elapsed()?;
        self.longest = self.longest.max(wall.elapsed());
        Ok(result)
    }
}

/// The processor time of this thread, as Linux counts it.
struct Cpu(Duration);

impl Cpu {
    fn now() -> Result<Cpu, std::io::Error> {
        let counts = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        let nanos = counts.split(' ').next().and_then(|count| count.parse().ok());
        let nanos = nanos.ok_or_else(|| std::io::Error::other("schedstat has another form"))?;
        Ok(Cpu(Duration::from_nanos(nanos)))
    }

    fn elapsed(&self) -> Result<Duration, std::io::Error> {
        Ok(Cpu::now()?.0 - self.0)
    }
}

impl Feed {
    fn new(table: Table) -> Self {
        let position = table.position();
        let mut feed = Feed {
            table,
            fold: Fold::new(),
            position,
            folding: Spent::default(),
            applying: Spent::default(),
            checkpoints: Spent::default(),
        };
        feed.fold.push(position + 1, now(), names());
        feed.position += 1;
        feed
    }

    fn push(&mut self, groups: Vec<Vec<Change>>) -> Result<(), Box<dyn std::error::Error>> {
        self.folding.on(|| {
            for changes in groups {
                self.position += 1;
                self.fold.push(self.position, now(), changes);
            }
        })?;
        if self.fold.rows() >= ROWS {
            self.apply()?;
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        self.applying.on(|| self.table.apply(&mut self.fold))??;
        if self.table.unwritten_bytes()? > LOG_BYTES {
            black_box(self.checkpoints.on(|| self.table.checkpoint(Checkpoint::Passive))??);
        }
        Ok(())
    }

    fn finish(mut self, what: &str, jobs: u64) -> Result<(), Box<dyn std::error::Error>> {
        self.apply()?;
        let micros = |spent: &Spent| spent.cpu.as_secs_f64() * 1e6 / jobs as f64;
        let Feed { table, folding, applying, checkpoints, .. } = self;
        let whole = micros(&folding) + micros(&applying) + micros(&checkpoints);
        println!(
            "{what:<24} {jobs:>9} jobs: fold {:.2} + apply {:.2} + checkpoint {:.2} us a job \
             = {:.0}/s; longest apply {:?}, checkpoint {:?}; file {} MB",
            micros(&folding),
            micros(&applying),
            micros(&checkpoints),
            1e6 / whole,
            applying.longest,
            checkpoints.longest,
            std::fs::metadata(table.path().ok_or("no file")?)?.len() / 1_000_000,
        );
        Ok(())
    }
}

fn names() -> Vec<Change> {
    let lanes = (0..LANES).map(|number| {
        Change::Lane(Lane {
            number,
            namespace: "default".into(),
            queue: format!("queue{}", number / 4).into(),
            task: format!("task{number}").into(),
            requires: "".into(),
        })
    });
    let worker = Change::Worker(WorkerFact {
        number: 1,
        id: taskwright_core::WorkerId::from_u128(7),
        namespace: "default".into(),
        first_seen_at: now(),
        in_process: false,
    });
    lanes.chain([worker]).collect()
}

fn group(first: u64, change: fn(u64) -> Change) -> Vec<Change> {
    (first..first + GROUP).map(change).collect()
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_763_715_600_000)
}

fn at(seq: u64) -> Timestamp {
    now().plus(Duration::from_micros(seq * 5))
}

fn spread(seq: u64) -> u64 {
    let mut z = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

fn fixed(seq: u64) -> Fixed {
    let random = spread(seq).to_le_bytes();
    let mut ten = [0; 10];
    ten[..8].copy_from_slice(&random);
    Fixed {
        seq,
        id: JobId::v7(at(seq), ten),
        lane: (spread(seq) % u64::from(LANES)) as u32,
        priority: 0,
        timeout_ms: None,
        created_at: at(seq),
        fingerprint: spread(seq),
        max_attempts: 20,
        args: Json::from_trusted(format!("{{\"text\":\"{}\"}}", "x".repeat(189))),
        extras: None,
    }
}

fn waiting(seq: u64) -> Vital {
    let place = Place::Ready(at(seq).as_micros());
    Vital { life: Life::new(20, 0, place), due_at: at(seq), run: None, finished_at: None }
}

fn inserted(seq: u64) -> Change {
    Change::Insert(Arc::new(fixed(seq)), waiting(seq))
}

fn claimed(seq: u64) -> Change {
    let token = Token { epoch: 1, attempt: 1, nonce: spread(seq) };
    let vital = waiting(seq);
    let life = Life { state: State::Running(token), attempt: 1, ..vital.life };
    let run = Some(Run { worker: 1, claim: seq / GROUP, started_at: at(seq) });
    Change::Update(Update { seq, vital: Vital { life, run, ..vital }, more: None })
}

fn completed(seq: u64) -> Change {
    let Change::Update(Update { vital, .. }) = claimed(seq) else { unreachable!() };
    let token = Token { epoch: 1, attempt: 1, nonce: spread(seq) };
    let last = Some((token, Verdict::Completed));
    let life = Life { state: State::Completed, last, ..vital.life };
    Change::Update(Update {
        seq,
        vital: Vital { life, finished_at: Some(at(seq)), ..vital },
        more: None,
    })
}
