//! What became of the jobs of each class.

use std::time::Duration;

use rustc_hash::FxHashMap;
use taskwright_core::{StateName, Timestamp};

use crate::measure::{Backlog, Durations, Mean, jain};
use crate::outcome::{ClassOutcome, Fairness, GroupOutcome, LimitOutcome, Outcome, WorkerOutcome};
use crate::plan::Plan;

/// The groups that are told of one by one.
const GROUPS_TOLD: usize = 10;

/// What became of the jobs of each class.
pub struct Tally {
    classes: Vec<Class>,
    now: Timestamp,
    ended_at: Timestamp,
    live: u64,
    running: u64,
    backlog: Backlog,
}

#[derive(Default)]
struct Class {
    jobs: u64,
    completed: u64,
    dead: u64,
    failed: u64,
    lost: u64,
    waiting: Durations,
    running: Durations,
    mean: Mean,
    /// By the place of the group.
    groups: Vec<Mean>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(plan: &Plan) -> Tally {
        let groups = |class: &crate::plan::Class| {
            let groups = class.group.as_ref().map_or(0, |pool| pool.texts.len());
            Class { groups: vec![Mean::default(); groups], ..Class::default() }
        };
        Tally {
            classes: plan.classes.iter().map(groups).collect(),
            now: Timestamp::ZERO,
            ended_at: Timestamp::ZERO,
            live: 0,
            running: 0,
            backlog: Backlog::default(),
        }
    }

    /// Time passes.
    pub fn pass(&mut self, now: Timestamp) {
        if now > self.now {
            // What is there until just before.
            let until = now.since(Timestamp::ZERO).saturating_sub(Duration::from_micros(1));
            self.backlog.until(until, self.live - self.running, self.running);
            self.now = now;
        }
    }

    /// Jobs that arrived.
    pub fn jobs(&self) -> u64 {
        self.classes.iter().map(|class| class.jobs).sum()
    }

    /// Jobs that have not ended.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Attempts that run, on workers that are there or lost.
    pub fn running(&self) -> u64 {
        self.running
    }

    /// When the last attempt ended.
    pub fn ended_at(&self) -> Timestamp {
        self.ended_at
    }

    /// Jobs of a class arrived.
    pub fn arrived(&mut self, class: usize, count: u64) {
        self.classes[class].jobs += count;
        self.live += count;
    }

    /// An attempt started that had waited for so long.
    pub fn started(&mut self, class: usize, group: Option<usize>, waited: Duration) {
        self.running += 1;
        let class = &mut self.classes[class];
        class.waiting.add(waited);
        class.mean.add(waited);
        if let Some(group) = group {
            class.groups[group].add(waited);
        }
    }

    /// An attempt ended after it ran for so long; its job is now in this state.
    pub fn ended(&mut self, class: usize, ran: Duration, well: bool, state: StateName) {
        let of = &mut self.classes[class];
        of.running.add(ran);
        of.failed += u64::from(!well);
        of.completed += u64::from(state == StateName::Completed);
        of.dead += u64::from(state == StateName::Dead);
        self.over(state.is_final());
    }

    /// An attempt was lost with its worker, and perhaps its job died of it.
    pub fn lost(&mut self, class: usize, is_dead: bool) {
        let of = &mut self.classes[class];
        of.lost += 1;
        of.dead += u64::from(is_dead);
        self.over(is_dead);
    }

    fn over(&mut self, is_final: bool) {
        self.running -= 1;
        self.live -= u64::from(is_final);
        self.ended_at = self.now;
    }

    /// All of it.
    pub fn outcome(
        self,
        plan: &Plan,
        workers: Vec<WorkerOutcome>,
        limits: Vec<LimitOutcome>,
    ) -> Outcome {
        let jobs = self.jobs();
        let mut all = Durations::default();
        self.classes.iter().for_each(|class| all.extend(&class.waiting));
        let waiting = all.waits();
        let means = self.classes.iter().filter(|class| class.mean.count > 0);
        let of_tasks = jain(means.map(|class| class.mean.secs()));
        let groups = groups(plan, &self.classes);
        let of_groups = jain(groups.iter().map(|(_, mean)| mean.secs()));
        let told = groups.into_iter().take(GROUPS_TOLD).map(|((queue, group), mean)| {
            let mean_wait = Duration::from_secs_f64(mean.secs());
            GroupOutcome { queue, group, attempts: mean.count, mean_wait }
        });
        let (backlog, backlog_max) = self.backlog.end();
        let outcome = |(class, of): (Class, &crate::plan::Class)| ClassOutcome {
            name: of.name.clone(),
            jobs: class.jobs,
            completed: class.completed,
            dead: class.dead,
            left: class.jobs - class.completed - class.dead,
            failed: class.failed,
            lost: class.lost,
            waiting: class.waiting.waits(),
            running: class.running.waits(),
        };
        let tasks: Vec<_> = self.classes.into_iter().zip(&plan.classes).map(outcome).collect();
        Outcome {
            seed: plan.seed,
            makespan: self.ended_at.since(Timestamp::ZERO),
            jobs,
            attempts: waiting.count,
            completed: tasks.iter().map(|class| class.completed).sum(),
            dead: tasks.iter().map(|class| class.dead).sum(),
            left: tasks.iter().map(|class| class.left).sum(),
            waiting,
            fairness: Fairness { tasks: of_tasks, groups: of_groups },
            groups: told.collect(),
            tasks,
            workers,
            limits,
            backlog_max,
            backlog,
        }
    }
}

/// The groups over all classes, those that waited longest first.
fn groups(plan: &Plan, classes: &[Class]) -> Vec<((String, String), Mean)> {
    let mut means: FxHashMap<(String, String), Mean> = FxHashMap::default();
    for (class, of) in classes.iter().zip(&plan.classes) {
        let texts = of.group.iter().flat_map(|pool| &pool.texts);
        for (mean, text) in class.groups.iter().zip(texts).filter(|(mean, _)| mean.count > 0) {
            let name = (of.queue.as_str().to_owned(), text.to_string());
            means.entry(name).or_default().join(mean);
        }
    }
    let mut groups: Vec<_> = means.into_iter().collect();
    groups.sort_by(|(name, mean), (other, than)| {
        than.secs().total_cmp(&mean.secs()).then_with(|| name.cmp(other))
    });
    groups
}
