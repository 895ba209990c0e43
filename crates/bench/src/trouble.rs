//! Error handling: failures, poison jobs, lost workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::{JobError, Timestamp};
use taskwright_engine::{Api, Result};
use taskwright_store::{ClaimedJob, Outcome, Retry, Store};

use crate::life::{Caller, preload};
use crate::measure::Tally;

/// Jobs a call.
const BATCH: usize = 100;

fn failed(_: &ClaimedJob) -> Outcome {
    let error = JobError::new("error", "measured failure");
    Outcome::Failed { error, retry: Retry::After(Duration::ZERO) }
}

/// All jobs fail once, are retried at once and complete: failures and completions a second.
pub async fn all_fail_once(api: &Arc<dyn Api>, jobs: usize) -> Result<Tally> {
    preload(api, jobs).await?;
    let began = Instant::now();
    let mut caller = Caller::new(api, 1);
    let mut tally = Tally::default();
    loop {
        let called = Instant::now();
        let claimed = caller.claim(BATCH).await?;
        if claimed.is_empty() {
            break;
        }
        let outcome = |job: &ClaimedJob| match job.failures {
            0 => failed(job),
            _ => Outcome::Completed { result: None },
        };
        caller.report(&claimed, outcome).await?;
        tally.jobs += claimed.iter().filter(|job| job.failures > 0).count() as u64;
        tally.latencies.note(called);
    }
    tally.elapsed = began.elapsed();
    Ok(tally)
}

/// Jobs with a final error: each is dead at once and kept for an operator.
pub async fn all_die(api: &Arc<dyn Api>, jobs: usize) -> Result<Tally> {
    preload(api, jobs).await?;
    let began = Instant::now();
    let mut caller = Caller::new(api, 1);
    let mut tally = Tally::default();
    loop {
        let called = Instant::now();
        let claimed = caller.claim(BATCH).await?;
        if claimed.is_empty() {
            break;
        }
        let error = || JobError::new("error", "poison");
        caller
            .report(&claimed, |_| Outcome::Failed { error: error(), retry: Retry::Never })
            .await?;
        tally.jobs += claimed.len() as u64;
        tally.latencies.note(called);
    }
    tally.elapsed = began.elapsed();
    Ok(tally)
}

/// A worker dies with `jobs` running jobs: how long the store takes, once the lease is over, until
/// all of them can be claimed again.
pub async fn lost_worker(
    store: &Arc<dyn Store>,
    api: &Arc<dyn Api>,
    jobs: usize,
    advance: impl Fn(Duration),
) -> Result<Duration> {
    preload(api, jobs).await?;
    let mut caller = Caller::new(api, 1);
    let mut held = 0;
    while held < jobs {
        held += caller.claim(BATCH.min(jobs - held)).await?.len();
    }
    for _ in 0..taskwright_core::limits::LEASE.as_secs() {
        advance(Duration::from_secs(1));
        store.sweep(0).await?;
    }
    let began = Instant::now();
    let mut lapsed = 0;
    while lapsed < jobs {
        let swept = store.sweep(1_000).await?;
        lapsed += swept.lapsed;
        if swept.lapsed == 0 {
            advance(Duration::from_secs(1));
        }
    }
    Ok(began.elapsed())
}

/// The instant at which clocks of measurements begin that move time by hand.
pub fn some_day() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}
