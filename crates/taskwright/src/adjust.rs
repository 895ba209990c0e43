//! Changes of jobs that wait.

use std::time::Duration;

use taskwright_core::Timestamp;
use taskwright_engine::{Error, ErrorCode, Result, Start};

use crate::job::IntoDuration;

/// What is to change of a job that waits; what it does not name stays.
///
/// ```
/// # use taskwright::Adjust;
/// let sooner = Adjust::new().priority(9).delay("5m");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it changes nothing until it is given to a job"]
pub struct Adjust {
    priority: Option<i8>,
    start: Option<Start>,
    fault: Option<Error>,
}

impl Adjust {
    /// No change yet.
    pub fn new() -> Self {
        Adjust::default()
    }

    /// From −10 (least urgent) to 10 (most urgent), from now on.
    pub fn priority(mut self, priority: i8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Runs it not before this instant; now where it has passed.
    pub fn run_at(mut self, instant: Timestamp) -> Self {
        self.start = Some(Start::At(instant));
        self
    }

    /// Runs it so long after the change, by the store's clock: `"10m"` or a `Duration`.
    pub fn delay(mut self, delay: impl IntoDuration) -> Self {
        match delay.into_duration() {
            Ok(delay) => self.start = Some(Start::After(delay)),
            Err(error) => {
                let message = format!("cannot adjust a job: its delay: {error}");
                self.fault.get_or_insert_with(|| Error::new(ErrorCode::Invalid, message));
            }
        }
        self
    }

    /// Runs it as soon as a worker is free.
    pub fn now(self) -> Self {
        self.delay(Duration::ZERO)
    }

    /// The new priority and start, or what makes no sense.
    pub(crate) fn into_parts(self) -> Result<(Option<i8>, Option<Start>)> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.priority.is_none() && self.start.is_none() => Err(Error::new(
                ErrorCode::Invalid,
                "cannot adjust a job: nothing is to change; give a priority, a delay or a run_at",
            )),
            None => Ok((self.priority, self.start)),
        }
    }
}
