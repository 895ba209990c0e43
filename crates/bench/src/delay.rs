//! Latency: from an enqueue, or from the instant a job is due at, to its start on an idle system.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_engine::{Api, JobRequest, Result, Start};
use taskwright_store::{Clock, SystemClock};

use crate::life::Caller;
use crate::measure::Latencies;

/// Between two jobs, so that the system is idle again.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest that one job is waited for.
const WAIT: Duration = Duration::from_secs(10);

/// One job after another: the time from the call that enqueues it to the moment when a waiting
/// worker has it in hand.
pub async fn starts(api: &Arc<dyn Api>, samples: usize) -> Result<Latencies> {
    let (started, mut starts) = tokio::sync::mpsc::channel(1);
    let mut worker = Caller::new(api, 1);
    let serving = tokio::spawn(async move {
        loop {
            let jobs = worker.claim_waiting(1, WAIT).await?;
            let now = Instant::now();
            if jobs.is_empty() || started.send(now).await.is_err() {
                return Ok::<(), taskwright_engine::Error>(());
            }
            worker.complete(&jobs).await?;
        }
    });
    let producer = Caller::new(api, 2);
    let mut latencies = Latencies::default();
    for _ in 0..samples {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        producer.enqueue(1).await?;
        let Some(at) = starts.recv().await else { break };
        latencies.note_duration(at.saturating_duration_since(began));
    }
    serving.abort();
    Ok(latencies)
}

/// The shortest and the longest delay of a job that is put in to wait.
const DELAYS: (u64, u64) = (50, 900);
/// Jobs that wait at the same time: few enough for the system to be idle in between.
const WAITING: usize = 4;

/// Jobs with delays of 50 to 900 ms, a few at a time: how long after the instant it is due at a
/// waiting worker has each in hand, by the system's clock, which must be that of the store.
pub async fn delayed(api: &Arc<dyn Api>, samples: usize) -> Result<Latencies> {
    let producer = Caller::new(api, 2);
    let mut worker = Caller::new(api, 1);
    let mut latencies = Latencies::default();
    for sample in 0..samples + WAITING {
        if sample < samples {
            // Spread over the range, in no order.
            let spread = sample as u64 * 7_919 % (DELAYS.1 - DELAYS.0 + 1);
            let delay = Duration::from_millis(DELAYS.0 + spread);
            let job = JobRequest { start: Start::After(delay), ..producer.request() };
            api.enqueue(vec![job], false).await?;
        }
        if sample < WAITING {
            continue;
        }
        let jobs = worker.claim_waiting(1, WAIT).await?;
        let now = SystemClock.now();
        for job in &jobs {
            latencies.note_duration(now.since(job.run_at));
        }
        worker.complete(&jobs).await?;
    }
    Ok(latencies)
}
