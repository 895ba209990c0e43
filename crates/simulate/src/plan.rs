//! A workload that was checked, with everything in the words of the scheduling code.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{
    ATTEMPTS_DEFAULT, ATTEMPTS_MAX, BATCH_MAX, KEY_BYTES_MAX, LIMIT_KEYS_MAX, PRIORITY_MAX,
    PRIORITY_MIN, SIMULATED_JOBS_MAX, SIMULATED_KEYS_MAX, SIMULATED_SPAN_MAX,
    SIMULATED_WORKERS_MAX, TIMEOUT_MAX,
};
use taskwright_core::{Name, Policy, Rate, Subject};
use taskwright_store::Profile;

use crate::arrival::Source;
use crate::chance::{Chance, Choice};
use crate::error::{Result, invalid};
use crate::workload::{Arrivals, Frequency, Keys, Limit, Runs, TaskClass, WorkerClass, Workload};

/// What is to be played.
pub struct Plan {
    pub seed: u64,
    /// Arrivals end before this.
    pub until: Duration,
    /// The most jobs.
    pub jobs_max: u64,
    pub classes: Vec<Class>,
    pub fleets: Vec<Fleet>,
    pub policies: Vec<(Subject, Policy)>,
}

/// Jobs that are alike.
pub struct Class {
    pub name: String,
    pub task: Name,
    pub queue: Name,
    pub source: Source,
    pub runs: Runs,
    pub priority: i8,
    pub group: Option<Pool>,
    pub limit_keys: Vec<Pool>,
    pub fails: f64,
    pub max_attempts: u32,
    pub timeout: Option<Duration>,
    pub chance: Chance,
}

/// Keys of which each job has one.
pub struct Pool {
    pub choice: Choice,
    pub texts: Vec<Arc<str>>,
}

/// Workers that are alike.
pub struct Fleet {
    pub name: String,
    pub count: u32,
    pub slots: u32,
    pub profile: Arc<Profile>,
    pub speed: f64,
    pub joins: Duration,
    pub leaves: Option<Duration>,
    pub lifetime: Option<Duration>,
    pub replaced_after: Duration,
    pub is_lost: bool,
    pub chance: Chance,
}

impl Plan {
    /// Checks a workload.
    pub fn new(workload: &Workload) -> Result<Plan> {
        if workload.tasks.is_empty() {
            return Err(invalid("the workload", "it has no task; write [[task]]"));
        }
        if workload.workers.is_empty() {
            return Err(invalid("the workload", "it has no worker; write [[worker]]"));
        }
        let is_bounded = workload.duration.is_some() || workload.jobs.is_some();
        let endless = workload.tasks.iter().find(|class| !Source::ends(&class.arrivals));
        if let Some(class) = endless.filter(|_| !is_bounded) {
            let why = "its arrivals never end; write duration = \"1h\" or jobs = 100000 at the top";
            return Err(invalid(format!("task {:?}", class.name), why));
        }
        unique("task", workload.tasks.iter().map(|class| &class.name))?;
        unique("worker", workload.workers.iter().map(|class| &class.name))?;
        let seed = workload.seed;
        let classes: Vec<Class> =
            workload.tasks.iter().map(|class| Class::new(class, seed)).collect::<Result<_>>()?;
        let mut queues: Vec<Name> = classes.iter().map(|class| class.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        let fleet = |class| Fleet::new(class, &queues, seed);
        let fleets: Vec<Fleet> = workload.workers.iter().map(fleet).collect::<Result<_>>()?;
        let workers: u64 = fleets.iter().map(|fleet| u64::from(fleet.count)).sum();
        if workers > SIMULATED_WORKERS_MAX as u64 {
            let why = format!("there are {workers}, and at most {SIMULATED_WORKERS_MAX} can be");
            return Err(invalid("the workers", why));
        }
        let span = workload.duration.map_or(SIMULATED_SPAN_MAX, |span| span.0);
        within(&span, "the workload", "its duration")?;
        let expected = |class: &TaskClass| Source::expected(&class.arrivals, span);
        let expected: f64 = workload.tasks.iter().map(expected).sum();
        let jobs = workload.jobs.map_or(expected, |jobs| jobs as f64);
        if jobs > SIMULATED_JOBS_MAX as f64 {
            let why = format!(
                "it has about {jobs:.0} jobs, and at most {SIMULATED_JOBS_MAX} can be played; shorten its duration or set jobs"
            );
            return Err(invalid("the workload", why));
        }
        Ok(Plan {
            seed,
            until: span,
            jobs_max: workload.jobs.unwrap_or(u64::MAX),
            classes,
            fleets,
            policies: workload.limits.iter().map(policy).collect::<Result<_>>()?,
        })
    }
}

impl Class {
    fn new(class: &TaskClass, seed: u64) -> Result<Class> {
        let part = format!("task {:?}", class.name);
        let wrong = |why: &str| invalid(&part, why);
        if !(PRIORITY_MIN..=PRIORITY_MAX).contains(&class.priority) {
            return Err(wrong("its priority is not between -10 and 10"));
        }
        if !(0.0..=1.0).contains(&class.fails) {
            return Err(wrong("`fails` is a share, from 0 to 1"));
        }
        let max_attempts = class.max_attempts.unwrap_or(ATTEMPTS_DEFAULT);
        if !(1..=ATTEMPTS_MAX).contains(&max_attempts) {
            return Err(wrong("max_attempts is not between 1 and 10000"));
        }
        if class.limit_keys.len() > LIMIT_KEYS_MAX {
            return Err(wrong("it has more than 4 limit_keys"));
        }
        if class.timeout.is_some_and(|span| span.0.is_zero() || span.0 > TIMEOUT_MAX) {
            return Err(wrong("its timeout is zero, or more than a year"));
        }
        check_runs(&class.runs, &part)?;
        check_arrivals(&class.arrivals, &part)?;
        let pool = |keys: &Keys| Pool::new(keys, &part);
        // Of its own, so that another class in the file changes nothing for this one.
        let chance = Chance::of_text(seed, &class.name);
        Ok(Class {
            name: class.name.clone(),
            task: name(class.task.as_ref().unwrap_or(&class.name), &part)?,
            queue: name(&class.queue, &part)?,
            source: Source::new(&class.arrivals, chance.fork(0)),
            runs: class.runs.clone(),
            priority: class.priority,
            group: class.group.as_ref().map(pool).transpose()?,
            limit_keys: class.limit_keys.iter().map(pool).collect::<Result<_>>()?,
            fails: class.fails,
            max_attempts,
            timeout: class.timeout.map(|span| span.0),
            chance: chance.fork(1),
        })
    }
}

impl Pool {
    fn new(keys: &Keys, part: &str) -> Result<Pool> {
        if keys.of == 0 || keys.of > SIMULATED_KEYS_MAX || !(0.0..=10.0).contains(&keys.skew) {
            let why = format!(
                "of the keys {:?} there are between 1 and {SIMULATED_KEYS_MAX}, with a skew between 0 and 10",
                keys.name
            );
            return Err(invalid(part, why));
        }
        if keys.name.is_empty() || keys.name.len() + 12 > KEY_BYTES_MAX {
            return Err(invalid(part, "the name of keys is empty or too long"));
        }
        let text = |place: u32| match keys.of {
            1 => Arc::from(keys.name.as_str()),
            _ => Arc::from(format!("{}-{place}", keys.name)),
        };
        Ok(Pool { choice: Choice::new(keys), texts: (1..=keys.of).map(text).collect() })
    }
}

impl Fleet {
    fn new(class: &WorkerClass, queues: &[Name], seed: u64) -> Result<Fleet> {
        let part = format!("worker {:?}", class.name);
        if class.slots == 0 || class.slots as usize > BATCH_MAX {
            return Err(invalid(part, "it has between 1 and 1000 slots"));
        }
        if !(class.speed.is_finite() && class.speed > 0.0) {
            return Err(invalid(part, "its speed is not above 0"));
        }
        if class.lifetime.is_some_and(|span| span.0.is_zero()) {
            return Err(invalid(part, "its lifetime is zero"));
        }
        if class.leaves.is_some_and(|leaves| leaves <= class.joins) {
            return Err(invalid(part, "it leaves before it joins"));
        }
        let names = |texts: &Vec<String>| texts.iter().map(|text| name(text, &part)).collect();
        let queues: Option<Result<Vec<Name>>> =
            class.queues.as_ref().map(names).or_else(|| Some(Ok(queues.to_vec())));
        let profile = Profile {
            queues: queues.transpose()?.unwrap_or_default(),
            tasks: class.tasks.as_ref().map(names).transpose()?,
            labels: taskwright_core::Labels::default(),
        };
        Ok(Fleet {
            name: class.name.clone(),
            count: class.count,
            slots: class.slots,
            profile: Arc::new(profile),
            speed: class.speed,
            joins: class.joins.0,
            leaves: class.leaves.map(|span| span.0),
            lifetime: class.lifetime.map(|span| span.0),
            replaced_after: class.replaced_after.0,
            is_lost: class.lost,
            chance: Chance::of_text(seed, &class.name).fork(2),
        })
    }
}

fn policy(limit: &Limit) -> Result<(Subject, Policy)> {
    let part = "a limit";
    let subject = match (&limit.queue, &limit.task, &limit.group, &limit.key) {
        (Some(queue), None, None, None) => Subject::Queue(name(queue, part)?),
        (None, Some(task), None, None) => Subject::Task(name(task, part)?),
        (queue, None, Some(group), None) => Subject::Group {
            queue: queue
                .as_ref()
                .map_or_else(|| Ok(Name::default_name()), |queue| name(queue, part))?,
            group: group.as_str().into(),
        },
        (None, None, None, Some(key)) => Subject::Key(key.as_str().into()),
        _ => {
            return Err(invalid(part, "name a queue, a task, a group (and its queue), or a key"));
        }
    };
    let rate = limit.rate.map(|rate| whole_rate(rate, limit.burst)).transpose()?;
    if limit.burst.is_some() && rate.is_none() {
        return Err(invalid(part, "it has a burst without a rate"));
    }
    let Limit { concurrency, fair, strict, weight, .. } = *limit;
    Ok((subject, Policy { concurrency, rate, fair, strict, weight, ..Policy::default() }))
}

fn whole_rate(rate: Frequency, burst: Option<u32>) -> Result<Rate> {
    let is_whole = rate.count.fract() == 0.0 && rate.count <= f64::from(u32::MAX);
    if !is_whole || rate.period < Duration::from_millis(1) || burst == Some(0) {
        let why = "its rate is a whole number in at least a millisecond, and its burst at least 1";
        return Err(invalid("a limit", why));
    }
    let burst = burst.unwrap_or(1);
    Ok(Rate { burst, ..Rate::new(rate.count as u32, rate.period) })
}

fn check_runs(runs: &Runs, part: &str) -> Result<()> {
    let longest = match runs {
        Runs::Constant(time) | Runs::Exponential(time) => time.0,
        Runs::Uniform(from, to) if from <= to => to.0,
        Runs::Uniform(..) => return Err(invalid(part, "the longest run is the second")),
        Runs::Lognormal(of) if !of.median.0.is_zero() && of.median <= of.p99 => of.p99.0,
        Runs::Lognormal(_) => {
            return Err(invalid(part, "the median is above zero, the p99 not below it"));
        }
        Runs::Bimodal(of) if (0.0..=1.0).contains(&of.long_share) => of.long.max(of.short).0,
        Runs::Bimodal(_) => return Err(invalid(part, "long_share is a share, from 0 to 1")),
    };
    within(&longest, part, "its runs")
}

fn check_arrivals(arrivals: &Arrivals, part: &str) -> Result<()> {
    match arrivals {
        Arrivals::Burst(burst) if burst.jobs == 0 => {
            Err(invalid(part, "a burst has at least one job"))
        }
        Arrivals::Burst(burst) if burst.every.is_some_and(|every| every.0.is_zero()) => {
            Err(invalid(part, "bursts come at some distance"))
        }
        _ => Ok(()),
    }
}

fn within(span: &Duration, part: &str, what: &str) -> Result<()> {
    if *span > SIMULATED_SPAN_MAX {
        return Err(invalid(part, format!("{what}: at most a year can be played")));
    }
    Ok(())
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let why = "the name is there twice; give each class one of its own (jobs of two classes may have the same `task`)";
            return Err(invalid(format!("{what} {name:?}"), why));
        }
    }
    Ok(())
}

fn name(text: &str, part: &str) -> Result<Name> {
    Name::new(text).map_err(|error| invalid(part, error.to_string()))
}

#[cfg(test)]
#[path = "tests/plan.rs"]
mod tests;
