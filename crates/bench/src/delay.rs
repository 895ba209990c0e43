//! Latency: from an enqueue to the start of the job, on an idle system.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_engine::{Api, Result};

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
