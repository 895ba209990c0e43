//! Why a job does not run yet, with figures.

mod ordered;

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::PAGE_MAX;
use taskwright_core::{
    Job, JobId, LineKey, Name, Place, Policies, Policy, Rate, State, StateName, Subject, Timestamp,
    format_duration,
};
use taskwright_store::{Filter, QueueCounts};

use crate::api::Api;
use crate::costs::Costs;
use crate::error::Result;
use crate::place::{PlaceRequest, Placed, Placement, amounts};
use ordered::InOrder;

/// Jobs that are named where several hold a key.
const NAMED_MAX: usize = 5;

/// Why a job does not run, and when it may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The job.
    pub id: JobId,
    /// The answer in one sentence.
    pub verdict: String,
    /// Everything that keeps it from starting now; empty where nothing does, or it has started.
    pub blockers: Vec<Blocker>,
    /// Jobs of its queue that come before it.
    pub ahead: Option<Ahead>,
    /// When it may start, from the running times seen so far: between these instants. `None`: there
    /// are no data, or it cannot be said.
    pub start: Option<(Timestamp, Timestamp)>,
}

/// How many jobs come before another.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// So many.
    pub jobs: usize,
    /// Whether that is all of them; else there are at least as many.
    pub is_exact: bool,
}

/// One thing that keeps a job from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// What it is.
    pub kind: BlockerKind,
    /// The same in words and figures.
    pub detail: String,
}

/// The kinds of things that keep a job from starting.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BlockerKind {
    /// It waits for an instant.
    Time,
    /// It waits for other jobs.
    Jobs,
    /// Its queue is paused.
    Paused,
    /// Its queue or task runs as many as it may, or has started as many.
    Limit,
    /// A group or limit key of its has no room.
    Line,
    /// No live worker matches it.
    Placement,
    /// Those that match are busy.
    Slots,
    /// Those that match and have slots free have not as much of a resource free.
    Resources,
    /// Those that match and have slots free are over their load.
    Load,
}

impl BlockerKind {
    /// Every kind.
    pub const ALL: [BlockerKind; 9] = [
        BlockerKind::Time,
        BlockerKind::Jobs,
        BlockerKind::Paused,
        BlockerKind::Limit,
        BlockerKind::Line,
        BlockerKind::Placement,
        BlockerKind::Slots,
        BlockerKind::Resources,
        BlockerKind::Load,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            BlockerKind::Time => "time",
            BlockerKind::Jobs => "jobs",
            BlockerKind::Paused => "paused",
            BlockerKind::Limit => "limit",
            BlockerKind::Line => "line",
            BlockerKind::Placement => "placement",
            BlockerKind::Slots => "slots",
            BlockerKind::Resources => "resources",
            BlockerKind::Load => "load",
        }
    }
}

/// What was looked up about a job that waits.
struct Facts {
    job: Job,
    now: Timestamp,
    counts: QueueCounts,
    policies: Policies,
    placement: Placement,
    /// Running jobs of the namespace, without args; the newest page of them.
    running: Vec<Job>,
    /// The next jobs of its queue, in order.
    next: Vec<Job>,
    /// Who is ahead of it in the order of its keys.
    orders: Vec<InOrder>,
    costs: Costs,
}

/// Looks up all that bears on a job, and explains. `None`: there is no such job.
pub(crate) async fn why(
    api: &(impl Api + ?Sized),
    namespace: &Name,
    id: JobId,
) -> Result<Option<Why>> {
    let Some(job) = api.get(namespace, &[id]).await?.pop().flatten() else { return Ok(None) };
    if let Some(verdict) = is_not_waiting(&job) {
        return Ok(Some(Why { id, verdict, blockers: Vec::new(), ahead: None, start: None }));
    }
    let request = PlaceRequest {
        namespace: namespace.clone(),
        queue: job.queue.clone(),
        task: job.task.clone(),
        requires: job.extras.requires.clone(),
    };
    let counts = api.counts(namespace).await?.into_iter().find(|c| c.queue == job.queue);
    let filter = Filter {
        namespace: namespace.clone(),
        queue: None,
        task: None,
        state: Some(StateName::Running),
        tag: None,
        before: None,
        limit: PAGE_MAX,
    };
    let mut policies = Policies::default();
    for (subject, policy) in api.policies(namespace).await? {
        policies.set(subject, Some(policy));
    }
    let orders = ordered::ahead_of(api, &job, &policies).await?;
    let facts = Facts {
        orders,
        now: api.describe().await?.now,
        counts: counts.unwrap_or_else(|| QueueCounts::empty(job.queue.clone())),
        policies,
        placement: api.place(request).await?,
        running: api.list(filter).await?.jobs,
        next: api.peek(namespace, &job.queue, PAGE_MAX).await?,
        costs: api.costs(namespace).await?,
        job,
    };
    Ok(Some(facts.explained()))
}

/// What there is to say of a job that runs or has ended.
fn is_not_waiting(job: &Job) -> Option<String> {
    match job.state() {
        State::Running(token) => {
            let worker =
                job.worker.map(|worker| format!(" on worker {worker}")).unwrap_or_default();
            let since = job.started_at.map(|at| format!(" since {at}")).unwrap_or_default();
            Some(format!("it runs{worker}{since}, attempt {}", token.attempt))
        }
        State::Available(_) | State::Blocked => None,
        state => Some(format!("it has ended: it is {}", state.name().as_str())),
    }
}

impl Facts {
    fn explained(&self) -> Why {
        let mut blockers: Vec<Blocker> = Vec::new();
        let mut block = |kind, detail| blockers.push(Blocker { kind, detail });
        match self.job.state() {
            State::Available(Place::Until(at)) => block(BlockerKind::Time, self.until(at)),
            State::Available(Place::Line(number)) if self.orders.is_empty() => {
                block(BlockerKind::Line, self.line(number));
            }
            State::Blocked => block(BlockerKind::Jobs, "it waits for other jobs".to_owned()),
            _ => {}
        }
        for order in &self.orders {
            block(BlockerKind::Line, order.explained(self.now));
        }
        if self.counts.paused {
            block(BlockerKind::Paused, format!("queue {} is paused", self.job.queue));
        }
        for detail in self.lane_limits() {
            block(BlockerKind::Limit, detail);
        }
        let cost = u64::from(self.job.extras.slots());
        let takes = self.job.extras.requires.taken();
        let has_room = |worker: &Placed| free_slots(worker) >= cost && takes.fit(&worker.free());
        let matching = || self.placement.workers.iter().filter(|worker| worker.matches());
        if matching().next().is_none() {
            block(BlockerKind::Placement, self.placement.verdict.clone());
        } else if matching().all(|worker| free_slots(worker) < cost) {
            block(BlockerKind::Slots, self.busy(matching()));
        } else if matching().all(|worker| !has_room(worker)) {
            block(BlockerKind::Resources, self.short(matching()));
        } else if matching().all(|worker| !has_room(worker) || worker.is_held_back()) {
            block(BlockerKind::Load, over_load(matching()));
        }
        let ahead = self.ahead();
        let start = self.start(&blockers, ahead);
        let verdict = match (blockers.first(), ahead) {
            (Some(blocker), _) => blocker.detail.clone(),
            (None, Some(Ahead { jobs: 0, .. })) => {
                "nothing keeps it from starting: it is the next of its queue".to_owned()
            }
            (None, Some(_)) if self.policies.is_strict(&self.job.queue) => {
                "nothing but the jobs before it keeps it from starting: its queue is strict, and \
                 more urgent ones go first"
                    .to_owned()
            }
            (None, _) => "nothing but the jobs before it keeps it from starting".to_owned(),
        };
        Why { id: self.job.id, verdict, blockers, ahead, start }
    }

    fn until(&self, at: Timestamp) -> String {
        let failures = self.job.life.failures;
        let why = match failures {
            0 => "it is scheduled".to_owned(),
            1 => "it is retried after 1 failure".to_owned(),
            more => format!("it is retried after {more} failures"),
        };
        let budget = self.policies.budget_of(&self.job.queue).filter(|_| failures > 0);
        let budget = budget.map_or_else(String::new, |budget| {
            let queue = &self.job.queue;
            format!(
                "; the retry budget of queue {queue} lets {} come back",
                in_time(&budget, "retry")
            )
        });
        format!("{why}: due in {}, at {at}{budget}", format_duration(at.since(self.now)))
    }

    fn line(&self, number: u64) -> String {
        let keys = LineKey::of(&self.job.queue, &self.job.extras);
        let key = keys.into_iter().find(|key| key.number(&self.job.namespace) == number);
        let Some(key) = key else { return "it stands in line of a key".to_owned() };
        let what = name_of(&key);
        let policy = self.policies.of_key(&key).unwrap_or_default();
        let holders: Vec<&Job> = self
            .running
            .iter()
            .filter(|other| LineKey::of(&other.queue, &other.extras).contains(&key))
            .collect();
        let one = policy.ordered.map(|_| 1);
        let most = policy.concurrency.into_iter().chain(one).min();
        let full = most.is_some_and(|most| holders.len() >= most as usize);
        if policy.takes_turns() && !full && policy.rate.is_none() {
            return format!("it waits for the turn of {what}: its queue is fair");
        }
        let held = match (full, holders.is_empty()) {
            (true, false) => format!("; it is held by {}", named(&holders)),
            (true, true) => "; it lets nothing start".to_owned(),
            (false, _) => "; it has room again as time passes or others end".to_owned(),
        };
        format!("it stands in line of {what}, which allows {}{held}", allowed(&policy))
    }

    /// Of its queue and task those policies that leave no room, as far as counts tell.
    fn lane_limits(&self) -> Vec<String> {
        let of_task = self.running.iter().filter(|job| job.task == self.job.task).count() as u64;
        let queue = self.policies.of_queue(&self.job.queue);
        let task = self.policies.of_task(&self.job.task);
        let looked = [
            (queue, Subject::Queue(self.job.queue.clone()), self.counts.running),
            (task, Subject::Task(self.job.task.clone()), of_task),
        ];
        let told = |(policy, subject, running): (Option<&Policy>, Subject, u64)| {
            let policy = policy?;
            let what = match subject {
                Subject::Queue(name) => format!("queue {name}"),
                Subject::Task(name) => format!("task {name}"),
                Subject::Group { .. } | Subject::Key(_) => return None,
            };
            let is_full = policy.concurrency.is_some_and(|most| running >= u64::from(most));
            match (is_full, policy.rate) {
                (true, _) => Some(format!("{what} runs {running}, and {}", allowed(policy))),
                (false, Some(_)) => {
                    Some(format!("{what} may have started as many as it may: {}", allowed(policy)))
                }
                (false, None) => None,
            }
        };
        looked.into_iter().filter_map(told).collect()
    }

    fn busy<'w>(&self, matching: impl Iterator<Item = &'w Placed>) -> String {
        let (mut workers, mut slots) = (0, 0);
        for worker in matching {
            workers += 1;
            slots += u64::from(worker.slots);
        }
        let are = match_so_many(workers);
        match self.job.extras.slots() {
            1 => format!("{are}, and all of their {slots} slots are taken"),
            cost => format!("{are}, and none has the {cost} slots free that it takes"),
        }
    }

    /// What none of those that match has free of its resources.
    fn short<'w>(&self, matching: impl Iterator<Item = &'w Placed>) -> String {
        let workers: Vec<&Placed> = matching.collect();
        let are = match_so_many(workers.len());
        let takes = self.job.extras.requires.taken();
        let most = |resource: &Name| workers.iter().map(|worker| worker.free().get(resource)).max();
        let told: Vec<String> = takes
            .iter()
            .filter_map(|(resource, amount)| {
                let most = most(resource).filter(|most| *most < amount)?;
                Some(format!("{amount} of {resource} free, the most is {most}"))
            })
            .collect();
        if told.is_empty() {
            return format!("{are}, and none has {} and its slots free at once", amounts(&takes));
        }
        format!("{are}, and none has the {}", told.join(", nor the "))
    }

    fn ahead(&self) -> Option<Ahead> {
        if !matches!(self.job.state(), State::Available(Place::Ready(_))) {
            return None;
        }
        if self.policies.is_fair(&self.job.queue) {
            // What is ready is not in the order of claims there: those without group come in between.
            return None;
        }
        let place = self.next.iter().position(|job| job.id == self.job.id);
        Some(Ahead { jobs: place.unwrap_or(self.next.len()), is_exact: place.is_some() })
    }

    /// Half and nine tenths of the running times of what comes before it, over the slots that match.
    fn start(&self, blockers: &[Blocker], ahead: Option<Ahead>) -> Option<(Timestamp, Timestamp)> {
        let ahead = ahead.filter(|ahead| ahead.is_exact)?;
        let by_workers =
            |kind| matches!(kind, BlockerKind::Slots | BlockerKind::Resources | BlockerKind::Load);
        if !blockers.iter().all(|blocker| by_workers(blocker.kind)) {
            return None;
        }
        let matching = self.placement.workers.iter().filter(|worker| worker.matches());
        let taking = |worker: &Placed| worker.load.takes.unwrap_or(worker.slots).min(worker.slots);
        let slots: u32 = matching.map(|worker| taking(worker).max(1)).sum();
        let times = |task: &Name| {
            let row = self.costs.tasks.iter().find(|row| row.task.as_ref() == Some(task))?;
            (row.sums.running.count > 0).then_some(row.sums.running)
        };
        let is_busy = !blockers.is_empty();
        let before = self.next.iter().take(ahead.jobs).map(|job| &job.task);
        // Where all slots are taken, one job more has to end first.
        let before = before.chain(is_busy.then_some(&self.job.task));
        let (mut soon, mut late) = (Duration::ZERO, Duration::ZERO);
        for task in before {
            let times = times(task)?;
            soon += times.p50;
            late += times.p90;
        }
        let slots = slots.max(1);
        Some((self.now.plus(soon / slots), self.now.plus(late / slots)))
    }
}

/// Those that hold back, with what is too much for them.
fn over_load<'w>(matching: impl Iterator<Item = &'w Placed>) -> String {
    let mut held_back = matching.filter(|worker| free_slots(worker) > 0);
    let told: Vec<String> = held_back
        .by_ref()
        .take(NAMED_MAX)
        .filter_map(|worker| Some(format!("worker {} {}", worker.id, worker.load.explain()?)))
        .collect();
    let more = held_back.count();
    let rest = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("those that match are over their load: {}{rest}", told.join("; "))
}

fn match_so_many(workers: usize) -> String {
    if workers == 1 { "1 worker matches".into() } else { format!("{workers} workers match") }
}

fn free_slots(worker: &Placed) -> u64 {
    u64::from(worker.slots).saturating_sub(worker.slots_taken)
}

fn name_of(key: &LineKey) -> String {
    match key {
        LineKey::Group { group, .. } => format!("group {group}"),
        LineKey::Key(key) => format!("limit key {key}"),
    }
}

/// `at most 3 at once and 10 starts in 1m`.
fn allowed(policy: &Policy) -> String {
    let in_order = policy.ordered.map(|_| "one after another".to_owned());
    let at_once = policy.concurrency.map(|most| format!("at most {most} at once"));
    let starts = policy.rate.map(|rate| in_time(&rate, "start"));
    let parts: Vec<String> = in_order.into_iter().chain(at_once).chain(starts).collect();
    if parts.is_empty() { "anything".to_owned() } else { parts.join(" and ") }
}

/// `10 starts in 1m`.
fn in_time(rate: &Rate, what: &str) -> String {
    let period = format_duration(Duration::from_millis(rate.period_ms)).replace(".0s", "s");
    let what = match (rate.count, what.strip_suffix('y')) {
        (1, _) => what.to_owned(),
        (_, Some(begin)) => format!("{begin}ies"),
        (_, None) => format!("{what}s"),
    };
    format!("{} {what} in {period}", rate.count)
}

fn named(jobs: &[&Job]) -> String {
    let names: Vec<Arc<str>> =
        jobs.iter().take(NAMED_MAX).map(|job| job.id.to_string().into()).collect();
    let more = jobs.len().saturating_sub(NAMED_MAX);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    let word = if jobs.len() == 1 { "job" } else { "jobs" };
    format!("{word} {}{rest}", names.join(", "))
}

#[cfg(test)]
#[path = "tests/why.rs"]
mod tests;
