//! Makes jobs of inputs.

use std::time::Duration;

use anyhow::Result;
use taskwright::Taskwright;
use taskwright_core::Name;
use taskwright_core::limits::{BATCH_MAX, PAGE_MAX};
use taskwright_engine::{ErrorCode, JobRequest};

use super::input::{Input, args};
use super::roster::Roster;
use super::source::Inputs;

/// Bytes of inputs from which a batch is sent. As JSON they may grow sixfold, but rarely do.
const BATCH_BYTES: usize = 1024 * 1024;
/// How long to wait for room in the store.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// How the jobs of a run are made.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The task.
    pub task: Name,
    /// The queue.
    pub queue: Name,
    /// How often each may fail.
    pub max_attempts: u32,
    /// The longest an attempt may run.
    pub timeout: Option<Duration>,
}

impl Recipe {
    fn job(&self, roster: &Roster, input: &Input) -> JobRequest {
        let mut request = JobRequest::new(self.task.clone(), args(input));
        request.queue = self.queue.clone();
        request.id = Some(roster.enter(input));
        request.max_attempts = Some(self.max_attempts);
        request.timeout = self.timeout;
        request
    }
}

/// Enters every input into the store and the roster, and then the jobs that the run had before and
/// whose inputs were not given again.
pub async fn feed(
    app: &Taskwright,
    roster: &Roster,
    recipe: &Recipe,
    inputs: Option<Inputs>,
) -> Result<()> {
    if let Some(mut inputs) = inputs {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while inputs.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let mut jobs = Vec::with_capacity(batch.len());
            let mut bytes = 0;
            for input in batch.drain(..) {
                let input = input?;
                bytes += input.len();
                jobs.push(recipe.job(roster, &input));
                if bytes >= BATCH_BYTES {
                    enqueue(app, std::mem::take(&mut jobs)).await?;
                    bytes = 0;
                    roster.announce(false);
                }
            }
            enqueue(app, jobs).await?;
            roster.announce(false);
        }
    }
    enter_earlier(app, roster, &recipe.queue).await?;
    roster.announce(true);
    Ok(())
}

async fn enqueue(app: &Taskwright, jobs: Vec<JobRequest>) -> Result<()> {
    loop {
        match app.enqueue_requests(jobs.clone(), false).await {
            // The worker makes room.
            Err(error) if matches!(error.code, ErrorCode::StoreFull | ErrorCode::WaitingFull) => {
                tokio::time::sleep(error.retry_after.unwrap_or(FULL_PAUSE)).await;
            }
            done => return Ok(done.map(drop)?),
        }
    }
}

async fn enter_earlier(app: &Taskwright, roster: &Roster, queue: &Name) -> Result<()> {
    let mut filter = app.filter();
    filter.queue = Some(queue.clone());
    filter.limit = PAGE_MAX;
    let mut earlier = Vec::new();
    loop {
        let page = app.list(filter.clone()).await?;
        earlier.extend(page.jobs.iter().map(|job| job.id).filter(|&id| !roster.knows(id)));
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    earlier.into_iter().rev().for_each(|id| roster.enter_earlier(id));
    Ok(())
}
