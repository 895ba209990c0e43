//! What callers look at: get, list, peek, counts, workers.

use std::cmp::Reverse;

use taskwright_core::lifecycle::{self, Place};
use taskwright_core::{Job, JobId, Name, Resources, Timestamp, WorkerId};

use super::state::State;
use crate::request::{Filter, Page};
use crate::view::{QueueCounts, WorkerView};

impl State {
    pub fn get(&self, namespace: &Name, id: JobId) -> Option<Job> {
        self.find(namespace, id).map(|index| self.records[index].job.clone())
    }

    pub fn list(&self, filter: &Filter) -> Page {
        let wanted = |job: &&Job| {
            job.namespace == filter.namespace
                && filter.queue.as_ref().is_none_or(|queue| job.queue == *queue)
                && filter.task.as_ref().is_none_or(|task| job.task == *task)
                && filter.state.is_none_or(|state| job.life.state.name() == state)
                && filter.tag.as_ref().is_none_or(|tag| job.extras.tags.contains(tag))
                && filter.before.is_none_or(|before| job.seq < before)
        };
        let mut matching = self.records.iter().map(|r| &r.job).rev().filter(wanted);
        let jobs: Vec<_> = matching.by_ref().take(filter.limit).map(outline).collect();
        let next = matching.next().and(jobs.last()).map(|job| job.seq);
        Page { jobs, next }
    }

    pub fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Vec<Job> {
        let mut claimable = self.claimable(namespace);
        claimable.sort_by_key(|&index| Reverse(self.level(index)));
        let claimable = claimable.into_iter().map(|index| &self.records[index].job);
        claimable.filter(|job| job.queue == *queue).take(max).map(outline).collect()
    }

    pub fn counts(&self, namespace: &Name) -> Vec<QueueCounts> {
        let of_jobs = self.records.iter().map(|r| &r.job).filter(|job| job.namespace == *namespace);
        let of_paused = self.paused.iter().filter(|(ns, _)| ns == namespace);
        let mut queues: Vec<_> = of_jobs.map(|job| &job.queue).collect();
        queues.extend(of_paused.map(|(_, queue)| queue));
        queues.sort_unstable();
        queues.dedup();
        queues.into_iter().map(|queue| self.counts_of(namespace, queue)).collect()
    }

    fn counts_of(&self, namespace: &Name, queue: &Name) -> QueueCounts {
        use lifecycle::State as S;

        let mut counts = QueueCounts::empty(queue.clone());
        counts.paused = self.is_paused(namespace, queue);
        let jobs = self.records.iter().map(|r| &r.job);
        for job in jobs.filter(|job| job.namespace == *namespace && job.queue == *queue) {
            let counter = match job.life.state {
                S::Blocked => &mut counts.blocked,
                S::Available(Place::Ready(_)) => {
                    let due_at = full_second(job.run_at);
                    let oldest = counts.oldest_ready_at.get_or_insert(due_at);
                    *oldest = due_at.min(*oldest);
                    &mut counts.ready
                }
                S::Available(Place::Until(_)) => &mut counts.scheduled,
                S::Available(Place::Line(_) | Place::Intake) => &mut counts.in_line,
                S::Running(_) => &mut counts.running,
                S::Completed => &mut counts.completed,
                S::Dead(_) => &mut counts.dead,
                S::Cancelled => &mut counts.cancelled,
                S::Expired => &mut counts.expired,
            };
            *counter += 1;
        }
        counts
    }

    fn resources_taken(&self, namespace: &Name, worker: WorkerId) -> Resources {
        let mut taken = Resources::NONE;
        for index in self.running_of(namespace, worker) {
            taken.add(&self.records[index].job.extras.requires.taken());
        }
        taken
    }

    pub fn workers(&self, namespace: &Name) -> Vec<WorkerView> {
        let known = self.workers.iter().filter(|worker| worker.namespace == *namespace);
        let mut views: Vec<_> = known
            .map(|worker| WorkerView {
                id: worker.id,
                info: worker.info.clone(),
                profile: worker.profile.clone(),
                first_seen_at: worker.first_seen_at,
                last_seen_at: worker.last_seen_at,
                running: self.running_of(namespace, worker.id).count(),
                slots_taken: self
                    .running_of(namespace, worker.id)
                    .map(|index| u64::from(self.records[index].job.extras.requires.slots()))
                    .sum(),
                resources_taken: self.resources_taken(namespace, worker.id),
            })
            .collect();
        views.sort_unstable_by_key(|view| view.id);
        views
    }
}

fn full_second(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().div_euclid(1_000_000) * 1_000_000)
}

/// A job without its args, result and attempts, as lists show it.
fn outline(job: &Job) -> Job {
    Job { args: None, result: None, attempts: Vec::new(), ..job.clone() }
}
