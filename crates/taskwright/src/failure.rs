//! What a task can say when it does not return a result.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::JobError;
use taskwright_store::{Outcome, Retry};

/// Any error, as tasks may return it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error that also says what should happen to the job.
///
/// Any other error means "try again, as the job's retry policy says". This one is an ordinary
/// [`std::error::Error`]: it passes through `?` into `anyhow::Error` or [`BoxError`] and keeps its
/// meaning there, also below added context.
///
/// ```
/// use taskwright::{TaskError, task};
///
/// #[task]
/// async fn charge(card: String) -> Result<(), TaskError> {
///     if card.is_empty() {
///         return Err(TaskError::fatal("there is no card number"));
///     }
///     Err(TaskError::retry_after("10m", "the bank is closed"))
/// }
/// ```
#[derive(Debug)]
pub struct TaskError {
    error: BoxError,
    decision: Decision,
}

/// What should happen to the job. It hangs below a [`TaskError`] as its source, where it is found
/// whatever wraps the error.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    Retry,
    RetryAfter(Duration),
    Fatal,
    Snooze(Duration),
    Release,
    Cancel,
}

impl TaskError {
    fn with(error: impl Into<BoxError>, decision: Decision) -> Self {
        TaskError { error: error.into(), decision }
    }

    /// The attempt failed; the job's retry policy says what follows.
    pub fn new(error: impl Into<BoxError>) -> Self {
        TaskError::with(error, Decision::Retry)
    }

    /// The attempt failed; the next one starts after this time (`"10m"` or a `Duration`).
    pub fn retry_after(after: impl crate::IntoDuration, error: impl Into<BoxError>) -> Self {
        match after.into_duration() {
            Ok(after) => TaskError::with(error, Decision::RetryAfter(after)),
            Err(fault) => TaskError::new(format!("{} (retried by policy: {fault})", error.into())),
        }
    }

    /// The attempt failed, and no other could succeed: the job is dead.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        TaskError::with(error, Decision::Fatal)
    }

    /// Not now: the job runs again after this time (`"10m"` or a `Duration`), the attempt unspent.
    pub fn snooze(time: impl crate::IntoDuration) -> Self {
        match time.into_duration() {
            Ok(time) => TaskError::with("snoozed", Decision::Snooze(time)),
            Err(fault) => TaskError::new(format!("cannot snooze: {fault}")),
        }
    }

    /// Given back at once for another worker, the attempt unspent.
    pub fn release() -> Self {
        TaskError::with("released", Decision::Release)
    }

    /// The job is no longer wanted: it ends cancelled.
    pub fn cancel(reason: impl Into<BoxError>) -> Self {
        TaskError::with(reason, Decision::Cancel)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl StdError for TaskError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.decision)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Retry => "to be retried",
            Decision::RetryAfter(_) => "to be retried later",
            Decision::Fatal => "not to be retried",
            Decision::Snooze(_) => "to be run later",
            Decision::Release => "given back",
            Decision::Cancel => "no longer wanted",
        })
    }
}

impl StdError for Decision {}

/// The outcome of an attempt whose task returned this error.
pub(crate) fn failed(error: BoxError) -> Outcome {
    let (message, decision) = match error.downcast::<TaskError>() {
        Ok(error) => (described(error.error.as_ref()), error.decision),
        Err(error) => (described(error.as_ref()), decision_in(error.as_ref())),
    };
    let retry = match decision {
        Decision::Retry => Retry::ByPolicy,
        Decision::RetryAfter(after) => Retry::After(after),
        Decision::Fatal => Retry::Never,
        Decision::Snooze(delay) => return Outcome::Snoozed { delay },
        Decision::Release => return Outcome::Released,
        Decision::Cancel => return Outcome::Cancelled { reason: Arc::from(message) },
    };
    Outcome::Failed { error: JobError::new("error", &message), retry }
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    /// Longest chain that is followed: one that loops ends here.
    const CHAIN_MAX: usize = 64;
    std::iter::successors(Some(error), |&error| error.source()).take(CHAIN_MAX)
}

fn decision_in(error: &(dyn StdError + 'static)) -> Decision {
    let found = chain(error).find_map(|error| error.downcast_ref::<Decision>());
    found.cloned().unwrap_or(Decision::Retry)
}

/// The error and its causes in one line, without what an outer message repeats of an inner one.
fn described(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in chain(error).skip(1).filter(|cause| !cause.is::<Decision>()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
#[path = "tests/failure.rs"]
mod tests;
