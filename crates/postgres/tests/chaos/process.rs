//! The processes: a node that enqueues and a worker, each with the store open, until they are
//! killed. They are this very test binary, started again.

use std::collections::HashMap;
use std::env;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskwright_core::{JobError, JobId, Token};
use taskwright_postgres::{PostgresOptions, PostgresStore};
use taskwright_store::{ClaimedJob, Insert, Outcome, Reported, Retry, Store};
use tokio::time::{interval, sleep};

use crate::history::{Fact, History, now};
use crate::support::jobs::{Hand, completed_by, job, report, sweeping};
use crate::support::random::Random;

const TEST: &str = "process::a_process_that_the_chaos_starts";
const ROLE: &str = "TASKWRIGHT_CHAOS_ROLE";
const URL: &str = "TASKWRIGHT_CHAOS_URL";
const HISTORY: &str = "TASKWRIGHT_CHAOS_HISTORY";
const SEED: &str = "TASKWRIGHT_CHAOS_SEED";

/// How long something rests after an error: the store has waited for its own deadline before.
const REST: Duration = Duration::from_millis(50);

/// What a process does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Node,
    Worker,
}

/// A process, killed when it is dropped.
pub struct Process {
    child: Child,
    pub role: Role,
}

impl Process {
    pub fn start(role: Role, url: &str, history: &Path, seed: u64) -> Process {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(ROLE, if role == Role::Node { "node" } else { "worker" })
            .env(URL, url)
            .env(HISTORY, history)
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Process { child, role }
    }

    /// What it says of itself goes to the test's own output; `None`: it runs.
    pub fn has_ended(&mut self) -> Option<String> {
        self.child.try_wait().unwrap().map(|status| format!("{:?}: {status}", self.role))
    }
}

impl Drop for Process {
    /// As `kill -9` does.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_that_the_chaos_starts() {
    let Ok(role) = env::var(ROLE) else { return };
    // It ends with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let history = Arc::new(History::at(Path::new(&env::var(HISTORY).unwrap())));
        let mut random = Random::new(env::var(SEED).unwrap().parse().unwrap());
        let store = open(&env::var(URL).unwrap()).await;
        let _sweeper = sweeping(&store, Duration::from_secs(1));
        let mut loops = tokio::task::JoinSet::new();
        for _ in 0..if role == "node" { 2 } else { 3 } {
            let (store, history, random) = (store.clone(), history.clone(), random.fork());
            if role == "node" {
                loops.spawn(enqueue(store, history, random));
            } else {
                loops.spawn(work(store, history, random));
            }
        }
        // None ends but by a panic, which is for the test to see.
        loops.join_next().await.unwrap().unwrap();
    });
}

/// The server may be away just now.
async fn open(url: &str) -> Arc<PostgresStore> {
    loop {
        match PostgresStore::open(url, PostgresOptions::default()).await {
            Ok(store) => return store,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        sleep(REST).await;
    }
}

async fn enqueue(store: Arc<PostgresStore>, history: Arc<History>, mut random: Random) {
    loop {
        let ids: Vec<JobId> = (0..=random.below(4)).map(|_| random.job_id()).collect();
        history.note([Fact::Asked(ids.clone())]);
        let jobs: Vec<_> = ids.iter().map(|id| job(*id)).collect();
        loop {
            match store.insert(Insert { jobs: jobs.clone(), partial: false }).await {
                Ok(_) => break,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            sleep(REST).await;
        }
        history.note([Fact::Stored(ids)]);
        sleep(Duration::from_millis(10 + random.below(40))).await;
    }
}

/// What a worker holds, and its last claim that was answered.
#[derive(Default)]
struct Held {
    jobs: HashMap<JobId, Token>,
    settled: u64,
}

async fn work(store: Arc<PostgresStore>, history: Arc<History>, mut random: Random) {
    let mut hand = Hand::new(&mut random);
    let held: Arc<Mutex<Held>> = Arc::default();
    let beats = beat(store.clone(), history.clone(), Hand::of(hand.id), held.clone());
    let beats = tokio::spawn(beats);
    loop {
        let claim = hand.claim(8, Duration::from_secs(1));
        let jobs = loop {
            let sent = now();
            match store.claim(claim.clone()).await {
                Ok(jobs) => {
                    history.note([Fact::Alive { worker: hand.id, sent }]);
                    break jobs;
                }
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            sleep(REST).await;
        };
        let given =
            |job: &ClaimedJob| Fact::Given { worker: hand.id, id: job.id, token: job.token };
        history.note(jobs.iter().map(given));
        {
            let mut held = held.lock().unwrap();
            held.jobs.extend(jobs.iter().map(|job| (job.id, job.token)));
            held.settled = claim.seq;
        }
        sleep(Duration::from_millis(random.below(40))).await;
        tell(&*store, &history, &mut random, &jobs).await;
        let mut held = held.lock().unwrap();
        held.jobs.retain(|id, _| jobs.iter().all(|job| job.id != *id));
        assert!(!beats.is_finished(), "the heartbeats have ended");
    }
}

async fn beat(
    store: Arc<PostgresStore>,
    history: Arc<History>,
    hand: Hand,
    held: Arc<Mutex<Held>>,
) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let heartbeat = {
            let held = held.lock().unwrap();
            let jobs = held.jobs.iter().map(|(id, token)| (*id, *token)).collect();
            let mut heartbeat = hand.heartbeat(jobs);
            heartbeat.settled = held.settled;
            heartbeat
        };
        let sent = now();
        match store.heartbeat(heartbeat).await {
            Ok(_) => history.note([Fact::Alive { worker: hand.id, sent }]),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

/// Reports until it is answered.
async fn tell(store: &dyn Store, history: &History, random: &mut Random, jobs: &[ClaimedJob]) {
    if jobs.is_empty() {
        return;
    }
    let ends = |random: &mut Random, token| match random.below(20) {
        0 | 1 => ("failed", failed(random)),
        2 => ("released", Outcome::Released),
        _ => ("completed", completed_by(token)),
    };
    let ends: Vec<_> = jobs.iter().map(|job| ends(random, job.token)).collect();
    let reports: Vec<_> = jobs
        .iter()
        .zip(&ends)
        .map(|(job, (_, outcome))| report(job.id, job.token, outcome.clone()))
        .collect();
    loop {
        history.note(jobs.iter().zip(&ends).map(|(job, (word, _))| Fact::Reporting {
            id: job.id,
            token: job.token,
            outcome: (*word).to_owned(),
        }));
        match store.report(reports.clone()).await {
            Ok(answers) => {
                let facts = jobs.iter().zip(&ends).zip(&answers);
                history.note(facts.map(|((job, (word, _)), answer)| Fact::Reported {
                    id: job.id,
                    token: job.token,
                    outcome: (*word).to_owned(),
                    answer: named(answer).to_owned(),
                }));
                return;
            }
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        sleep(REST).await;
    }
}

fn failed(random: &mut Random) -> Outcome {
    let error = JobError::new("error", "it broke");
    Outcome::Failed { error, retry: Retry::After(Duration::from_millis(random.below(300))) }
}

pub fn named(answer: &Reported) -> &'static str {
    match answer {
        Reported::Applied { .. } => "applied",
        Reported::Already => "already",
        Reported::Stale => "stale",
        Reported::Unknown => "unknown",
    }
}
