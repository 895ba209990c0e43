//! Jobs as they are asked for.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use taskwright_core::{
    JobId, Json, Name, OnConflict, Replace, RetryPolicy, Timestamp, Unique, Until, parse_duration,
};
use taskwright_engine::{Error, ErrorCode, JobRequest, Start};

use crate::unique::Key;

/// A job to enqueue: a task, its arguments and how to run it. `T` is what the task gives back.
///
/// `add::job(4, 4)` makes one for `#[task] async fn add(…)`; [`Job::new`] makes one for a task
/// that lives elsewhere, perhaps in another language. What is wrong with it (a name, a duration)
/// is said when it is enqueued.
#[must_use = "a job does nothing until it is enqueued"]
pub struct Job<T> {
    request: JobRequest,
    unique: Option<Key>,
    until: Option<Until>,
    fault: Option<Error>,
    output: PhantomData<fn() -> T>,
}

impl<T> Job<T> {
    /// A job of the task with this name. `args` becomes its JSON input; tasks made by `#[task]`
    /// read an object with their parameters by name, or an array of them in order.
    ///
    /// ```
    /// # use taskwright::Job;
    /// let job: Job<()> = Job::new("mail.send", &serde_json::json!({"to": "a@example.org"}));
    /// ```
    pub fn new(task: &str, args: &(impl Serialize + ?Sized)) -> Self {
        match Name::new(task) {
            Ok(task) => Job::of(task, args),
            Err(error) => {
                let job = Job::of(Name::default_name(), &());
                job.faulty(format!("cannot make a job: {error}"))
            }
        }
    }

    /// A job of a task whose name is known to be one.
    fn of(task: Name, args: &(impl Serialize + ?Sized)) -> Self {
        let args = serde_json::to_string(args).map(Json::from_trusted);
        Job::with_args(task, args.map_err(|error| error.to_string()))
    }

    /// A job with args that are JSON already, or with what was wrong with them.
    pub(crate) fn with_args(task: Name, args: std::result::Result<Json, String>) -> Self {
        match args {
            Ok(args) => Job::of_request(JobRequest::new(task, args)),
            Err(fault) => {
                let message =
                    format!("cannot make a job of task {task}: {fault}; use string keys in maps");
                Job::of_request(JobRequest::new(task, Json::null())).faulty(message)
            }
        }
    }

    fn of_request(request: JobRequest) -> Self {
        Job { request, unique: None, until: None, fault: None, output: PhantomData }
    }

    fn faulty(mut self, message: String) -> Self {
        self.fault.get_or_insert_with(|| Error::new(ErrorCode::Invalid, message));
        self
    }

    fn with_duration(
        self,
        what: &str,
        duration: impl IntoDuration,
        set: impl FnOnce(&mut JobRequest, Duration),
    ) -> Self {
        let mut job = self;
        match duration.into_duration() {
            Ok(duration) => {
                set(&mut job.request, duration);
                job
            }
            Err(error) => {
                let task = job.request.task.clone();
                job.faulty(format!("cannot set the {what} of a job of task {task}: {error}"))
            }
        }
    }

    /// Runs it after this time, by the store's clock: `"10m"`, `"1h 30m"` or a `Duration`.
    pub fn delay(self, delay: impl IntoDuration) -> Self {
        self.with_duration("delay", delay, |request, delay| request.start = Start::After(delay))
    }

    /// Runs it not before this instant; at once where it has passed.
    pub fn run_at(mut self, instant: Timestamp) -> Self {
        self.request.start = Start::At(instant);
        self
    }

    /// From −10 (least urgent) to 10 (most urgent); 0 by default. A level is worth a minute of
    /// waiting, so old work always wins in the end.
    pub fn priority(mut self, priority: i8) -> Self {
        self.request.priority = priority;
        self
    }

    /// Dead at so many failures; 20 by default.
    pub fn max_attempts(mut self, max: u32) -> Self {
        self.request.max_attempts = Some(max);
        self
    }

    /// The longest an attempt may run; no limit by default.
    pub fn timeout(self, timeout: impl IntoDuration) -> Self {
        self.with_duration("timeout", timeout, |request, timeout| request.timeout = Some(timeout))
    }

    /// When failed attempts run again; by default after a random time of up to 2 s, 4 s, 8 s …, at
    /// most an hour.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.request.retry = Some(policy);
        self
    }

    /// The queue to wait in; `default` by default.
    pub fn queue(mut self, queue: &str) -> Self {
        match Name::new(queue) {
            Ok(queue) => {
                self.request.queue = queue;
                self
            }
            Err(error) => {
                let task = self.request.task.clone();
                self.faulty(format!("cannot set the queue of a job of task {task}: {error}"))
            }
        }
    }

    /// A word to find it by; up to 8.
    pub fn tag(mut self, tag: &str) -> Self {
        self.request.tags.push(Arc::from(tag));
        self
    }

    /// The id, a UUID that you chose. Enqueueing the same job again with the same id makes no
    /// second job; with other arguments it is refused.
    pub fn id(mut self, id: JobId) -> Self {
        self.request.id = Some(id);
        self
    }

    /// Ends as expired if it has not started by then.
    pub fn expires_at(mut self, instant: Timestamp) -> Self {
        self.request.expires_at = Some(instant);
        self
    }

    /// The W3C trace context to run it in.
    pub fn trace(mut self, context: &str) -> Self {
        self.request.trace = Some(Arc::from(context));
        self
    }

    /// A key inside its queue, such as a customer: its jobs can be limited apart from those of
    /// others; see [`Limit::group`](crate::Limit::group).
    pub fn group(mut self, group: &str) -> Self {
        self.request.group = Some(Arc::from(group));
        self
    }

    /// A key of something that it uses, whatever its queue; up to 4, whose limits must all have
    /// room before it starts; see [`Limit::key`](crate::Limit::key).
    pub fn limit_key(mut self, key: &str) -> Self {
        self.request.limit_keys.push(Arc::from(key));
        self
    }

    /// What it requires of the labels of its worker: terms joined by commas, all of which must be
    /// met; see [`Worker::label`](crate::Worker::label). It waits until a worker matches.
    ///
    /// `gpu` (has the label), `!spot` (does not have it), `gpu>=24` (and `>`, `<=`, `<`: as
    /// numbers), `gpu=24`, `region!=eu`, `region in (eu us)`.
    ///
    /// ```
    /// # use taskwright::Job;
    /// let train: Job<()> = Job::new("train", &7).requires("gpu>=24,region in (eu us),!spot");
    /// ```
    pub fn requires(mut self, requirement: &str) -> Self {
        match requirement.parse() {
            Ok(requirement) => {
                let taken = std::mem::replace(&mut self.request.requires, requirement).taken();
                taken.iter().fold(self, |job, (name, amount)| job.takes(name.as_str(), amount))
            }
            Err(error) => {
                let task = self.request.task.clone();
                self.faulty(format!("cannot say what a job of task {task} requires: {error}"))
            }
        }
    }

    /// How much it takes of a [resource](crate::Worker::resource) of its worker while it runs, in the unit
    /// that its workers use. Only workers that have as much in all are offered it, and start it once so
    /// much is free.
    ///
    /// ```
    /// # use taskwright::Job;
    /// let train: Job<()> = Job::new("train", &7).takes("gpu", 1).takes("memory", 8);
    /// ```
    pub fn takes(mut self, resource: &str, amount: u64) -> Self {
        match self.request.requires.with_taken(resource, amount) {
            Ok(requirement) => {
                self.request.requires = requirement;
                self
            }
            Err(error) => {
                let task = self.request.task.clone();
                self.faulty(format!("cannot say what a job of task {task} takes: {error}"))
            }
        }
    }

    /// How many slots of its worker it takes while it runs, 1 to 1,000; 1 by default. Only workers with
    /// as many [slots](crate::Worker::slots) are offered it, and start it once so many are free.
    ///
    /// ```
    /// # use taskwright::Job;
    /// let train: Job<()> = Job::new("train", &7).cost(4);
    /// ```
    pub fn cost(mut self, slots: u32) -> Self {
        self.request.cost = Some(slots);
        self
    }

    /// The same job for whoever reads its output as another type.
    pub fn output_as<U>(self) -> Job<U> {
        let Job { request, unique, until, fault, .. } = self;
        Job { request, unique, until, fault, output: PhantomData }
    }

    /// The same job `total` times, 1 to 1,000, each for its part of the whole: the handler finds which
    /// one in [`Context::shard`](crate::Context::shard). [`enqueue_all`](crate::Taskwright::enqueue_all)
    /// writes all of them at once. Where the job has an id, theirs follow from it, so that enqueueing
    /// the same again makes nothing new. Shards have no unique key.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use taskwright::{Job, Taskwright};
    /// # let app = Taskwright::connect("memory:").await?;
    /// let scan: Job<u64> = Job::new("scan", &"s3://bucket");
    /// let handles = app.enqueue_all(scan.sharded(8)).await?;
    /// assert_eq!(handles.len(), 8);
    /// # app.close().await?;
    /// # Ok(()) })
    /// # }
    /// ```
    pub fn sharded(self, total: u32) -> Vec<Job<T>> {
        match self.request.clone().sharded(total) {
            Ok(requests) => {
                let with = |request| Job { request, ..self.clone() };
                requests.into_iter().map(with).collect()
            }
            Err(error) => vec![self.faulty(error.message)],
        }
    }

    /// The request, for whoever talks to an [`Api`](crate::Api) directly; an error if something
    /// that was set makes no sense.
    pub fn into_request(self) -> Result<JobRequest, Error> {
        let unique = self.unique.as_ref().map(|key| key.of(&self.request)).transpose();
        let mut job = match unique {
            Ok(key) => self.holding(key),
            Err(fault) => {
                let task = self.request.task.clone();
                self.faulty(format!("cannot make the unique key of a job of task {task}: {fault}"))
            }
        };
        match job.fault.take() {
            None => Ok(job.request),
            Some(fault) => Err(fault),
        }
    }
}

impl<T> Clone for Job<T> {
    fn clone(&self) -> Self {
        Job {
            request: self.request.clone(),
            unique: self.unique.clone(),
            until: self.until,
            fault: self.fault.clone(),
            output: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("request", &self.request)
            .field("unique", &self.unique)
            .field("until", &self.until)
            .field("fault", &self.fault)
            .finish()
    }
}

/// Unique keys: which key, how long it is held, and what happens where another job holds it.
impl<T> Job<T> {
    /// At most one job of the namespace holds this key at a time, of whatever task and queue. This
    /// one holds it until it has ended, however; a job that is enqueued meanwhile with the same key
    /// is a duplicate: it is not written, and the [`Handle`](crate::Handle) that its enqueue gives
    /// stands for the holder.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use taskwright::{Job, Taskwright};
    ///
    /// let app = Taskwright::connect("memory:").await?;
    /// let sync = || Job::<()>::new("sync", &7).unique("sync customer 7");
    /// let first = app.enqueue(sync()).await?;
    /// let second = app.enqueue(sync()).await?;
    /// assert!(second.is_duplicate());
    /// assert_eq!(second.id(), first.id());
    /// # Ok(()) }) }
    /// ```
    pub fn unique(mut self, key: &str) -> Self {
        self.unique = Some(Key::Text(key.to_owned()));
        self
    }

    /// Unique among the jobs of its task and queue with the same args, whatever the order of their
    /// fields.
    pub fn unique_by_args(mut self) -> Self {
        self.unique = Some(Key::Args);
        self
    }

    /// Unique among the jobs of its task and queue with the same values of these fields of the
    /// args: `send::job(user_id, text).unique_by(["user_id"])`. A field that the args lack is an
    /// error.
    pub fn unique_by<I: IntoIterator<Item: AsRef<str>>>(mut self, fields: I) -> Self {
        let fields = fields.into_iter().map(|field| field.as_ref().to_owned());
        self.unique = Some(Key::Fields(fields.collect()));
        self
    }

    /// Lets go of its unique key when it is claimed first, so that the next one can be enqueued
    /// while it runs. A retry does not take the key again.
    pub fn unique_until_claimed(mut self) -> Self {
        self.until = Some(Until::Claimed);
        self
    }

    /// Holds its unique key for this long after the enqueue, to the millisecond, also when it has
    /// ended earlier: one job in each such time.
    pub fn unique_for(self, time: impl IntoDuration) -> Self {
        match time.into_duration() {
            Ok(time) => self.until(Until::Elapsed { ms: whole_millis(time) }),
            Err(error) => {
                let task = self.request.task.clone();
                let what = "the time of the unique key of a job of task";
                self.faulty(format!("cannot set {what} {task}: {error}"))
            }
        }
    }

    fn until(mut self, until: Until) -> Self {
        self.until = Some(until);
        self
    }

    /// Where another job holds its unique key, the enqueue fails with the code `conflict` and names
    /// that job.
    pub fn or_refuse(mut self) -> Self {
        self.request.on_conflict = OnConflict::Refuse;
        self
    }

    /// Where another job holds its unique key and has not been claimed yet, that job is given these
    /// fields of this one.
    ///
    /// ```
    /// # use taskwright::{Job, Replace};
    /// let urgent: Job<()> = Job::new("sync", &7)
    ///     .unique("sync customer 7")
    ///     .priority(9)
    ///     .or_replace(Replace { priority: true, ..Replace::default() });
    /// ```
    pub fn or_replace(mut self, fields: Replace) -> Self {
        self.request.on_conflict = OnConflict::Replace(fields);
        self
    }

    /// Runs once when the stream of jobs with its unique key pauses: `wait` after the last of them,
    /// with the args of that one, but no later than `at_most` after the first.
    ///
    /// It lets go of the key when it is claimed, so that what comes while it runs makes another one.
    ///
    /// ```
    /// # use taskwright::Job;
    /// let reindex: Job<()> = Job::new("reindex", &3).unique("reindex 3").debounce("5s", "1m");
    /// ```
    pub fn debounce(self, wait: impl IntoDuration, at_most: impl IntoDuration) -> Self {
        let set = |request: &mut JobRequest, at_most| {
            let at_most_ms = Some(whole_millis(at_most));
            request.on_conflict = OnConflict::Replace(Replace::debounce(at_most_ms));
        };
        self.delay(wait).with_duration("longest wait", at_most, set).let_go_when_claimed()
    }

    /// Runs once for all jobs with its unique key that come within `period`: at its end, with the
    /// args of the last one.
    ///
    /// It lets go of the key when it is claimed, so that what comes while it runs makes another one.
    /// To run the first one at once and drop the others, take [`Job::unique_for`].
    pub fn throttle(mut self, period: impl IntoDuration) -> Self {
        self.request.on_conflict = OnConflict::Replace(Replace::throttle());
        self.delay(period).let_go_when_claimed()
    }

    fn let_go_when_claimed(mut self) -> Self {
        self.until.get_or_insert(Until::Claimed);
        self
    }

    /// The job with its key, where it has one.
    fn holding(mut self, key: Option<String>) -> Self {
        match key {
            Some(key) => {
                let until = self.until.unwrap_or(Until::Finished);
                self.request.unique = Some(Unique { key: key.into(), until });
                self
            }
            None if self.until.is_some() => {
                let task = self.request.task.clone();
                let advice = "it has no unique key: add .unique(key), .unique_by_args() or .unique_by(fields)";
                self.faulty(format!("cannot say how long a job of task {task} is unique: {advice}"))
            }
            None => self,
        }
    }
}

/// Milliseconds, rounded up: a time is never shorter than asked for.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// A time span: a `Duration`, or a text such as `"250ms"`, `"90s"`, `"10m"` or `"1h 30m"`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a duration",
    label = "not a duration",
    note = "write a number with a unit, like \"90s\" or \"10m\", or pass a std::time::Duration"
)]
pub trait IntoDuration {
    /// The duration, or why the text is none.
    fn into_duration(self) -> Result<Duration, Error>;
}

#[diagnostic::do_not_recommend]
impl IntoDuration for Duration {
    fn into_duration(self) -> Result<Duration, Error> {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl IntoDuration for &str {
    fn into_duration(self) -> Result<Duration, Error> {
        parse_duration(self).map_err(|error| Error::new(ErrorCode::Invalid, error.to_string()))
    }
}

#[diagnostic::do_not_recommend]
impl IntoDuration for String {
    fn into_duration(self) -> Result<Duration, Error> {
        self.as_str().into_duration()
    }
}

#[cfg(test)]
#[path = "tests/job.rs"]
mod tests;
