//! Policies: what may start, and who stands in which line.

use taskwright_core::lifecycle::{self, Event as E};
use taskwright_core::limits::POLICIES_MAX;
use taskwright_core::{
    Job, LineKey, Name, Ordered, Place, Policy, StateName, Subject, Timestamp, Token, Usage, rank,
};

use super::change::lane_of;
use super::state::{Record, State};
use super::turns::turn_of;
use crate::request::Controlled;

impl State {
    pub fn set_policy(
        &mut self,
        namespace: &Name,
        subject: Subject,
        policy: Option<Policy>,
    ) -> Controlled {
        let policies = self.policies.entry(namespace.clone()).or_default();
        let is_new =
            policy.is_some_and(|policy| !policy.is_empty()) && !policies.contains(&subject);
        if is_new && policies.len() >= POLICIES_MAX {
            return Controlled::PoliciesFull { max: POLICIES_MAX };
        }
        policies.set(subject, policy);
        self.touch_all_lines();
        Controlled::Done { state: None }
    }

    pub fn policies_of(&self, namespace: &Name) -> Vec<(Subject, Policy)> {
        let policies =
            self.policies.get(namespace).into_iter().flat_map(|policies| policies.iter());
        policies.map(|(subject, policy)| (subject.clone(), *policy)).collect()
    }

    pub fn all_policies(&self) -> Vec<(Name, Subject, Policy)> {
        let of = |namespace: &Name| {
            let named = |(subject, policy)| (namespace.clone(), subject, policy);
            self.policies_of(namespace).into_iter().map(named).collect::<Vec<_>>()
        };
        self.policies.keys().flat_map(of).collect()
    }

    /// The keys of a job that have a policy, in their order, by number.
    fn limited_keys(&self, job: &Job) -> Vec<(u64, Policy)> {
        let Some(policies) = self.policies.get(&job.namespace) else { return Vec::new() };
        let keys = LineKey::of(&job.queue, &job.extras);
        let limited = |key: &LineKey| Some((key.number(&job.namespace), policies.of_key(key)?));
        keys.iter().filter_map(limited).collect()
    }

    /// The queue and task of a job as far as they have a policy.
    fn limited_lane(&self, job: &Job) -> Vec<(Subject, Policy)> {
        let Some(policies) = self.policies.get(&job.namespace) else { return Vec::new() };
        let queue = policies.of_queue(&job.queue).map(|p| (Subject::Queue(job.queue.clone()), *p));
        let task = policies.of_task(&job.task).map(|p| (Subject::Task(job.task.clone()), *p));
        queue.into_iter().chain(task).collect()
    }

    fn running_with(&self, has_it: impl Fn(&Job) -> bool) -> u32 {
        let running = |record: &&Record| {
            record.job.life.state.name() == StateName::Running && has_it(&record.job)
        };
        self.records.iter().filter(running).count() as u32
    }

    /// How many more jobs with this key may start now.
    fn room_of_key(&self, number: u64, policy: &Policy) -> u32 {
        let running = self.running_with(|job| has_key(job, number));
        let arrival = self.arrivals.get(&number).copied().unwrap_or(Timestamp::ZERO);
        policy.room(Usage { running, arrival }, self.now)
    }

    /// How many more jobs of the group of a job may start now.
    pub fn room_of_group(&self, job: &Job, number: u64) -> u32 {
        let policy = self.limited_keys(job).into_iter().find(|(key, _)| *key == number);
        policy.map_or(u32::MAX, |(_, policy)| self.room_of_key(number, &policy))
    }

    /// How many more jobs of this queue or task may start now.
    fn room_of(&self, namespace: &Name, subject: &Subject, policy: &Policy) -> u32 {
        policy.room(self.usage_of(namespace, subject), self.now)
    }

    fn usage_of(&self, namespace: &Name, subject: &Subject) -> Usage {
        let running = self.running_with(|job| {
            job.namespace == *namespace
                && match subject {
                    Subject::Queue(queue) => job.queue == *queue,
                    Subject::Task(task) => job.task == *task,
                    Subject::Group { .. } | Subject::Key(_) => false,
                }
        });
        let arrival = self.lane_arrivals.get(&(namespace.clone(), subject.clone()));
        Usage { running, arrival: arrival.copied().unwrap_or(Timestamp::ZERO) }
    }

    /// Whether queue and task let the job start now.
    pub fn lane_has_room(&self, job: &Job) -> bool {
        let has_room = |(subject, policy): &(Subject, Policy)| {
            self.room_of(&job.namespace, subject, policy) > 0
        };
        self.limited_lane(job).iter().all(has_room)
    }

    /// The first key without room for the job to start now, or whose turn it does not have.
    pub fn key_without_room(&self, job: &Job) -> Option<u64> {
        let keys = self.limited_keys(job);
        let mut full = keys.iter().filter(|(number, policy)| {
            let waits_for_turn = policy.takes_turns() && turn_of(job).is_none();
            let is_behind = !self.may_be_next(job, *number, policy);
            waits_for_turn || is_behind || self.room_of_key(*number, policy) == 0
        });
        full.next().map(|(number, _)| *number)
    }

    /// Whether a job may be the next with this key: where it is ordered, the head alone.
    fn may_be_next(&self, job: &Job, number: u64, policy: &Policy) -> bool {
        policy.ordered.is_none_or(|ordered| self.head_of(number, ordered) == Some(job.seq))
    }

    /// The first in the order of a key.
    fn head_of(&self, number: u64, ordered: Ordered) -> Option<u64> {
        let jobs = self.records.iter().map(|record| &record.job);
        let in_order =
            jobs.filter(|job| ordered.keeps_place(job.life.state.name()) && has_key(job, number));
        in_order.map(|job| job.seq).min()
    }

    /// A job that has ended goes. Where it was dead and kept a place, others may come first now.
    pub fn leave_order(&mut self, index: usize) {
        let job = &self.records[index].job;
        if job.life.state.name() != StateName::Dead {
            return;
        }
        let keys = self.limited_keys(job);
        let blocked = |policy: &Policy| policy.ordered.is_some_and(Ordered::is_blocked_by_dead);
        let numbers = keys.iter().filter(|(_, policy)| blocked(policy)).map(|(number, _)| *number);
        self.touched.extend(numbers);
    }

    /// A job starts: the tokens of its rates are taken.
    pub fn take_tokens(&mut self, index: usize) {
        let job = &self.records[index].job;
        let (namespace, now) = (job.namespace.clone(), self.now);
        for (number, policy) in self.limited_keys(job) {
            let arrival = self.arrivals.entry(number).or_insert(Timestamp::ZERO);
            *arrival = Usage { running: 0, arrival: *arrival }.started(&policy, now).arrival;
        }
        for (subject, policy) in self.limited_lane(&self.records[index].job) {
            let key = (namespace.clone(), subject);
            let arrival = self.lane_arrivals.entry(key).or_insert(Timestamp::ZERO);
            *arrival = Usage { running: 0, arrival: *arrival }.started(&policy, now).arrival;
        }
    }

    /// When a job is due whose attempt failed and that was to come back at this instant: one that is
    /// retried takes its place in the retry budget of its queue.
    pub fn take_retry(&mut self, index: usize, token: Token, wanted: Timestamp) -> Timestamp {
        let job = &self.records[index].job;
        let event = E::Failed { token, next: Some(Place::Intake) };
        let is_retried = lifecycle::step(&job.life, &event)
            .is_ok_and(|life| life.state.name() == StateName::Available);
        let policies = self.policies.get(&job.namespace);
        let budget = policies.and_then(|policies| policies.budget_of(&job.queue));
        let Some(budget) = budget.filter(|_| is_retried) else { return wanted };
        let number = LineKey::budget(&job.namespace, &job.queue, &budget);
        let arrival = self.arrivals.entry(number).or_insert(Timestamp::ZERO);
        let (at, after) = budget.retry(*arrival, self.now);
        *arrival = after;
        wanted.max(at)
    }

    /// The most jobs that may wait in a queue, if no fewer wait there.
    pub fn has_no_room_to_wait(&self, namespace: &Name, queue: &Name) -> Option<u32> {
        let max = self.policies.get(namespace)?.waiting_of(queue)?;
        let waits = |record: &&Record| {
            let job = &record.job;
            job.namespace == *namespace
                && job.queue == *queue
                && job.life.state.name() == StateName::Available
        };
        (self.records.iter().filter(waits).count() >= max as usize).then_some(max)
    }

    /// A job that just became ready stands in the line of its first limited key.
    pub fn line_up(&mut self, index: usize) {
        let keys = self.limited_keys(&self.records[index].job);
        if let Some((number, _)) = keys.first() {
            self.park(index, *number);
        }
    }

    /// Puts a ready job into the line of a key.
    pub fn park(&mut self, index: usize, key: u64) {
        let job = &mut self.records[index].job;
        // A ready job can always be parked.
        if let Ok(life) = lifecycle::step(&job.life, &E::Park { key }) {
            job.life = life;
        }
        self.touch(index);
    }

    /// The keys of this job are served at the end of the call.
    pub fn touch(&mut self, index: usize) {
        let job = &self.records[index].job;
        let keys = LineKey::of(&job.queue, &job.extras);
        self.touched.extend(keys.iter().map(|key| key.number(&job.namespace)));
    }

    /// Every key with a line is served at the end of the call.
    pub fn touch_all_lines(&mut self) {
        let lines = self.records.iter().filter_map(|record| line_of(&record.job));
        self.touched.extend(lines.collect::<Vec<_>>());
    }

    /// Serves the lines of the keys that were touched; how many jobs left one, at most `limit`.
    pub fn settle(&mut self, limit: usize) -> usize {
        let mut promoted = 0;
        while let Some(number) = self.touched.pop_first() {
            while let Some(index) = self.next_in_line(number) {
                if promoted == limit {
                    self.touched.insert(number);
                    return promoted;
                }
                self.promote(index, number);
                promoted += 1;
            }
        }
        promoted
    }

    /// Who is first, as queues have it, of those in the line of a key that are first of a lane where it has
    /// room for one more to be ready.
    fn next_in_line(&self, number: u64) -> Option<usize> {
        let stands = |index: &usize| line_of(&self.records[*index].job) == Some(number);
        let mut line: Vec<usize> = (0..self.records.len()).filter(stands).collect();
        line.sort_unstable_by_key(|&index| {
            let job = &self.records[index].job;
            (self.rank_of(job), job.seq)
        });
        let (mut looked_at, mut open): (Vec<&Job>, Vec<_>) = (Vec::new(), Vec::new());
        for index in line {
            let job = &self.records[index].job;
            if looked_at.iter().any(|other| self.is_same_lane(other, job)) {
                continue;
            }
            let policy = self.limited_keys(job).into_iter().find(|(key, _)| *key == number);
            let has_room =
                policy.is_none_or(|(_, policy)| self.has_place_beside(job, number, &policy));
            if has_room {
                open.push((&job.queue, self.level_of(job), self.rank_of(job), (job.seq, index)));
            }
            // Where it is ordered, the head may stand anywhere.
            if policy.is_none_or(|(_, policy)| policy.ordered.is_none()) {
                looked_at.push(job);
            }
        }
        rank::first(open.into_iter()).map(|(_, index)| index)
    }

    /// Whether two jobs wait side by side: in one lane, and in a strict queue with one priority.
    pub fn is_same_lane(&self, a: &Job, b: &Job) -> bool {
        lane_of(a) == lane_of(b) && self.level_of(a) == self.level_of(b)
    }

    fn promote(&mut self, index: usize, number: u64) {
        let job = &self.records[index].job;
        let rank = self.next_turn(job).unwrap_or_else(|| self.rank_of(job));
        let job = &mut self.records[index].job;
        // A job in line can always be promoted.
        if let Ok(life) = lifecycle::step(&job.life, &E::Promote { rank }) {
            job.life = life;
        }
        self.touch(index);
        let job = &self.records[index].job;
        let others = self.limited_keys(job).into_iter().filter(|(key, _)| *key != number);
        let mut stopping = others.filter(|(key, policy)| {
            if policy.ordered.is_some() {
                return !self.has_place_beside(job, *key, policy);
            }
            let stands_before = self.records.iter().any(|other| {
                line_of(&other.job) == Some(*key) && self.is_same_lane(&other.job, job)
            });
            stands_before || !self.has_place_beside(job, *key, policy)
        });
        if let Some((key, _)) = stopping.next() {
            self.park(index, key);
        }
    }

    /// Whether one more job of its lane may be ready that has this key. Of one that takes turns, those
    /// count that have a turn. Where it is ordered, the head has a place, whoever else is ready still.
    fn has_place_beside(&self, job: &Job, number: u64, policy: &Policy) -> bool {
        if policy.ordered.is_some() {
            let has_room = self.room_of_key(number, policy) > 0;
            return has_room && self.may_be_next(job, number, policy);
        }
        let is_beside = |other: &&Record| {
            let other = &other.job;
            let counts = match policy.takes_turns() {
                true => turn_of(other).is_some(),
                false => is_ready(other),
            };
            let is_another = other.seq != job.seq && self.is_same_lane(other, job);
            counts && is_another && has_key(other, number)
        };
        let ready = self.records.iter().filter(is_beside).count() as u32;
        let running = self.running_with(|job| has_key(job, number));
        let arrival = self.arrivals.get(&number).copied().unwrap_or(Timestamp::ZERO);
        ready < policy.ready_room(Usage { running, arrival }, self.now)
    }

    /// When a line, or a lane that is held back, has more room by time alone.
    pub fn next_room_at(&self) -> Option<Timestamp> {
        let of_keys = self.records.iter().filter_map(|record| {
            let number = line_of(&record.job)?;
            let (_, policy) =
                self.limited_keys(&record.job).into_iter().find(|(key, _)| *key == number)?;
            let running = self.running_with(|job| has_key(job, number));
            let arrival = self.arrivals.get(&number).copied().unwrap_or(Timestamp::ZERO);
            policy.grows_at(Usage { running, arrival }, self.now)
        });
        let of_lanes = self.records.iter().filter_map(|record| {
            let job = &record.job;
            if !is_ready(job) {
                return None;
            }
            let full = |(subject, policy): &(Subject, Policy)| {
                let usage = self.usage_of(&job.namespace, subject);
                let is_full = policy.room(usage, self.now) == 0;
                is_full.then(|| policy.grows_at(usage, self.now)).flatten()
            };
            self.limited_lane(job).iter().filter_map(full).min()
        });
        of_keys.chain(of_lanes).min()
    }
}

/// The key in whose line a job stands.
pub(super) fn line_of(job: &Job) -> Option<u64> {
    match job.life.state {
        lifecycle::State::Available(Place::Line(number)) => Some(number),
        _ => None,
    }
}

pub(super) fn is_ready(job: &Job) -> bool {
    matches!(job.life.state, lifecycle::State::Available(Place::Ready(_)))
}

pub(super) fn has_key(job: &Job, number: u64) -> bool {
    LineKey::of(&job.queue, &job.extras).iter().any(|key| key.number(&job.namespace) == number)
}
