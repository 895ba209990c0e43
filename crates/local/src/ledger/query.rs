//! Looking without changing.

use taskwright_core::placement::Cost;
use taskwright_core::{Job, JobId, Name, Resources, StateName, Timestamp};
use taskwright_store::{QueueCounts, QueueSettings, Settings, WorkerView};

use super::Ledger;
use super::counters::Slot;
use super::entry::Entry;
use super::lanes::Queue;
use super::workers::Worker;
use crate::change::Seq;

/// Where a job is.
#[derive(Debug)]
pub enum Found {
    /// Here, whole.
    Here(Box<Job>),
    /// Wholly or partly in the table.
    InTable,
    /// Nowhere.
    Nowhere,
}

impl Ledger {
    /// A job by id, with args and result.
    pub fn get(&self, namespace: &Name, id: JobId) -> Found {
        match self.find(namespace, id) {
            Some(seq) => {
                let entry = &self.jobs[&seq];
                let rare = entry.rare.as_ref();
                if rare.is_some_and(|rare| rare.deleted) {
                    Found::Nowhere
                } else if entry.fixed.args.is_empty() || rare.is_some_and(|rare| rare.has_attempts)
                {
                    Found::InTable
                } else {
                    Found::Here(Box::new(self.view(seq, entry, true)))
                }
            }
            None if self.may_be_archived(id) => Found::InTable,
            None => Found::Nowhere,
        }
    }

    /// See `Store::peek`.
    pub fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Vec<Job> {
        let Some(index) = self.lanes.queue_index(namespace, queue) else { return Vec::new() };
        let seqs = self.next_of(&self.lanes.queues[index], max);
        let view = |seq: Seq| self.jobs.get(&seq).map(|entry| self.view(seq, entry, false));
        seqs.into_iter().filter_map(view).collect()
    }

    /// See `Store::counts`.
    pub fn counts(&self, namespace: &Name) -> Vec<QueueCounts> {
        let queues = self.lanes.queues.iter().filter(|queue| queue.namespace == *namespace);
        let mut counts: Vec<_> = queues.map(count).collect();
        counts.sort_by(|a, b| a.queue.cmp(&b.queue));
        counts
    }

    /// The settings that an export brings.
    pub fn settings(&self) -> Settings {
        let queues = self.lanes.queues.iter();
        let told = queues.filter(|queue| queue.paused || !queue.counters.is_empty());
        let mut queues: Vec<_> = told
            .map(|queue| QueueSettings {
                namespace: queue.namespace.clone(),
                queue: queue.name.clone(),
                paused: queue.paused,
            })
            .collect();
        queues.sort_unstable();
        Settings { queues, policies: self.limits.all_policies() }
    }

    /// See `Store::workers`.
    pub fn workers(&self, namespace: &Name) -> Vec<WorkerView> {
        let of_namespace = self.workers.iter().filter(|(_, w)| w.namespace == *namespace);
        let mut views: Vec<_> = of_namespace
            .map(|(_, worker)| WorkerView {
                id: worker.id,
                info: worker.info.clone(),
                profile: worker.profile.clone(),
                first_seen_at: worker.first_seen_at,
                last_seen_at: worker.last_seen_at,
                running: worker.held.len(),
                slots_taken: self.costs_of(worker).map(|cost| cost.slots as u64).sum(),
                resources_taken: self.resources_taken(worker),
            })
            .collect();
        views.sort_by_key(|view| view.id);
        views
    }

    /// What the jobs take that a worker runs.
    fn costs_of<'l>(&'l self, worker: &'l Worker) -> impl Iterator<Item = &'l Cost> {
        let entries = worker.held.iter().filter_map(|seq| self.jobs.get(seq));
        entries.map(|entry| &self.lanes.get(entry.fixed.lane).cost)
    }

    fn resources_taken(&self, worker: &Worker) -> Resources {
        let mut taken = Resources::NONE;
        self.costs_of(worker).for_each(|cost| taken.add(&cost.resources));
        taken
    }

    fn view(&self, seq: Seq, entry: &Entry, with_payloads: bool) -> Job {
        let (fixed, vital) = (&entry.fixed, entry.vital());
        let lane = self.lanes.get(fixed.lane);
        let rare = entry.rare.as_deref();
        let worker = vital.run.and_then(|run| self.workers.id(run.worker));
        Job {
            namespace: lane.namespace.clone(),
            id: fixed.id,
            seq,
            task: lane.task.clone(),
            queue: lane.queue.clone(),
            life: vital.life,
            priority: fixed.priority,
            run_at: vital.due_at,
            timeout_ms: fixed.timeout_ms,
            created_at: fixed.created_at,
            started_at: vital.run.map(|run| run.started_at),
            finished_at: vital.finished_at,
            worker,
            cancel_reason: rare.and_then(|rare| rare.cancel_reason.clone()),
            error: rare.and_then(|rare| rare.error.clone()),
            progress: rare.and_then(|rare| rare.progress.clone()),
            checkpoint: rare.and_then(|rare| rare.checkpoint.clone()),
            args: with_payloads.then(|| fixed.args.clone()),
            result: rare.and_then(|rare| rare.result.clone()).filter(|_| with_payloads),
            extras: lane.extras_of(fixed),
            attempts: Vec::new(),
        }
    }
}

fn count(queue: &Queue) -> QueueCounts {
    let of = |slot| queue.counters.get(slot);
    let of_state = |state| queue.counters.get(Slot::State(state));
    QueueCounts {
        paused: queue.paused,
        ready: of(Slot::Ready),
        scheduled: of(Slot::Scheduled),
        in_line: of(Slot::InLine),
        blocked: of_state(StateName::Blocked),
        running: of_state(StateName::Running),
        completed: of_state(StateName::Completed),
        dead: of_state(StateName::Dead),
        cancelled: of_state(StateName::Cancelled),
        expired: of_state(StateName::Expired),
        oldest_ready_at: queue
            .ready_since
            .first_key_value()
            .map(|(&second, _)| Timestamp::from_micros(second * 1_000_000)),
        ..QueueCounts::empty(queue.name.clone())
    }
}
