//! The way in: connect, enqueue, look, operate.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskwright_core::limits::BATCH_MAX;
use taskwright_core::{Job as JobView, JobId, Name};
use taskwright_engine::ids::IdSource;
use taskwright_engine::{Api, Costs, Enqueued, Error, ErrorCode, JobRequest, Result};
use taskwright_store::{
    Command, Controlled, Description, Events, Filter, NodeView, Page, QueueCounts, WorkerView,
};

use crate::backend::Connection;
use crate::consumer::Consumer;
use crate::control::ControlGuard;
use crate::handle::Handle;
use crate::job::Job;
use crate::options::Options;
use crate::retrying::retrying;
use crate::worker::Worker;

/// The longest one try of a call may take.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How long calls are tried again while the store or server is away.
pub(crate) const AWAY_MAX: Duration = Duration::from_secs(60);
/// How soon [`Taskwright::join`] looks again at first, and at most.
const JOIN_LOOK_EVERY: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(200)];

/// A connection to a store or a server, in one namespace. Clones are cheap and share it.
#[derive(Clone)]
pub struct Taskwright {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) api: Arc<dyn Api>,
    pub(crate) namespace: Name,
    pub(crate) ids: IdSource,
    pub(crate) in_process: bool,
    pub(crate) actor: Arc<str>,
    place: String,
    /// Goes before the store does.
    control: Mutex<Option<ControlGuard>>,
}

impl Taskwright {
    /// Connects to what the URL names:
    ///
    /// - `memory:` a store in this process, gone with it
    /// - `file:PATH` a store in a directory, which this process opens and locks
    /// - `postgres://USER@HOST/DATABASE` a PostgreSQL database, which any number of processes share
    ///   (with the feature `postgres`; parameters: `docs/postgres.md`)
    /// - `http://HOST:PORT` a server (`taskwright serve`)
    /// - `unix:PATH` the control socket in the directory of a file store that another process has open
    ///
    /// More can be set with [`Options`].
    pub async fn connect(url: &str) -> Result<Taskwright> {
        Options::new().connect(url).await
    }

    /// Connects, for programs without async code; see [`crate::blocking`].
    pub fn connect_blocking(url: &str) -> Result<crate::blocking::Taskwright> {
        Options::new().connect_blocking(url)
    }

    /// A connection made by hand: over any implementation of [`Api`], such as an engine of one's
    /// own. `in_process` says whether its store lives and dies with this process.
    pub fn over(api: Arc<dyn Api>, namespace: Name, in_process: bool) -> Taskwright {
        let place = "custom".to_owned();
        let connection = Connection { api, in_process, place, control: None };
        Taskwright::of(connection, namespace, "application".into())
    }

    pub(crate) fn of(connection: Connection, namespace: Name, actor: Arc<str>) -> Taskwright {
        let shared = Shared {
            api: connection.api,
            namespace,
            ids: IdSource::default(),
            in_process: connection.in_process,
            actor,
            place: connection.place,
            control: Mutex::new(connection.control),
        };
        Taskwright { shared: Arc::new(shared) }
    }

    /// Every operation there is, unembellished.
    pub fn api(&self) -> &Arc<dyn Api> {
        &self.shared.api
    }

    /// The namespace that all calls are about.
    pub fn namespace(&self) -> &Name {
        &self.shared.namespace
    }

    /// Enqueues a job. When this returns, the job is as durable as the store promises. Safe
    /// against a lost reply: the call is repeated under the same id, and makes one job. Where another job
    /// holds its unique key, the handle stands for that one: see [`Handle::is_duplicate`].
    pub async fn enqueue<T>(&self, job: Job<T>) -> Result<Handle<T>> {
        let mut handles = self.enqueue_all(vec![job]).await?;
        handles.pop().ok_or_else(|| {
            Error::new(
                ErrorCode::Unavailable,
                "cannot tell whether the job was enqueued: the reply was empty",
            )
        })
    }

    /// Enqueues jobs, up to 1,000 in one call: all of them, or with an error none. More are sent
    /// in several calls, each for itself; an error then names the first that was refused, and the
    /// jobs of earlier calls stay. Handles come in the order of the jobs.
    pub async fn enqueue_all<T>(&self, jobs: Vec<Job<T>>) -> Result<Vec<Handle<T>>> {
        let mut requests = Vec::with_capacity(jobs.len());
        for (item, job) in jobs.into_iter().enumerate() {
            requests.push(job.into_request().map_err(|error| error.at_item(item))?);
        }
        let mut handles = Vec::with_capacity(requests.len());
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(BATCH_MAX));
            let sent = handles.len();
            let place = |error: Error| {
                let item = error.item;
                item.map_or(error.clone(), |item| error.at_item(sent + item))
            };
            let enqueued = self.enqueue_requests(requests, false).await.map_err(place)?;
            let with_handle = |job| Handle::of(self.clone(), job);
            handles.extend(enqueued.into_iter().filter_map(with_handle));
            requests = rest;
        }
        Ok(handles)
    }

    /// Enqueues requests as they are, at most 1,000, in this namespace. With `partial` each stands
    /// for itself. Repeated until answered, like [`Taskwright::enqueue`].
    pub async fn enqueue_requests(
        &self,
        mut requests: Vec<JobRequest>,
        partial: bool,
    ) -> Result<Vec<Enqueued>> {
        for request in &mut requests {
            request.namespace = self.shared.namespace.clone();
        }
        // Given here and not in the engine, so that a repeated call names the same jobs.
        self.shared.ids.fill(requests.iter_mut().map(|request| &mut request.id))?;
        self.retrying(|| self.shared.api.enqueue(requests.clone(), partial)).await
    }

    pub(crate) async fn retrying<T, F: Future<Output = Result<T>>>(
        &self,
        call: impl FnMut() -> F,
    ) -> Result<T> {
        retrying(&self.shared.ids, CALL_DEADLINE, AWAY_MAX, call).await
    }

    /// A worker to be told what it serves, and started.
    pub fn worker(&self) -> Worker {
        Worker::new(self.clone())
    }

    /// A consumer that takes jobs of these queues by hand, of whatever task. Fails where a name is
    /// none, or no thread can be started for its lease.
    pub fn consumer<I: IntoIterator<Item: AsRef<str>>>(&self, queues: I) -> Result<Consumer> {
        let named = |queue: I::Item| named(queue.as_ref(), "consume the queue");
        Consumer::start(self.clone(), queues.into_iter().map(named).collect::<Result<_>>()?)
    }

    /// A handle of a job that was enqueued before, here or elsewhere. `T` is what its task returns.
    pub fn handle<T>(&self, id: JobId) -> Handle<T> {
        Handle::new(self.clone(), id)
    }

    /// A job, whole.
    pub async fn get(&self, id: JobId) -> Result<Option<JobView>> {
        let ids = [id];
        let mut jobs = self.retrying(|| self.shared.api.get(&self.shared.namespace, &ids)).await?;
        Ok(jobs.pop().flatten())
    }

    /// One page of jobs, newest first, without args and results. Start with
    /// [`Taskwright::filter`]; `next` of a page is `before` of the next one.
    pub async fn list(&self, filter: Filter) -> Result<Page> {
        self.retrying(|| self.shared.api.list(filter.clone())).await
    }

    /// A filter that lets every job of this namespace pass, 100 a page.
    pub fn filter(&self) -> Filter {
        Filter {
            namespace: self.shared.namespace.clone(),
            queue: None,
            task: None,
            state: None,
            tag: None,
            before: None,
            limit: 100,
        }
    }

    /// The next jobs of a queue in the order in which they would run, without args.
    pub async fn peek(&self, queue: &str, max: usize) -> Result<Vec<JobView>> {
        let queue = named(queue, "peek into the queue")?;
        self.retrying(|| self.shared.api.peek(&self.shared.namespace, &queue, max)).await
    }

    /// The queues of the namespace, each with how many jobs it has in which state.
    pub async fn counts(&self) -> Result<Vec<QueueCounts>> {
        self.retrying(|| self.shared.api.counts(&self.shared.namespace)).await
    }

    /// How many jobs of a queue are in which state.
    pub async fn counts_of(&self, queue: &str) -> Result<QueueCounts> {
        let queue = named(queue, "count the jobs of the queue")?;
        let counts = self.counts().await?.into_iter().find(|counts| counts.queue == queue);
        Ok(counts.unwrap_or_else(|| QueueCounts::empty(queue)))
    }

    /// How many jobs of a queue have not ended: those that wait, for whatever, and those that run.
    pub async fn size(&self, queue: &str) -> Result<u64> {
        Ok(self.counts_of(queue).await?.live())
    }

    /// Whether every job of a queue has ended.
    pub async fn is_empty(&self, queue: &str) -> Result<bool> {
        Ok(self.size(queue).await? == 0)
    }

    /// Waits until every job of a queue has ended. It waits as long as that takes, for scheduled
    /// jobs too: put a timeout around it where that could be for ever.
    pub async fn join(&self, queue: &str) -> Result<()> {
        let [mut pause, longest] = JOIN_LOOK_EVERY;
        while !self.is_empty(queue).await? {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
        Ok(())
    }

    /// The workers of the namespace.
    pub async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.retrying(|| self.shared.api.workers(&self.shared.namespace)).await
    }

    /// The cost matrix: how long the jobs of which task waited for and ran on which worker, with sums
    /// and percentiles. It tells of the attempts that passed through one process since it opened the
    /// store: this one, or the server that this is a client of.
    pub async fn costs(&self) -> Result<Costs> {
        self.retrying(|| self.shared.api.costs(&self.shared.namespace)).await
    }

    /// The processes that have the store open.
    pub async fn nodes(&self) -> Result<Vec<NodeView>> {
        self.retrying(|| self.shared.api.nodes()).await
    }

    /// What the store is and what it promises.
    pub async fn describe(&self) -> Result<Description> {
        self.retrying(|| self.shared.api.describe()).await
    }

    /// Hints of what happens from now on. They may be coalesced or lost, never relied upon alone.
    /// Only where the store is in this process.
    pub fn events(&self) -> Result<Events> {
        self.shared.api.events().ok_or_else(|| {
            let message = format!(
                "cannot listen to events of {}: only a store in this process gives them; look at jobs instead",
                self.shared.place
            );
            Error::new(ErrorCode::Invalid, message)
        })
    }

    /// Stops a job: at once if it waits; if it runs, its worker is told, in a moment or, if the hint
    /// was lost, with the next heartbeat.
    pub async fn cancel(&self, id: JobId, reason: &str) -> Result<Controlled> {
        let namespace = self.shared.namespace.clone();
        self.control(Command::Cancel { namespace, id, reason: reason.into() }).await
    }

    /// Restarts an ended job with so many more attempts (0: as many as it had).
    pub async fn redrive(&self, id: JobId, attempts: u32) -> Result<Controlled> {
        let namespace = self.shared.namespace.clone();
        self.control(Command::Redrive { namespace, id, attempts }).await
    }

    /// Removes an ended job.
    pub async fn delete(&self, id: JobId) -> Result<Controlled> {
        let namespace = self.shared.namespace.clone();
        self.control(Command::Delete { namespace, id }).await
    }

    /// Lets no job of a queue start. Running ones go on.
    pub async fn pause(&self, queue: &str) -> Result<()> {
        let queue = named(queue, "pause the queue")?;
        let namespace = self.shared.namespace.clone();
        self.control(Command::Pause { namespace, queue }).await.map(drop)
    }

    /// Lets jobs of a queue start again.
    pub async fn resume(&self, queue: &str) -> Result<()> {
        let queue = named(queue, "resume the queue")?;
        let namespace = self.shared.namespace.clone();
        self.control(Command::Resume { namespace, queue }).await.map(drop)
    }

    pub(crate) async fn control(&self, command: Command) -> Result<Controlled> {
        let commands = vec![command];
        let call = || self.shared.api.control(&self.shared.actor, commands.clone());
        let mut answers = self.retrying(call).await?;
        answers.pop().ok_or_else(|| {
            Error::new(
                ErrorCode::Unavailable,
                "cannot tell what became of the command: the reply was empty",
            )
        })
    }

    /// Finishes what was begun and lets go of the store; later calls answer `Closed`. Stop workers
    /// first. A store is also let go when the last clone of this is dropped, less orderly.
    pub async fn close(&self) -> Result<()> {
        drop(self.shared.control.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.api.close().await
    }
}

impl fmt::Debug for Taskwright {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taskwright")
            .field("place", &self.shared.place)
            .field("namespace", &self.shared.namespace)
            .finish_non_exhaustive()
    }
}

pub(crate) fn named(text: &str, tried: &str) -> Result<Name> {
    Name::new(text)
        .map_err(|error| Error::new(ErrorCode::Invalid, format!("cannot {tried}: {error}")))
}
