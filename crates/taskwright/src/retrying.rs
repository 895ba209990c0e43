//! Calls that are repeated while they may succeed later.

use std::future::Future;
use std::time::Duration;

use taskwright_engine::ids::IdSource;
use taskwright_engine::{Error, ErrorCode, Result};
use tokio::time::Instant;

/// The bound of the first pause between tries.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The bound of every pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Exponential back-off with full jitter.
pub(crate) struct Backoff<'a> {
    ids: &'a IdSource,
    bound: Duration,
}

impl<'a> Backoff<'a> {
    pub(crate) fn new(ids: &'a IdSource) -> Self {
        Backoff { ids, bound: PAUSE_FIRST }
    }

    /// The next pause; at least as long as the error asks for.
    pub(crate) fn pause(&mut self, error: &Error) -> Duration {
        let bound = u64::try_from(self.bound.as_micros()).unwrap_or(u64::MAX);
        let chance = self.ids.number().unwrap_or(bound);
        self.bound = (self.bound * 2).min(PAUSE_MAX);
        let pause = Duration::from_micros(chance % (bound + 1));
        pause.max(error.retry_after.unwrap_or(Duration::ZERO).min(PAUSE_MAX))
    }
}

/// Makes a call, each try with the deadline `each`, again and again while its error may pass, for
/// about `total`. The last error is the answer then.
pub(crate) async fn retrying<T, F>(
    ids: &IdSource,
    each: Duration,
    total: Duration,
    mut call: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let give_up_at = Instant::now() + total;
    let mut backoff = Backoff::new(ids);
    loop {
        let error = match tokio::time::timeout(each, call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => unanswered(each),
        };
        if !error.code.is_retryable() {
            return Err(error);
        }
        let pause = backoff.pause(&error);
        if Instant::now() + pause >= give_up_at {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
}

fn unanswered(after: Duration) -> Error {
    let after = taskwright_core::format_duration(after);
    let message = format!("no answer within {after}: what was asked may have been done; try again");
    Error::new(ErrorCode::Unavailable, message)
}
