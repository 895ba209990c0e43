//! A store in a directory, a clock, and short words for what tests do with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{
    Extras, Job, JobId, Json, Name, NewJob, OnConflict, Timestamp, Token, WorkerId,
};
use taskwright_local::{FileOptions, LocalStore};
use taskwright_store::{
    Claim, ClaimedJob, Heartbeat, HeartbeatReply, Insert, Inserted, ManualClock, Outcome, Profile,
    Report, Reported, Result, Store, Swept, WorkerInfo,
};

/// Far longer than anything here takes: it ends a test that hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub fn noon() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_767_268_800_123)))
}

/// The place of a store that can be opened again and again.
pub struct Place {
    pub clock: Arc<ManualClock>,
    pub data: PathBuf,
    _directory: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        Place { clock: noon(), data: directory.path().join("data"), _directory: directory }
    }

    pub fn try_open(&self) -> Result<Arc<LocalStore>> {
        open(&self.data, &self.clock)
    }

    pub fn open(&self) -> Arc<LocalStore> {
        self.try_open().unwrap()
    }

    /// A store here with a few jobs, closed.
    pub async fn with_jobs(count: u128) -> Place {
        let place = Place::new();
        let store = place.open();
        insert(&store, jobs(0..count, 10)).await.unwrap();
        store.close().await.unwrap();
        place
    }
}

pub fn open(data: &Path, clock: &Arc<ManualClock>) -> Result<Arc<LocalStore>> {
    LocalStore::open_file(data, FileOptions::default(), clock.clone())
}

/// Jobs with these numbers as ids, and args of so many bytes.
pub fn jobs(numbers: std::ops::Range<u128>, args_bytes: usize) -> Vec<NewJob> {
    let job = |number| NewJob {
        namespace: Name::default_name(),
        id: JobId::from_u128(number),
        task: Name::new("task").unwrap(),
        queue: Name::default_name(),
        args: args(number, args_bytes),
        priority: 0,
        run_at: None,
        max_attempts: 20,
        timeout_ms: None,
        fingerprint: number as u64,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    };
    numbers.map(job).collect()
}

/// What the job with this number was given.
pub fn args(number: u128, bytes: usize) -> Json {
    Json::from_trusted(format!("\"{number}{}\"", "x".repeat(bytes)))
}

pub async fn insert(store: &LocalStore, jobs: Vec<NewJob>) -> Result<Vec<Inserted>> {
    store.insert(Insert { jobs, partial: false }).await
}

/// A worker of another process, which numbers its claims.
pub struct Hand {
    pub id: WorkerId,
    seq: u64,
}

impl Hand {
    pub fn new(number: u128) -> Hand {
        Hand { id: WorkerId::from_u128(number), seq: 0 }
    }

    pub async fn claim(&mut self, store: &LocalStore, max: usize) -> Result<Vec<ClaimedJob>> {
        self.seq += 1;
        let queues = vec![Name::default_name()];
        let profile = Arc::new(Profile { queues, tasks: None, labels: Default::default() });
        let (namespace, wait) = (Name::default_name(), Duration::ZERO);
        let (worker, seq) = (self.id, self.seq);
        store
            .claim(Claim {
                namespace,
                worker,
                seq,
                profile,
                max,
                free: Default::default(),
                wait,
                in_process: false,
            })
            .await
    }

    pub async fn heartbeat(
        &self,
        store: &LocalStore,
        held: &[ClaimedJob],
    ) -> Result<HeartbeatReply> {
        let heartbeat = Heartbeat {
            namespace: Name::default_name(),
            worker: self.id,
            settled: self.seq,
            held: held.iter().map(|job| (job.id, job.token)).collect(),
            progress: Vec::new(),
            info: WorkerInfo::default(),
        };
        store.heartbeat(heartbeat).await
    }
}

/// Reports that attempts completed, with their tokens as results.
pub async fn complete(store: &LocalStore, jobs: &[ClaimedJob]) -> Result<Vec<Reported>> {
    store.report(jobs.iter().map(completed).collect()).await
}

pub fn completed(job: &ClaimedJob) -> Report {
    let outcome = Outcome::Completed { result: Some(result(job.token)) };
    Report { namespace: Name::default_name(), id: job.id, token: job.token, outcome }
}

pub fn result(token: Token) -> Json {
    Json::from_trusted(format!("\"{token}\""))
}

/// The jobs with these numbers; `None` where there is none.
pub async fn look(store: &LocalStore, numbers: std::ops::Range<u128>) -> Vec<Option<Job>> {
    let ids: Vec<_> = numbers.map(JobId::from_u128).collect();
    let mut found = Vec::new();
    for ids in ids.chunks(1_000) {
        found.extend(store.get(&Name::default_name(), ids).await.unwrap());
    }
    found
}

/// Lets so many seconds pass, with a sweep at the end of each.
pub async fn serve_seconds(place: &Place, store: &LocalStore, seconds: u32) -> Swept {
    let mut total = Swept::default();
    for _ in 0..seconds {
        place.clock.advance(Duration::from_secs(1));
        loop {
            let swept = store.sweep(1_000).await.unwrap();
            total.lapsed += swept.lapsed;
            total.due += swept.due;
            if !swept.more {
                break;
            }
        }
    }
    total
}

/// Tries again and again until it is so.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let Ok(found) = tokio::time::timeout(DEADLINE, looking).await else {
        panic!("it never came to this: {what}");
    };
    found
}
