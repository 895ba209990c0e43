//! Jobs as they are asked for.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use taskwright_core::{JobId, Json, Name, RetryPolicy, Timestamp, parse_duration};
use taskwright_engine::{Error, ErrorCode, JobRequest, Start};

/// A job to enqueue: a task, its arguments and how to run it. `T` is what the task gives back.
///
/// `add::job(4, 4)` makes one for `#[task] async fn add(…)`; [`Job::new`] makes one for a task
/// that lives elsewhere, perhaps in another language. What is wrong with it (a name, a duration)
/// is said when it is enqueued.
#[must_use = "a job does nothing until it is enqueued"]
pub struct Job<T> {
    request: JobRequest,
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
            Ok(args) => {
                Job { request: JobRequest::new(task, args), fault: None, output: PhantomData }
            }
            Err(fault) => {
                let message =
                    format!("cannot make a job of task {task}: {fault}; use string keys in maps");
                let request = JobRequest::new(task, Json::null());
                Job { request, fault: None, output: PhantomData }.faulty(message)
            }
        }
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

    /// The same job for whoever reads its output as another type.
    pub fn output_as<U>(self) -> Job<U> {
        Job { request: self.request, fault: self.fault, output: PhantomData }
    }

    /// The request, for whoever talks to an [`Api`](crate::Api) directly; an error if something
    /// that was set makes no sense.
    pub fn into_request(self) -> Result<JobRequest, Error> {
        match self.fault {
            None => Ok(self.request),
            Some(fault) => Err(fault),
        }
    }
}

impl<T> Clone for Job<T> {
    fn clone(&self) -> Self {
        Job { request: self.request.clone(), fault: self.fault.clone(), output: PhantomData }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("request", &self.request).field("fault", &self.fault).finish()
    }
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
