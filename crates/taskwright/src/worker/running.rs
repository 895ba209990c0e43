//! A worker at work, and what stops it.

use taskwright_core::WorkerId;
use taskwright_engine::{Error, ErrorCode, Result};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::Stop;

/// A worker at work.
#[derive(Debug)]
pub struct RunningWorker {
    id: WorkerId,
    stop: watch::Sender<Stop>,
    task: JoinHandle<Result<()>>,
}

/// Stops a [`RunningWorker`] from elsewhere.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<Stop>);

impl Stopper {
    /// Asks for a graceful stop; [`RunningWorker::ended`] tells when it is done.
    pub fn stop(&self) {
        self.0.send_if_modified(|stop| {
            let is_first = *stop == Stop::No;
            if is_first {
                *stop = Stop::Graceful;
            }
            is_first
        });
    }

    /// Asks for what runs to be ended and given back at once.
    pub fn stop_now(&self) {
        self.0.send_replace(Stop::Now);
    }
}

impl RunningWorker {
    pub(super) fn new(
        id: WorkerId,
        stop: watch::Sender<Stop>,
        task: JoinHandle<Result<()>>,
    ) -> RunningWorker {
        RunningWorker { id, stop, task }
    }

    /// The task that it runs in, to wait for and still have it.
    pub(super) fn task(&mut self) -> &mut JoinHandle<Result<()>> {
        &mut self.task
    }

    /// The id of the worker.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// A handle that stops it from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Stops in phases: claims no more, cancels the contexts of running jobs after the stop grace,
    /// gives back what still runs after the stop deadline. Returns when all reports are delivered.
    pub async fn stop(self) -> Result<()> {
        self.stopper().stop();
        self.ended().await
    }

    /// Gives back what runs, unspent, and stops.
    pub async fn stop_now(self) -> Result<()> {
        self.stopper().stop_now();
        self.ended().await
    }

    /// Waits until the worker has ended: after a stop, or with an error if it cannot go on (the
    /// store was closed, the credential is refused, …).
    pub async fn ended(self) -> Result<()> {
        ended_of(self.task.await)
    }
}

pub(super) fn ended_of(ended: std::result::Result<Result<()>, JoinError>) -> Result<()> {
    ended.unwrap_or_else(|_| {
        let message =
            "the worker ended with its runtime; its jobs are run elsewhere after its lease";
        Err(Error::new(ErrorCode::Unavailable, message))
    })
}
