//! Nodes at work, and a ledger of what they were told: nothing may be lost, nothing done twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taskwright_core::{Extras, JobId, Json, Name, NewJob, OnConflict, StateName, WorkerId};
use taskwright_postgres::{PostgresOptions, PostgresStore};
use taskwright_store::{
    Claim, ClaimedJob, Heartbeat, Insert, Inserted, Outcome, Profile, Report, Reported, Store,
    WorkerInfo,
};
use tokio::task::JoinSet;
use tokio::time::interval;

/// Whatever a test waits for comes within this time.
const LONG: Duration = Duration::from_secs(60);
const BATCH: u64 = 5;

/// What nodes were told.
#[derive(Default)]
struct Ledger {
    inserts_end: bool,
    inserted: Vec<JobId>,
    completed: HashMap<JobId, u32>,
    errors: Vec<String>,
    slowest: Duration,
}

/// Load on a store, over any number of nodes.
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    next: AtomicU64,
    everything_ends: AtomicBool,
}

/// Opens a node.
pub async fn open(url: &str, name: &str) -> taskwright_store::Result<Arc<PostgresStore>> {
    let options = PostgresOptions { node_name: name.to_owned(), ..PostgresOptions::default() };
    PostgresStore::open(url, options).await
}

impl Load {
    /// No load yet.
    pub fn new() -> Self {
        Load { shared: Arc::default(), tasks: JoinSet::new() }
    }

    /// Lets a node insert, claim, complete and sweep until the end.
    pub fn add(&mut self, node: &Arc<PostgresStore>) {
        self.tasks.spawn(insert(Arc::clone(&self.shared), Arc::clone(node)));
        self.tasks.spawn(work(Arc::clone(&self.shared), Arc::clone(node)));
        self.tasks.spawn(work(Arc::clone(&self.shared), Arc::clone(node)));
        self.tasks.spawn(sweep(Arc::clone(&self.shared), Arc::clone(node)));
    }

    /// Waits until so many more jobs were completed: the nodes go on.
    pub async fn goes_on(&self, more: usize) {
        let wanted = self.shared.completed() + more;
        self.shared.until(|shared| shared.completed() >= wanted).await;
    }

    /// Waits for all jobs to end, and compares what was told with what the store says. Answers how
    /// many there were and how long the slowest call took.
    pub async fn settle(mut self, store: &Arc<PostgresStore>) -> (usize, Duration) {
        self.shared.ledger().inserts_end = true;
        self.shared
            .until(|shared| {
                let ledger = shared.ledger();
                ledger.completed.len() >= ledger.inserted.len()
            })
            .await;
        self.shared.everything_ends.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a loop ends well");
        }
        let ledger = std::mem::take(&mut *self.shared.ledger());
        assert!(ledger.errors.is_empty(), "{:?}", ledger.errors);
        for id in &ledger.inserted {
            assert_eq!(ledger.completed.get(id), Some(&1), "job {id} is completed once");
        }
        assert_eq!(ledger.completed.len(), ledger.inserted.len(), "and no others");
        for ids in ledger.inserted.chunks(500) {
            for job in store.get(&Name::default_name(), ids).await.expect("jobs") {
                let job = job.expect("a job that is known");
                assert_eq!(job.life.state.name(), StateName::Completed);
                assert_eq!(job.life.attempt, 1, "nothing ran twice");
            }
        }
        (ledger.inserted.len(), ledger.slowest)
    }
}

impl Shared {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("the ledger")
    }

    fn completed(&self) -> usize {
        self.ledger().completed.len()
    }

    fn told<T>(
        &self,
        begun: Instant,
        what: &str,
        result: taskwright_store::Result<T>,
    ) -> Option<T> {
        let mut ledger = self.ledger();
        ledger.slowest = ledger.slowest.max(begun.elapsed());
        result.map_err(|error| ledger.errors.push(format!("{what}: {error}"))).ok()
    }

    async fn until(&self, mut done: impl FnMut(&Shared) -> bool) {
        let deadline = Instant::now() + LONG;
        let mut looks = interval(Duration::from_millis(10));
        while !done(self) {
            let errors = self.ledger().errors.clone();
            assert!(errors.is_empty(), "{errors:?}");
            assert!(Instant::now() < deadline, "{} completed, then no more", self.completed());
            looks.tick().await;
        }
    }
}

fn job(number: u64) -> NewJob {
    NewJob {
        namespace: Name::default_name(),
        id: JobId::from_u128(u128::from(number) + 1),
        task: Name::new("task").expect("a name"),
        queue: Name::default_name(),
        args: Json::from_trusted(number.to_string()),
        priority: 0,
        run_at: None,
        max_attempts: 20,
        timeout_ms: None,
        fingerprint: number,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    }
}

async fn insert(shared: Arc<Shared>, node: Arc<PostgresStore>) {
    let mut pace = interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        let first = shared.next.fetch_add(BATCH, Ordering::SeqCst);
        let jobs: Vec<_> = (first..first + BATCH).map(job).collect();
        let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
        {
            let mut ledger = shared.ledger();
            if ledger.inserts_end {
                return;
            }
            ledger.inserted.extend(&ids);
        }
        let begun = Instant::now();
        let inserted = node.insert(Insert { jobs, partial: false }).await;
        let Some(inserted) = shared.told(begun, "insert", inserted) else { return };
        let is_new = |answer: &Inserted| matches!(answer, Inserted::New { .. });
        assert!(inserted.iter().all(is_new), "{inserted:?}");
    }
}

async fn work(shared: Arc<Shared>, node: Arc<PostgresStore>) {
    let worker = WorkerId::from_u128(u128::from(shared.next.fetch_add(1, Ordering::SeqCst)) + 1);
    let names = vec![Name::default_name()];
    let profile = Arc::new(Profile { queues: names, tasks: None, labels: Default::default() });
    let mut seq = 0;
    while !shared.everything_ends.load(Ordering::SeqCst) {
        seq += 1;
        let claim = Claim {
            namespace: Name::default_name(),
            worker,
            seq,
            profile: Arc::clone(&profile),
            max: 10,
            free: Default::default(),
            wait: Duration::ZERO,
            in_process: false,
        };
        let begun = Instant::now();
        let Some(jobs) = shared.told(begun, "claim", node.claim(claim).await) else { return };
        let heartbeat = Heartbeat {
            namespace: Name::default_name(),
            worker,
            settled: seq,
            held: jobs.iter().map(|job| (job.id, job.token)).collect(),
            progress: Vec::new(),
            info: WorkerInfo::default(),
        };
        let begun = Instant::now();
        let beat = shared.told(begun, "heartbeat", node.heartbeat(heartbeat).await);
        let Some(reply) = beat else { return };
        assert!(reply.lost.is_empty(), "{:?}", reply.lost);
        if jobs.is_empty() {
            interval_of(20).await;
            continue;
        }
        let begun = Instant::now();
        let reported = node.report(jobs.iter().map(completed).collect()).await;
        let Some(reported) = shared.told(begun, "report", reported) else { return };
        let mut ledger = shared.ledger();
        for (job, answer) in jobs.iter().zip(reported) {
            assert_eq!(answer, Reported::Applied { state: StateName::Completed });
            *ledger.completed.entry(job.id).or_default() += 1;
        }
    }
}

fn completed(job: &ClaimedJob) -> Report {
    Report {
        namespace: Name::default_name(),
        id: job.id,
        token: job.token,
        outcome: Outcome::Completed { result: None },
    }
}

async fn sweep(shared: Arc<Shared>, node: Arc<PostgresStore>) {
    while !shared.everything_ends.load(Ordering::SeqCst) {
        let begun = Instant::now();
        if shared.told(begun, "sweep", node.sweep(1_000).await).is_none() {
            return;
        }
        interval_of(200).await;
    }
}

/// The pace of a loop.
async fn interval_of(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await; // tidy: allow sleep: the pace of the load
}
