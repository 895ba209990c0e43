//! Ids for callers that bring none.

use std::time::{SystemTime, UNIX_EPOCH};

use taskwright_core::{JobId, Timestamp, WorkerId};
use taskwright_engine::{Error, ErrorCode, JobRequest, Result};

const RANDOM_BYTES: usize = 10;

/// A new worker id.
pub(crate) fn worker_id() -> Result<WorkerId> {
    let mut random = [0; RANDOM_BYTES];
    fill(&mut random)?;
    Ok(WorkerId::v7(now(), random))
}

/// Gives an id to each job that has none, so that the enqueue may be repeated.
pub(crate) fn name_jobs(jobs: &mut [JobRequest]) -> Result<()> {
    let nameless = jobs.iter_mut().filter(|job| job.id.is_none()).collect::<Vec<_>>();
    let mut random = vec![0; RANDOM_BYTES * nameless.len()];
    fill(&mut random)?;
    let now = now();
    for (job, random) in nameless.into_iter().zip(random.as_chunks::<RANDOM_BYTES>().0) {
        job.id = Some(JobId::v7(now, *random));
    }
    Ok(())
}

/// A number that is larger than those given before, as far as the clock does not go back.
pub(crate) fn growing_number() -> u64 {
    u64::try_from(now().as_micros()).unwrap_or(0)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO.plus(since)
}

fn fill(random: &mut [u8]) -> Result<()> {
    getrandom::fill(random).map_err(|cause| {
        let message = format!("the system gave no random bytes for an id ({cause}); try again");
        Error::new(ErrorCode::Unavailable, message)
    })
}
