//! Jobs taken by hand: dequeue, work, report.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use taskwright_core::limits::{HEARTBEAT_EVERY, WAIT_MAX};
use taskwright_core::{JobId, Json, Labels, Name, Resources, Token, WorkerId};
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::{Claim, ClaimedJob, Outcome, Profile, Report, Reported};
use tokio::sync::Mutex;

use crate::app::{AWAY_MAX, CALL_DEADLINE, Taskwright};
use crate::context::Context;
use crate::failure::{BoxError, failed};
use crate::retrying::retrying;
use crate::worker::{Held, Lease, Tenant};

/// Takes jobs by hand, where a [`Worker`](crate::Worker) does not fit: what it claimed is its own
/// until it is reported on. Its lease is renewed on a thread of its own while it lives; when it is
/// dropped, what it holds is run again elsewhere after the lease, or at once after
/// [`Consumer::close`].
///
/// ```
/// # use taskwright::{Job, Taskwright};
/// # use std::time::Duration;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let app = Taskwright::connect("memory:").await?;
/// app.enqueue(Job::<String>::new("greet", &"Ada")).await?;
///
/// let consumer = app.consumer(["default"])?;
/// for job in consumer.claim(10, Duration::from_secs(1)).await? {
///     let name: String = job.args()?;
///     consumer.complete(&job, &format!("Hello {name}")).await?;
/// }
/// consumer.close().await;
/// # app.close().await }).unwrap();
/// ```
pub struct Consumer {
    app: Taskwright,
    worker: WorkerId,
    profile: Arc<Profile>,
    held: Arc<Held>,
    lease: Lease,
    claims: Mutex<Claims>,
    /// How much the jobs that it holds take of its resources.
    takes: std::sync::Mutex<HashMap<(JobId, Token), Resources>>,
}

/// The claims of a consumer, one at a time.
#[derive(Default)]
struct Claims {
    seq: u64,
    /// Whether the newest one is still to be answered: then it is repeated.
    is_open: bool,
}

/// A job taken by hand.
#[derive(Clone, Debug)]
pub struct Claimed {
    context: Context,
    args: Json,
}

impl Claimed {
    /// What is known of the attempt, and whether it should stop.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The input, as JSON.
    pub fn args_json(&self) -> &Json {
        &self.args
    }

    /// The input. Fails where it is not an `A`.
    pub fn args<A: DeserializeOwned>(&self) -> Result<A> {
        serde_json::from_str(self.args.as_str()).map_err(|error| {
            let id = self.context.job_id();
            let message = format!(
                "cannot read the args of job {id}: {error}; read them as the type that was enqueued"
            );
            Error::new(ErrorCode::Invalid, message)
        })
    }
}

impl Consumer {
    pub(crate) fn start(app: Taskwright, queues: Vec<Name>) -> Result<Consumer> {
        let worker = app.shared.ids.worker_id()?;
        let held = Arc::new(Held::default());
        let tenant = Tenant {
            app: app.clone(),
            worker,
            name: format!("pid:{} by hand", std::process::id()).into(),
            slots: 1,
            every: HEARTBEAT_EVERY,
        };
        let lease = Lease::start(tenant, Arc::clone(&held), None)?;
        let profile = Arc::new(Profile { queues, tasks: None, labels: Labels::default() });
        Ok(Consumer {
            app,
            worker,
            profile,
            held,
            lease,
            claims: Mutex::default(),
            takes: Default::default(),
        })
    }

    /// Has it a label from the next claim on; see [`Worker::label`](crate::Worker::label).
    pub fn label(mut self, name: &str, value: &str) -> Result<Consumer> {
        let profile = Arc::make_mut(&mut self.profile);
        profile.labels.set(name, value).map_err(|error| {
            Error::new(ErrorCode::Invalid, format!("cannot label the consumer: {error}"))
        })?;
        Ok(self)
    }

    /// Has it so much of a resource from the next claim on, less what the jobs take that it holds; see
    /// [`Worker::resource`](crate::Worker::resource).
    pub fn resource(mut self, name: &str, amount: u64) -> Result<Consumer> {
        let profile = Arc::make_mut(&mut self.profile);
        profile.labels.set_capacity(name, amount).map_err(|error| {
            let message = format!("cannot give the consumer a resource: {error}");
            Error::new(ErrorCode::Invalid, message)
        })?;
        Ok(self)
    }

    /// The id under which it is known as a worker.
    pub fn id(&self) -> WorkerId {
        self.worker
    }

    /// Takes up to `max` jobs, waiting up to `wait` (at most a minute) where none is ready; of those that
    /// [cost](crate::Job::cost) more than one slot, as many as `max` slots are enough for. A claim whose
    /// reply was lost is repeated, so that no job is taken twice or left lying.
    pub async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Claimed>> {
        let mut claims = self.claims.lock().await;
        if !claims.is_open {
            claims.seq += 1;
            claims.is_open = true;
        }
        let mut profile = Profile::clone(&self.profile);
        if profile.labels.slots().is_none() && max > 0 {
            profile.labels.set_slots(max).map_err(|error| {
                Error::new(ErrorCode::Invalid, format!("cannot label the consumer: {error}"))
            })?;
        }
        let claim = Claim {
            namespace: self.app.namespace().clone(),
            worker: self.worker,
            seq: claims.seq,
            profile: Arc::new(profile),
            max,
            free: self.profile.labels.capacities().minus(&self.taken()),
            wait: wait.min(WAIT_MAX),
            in_process: self.app.shared.in_process,
        };
        let call = || self.app.api().claim(claim.clone());
        let each = claim.wait + CALL_DEADLINE;
        let jobs = retrying(&self.app.shared.ids, each, AWAY_MAX, call).await?;
        claims.is_open = false;
        self.note_taken(&jobs);
        Ok(self.held.arrived(claims.seq, jobs, admit))
    }

    /// Says that the job is done, with its result. Fails where the result is not JSON or over 1 MiB,
    /// or the attempt is no longer this consumer's.
    pub async fn complete(&self, job: &Claimed, result: &(impl Serialize + ?Sized)) -> Result<()> {
        let text = serde_json::to_string(result).map_err(|error| {
            let id = job.context.job_id();
            let message = format!("cannot complete job {id}: the result is not JSON ({error})");
            Error::new(ErrorCode::Invalid, message)
        })?;
        let result = Some(Json::from_trusted(text));
        self.report(job, Outcome::Completed { result }).await
    }

    /// Says that the job failed; a [`TaskError`](crate::TaskError) also says what follows.
    pub async fn fail(&self, job: &Claimed, error: impl Into<BoxError>) -> Result<()> {
        self.report(job, failed(error.into())).await
    }

    /// Gives the job back for others, the attempt unspent.
    pub async fn release(&self, job: &Claimed) -> Result<()> {
        self.report(job, Outcome::Released).await
    }

    /// Says how the attempt went. Fails where the attempt is no longer this consumer's.
    pub async fn report(&self, job: &Claimed, outcome: Outcome) -> Result<()> {
        let (id, token) = (job.context.job_id(), job.context.token());
        let goes_on = matches!(outcome, Outcome::Checkpoint { .. });
        let namespace = self.app.namespace().clone();
        let reports = vec![Report { namespace, id, token, outcome }];
        let answers = self.app.retrying(|| self.app.api().report(reports.clone())).await?;
        if !goes_on {
            self.held.remove(std::iter::once((id, token)));
            self.takes.lock().unwrap_or_else(PoisonError::into_inner).remove(&(id, token));
        }
        match answers.first() {
            Some(Reported::Applied { .. } | Reported::Already) => Ok(()),
            _ => {
                let message = format!(
                    "the report on job {id} does not count: the attempt is no longer this consumer's, and another may run the job"
                );
                Err(Error::new(ErrorCode::Conflict, message))
            }
        }
    }

    fn note_taken(&self, jobs: &[ClaimedJob]) {
        let mut takes = self.takes.lock().unwrap_or_else(PoisonError::into_inner);
        for job in jobs.iter().filter(|job| job.extras.requires.takes_resources()) {
            takes.insert((job.id, job.token), job.extras.requires.taken());
        }
    }

    /// How much the jobs take that it holds.
    fn taken(&self) -> Resources {
        let mut taken = Resources::NONE;
        let takes = self.takes.lock().unwrap_or_else(PoisonError::into_inner);
        takes.values().for_each(|one| taken.add(one));
        taken
    }

    /// Gives back what it holds, the attempts unspent, and ends its lease.
    pub async fn close(self) {
        let claims = self.claims.lock().await;
        self.held.forget(claims.seq);
        drop(claims);
        self.lease.farewell().await;
    }
}

fn admit(job: ClaimedJob) -> (Context, bool, Claimed) {
    let (context, args) = Context::of(job, None);
    (context.clone(), false, Claimed { context, args })
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("worker", &self.worker)
            .field("queues", &self.profile.queues)
            .finish_non_exhaustive()
    }
}
