//! Runs jobs.
//!
//! ```text
//! lease   own thread: heartbeats ──────────────┐
//! listen  same thread: hears when one is due at once
//! load    same thread: measures how loaded the worker is, and how many jobs it takes
//! loop    claims for free slots, reports ──→ held: what this worker has, and must name
//! attempt one per job: runs the handler, timeout, cancel, panic ──→ loop
//! ```

mod attempt;
mod held;
mod lease;
mod listen;
mod load;
mod reports;
mod run;
mod running;
mod slots;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{HEARTBEAT_EVERY, SERVED_MAX, WORKER_NAME_BYTES_MAX};
use taskwright_core::placement::{Cost, SLOTS};
use taskwright_core::{JobId, Labels, LoadMeasure, Name};
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::{Outcome, Profile, Reported};
use tokio::sync::watch;

use crate::app::{Taskwright, named};
use crate::handler::Handler;
use crate::job::IntoDuration;
use crate::task::Task;

pub(crate) use attempt::{Limits, supervise};
pub(crate) use held::Held;
pub(crate) use lease::{Lease, Tenant};
pub use load::LoadMeter;
use running::ended_of;
pub use running::{RunningWorker, Stopper};

/// Slots where none are set.
const SLOTS_DEFAULT: usize = 16;
/// The shortest time between heartbeats.
const HEARTBEAT_EVERY_MIN: Duration = Duration::from_millis(10);
/// The smallest maximum of the lag.
const LAG_MIN: Duration = Duration::from_millis(1);
/// Most slots of a worker.
const SLOTS_MAX: usize = 10_000;

/// A worker to be told what it serves, and started. It claims jobs for free slots only, runs async
/// tasks on the tokio runtime that it is started on and blocking ones on threads, and renews its
/// lease from a thread of its own, which job code cannot block.
#[must_use = "a worker does nothing until it is run or started"]
pub struct Worker {
    app: Taskwright,
    handlers: HashMap<Name, Arc<dyn Handler>>,
    queues: Vec<Name>,
    /// The queues of the tasks, for where none are named.
    homes: Vec<Name>,
    slots: usize,
    name: String,
    labels: Labels,
    stop_grace: Duration,
    stop_deadline: Duration,
    cancel_grace: Duration,
    heartbeat_every: Duration,
    max_load: LoadMeasure,
    meter: Box<dyn LoadMeter>,
    hooks: Vec<Hook>,
    fault: Option<Error>,
}

pub(crate) type Hook = Arc<dyn Fn(&Completion) + Send + Sync>;

/// One attempt that a worker has ended, for [`Worker::on_complete`].
#[derive(Clone, Debug)]
pub struct Completion {
    /// The job.
    pub id: JobId,
    /// Its task.
    pub task: Name,
    /// Its queue.
    pub queue: Name,
    /// The number of the attempt.
    pub attempt: u32,
    /// How the attempt went.
    pub outcome: Outcome,
    /// What became of the report. `Stale`: the attempt had been given up before, its outcome does
    /// not count. `None`: the report could not be delivered.
    pub reported: Option<Reported>,
    /// How long the attempt ran.
    pub duration: Duration,
}

impl Worker {
    pub(crate) fn new(app: Taskwright) -> Self {
        Worker {
            app,
            handlers: HashMap::new(),
            queues: Vec::new(),
            homes: Vec::new(),
            slots: SLOTS_DEFAULT,
            name: format!("pid:{}", std::process::id()),
            labels: Labels::default(),
            stop_grace: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(20),
            cancel_grace: HEARTBEAT_EVERY,
            heartbeat_every: HEARTBEAT_EVERY,
            max_load: LoadMeasure::default(),
            meter: Box::new(load::Machine::default()),
            hooks: Vec::new(),
            fault: None,
        }
    }

    fn faulty(mut self, message: String) -> Self {
        self.fault.get_or_insert_with(|| Error::new(ErrorCode::Invalid, message));
        self
    }

    /// Serves a task: pass the name of a function with `#[task]` above it.
    pub fn serve<T: Task>(self, task: T) -> Self {
        self.handler_of(T::NAME, T::QUEUE, task)
    }

    /// Serves the task with this name by a handler made by hand.
    pub fn handler(self, task: &str, handler: impl Handler) -> Self {
        self.handler_of(task, Name::default_name().as_str(), handler)
    }

    fn handler_of(mut self, task: &str, queue: &str, handler: impl Handler) -> Self {
        let names = named(task, "serve the task").and_then(|task| {
            let queue = named(queue, "serve the queue")?;
            Ok((task, queue))
        });
        match names {
            Ok((name, queue)) => {
                if !self.homes.contains(&queue) {
                    self.homes.push(queue);
                }
                if self.handlers.insert(name, Arc::new(handler)).is_some() {
                    return self.faulty(format!("cannot serve the task {task} twice; remove one"));
                }
                self
            }
            Err(error) => self.faulty(error.message),
        }
    }

    /// The queues to take jobs from; where none are named, those that `#[task]` names for the tasks
    /// it serves, or else `default`.
    pub fn queues<I: IntoIterator<Item: AsRef<str>>>(mut self, queues: I) -> Self {
        for queue in queues {
            match named(queue.as_ref(), "serve the queue") {
                Ok(queue) => self.queues.push(queue),
                Err(error) => return self.faulty(error.message),
            }
        }
        self
    }

    /// How many jobs it runs at once, 1 to 10,000; 16 by default. Jobs that [cost](crate::Job::cost) more
    /// than one slot take as many. It is offered those that it has the slots for, and starts one when
    /// so many are free: until then it starts no job that comes after it.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// A name for people, often `host:pid`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// A label, such as `.label("gpu", "24")` or, without a value, `.label("spot", "")`; up to 31.
    /// Jobs that require labels are offered to this worker only if its labels meet what they
    /// [require](crate::Job::requires).
    pub fn label(mut self, name: &str, value: &str) -> Self {
        if name == SLOTS {
            return self.faulty(format!(
                "cannot label the worker: {SLOTS} says how many slots it has; set that with .slots(…)"
            ));
        }
        match self.labels.set(name, value) {
            Ok(()) => self,
            Err(error) => self.faulty(format!("cannot label the worker: {error}")),
        }
    }

    /// A resource and how much of it there is in all, such as `.resource("memory", 64)` in gigabytes;
    /// up to 31 together with labels. What its jobs [take](crate::Job::takes) at once is never more. It is
    /// offered those that it has enough for in all, and starts one when so much is free: until then it
    /// starts no job that comes after it.
    pub fn resource(mut self, name: &str, amount: u64) -> Self {
        match self.labels.set_capacity(name, amount) {
            Ok(()) => self,
            Err(error) => self.faulty(format!("cannot give the worker a resource: {error}")),
        }
    }

    /// How long running jobs go on undisturbed after a stop is asked for, before their contexts are
    /// cancelled with the reason `stopping`; 10 s by default.
    pub fn stop_grace(mut self, grace: impl IntoDuration) -> Self {
        match grace.into_duration() {
            Ok(grace) => self.stop_grace = grace,
            Err(error) => return self.faulty(format!("cannot set the stop grace: {error}")),
        }
        self
    }

    /// How long after a stop is asked for what still runs is ended and given back, unspent; 20 s
    /// by default. Blocking tasks cannot be ended: their jobs are given back while they go on.
    pub fn stop_deadline(mut self, deadline: impl IntoDuration) -> Self {
        match deadline.into_duration() {
            Ok(deadline) => self.stop_deadline = deadline,
            Err(error) => return self.faulty(format!("cannot set the stop deadline: {error}")),
        }
        self
    }

    /// How long an attempt that was cancelled, lost or timed out may go on after it was told, before
    /// it is ended; 5 s by default.
    pub fn cancel_grace(mut self, grace: impl IntoDuration) -> Self {
        match grace.into_duration() {
            Ok(grace) => self.cancel_grace = grace,
            Err(error) => return self.faulty(format!("cannot set the cancel grace: {error}")),
        }
        self
    }

    /// How often the lease is renewed, 10 ms to 5 s; 5 s by default. Progress travels with renewals,
    /// so a shorter time brings it earlier, at the price of more calls. A cancel does not wait for
    /// that, unless the hint of it was lost.
    pub fn heartbeat_every(mut self, time: impl IntoDuration) -> Self {
        match time.into_duration() {
            Ok(time) => self.heartbeat_every = time.clamp(HEARTBEAT_EVERY_MIN, HEARTBEAT_EVERY),
            Err(error) => {
                return self.faulty(format!("cannot set the time of heartbeats: {error}"));
            }
        }
        self
    }

    /// Over so many percent of the time of processors, 1 to 100, the worker takes fewer jobs: it holds
    /// at most half as many after every two seconds that this lasts, but always one, and an eighth of
    /// its slots more every two seconds once it is better. It counts what all programs use of the
    /// machine, or this one and its neighbours of what their control group may use, if that is more.
    /// Without a maximum, as by default, the load is measured and shown, and changes nothing.
    pub fn max_cpu_percent(mut self, percent: u32) -> Self {
        self.max_load.cpu_percent = Some(percent);
        self
    }

    /// Over so many percent of memory in use, 1 to 100, the worker takes fewer jobs, as with
    /// [`max_cpu_percent`](Worker::max_cpu_percent).
    pub fn max_memory_percent(mut self, percent: u32) -> Self {
        self.max_load.memory_percent = Some(percent);
        self
    }

    /// When its async runtime runs what is ready later than this, the worker takes fewer jobs, as with
    /// [`max_cpu_percent`](Worker::max_cpu_percent). At least 1 ms.
    pub fn max_lag(mut self, lag: impl IntoDuration) -> Self {
        match lag.into_duration() {
            Ok(lag) => self.max_load.lag = Some(lag),
            Err(error) => return self.faulty(format!("cannot set the longest lag: {error}")),
        }
        self
    }

    /// Has the load measured by something else than the worker, for programs that know better.
    pub fn load_meter(mut self, meter: impl LoadMeter) -> Self {
        self.meter = Box::new(meter);
        self
    }

    /// Calls `hook` after each attempt that this worker ended, once its report is answered. Best
    /// effort: after a crash it is not called again, and while it runs the worker does nothing else.
    /// For what must happen, enqueue a job.
    pub fn on_complete(mut self, hook: impl Fn(&Completion) + Send + Sync + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Starts the worker on the current tokio runtime. It runs until it is stopped, also when what
    /// this returns is dropped.
    pub fn start(self) -> Result<RunningWorker> {
        let (settings, meter) = self.checked()?;
        let id = settings.worker;
        let (stop, stopped) = watch::channel(Stop::No);
        let run = run::run(settings, meter, stopped)?;
        Ok(RunningWorker::new(id, stop, tokio::spawn(run)))
    }

    /// Runs the worker until the process is asked to end (SIGINT or SIGTERM, Ctrl-C), then stops
    /// it gracefully; asked a second time, it gives back at once what runs.
    pub async fn run(self) -> Result<()> {
        let running = self.start()?;
        let stopper = running.stopper();
        let mut ended = std::pin::pin!(running.ended());
        tokio::select! {
            ended = &mut ended => return ended,
            () = asked_to_end() => stopper.stop(),
        }
        tokio::select! {
            ended = &mut ended => return ended,
            () = asked_to_end() => stopper.stop_now(),
        }
        ended.await
    }

    /// Runs the worker until `signal` is there, then stops it gracefully.
    pub async fn run_until(self, signal: impl Future<Output = ()>) -> Result<()> {
        let mut running = self.start()?;
        tokio::select! {
            ended = running.task() => return ended_of(ended),
            () = signal => {}
        }
        running.stop().await
    }

    fn checked(mut self) -> Result<(run::Settings, Box<dyn LoadMeter>)> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let invalid = |fault: &str| {
            Err(Error::new(ErrorCode::Invalid, format!("cannot start the worker: {fault}")))
        };
        if self.handlers.is_empty() {
            return invalid("it serves no task; name one with .serve(…)");
        }
        if self.slots == 0 || self.slots > SLOTS_MAX {
            return invalid(&format!("it has {} slots; give 1 to {SLOTS_MAX}", self.slots));
        }
        if self.handlers.len() > SERVED_MAX || self.queues.len() > SERVED_MAX {
            return invalid(&format!("it serves over {SERVED_MAX} tasks or queues; start several"));
        }
        if self.name.len() > WORKER_NAME_BYTES_MAX {
            return invalid(&format!("its name is over {WORKER_NAME_BYTES_MAX} bytes; shorten it"));
        }
        for (what, percent) in
            [("cpu", self.max_load.cpu_percent), ("memory", self.max_load.memory_percent)]
        {
            if let Some(percent) = percent.filter(|percent| !(1..=100).contains(percent)) {
                return invalid(&format!("its most {what} is {percent} %; give 1 to 100"));
            }
        }
        if self.max_load.lag.is_some_and(|lag| lag < LAG_MIN) {
            return invalid("its longest lag is under 1 ms; give more");
        }
        if self.queues.is_empty() {
            self.queues = self.homes;
        }
        if let Err(error) = self.labels.set_slots(self.slots) {
            return invalid(&error.to_string());
        }
        let all = Cost { slots: self.slots, resources: self.labels.capacities() };
        let mut tasks: Vec<Name> = self.handlers.keys().cloned().collect();
        tasks.sort_unstable();
        let profile =
            Arc::new(Profile { queues: self.queues, tasks: Some(tasks), labels: self.labels });
        let settings = run::Settings {
            worker: self.app.shared.ids.worker_id()?,
            app: self.app,
            handlers: self.handlers,
            profile,
            all,
            name: self.name.into(),
            stop_grace: self.stop_grace,
            stop_deadline: self.stop_deadline.max(self.stop_grace),
            cancel_grace: self.cancel_grace,
            heartbeat_every: self.heartbeat_every,
            max_load: self.max_load,
            hooks: self.hooks,
        };
        Ok((settings, self.meter))
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("tasks", &self.handlers.keys())
            .field("queues", &self.queues)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// Whether a worker should stop.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    No,
    /// In phases.
    Graceful,
    /// At once: what runs is given back.
    Now,
}

async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Where signals cannot be listened to, only the end of the process stops the worker.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until an instant, or for ever.
async fn at(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
