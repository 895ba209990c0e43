//! A job that was enqueued: its result, its state, its end.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use taskwright_core::limits::WAIT_MAX;
use taskwright_core::{Job as JobView, JobError, JobId, State, StateName};
use taskwright_engine::{Enqueued, Error, Result};
use taskwright_store::Controlled;
use tokio::time::Instant;

use crate::adjust::Adjust;
use crate::app::{AWAY_MAX, CALL_DEADLINE, Taskwright};
use crate::retrying::retrying;

/// A job that was enqueued. `T` is what its task returns.
pub struct Handle<T> {
    app: Taskwright,
    id: JobId,
    enqueued: Option<Enqueued>,
    output: PhantomData<fn() -> T>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoResult {
    /// The job is dead: its attempts are spent, its error was final, or it was lost too often.
    #[error("job {id} is dead ({cause}): {message}")]
    Dead {
        /// The job.
        id: JobId,
        /// `exhausted`, `final`, `quarantined` or `returned`.
        cause: &'static str,
        /// The newest error, with its kind (`error`, `panic`, `timeout`, `lost`, …), if there is one.
        error: Option<JobError>,
        /// The newest error in words.
        message: Arc<str>,
    },
    /// The job was cancelled.
    #[error("job {id} was cancelled: {reason}")]
    Cancelled {
        /// The job.
        id: JobId,
        /// Why.
        reason: Arc<str>,
    },
    /// The job had not started in time.
    #[error("job {id} expired before it was started")]
    Expired {
        /// The job.
        id: JobId,
    },
    /// There is no such job (any more): ended jobs are kept for a while only.
    #[error(
        "job {id} is not there: it was never enqueued here, or it was deleted or pruned after its end"
    )]
    Unknown {
        /// The job.
        id: JobId,
    },
    /// The job has not ended within the time that the caller gave.
    #[error(
        "job {id} has not ended within the given time: it is {state}; wait longer, or look whether a worker serves its task"
    )]
    NotYet {
        /// The job.
        id: JobId,
        /// Its state.
        state: StateName,
    },
    /// The job completed, with a result that is not a `T`.
    #[error("job {id} completed, but its result cannot be read as the expected type: {message}")]
    Undecodable {
        /// The job.
        id: JobId,
        /// What does not fit.
        message: String,
    },
    /// The store or server could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Error),
}

impl<T> Handle<T> {
    pub(crate) fn new(app: Taskwright, id: JobId) -> Self {
        Handle { app, id, enqueued: None, output: PhantomData }
    }

    /// The handle that an enqueue gives, where a job stands for what was asked.
    pub(crate) fn of(app: Taskwright, enqueued: Enqueued) -> Option<Self> {
        let id = enqueued.id()?;
        Some(Handle { app, id, enqueued: Some(enqueued), output: PhantomData })
    }

    /// The id of the job.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// What became of the enqueue that gave this handle; `None` for one that was made by
    /// [`Taskwright::handle`].
    pub fn enqueued(&self) -> Option<&Enqueued> {
        self.enqueued.as_ref()
    }

    /// Whether another job held the unique key: then nothing was written, and this handle stands for
    /// that job, whose task may be another.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.enqueued, Some(Enqueued::Duplicate { .. }))
    }

    /// The job as it is now, whole; `None` where it is not there (any more).
    pub async fn job(&self) -> Result<Option<JobView>> {
        self.app.get(self.id).await
    }

    /// The state of the job; `None` where it is not there (any more).
    pub async fn status(&self) -> Result<Option<StateName>> {
        Ok(self.job().await?.map(|job| job.state().name()))
    }

    /// Asks for the job to stop: at once if it waits; if it runs, its worker is told, in a moment or,
    /// if the hint was lost, with the next heartbeat.
    pub async fn cancel(&self, reason: &str) -> Result<Controlled> {
        self.app.cancel(self.id, reason).await
    }

    /// Changes the priority or start of the job, if it waits; see [`Taskwright::adjust`].
    pub async fn adjust(&self, change: Adjust) -> Result<Controlled> {
        self.app.adjust(self.id, change).await
    }

    /// Waits until the job has ended, however long that takes: retries, schedules and a lack of
    /// workers are waited for too.
    pub async fn ended(&self) -> Result<Option<JobView>> {
        loop {
            let job = self.wait(WAIT_MAX).await?;
            if job.as_ref().is_none_or(|job| job.state().is_final()) {
                return Ok(job);
            }
        }
    }

    async fn wait(&self, wait: Duration) -> Result<Option<JobView>> {
        let shared = &self.app.shared;
        let call = || shared.api.wait(&shared.namespace, self.id, wait);
        retrying(&shared.ids, wait + CALL_DEADLINE, AWAY_MAX, call).await
    }
}

impl<T: DeserializeOwned> Handle<T> {
    /// Waits until the job has ended, however long that takes, and gives what its task returned.
    pub async fn result(&self) -> std::result::Result<T, NoResult> {
        self.read(self.ended().await?)
    }

    /// Like [`Handle::result`], but waits at most this long.
    pub async fn result_timeout(&self, wait: Duration) -> std::result::Result<T, NoResult> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let job = self.wait(left.min(WAIT_MAX)).await?;
            let is_final = job.as_ref().is_none_or(|job| job.state().is_final());
            if is_final || left.is_zero() {
                return self.read(job);
            }
        }
    }

    fn read(&self, job: Option<JobView>) -> std::result::Result<T, NoResult> {
        let id = self.id;
        let Some(job) = job else { return Err(NoResult::Unknown { id }) };
        match job.state() {
            State::Completed => {
                let result = job.result.as_ref().map_or("null", |result| result.as_str());
                serde_json::from_str(result)
                    .map_err(|error| NoResult::Undecodable { id, message: error.to_string() })
            }
            State::Dead(cause) => {
                let message = match &job.error {
                    Some(error) => Arc::clone(&error.message),
                    None => "no error was kept".into(),
                };
                Err(NoResult::Dead { id, cause: cause.as_str(), error: job.error, message })
            }
            State::Cancelled => {
                let reason = job.cancel_reason.unwrap_or_else(|| "no reason was given".into());
                Err(NoResult::Cancelled { id, reason })
            }
            State::Expired => Err(NoResult::Expired { id }),
            State::Blocked | State::Available(_) | State::Running(_) => {
                Err(NoResult::NotYet { id, state: job.state().name() })
            }
        }
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        let (app, enqueued) = (self.app.clone(), self.enqueued.clone());
        Handle { app, id: self.id, enqueued, output: PhantomData }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.id)
    }
}
