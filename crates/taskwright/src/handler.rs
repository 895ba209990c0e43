//! Code that runs jobs.

use std::future::Future;
use std::pin::Pin;

use taskwright_core::{JobError, Json};
use taskwright_store::{Outcome, Retry};

use crate::context::Context;

/// Runs the jobs of one task. `#[task]` makes one from a function; write one by hand where the
/// arguments are to stay raw JSON, as for a command in a subprocess.
pub trait Handler: Send + Sync + 'static {
    /// Begins one attempt. It is called on a thread of the async runtime and must return at once:
    /// the work belongs into what it returns.
    fn start(&self, args: Json, context: Context) -> Attempt;

    /// Whether an attempt must be stopped before its worker's lease can have ended. True for work
    /// that no fence protects, such as subprocesses: if the worker cannot renew its lease, their
    /// context is cancelled with reason `lost` in time.
    fn stops_with_lease(&self) -> bool {
        false
    }
}

/// One attempt under way.
#[must_use = "an attempt does nothing until a worker runs it"]
pub struct Attempt(pub(crate) Work);

pub(crate) enum Work {
    Async(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    Blocking(Box<dyn FnOnce() -> Outcome + Send>),
}

impl Attempt {
    /// Work that awaits. When it must stop, its context is cancelled first; if that does not end
    /// it, the future is dropped.
    pub fn future(work: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Attempt(Work::Async(Box::pin(work)))
    }

    /// Work that blocks its thread. When it must stop, its context is cancelled; a thread cannot be
    /// ended from outside, so its slot stays taken until it returns.
    pub fn blocking(work: impl FnOnce() -> Outcome + Send + 'static) -> Self {
        Attempt(Work::Blocking(Box::new(work)))
    }

    /// An attempt that ended as it began.
    pub fn ended(outcome: Outcome) -> Self {
        Attempt::future(std::future::ready(outcome))
    }

    /// An attempt whose args the task cannot read: a final error of kind `undecodable`.
    pub fn undecodable(message: &str) -> Self {
        let error = JobError::new("undecodable", message);
        Attempt::ended(Outcome::Failed { error, retry: Retry::Never })
    }
}
