//! The same for programs without async code. A runtime of its own works behind it.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use taskwright_core::{Job as JobView, JobId, StateName};
use taskwright_engine::{Costs, Enqueued, Error, ErrorCode, Placement, Result};
use taskwright_store::{Controlled, Description, Filter, NodeView, Page, QueueCounts, WorkerView};
use tokio::runtime::Runtime;

use crate::adjust::Adjust;
use crate::handle::NoResult;
use crate::job::Job;
use crate::limit::Limit;
use crate::options::Options;

/// A connection to a store or a server, in one namespace; see [`crate::Taskwright`]. Clones are
/// cheap and share it. Not to be used inside async code.
#[derive(Clone, Debug)]
pub struct Taskwright {
    app: crate::Taskwright,
    runtime: Arc<Background>,
}

#[derive(Debug)]
struct Background(Option<Runtime>);

impl Background {
    fn start() -> Result<Background> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("taskwright-blocking")
            .enable_all()
            .build();
        runtime.map(|runtime| Background(Some(runtime))).map_err(|error| {
            let message = format!(
                "cannot start the threads of the connection ({error}); end other processes"
            );
            Error::new(ErrorCode::Unavailable, message)
        })
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            None => unreachable!("the runtime is only taken by the drop"),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last clone may be dropped anywhere, also where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

impl Taskwright {
    /// Connects to what the URL names; see [`crate::Taskwright::connect`].
    pub fn connect(url: &str) -> Result<Taskwright> {
        Taskwright::connect_with(Options::new(), url)
    }

    pub(crate) fn connect_with(options: Options, url: &str) -> Result<Taskwright> {
        let runtime = Arc::new(Background::start()?);
        let app = runtime.run(options.connect(url))?;
        Ok(Taskwright { app, runtime })
    }

    /// The same connection for async code.
    pub fn as_async(&self) -> &crate::Taskwright {
        &self.app
    }

    /// Enqueues a job, durably before it returns; see [`crate::Taskwright::enqueue`].
    pub fn enqueue<T>(&self, job: Job<T>) -> Result<Handle<T>> {
        let handle = self.runtime.run(self.app.enqueue(job))?;
        Ok(Handle { handle, runtime: Arc::clone(&self.runtime) })
    }

    /// Enqueues jobs together; see [`crate::Taskwright::enqueue_all`].
    pub fn enqueue_all<T>(&self, jobs: Vec<Job<T>>) -> Result<Vec<Handle<T>>> {
        let handles = self.runtime.run(self.app.enqueue_all(jobs))?;
        let runtime = &self.runtime;
        let wrapped = handles.into_iter();
        Ok(wrapped.map(|handle| Handle { handle, runtime: Arc::clone(runtime) }).collect())
    }

    /// A handle of a job that was enqueued before, here or elsewhere.
    pub fn handle<T>(&self, id: JobId) -> Handle<T> {
        Handle { handle: self.app.handle(id), runtime: Arc::clone(&self.runtime) }
    }

    /// Starts a worker; see [`crate::Worker`]. `setup` says what it serves:
    /// `app.start_worker(|worker| worker.serve(add).slots(4))`.
    pub fn start_worker(
        &self,
        setup: impl FnOnce(crate::Worker) -> crate::Worker,
    ) -> Result<RunningWorker> {
        let worker = setup(self.app.worker());
        let running = self.runtime.run(async { worker.start() })?;
        Ok(RunningWorker { running, runtime: Arc::clone(&self.runtime) })
    }

    /// A job, whole.
    pub fn get(&self, id: JobId) -> Result<Option<JobView>> {
        self.runtime.run(self.app.get(id))
    }

    /// One page of jobs, newest first; see [`crate::Taskwright::list`].
    pub fn list(&self, filter: Filter) -> Result<Page> {
        self.runtime.run(self.app.list(filter))
    }

    /// A filter that lets every job of this namespace pass, 100 a page.
    pub fn filter(&self) -> Filter {
        self.app.filter()
    }

    /// The next jobs of a queue in the order in which they would run, without args.
    pub fn peek(&self, queue: &str, max: usize) -> Result<Vec<JobView>> {
        self.runtime.run(self.app.peek(queue, max))
    }

    /// The queues of the namespace, each with how many jobs it has in which state.
    pub fn counts(&self) -> Result<Vec<QueueCounts>> {
        self.runtime.run(self.app.counts())
    }

    /// How many jobs of a queue are in which state.
    pub fn counts_of(&self, queue: &str) -> Result<QueueCounts> {
        self.runtime.run(self.app.counts_of(queue))
    }

    /// How many jobs of a queue have not ended.
    pub fn size(&self, queue: &str) -> Result<u64> {
        self.runtime.run(self.app.size(queue))
    }

    /// Whether every job of a queue has ended.
    pub fn is_empty(&self, queue: &str) -> Result<bool> {
        self.runtime.run(self.app.is_empty(queue))
    }

    /// Waits until every job of a queue has ended, however long that takes.
    pub fn join(&self, queue: &str) -> Result<()> {
        self.runtime.run(self.app.join(queue))
    }

    /// The workers of the namespace.
    pub fn workers(&self) -> Result<Vec<WorkerView>> {
        self.runtime.run(self.app.workers())
    }

    /// The cost matrix, as far as one process saw it; see [`crate::Taskwright::costs`].
    pub fn costs(&self) -> Result<Costs> {
        self.runtime.run(self.app.costs())
    }

    /// The processes that have the store open.
    pub fn nodes(&self) -> Result<Vec<NodeView>> {
        self.runtime.run(self.app.nodes())
    }

    /// What the store is and what it promises.
    pub fn describe(&self) -> Result<Description> {
        self.runtime.run(self.app.describe())
    }

    /// Stops a job: at once if it waits, with its worker's next heartbeat if it runs.
    pub fn cancel(&self, id: JobId, reason: &str) -> Result<Controlled> {
        self.runtime.run(self.app.cancel(id, reason))
    }

    /// Restarts an ended job with so many more attempts (0: as many as it had).
    pub fn redrive(&self, id: JobId, attempts: u32) -> Result<Controlled> {
        self.runtime.run(self.app.redrive(id, attempts))
    }

    /// Removes an ended job.
    pub fn delete(&self, id: JobId) -> Result<Controlled> {
        self.runtime.run(self.app.delete(id))
    }

    /// Changes the priority or start of a job that waits; see [`crate::Taskwright::adjust`].
    pub fn adjust(&self, id: JobId, change: Adjust) -> Result<Controlled> {
        self.runtime.run(self.app.adjust(id, change))
    }

    /// Which workers may run this job now; see [`crate::Taskwright::place`].
    pub fn place<T>(&self, job: Job<T>) -> Result<Placement> {
        self.runtime.run(self.app.place(job))
    }

    /// The limits of the namespace.
    pub fn limits(&self) -> Result<Vec<Limit>> {
        self.runtime.run(self.app.limits())
    }

    /// Sets what may start from now on; see [`crate::Taskwright::set_limit`].
    pub fn set_limit(&self, limit: Limit) -> Result<()> {
        self.runtime.run(self.app.set_limit(limit))
    }

    /// Takes the limit of a queue, task, group or key away.
    pub fn remove_limit(&self, limit: Limit) -> Result<()> {
        self.runtime.run(self.app.remove_limit(limit))
    }

    /// Lets no job of a queue start. Running ones go on.
    pub fn pause(&self, queue: &str) -> Result<()> {
        self.runtime.run(self.app.pause(queue))
    }

    /// Lets jobs of a queue start again.
    pub fn resume(&self, queue: &str) -> Result<()> {
        self.runtime.run(self.app.resume(queue))
    }

    /// Finishes what was begun and lets go of the store. Stop workers first.
    pub fn close(&self) -> Result<()> {
        self.runtime.run(self.app.close())
    }
}

/// A job that was enqueued; see [`crate::Handle`].
#[derive(Clone, Debug)]
pub struct Handle<T> {
    handle: crate::Handle<T>,
    runtime: Arc<Background>,
}

impl<T> Handle<T> {
    /// The id of the job.
    pub fn id(&self) -> JobId {
        self.handle.id()
    }

    /// What became of the enqueue that gave this handle; see [`crate::Handle::enqueued`].
    pub fn enqueued(&self) -> Option<&Enqueued> {
        self.handle.enqueued()
    }

    /// Whether another job held the unique key: then this handle stands for that one.
    pub fn is_duplicate(&self) -> bool {
        self.handle.is_duplicate()
    }

    /// The job as it is now, whole; `None` where it is not there (any more).
    pub fn job(&self) -> Result<Option<JobView>> {
        self.runtime.run(self.handle.job())
    }

    /// The state of the job; `None` where it is not there (any more).
    pub fn status(&self) -> Result<Option<StateName>> {
        self.runtime.run(self.handle.status())
    }

    /// Changes the priority or start of the job, if it waits.
    pub fn adjust(&self, change: Adjust) -> Result<Controlled> {
        self.runtime.run(self.handle.adjust(change))
    }

    /// Asks for the job to stop.
    pub fn cancel(&self, reason: &str) -> Result<Controlled> {
        self.runtime.run(self.handle.cancel(reason))
    }

    /// Waits until the job has ended, however long that takes.
    pub fn ended(&self) -> Result<Option<JobView>> {
        self.runtime.run(self.handle.ended())
    }
}

impl<T: DeserializeOwned> Handle<T> {
    /// Waits until the job has ended, however long that takes, and gives what its task returned.
    pub fn result(&self) -> std::result::Result<T, NoResult> {
        self.runtime.run(self.handle.result())
    }

    /// Like [`Handle::result`], but waits at most this long.
    pub fn result_timeout(&self, wait: Duration) -> std::result::Result<T, NoResult> {
        self.runtime.run(self.handle.result_timeout(wait))
    }
}

/// A worker at work; see [`crate::RunningWorker`].
#[derive(Debug)]
pub struct RunningWorker {
    running: crate::RunningWorker,
    runtime: Arc<Background>,
}

impl RunningWorker {
    /// The id of the worker.
    pub fn id(&self) -> taskwright_core::WorkerId {
        self.running.id()
    }

    /// A handle that stops it from elsewhere.
    pub fn stopper(&self) -> crate::Stopper {
        self.running.stopper()
    }

    /// Stops in phases; see [`crate::RunningWorker::stop`].
    pub fn stop(self) -> Result<()> {
        self.runtime.run(self.running.stop())
    }

    /// Gives back what runs, unspent, and stops.
    pub fn stop_now(self) -> Result<()> {
        self.runtime.run(self.running.stop_now())
    }

    /// Waits until the worker has ended.
    pub fn ended(self) -> Result<()> {
        self.runtime.run(self.running.ended())
    }
}
