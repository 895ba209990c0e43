//! Short words for what tests do with a store that runs by the database's clock.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{Extras, JobId, Json, Name, NewJob, OnConflict, StateName, Token, WorkerId};
use taskwright_postgres::{PostgresOptions, PostgresStore};
use taskwright_store::{
    Claim, ClaimedJob, Heartbeat, HeartbeatReply, Outcome, Profile, Report, Reported, Result,
    Store, WorkerInfo,
};
use taskwright_testbed::Schema;

use super::random::Random;

pub const SECOND: Duration = Duration::from_secs(1);

/// The store's URL of a schema of its own.
pub fn url_of(schema: &Schema) -> String {
    url_in(schema.url(), schema.name())
}

/// The store's URL of a schema in a database.
pub fn url_in(database: &str, schema: &str) -> String {
    let separator = if database.contains('?') { '&' } else { '?' };
    format!("{database}{separator}schema={schema}")
}

pub async fn open(url: &str) -> Arc<PostgresStore> {
    PostgresStore::open(url, PostgresOptions::default()).await.unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A job of the default queue.
pub fn job(id: JobId) -> NewJob {
    NewJob {
        namespace: Name::default_name(),
        id,
        task: name("task"),
        queue: Name::default_name(),
        args: Json::from_trusted(format!("\"{id}\"")),
        priority: 0,
        run_at: None,
        max_attempts: 10_000,
        timeout_ms: None,
        fingerprint: id.as_u128() as u64,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    }
}

/// A worker that numbers its claims.
pub struct Hand {
    pub id: WorkerId,
    pub last_claim: u64,
    profile: Arc<Profile>,
}

impl Hand {
    pub fn new(random: &mut Random) -> Hand {
        Hand::serving(random, Name::default_name())
    }

    pub fn serving(random: &mut Random, queue: Name) -> Hand {
        let profile = Profile { queues: vec![queue], tasks: None, labels: Default::default() };
        Hand { id: random.worker_id(), last_claim: 0, profile: Arc::new(profile) }
    }

    /// The same worker, for its heartbeats.
    pub fn of(id: WorkerId) -> Hand {
        let profile = Profile { queues: Vec::new(), tasks: None, labels: Default::default() };
        Hand { id, last_claim: 0, profile: Arc::new(profile) }
    }

    /// The next claim.
    pub fn claim(&mut self, max: usize, wait: Duration) -> Claim {
        self.last_claim += 1;
        Claim {
            namespace: Name::default_name(),
            worker: self.id,
            seq: self.last_claim,
            profile: Arc::clone(&self.profile),
            max,
            free: Default::default(),
            wait,
            in_process: false,
        }
    }

    pub async fn take(&mut self, store: &dyn Store, max: usize, wait: Duration) -> Vec<ClaimedJob> {
        store.claim(self.claim(max, wait)).await.unwrap()
    }

    pub fn heartbeat(&self, held: Vec<(JobId, Token)>) -> Heartbeat {
        Heartbeat {
            namespace: Name::default_name(),
            worker: self.id,
            settled: self.last_claim,
            held,
            progress: Vec::new(),
            info: WorkerInfo::default(),
        }
    }

    pub async fn beat(
        &self,
        store: &dyn Store,
        held: Vec<(JobId, Token)>,
    ) -> Result<HeartbeatReply> {
        store.heartbeat(self.heartbeat(held)).await
    }
}

pub fn report(id: JobId, token: Token, outcome: Outcome) -> Report {
    Report { namespace: Name::default_name(), id, token, outcome }
}

/// The outcome whose result says which attempt it was.
pub fn completed_by(token: Token) -> Outcome {
    Outcome::Completed { result: Some(Json::from_trusted(format!("\"{token}\""))) }
}

pub async fn complete(store: &dyn Store, jobs: &[ClaimedJob]) -> Vec<Reported> {
    let reports = jobs.iter().map(|job| report(job.id, job.token, completed_by(job.token)));
    store.report(reports.collect()).await.unwrap()
}

pub async fn state_of(store: &dyn Store, id: JobId) -> Option<StateName> {
    let found = store.get(&Name::default_name(), &[id]).await.unwrap();
    found.into_iter().next().flatten().map(|job| job.life.state.name())
}

/// Sweeps until it is aborted.
pub fn sweeping(store: &Arc<PostgresStore>, every: Duration) -> tokio::task::JoinHandle<()> {
    let store = Arc::clone(store);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            // An outage is over some time; whoever waits for the sweep has a deadline.
            let _ = store.sweep(1_000).await;
        }
    })
}
