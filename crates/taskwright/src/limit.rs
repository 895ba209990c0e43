//! Limits: what may start of a queue, task, group or key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{Name, Ordered, Policy, Rate, Subject, format_duration};
use taskwright_engine::{Error, ErrorCode, Result};

use crate::job::IntoDuration;

/// What may start of the jobs of a queue, task, group or key, over all workers and machines, how the
/// groups of a queue share it, how many may wait in it, and how fast failed attempts come back.
///
/// It says what it is for, then what it allows; what is wrong with it (a name, a duration) is said
/// when it is set.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use taskwright::{Limit, Taskwright};
///
/// let app = Taskwright::connect("memory:").await?;
/// app.set_limit(Limit::queue("mail").concurrency(20)).await?;
/// app.set_limit(Limit::key("api:stripe").rate(100, "1m").burst(10)).await?;
/// app.set_limit(Limit::group("mail", "*").concurrency(2)).await?; // each customer for itself
/// app.set_limit(Limit::queue("reports").fair()).await?; // customers take turns
/// app.set_limit(Limit::queue("alarms").strict()).await?; // the most urgent job is always next
/// app.set_limit(Limit::queue("sync").retries(100, "1m").waiting(10_000)).await?;
///
/// for limit in app.limits().await? {
///     println!("{limit}"); // queue mail: at most 20 at once
/// }
/// app.remove_limit(Limit::queue("mail")).await?;
/// # assert_eq!(app.limits().await?.len(), 5);
/// # Ok(()) }) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a limit does nothing until it is set"]
pub struct Limit {
    subject: Subject,
    policy: Policy,
    burst: Option<u32>,
    retries_burst: Option<u32>,
    fault: Option<Error>,
}

impl Limit {
    /// Of all jobs of a queue together.
    pub fn queue(queue: &str) -> Self {
        let name = Name::new(queue);
        Limit::of(name.map(Subject::Queue).map_err(|error| error.to_string()))
    }

    /// Of all jobs of a task together, over all queues.
    pub fn task(task: &str) -> Self {
        let name = Name::new(task);
        Limit::of(name.map(Subject::Task).map_err(|error| error.to_string()))
    }

    /// Of the jobs of one group of a queue. A group that ends in `*` stands for each group that
    /// begins so and has no limit that says more of its name: each for itself, not all together.
    pub fn group(queue: &str, group: &str) -> Self {
        let group = Arc::from(group);
        let name = Name::new(queue);
        let subject = name.map(|queue| Subject::Group { queue, group });
        Limit::of(subject.map_err(|error| error.to_string()))
    }

    /// Of the jobs with this limit key, over all queues; with `*` at the end as in
    /// [`Limit::group`].
    pub fn key(key: &str) -> Self {
        Limit::of(Ok(Subject::Key(Arc::from(key))))
    }

    fn of(subject: std::result::Result<Subject, String>) -> Self {
        let (subject, fault) = match subject {
            Ok(subject) => (subject, None),
            Err(fault) => (Subject::Queue(Name::default_name()), Some(invalid(fault))),
        };
        Limit { subject, policy: Policy::default(), burst: None, retries_burst: None, fault }
    }

    /// A limit as it was set.
    pub(crate) fn set(subject: Subject, policy: Policy) -> Self {
        Limit { subject, policy, burst: None, retries_burst: None, fault: None }
    }

    /// At most so many attempts run at once; 0 lets nothing start.
    pub fn concurrency(mut self, most: u32) -> Self {
        self.policy.concurrency = Some(most);
        self
    }

    /// At most `count` attempts start in each `period` (`"1m"` or a `Duration`, to the
    /// millisecond), evenly: 60 in `"1m"` is one a second. [`Limit::burst`] lets some start at once.
    pub fn rate(mut self, count: u32, period: impl IntoDuration) -> Self {
        self.policy.rate = self.per("its period", count, period).or(self.policy.rate);
        self
    }

    fn per(&mut self, what: &str, count: u32, period: impl IntoDuration) -> Option<Rate> {
        match period.into_duration() {
            Ok(period) => Some(Rate::new(count, period)),
            Err(error) => {
                self.fault.get_or_insert_with(|| invalid(format!("{what}: {error}")));
                None
            }
        }
    }

    /// How many may start at once where none has for long; 1 without it. Only with a rate. In any
    /// time the starts are at most `burst` more than the rate allows.
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// The groups of the queue take turns: who has one job waits for one of each of the others, however
    /// many those have. Jobs without a group are as one group together. Only for a queue.
    pub fn fair(mut self) -> Self {
        self.policy.fair = true;
        self
    }

    /// Priorities are absolute in the queue: of its jobs that may start the most urgent is always next,
    /// however long others have waited; those may wait for ever. Without it a level of priority is a head
    /// start of a minute. Only for a queue that is not fair.
    pub fn strict(mut self) -> Self {
        self.policy.strict = true;
        self
    }

    /// So many jobs of the group start in a fair queue while one does of a group without a weight; 1 to
    /// 1,000. Only for a group.
    pub fn weight(mut self, weight: u32) -> Self {
        self.policy.weight = Some(weight);
        self
    }

    /// A retry budget: of the failed attempts of the queue at most `count` come back in each `period`
    /// (`"1m"` or a `Duration`, to the millisecond), evenly, so that what they need is not overrun as
    /// soon as it is up again. First attempts are not held up, no job is dropped, and none waits longer
    /// than 24 hours for it. A wait that the retry policy or the error asks for is the least.
    /// [`Limit::retries_burst`] lets some come back at once. Only for a queue.
    pub fn retries(mut self, count: u32, period: impl IntoDuration) -> Self {
        let retries = self.per("the period of its retries", count, period);
        self.policy.retries = retries.or(self.policy.retries);
        self
    }

    /// How many retries may come back at once where none has for long; 1 without it. Only with
    /// [`Limit::retries`].
    pub fn retries_burst(mut self, burst: u32) -> Self {
        self.retries_burst = Some(burst);
        self
    }

    /// At most so many jobs wait in the queue, in whatever place (ready, for their time, in line); what
    /// would be one more is refused when it is enqueued, with [`ErrorCode::WaitingFull`], and nothing of
    /// its call is written. 0 takes no new jobs. What comes back (retries, snoozes, releases, redrives,
    /// moved jobs) and the jobs of schedules are never refused. Only for a queue.
    pub fn waiting(mut self, most: u32) -> Self {
        self.policy.waiting = Some(most);
        self
    }

    /// The jobs of the group or key run one at a time, in the order in which they were enqueued, over all
    /// workers: no job starts before those ahead of it have ended, wherever they wait, also for a retry or
    /// for their time. Priorities mean nothing there. A job that dies keeps those behind it back until it
    /// is redriven and ends well, or is deleted. Only for a group or key.
    pub fn ordered(mut self) -> Self {
        self.policy.ordered = Some(Ordered::Block);
        self
    }

    /// As [`Limit::ordered`], but a job that dies gives way to those behind it.
    pub fn ordered_past_dead(mut self) -> Self {
        self.policy.ordered = Some(Ordered::Skip);
        self
    }

    /// What it is for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The most attempts that run at once, where that is limited.
    pub fn max_concurrency(&self) -> Option<u32> {
        self.policy.concurrency
    }

    /// Whether the groups of the queue take turns.
    pub fn is_fair(&self) -> bool {
        self.policy.fair
    }

    /// Whether priorities are absolute in the queue.
    pub fn is_strict(&self) -> bool {
        self.policy.strict
    }

    /// The weight of the group, where it has one.
    pub fn group_weight(&self) -> Option<u32> {
        self.policy.weight
    }

    /// Whether the jobs of the group or key run in order, and what a dead one does to those behind it.
    pub fn order(&self) -> Option<Ordered> {
        self.policy.ordered
    }

    /// How many may start in which time, where that is limited.
    pub fn max_rate(&self) -> Option<Rate> {
        let rate = self.policy.rate?;
        Some(Rate { burst: self.burst.unwrap_or(rate.burst), ..rate })
    }

    /// How many failed attempts of the queue come back in which time, where that is limited.
    pub fn max_retries(&self) -> Option<Rate> {
        let retries = self.policy.retries?;
        Some(Rate { burst: self.retries_burst.unwrap_or(retries.burst), ..retries })
    }

    /// The most jobs that wait in the queue, where that is limited.
    pub fn max_waiting(&self) -> Option<u32> {
        self.policy.waiting
    }

    /// What to set, or what makes no sense of it.
    pub(crate) fn into_policy(self) -> Result<(Subject, Policy)> {
        let (rate, retries) = (self.max_rate(), self.max_retries());
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.burst.is_some() && rate.is_none() {
            let fault = "it has a burst without a rate; add .rate(count, period)".to_owned();
            return Err(invalid(fault));
        }
        if self.retries_burst.is_some() && retries.is_none() {
            let fault =
                "it has a burst of retries without a number of them; add .retries(count, period)";
            return Err(invalid(fault.to_owned()));
        }
        Ok((self.subject, Policy { rate, retries, ..self.policy }))
    }
}

fn invalid(fault: String) -> Error {
    Error::new(ErrorCode::Invalid, format!("cannot set the limit: {fault}"))
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Queue(queue) => write!(f, "queue {queue}: ")?,
            Subject::Task(task) => write!(f, "task {task}: ")?,
            Subject::Group { queue, group } => write!(f, "group {group:?} of queue {queue}: ")?,
            Subject::Key(key) => write!(f, "key {key:?}: ")?,
        }
        let mut parts = Vec::new();
        if let Some(most) = self.max_concurrency() {
            parts.push(format!("at most {most} at once"));
        }
        let in_time = |what: &str, Rate { count, period_ms, burst }: Rate| {
            let period = format_duration(Duration::from_millis(period_ms)).replace(".0s", "s");
            let burst = if burst > 1 { format!(" (burst {burst})") } else { String::new() };
            format!("{count}{what} in {period}{burst}")
        };
        parts.extend(self.max_rate().map(|rate| in_time("", rate)));
        if self.policy.fair {
            parts.push("its groups take turns".to_owned());
        }
        if self.policy.strict {
            parts.push("the most urgent job is next".to_owned());
        }
        if let Some(weight) = self.policy.weight {
            parts.push(format!("weight {weight}"));
        }
        parts.extend(self.max_retries().map(|retries| in_time(" retries", retries)));
        if let Some(most) = self.policy.waiting {
            parts.push(format!("at most {most} wait"));
        }
        if let Some(ordered) = self.policy.ordered {
            parts.push(match ordered {
                Ordered::Block => "one after another, a dead one blocks".to_owned(),
                Ordered::Skip => "one after another, past dead ones".to_owned(),
            });
        }
        f.write_str(if parts.is_empty() { "no limit" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
#[path = "tests/limit.rs"]
mod tests;
