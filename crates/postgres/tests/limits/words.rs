//! Short words for tests of limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::{Extras, LineKey, Name, NewJob, Policy, Rate, Subject};
use taskwright_postgres::PostgresStore;
use taskwright_store::{Command, Controlled, Insert, Inserted, Store};

use crate::support::jobs::job;
use crate::support::random::Random;

/// Whatever a test waits for comes within this time.
pub const LONG: Duration = Duration::from_secs(60);

pub fn keyed(random: &mut Random, keys: &[&str]) -> NewJob {
    let limit_keys = keys.iter().map(|key| (*key).into()).collect();
    NewJob { extras: Extras { limit_keys, ..Extras::default() }, ..job(random.job_id()) }
}

pub fn key(text: &str) -> Subject {
    Subject::Key(text.into())
}

pub fn at_once(concurrency: u32) -> Policy {
    Policy { concurrency: Some(concurrency), ..Policy::default() }
}

pub fn paced(count: u32, burst: u32) -> Policy {
    let rate = Rate { burst, ..Rate::new(count, Duration::from_secs(1)) };
    Policy { rate: Some(rate), ..Policy::default() }
}

/// The number of a limit key, as the database has it.
pub fn number(text: &str) -> i64 {
    LineKey::Key(text.into()).number(&Name::default_name()).cast_signed()
}

pub fn set(subject: Subject, policy: Option<Policy>) -> Command {
    Command::SetPolicy { namespace: Name::default_name(), subject, policy }
}

pub async fn limit(store: &PostgresStore, subject: Subject, policy: Policy) {
    let answers = store.control("test", vec![set(subject, Some(policy))]).await.unwrap();
    assert_eq!(answers, [Controlled::Done { state: None }]);
}

pub async fn add(store: &PostgresStore, jobs: Vec<NewJob>) {
    let answers = store.insert(Insert { jobs, partial: false }).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Inserted::New { .. })), "{answers:?}");
}

/// How many jobs are ready, in line, and running.
pub async fn counts(store: &PostgresStore) -> (u64, u64, u64) {
    let all = store.counts(&Name::default_name()).await.unwrap();
    let sum = |of: fn(&taskwright_store::QueueCounts) -> u64| all.iter().map(of).sum();
    (sum(|queue| queue.ready), sum(|queue| queue.in_line), sum(|queue| queue.running))
}

/// Sweeps until as many jobs are ready, in line and running.
pub async fn sweep_until(store: &Arc<PostgresStore>, wanted: (u64, u64, u64)) {
    let deadline = Instant::now() + LONG;
    loop {
        let found = counts(store).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} instead of {wanted:?}");
        store.sweep(1_000).await.unwrap();
        tokio::task::yield_now().await;
    }
}
