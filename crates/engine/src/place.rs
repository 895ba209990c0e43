//! Which workers may run a job, and why the others may not.

use std::fmt::Write as _;
use std::sync::Arc;

use taskwright_core::limits::LEASE;
use taskwright_core::placement::{Rule, Term};
use taskwright_core::{
    Labels, Load, Name, Requirement, Resources, Timestamp, WorkerId, format_duration,
};
use taskwright_store::{Profile, WorkerView};

/// What a job is like whose workers are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceRequest {
    /// The tenant.
    pub namespace: Name,
    /// The queue it would wait in.
    pub queue: Name,
    /// The task.
    pub task: Name,
    /// What it would require of its worker.
    pub requires: Requirement,
}

/// Who may run such a job now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The answer in one sentence, such as `no live worker has gpu>=24`.
    pub verdict: String,
    /// Every worker that the store knows, those that match first, then by id.
    pub workers: Vec<Placed>,
}

/// One worker, and whether it may run such a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its id.
    pub id: WorkerId,
    /// Its name, for people.
    pub name: Arc<str>,
    /// How many jobs it runs at once.
    pub slots: u32,
    /// How many jobs it holds.
    pub running: usize,
    /// How many slots they take.
    pub slots_taken: u64,
    /// How much they take of each resource.
    pub resources_taken: Resources,
    /// Its labels.
    pub labels: Labels,
    /// How loaded it is.
    pub load: Load,
    /// What excludes it; empty: it matches.
    pub excluded: Vec<Exclusion>,
}

/// What excludes a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The rule.
    pub rule: ExclusionRule,
    /// The same in words, such as `gpu is 16, asked is gpu>=24`.
    pub detail: String,
}

/// The rules that exclude a worker.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ExclusionRule {
    /// It was not heard of for the time of a lease.
    Lease,
    /// It stops, and takes no more jobs.
    Stopping,
    /// It has not said yet what it serves.
    Unknown,
    /// It does not serve the queue.
    Queue,
    /// It does not serve the task.
    Task,
    /// A label does not meet what is required.
    Label,
}

impl ExclusionRule {
    /// Every rule.
    pub const ALL: [ExclusionRule; 6] = [
        ExclusionRule::Lease,
        ExclusionRule::Stopping,
        ExclusionRule::Unknown,
        ExclusionRule::Queue,
        ExclusionRule::Task,
        ExclusionRule::Label,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            ExclusionRule::Lease => "lease",
            ExclusionRule::Stopping => "stopping",
            ExclusionRule::Unknown => "unknown",
            ExclusionRule::Queue => "queue",
            ExclusionRule::Task => "task",
            ExclusionRule::Label => "label",
        }
    }
}

impl Placed {
    /// Whether it may run such a job.
    pub fn matches(&self) -> bool {
        self.excluded.is_empty()
    }

    fn is_excluded_by(&self, rules: &[ExclusionRule]) -> bool {
        self.excluded.iter().any(|exclusion| rules.contains(&exclusion.rule))
    }

    /// Whether it has a slot free, and so much of its resources.
    fn has_room(&self, takes: &Resources) -> bool {
        let has_slot =
            self.slots == 0 || (self.slots_taken < u64::from(self.slots) && !self.is_held_back());
        has_slot && takes.fit(&self.free())
    }

    /// How much of each of its resources is free.
    pub(crate) fn free(&self) -> Resources {
        self.labels.capacities().minus(&self.resources_taken)
    }

    /// Whether it takes no more jobs now because it is over its load.
    pub(crate) fn is_held_back(&self) -> bool {
        self.load.takes.is_some_and(|takes| self.slots_taken >= u64::from(takes))
    }
}

/// Judges these workers, at the store's time `now`.
pub(crate) fn place(request: &PlaceRequest, workers: &[WorkerView], now: Timestamp) -> Placement {
    let mut placed: Vec<Placed> = workers.iter().map(|view| judge(request, view, now)).collect();
    placed.sort_by_key(|worker| (!worker.matches(), worker.id));
    Placement { verdict: verdict(request, &placed), workers: placed }
}

fn judge(request: &PlaceRequest, view: &WorkerView, now: Timestamp) -> Placed {
    let mut excluded = Vec::new();
    let mut exclude = |rule, detail: String| excluded.push(Exclusion { rule, detail });
    let silent = now.since(view.last_seen_at);
    if silent > LEASE {
        let (silent, lease) = (format_duration(silent), format_duration(LEASE));
        exclude(
            ExclusionRule::Lease,
            format!("was not heard of for {silent}, a lease lasts {lease}"),
        );
    }
    if view.info.stopping {
        exclude(ExclusionRule::Stopping, "stops and takes no more jobs".to_owned());
    }
    match view.profile.as_deref() {
        None => exclude(ExclusionRule::Unknown, "has not said yet what it serves".to_owned()),
        Some(Profile { queues, tasks, labels }) => {
            if !queues.contains(&request.queue) {
                let detail = format!("does not serve queue {}", request.queue);
                exclude(ExclusionRule::Queue, detail);
            }
            if tasks.as_ref().is_some_and(|tasks| !tasks.contains(&request.task)) {
                let detail = format!("does not serve task {}", request.task);
                exclude(ExclusionRule::Task, detail);
            }
            for term in request.requires.unmet(labels) {
                exclude(ExclusionRule::Label, term.explain(labels));
            }
        }
    }
    Placed {
        id: view.id,
        name: Arc::clone(&view.info.name),
        slots: view.info.slots,
        running: view.running,
        slots_taken: view.slots_taken,
        resources_taken: view.resources_taken.clone(),
        load: view.info.load,
        labels: view.profile.as_ref().map(|profile| profile.labels.clone()).unwrap_or_default(),
        excluded,
    }
}

/// The answer in one sentence: where nobody matches, the first rule that is left without a worker.
fn verdict(request: &PlaceRequest, workers: &[Placed]) -> String {
    use ExclusionRule::{Lease, Queue, Stopping, Task, Unknown};

    let matching: Vec<&Placed> = workers.iter().filter(|worker| worker.matches()).collect();
    if !matching.is_empty() {
        let takes = request.requires.taken();
        let free = matching.iter().filter(|worker| worker.has_room(&takes)).count();
        let and =
            if takes.is_empty() { String::new() } else { format!(" and {} free", amounts(&takes)) };
        let (matching, all) = (matching.len(), workers.len());
        let of = if all == 1 { "worker matches" } else { "workers match" };
        let over = workers.iter().filter(|w| w.matches() && w.load.takes.is_some()).count();
        let over = if over == 0 { String::new() } else { format!(", {over} over their load") };
        return format!("{matching} of {all} {of}, {free} of them with a free slot{and}{over}");
    }
    let without = |rules: &[ExclusionRule]| -> Vec<&Placed> {
        workers.iter().filter(|worker| !worker.is_excluded_by(rules)).collect()
    };
    let PlaceRequest { queue, task, .. } = request;
    if workers.is_empty() {
        return format!("no worker is known; start one that serves queue {queue} and task {task}");
    }
    if without(&[Lease, Stopping, Unknown]).is_empty() {
        return "no live worker takes jobs".to_owned();
    }
    if without(&[Lease, Stopping, Unknown, Queue]).is_empty() {
        return format!("no live worker serves queue {queue}");
    }
    let serving = without(&[Lease, Stopping, Unknown, Queue, Task]);
    if serving.is_empty() {
        return format!("no live worker of queue {queue} serves task {task}");
    }
    lacking(&request.requires, &serving)
}

/// `1 of gpu and 8 of memory`.
pub(crate) fn amounts(resources: &Resources) -> String {
    let texts: Vec<String> =
        resources.iter().map(|(resource, amount)| format!("{amount} of {resource}")).collect();
    texts.join(" and ")
}

/// What all of these workers lack, who serve queue and task.
fn lacking(requires: &Requirement, serving: &[&Placed]) -> String {
    let is_unmet = |term: &&Term| serving.iter().all(|worker| !term.is_met(&worker.labels));
    let mut sentence = String::new();
    for term in requires.terms().iter().filter(is_unmet) {
        let and = if sentence.is_empty() { "no live worker" } else { ", and none" };
        // Writing to a text cannot fail.
        let _ = match term.rule {
            Rule::Absent => write!(sentence, "{and} is without {}", term.label),
            Rule::Takes(_) => {
                let all = serving.iter().filter_map(|worker| worker.labels.capacity(&term.label));
                let most = all.max().map_or(String::new(), |most| format!(", the most is {most}"));
                write!(sentence, "{and} has {term} in all{most}")
            }
            _ => write!(sentence, "{and} has {term}"),
        };
    }
    if sentence.is_empty() {
        return format!("no live worker has all of {requires} at once");
    }
    sentence
}

#[cfg(test)]
#[path = "tests/place.rs"]
mod tests;
