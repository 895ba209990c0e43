//! Who is first in each queue: in a fair one whose turn it is, in a strict one who is most urgent.

use std::cmp::Reverse;

use taskwright_core::{Job, LineKey, Name, Place, Rank, lifecycle, turns};

use super::limits::{has_key, line_of};
use super::state::State;

impl State {
    /// The first of these ready jobs, which are in order, as their queues have it: within a fair queue
    /// it is whose turn it is, within a strict one it is of the highest priority; between queues the rank decides, that of the job whose turn it is.
    pub fn first_of(&self, ready: &[usize]) -> Option<usize> {
        let mut queues: Vec<&Name> =
            ready.iter().map(|&index| &self.records[index].job.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        let of_queue = |queue: &&Name| {
            let its =
                ready.iter().copied().filter(|&index| self.records[index].job.queue == **queue);
            let first = self.first_of_queue(&its.collect::<Vec<_>>())?;
            let job = &self.records[first].job;
            let rank = if self.is_fair(job) { self.rank_of(job) } else { rank_of_ready(job)? };
            Some((rank, job.seq, first))
        };
        queues.iter().filter_map(of_queue).min().map(|(_, _, first)| first)
    }

    fn first_of_queue(&self, ready: &[usize]) -> Option<usize> {
        let first = *ready.first()?;
        if !self.is_fair(&self.records[first].job) {
            return ready.iter().copied().min_by_key(|&index| Reverse(self.level(index)));
        }
        // In their order, all that have a turn are before those that have none.
        let mut rest = ready.iter().map(|&index| &self.records[index].job);
        let rest = rest.position(|job| turn_of(job).is_none()).map(|position| ready[position]);
        let with_turn = Some(first).filter(|&index| turn_of(&self.records[index].job).is_some());
        let turn = |index: &usize| {
            let job = &self.records[*index].job;
            (turn_of(job).unwrap_or_else(|| self.turn_of_ungrouped(job)), job.seq)
        };
        [with_turn, rest].into_iter().flatten().min_by_key(turn)
    }

    pub fn is_fair(&self, job: &Job) -> bool {
        self.policies.get(&job.namespace).is_some_and(|policies| policies.is_fair(&job.queue))
    }

    /// The level of a job: in a strict queue its priority.
    pub fn level(&self, index: usize) -> i8 {
        self.level_of(&self.records[index].job)
    }

    pub fn level_of(&self, job: &Job) -> i8 {
        let policies = self.policies.get(&job.namespace);
        policies.map_or(0, |policies| policies.level(&job.queue, job.priority))
    }

    fn shown(&self, number: u64) -> Rank {
        self.turns.get(&number).copied().unwrap_or(turns::BEGIN)
    }

    fn clock_of(&self, job: &Job) -> Rank {
        self.shown(LineKey::clock(&job.namespace, &job.queue))
    }

    /// The turn that the jobs without group have.
    fn turn_of_ungrouped(&self, job: &Job) -> Rank {
        let done = self.shown(LineKey::ungrouped(&job.namespace, &job.queue));
        turns::next_of_one(self.clock_of(job), done)
    }

    /// The turn of a job that is to be ready, if its group takes turns.
    pub fn next_turn(&self, job: &Job) -> Option<Rank> {
        let (number, weight) = self.group_of(job)?;
        let of_group = self.records.iter().map(|record| &record.job);
        let of_group = of_group.filter(|other| has_key(other, number));
        let ready = of_group.filter_map(turn_of);
        Some(turns::next(self.clock_of(job), self.shown(number), ready, weight))
    }

    /// A job starts: the clock of its queue shows its turn.
    pub fn take_turn(&mut self, index: usize) {
        let job = &self.records[index].job;
        if !self.is_fair(job) {
            return;
        }
        let clock = LineKey::clock(&job.namespace, &job.queue);
        let taken = match (turn_of(job), self.group_of(job)) {
            (Some(turn), Some((number, weight))) => Some((number, turn, weight)),
            (None, None) => {
                let number = LineKey::ungrouped(&job.namespace, &job.queue);
                Some((number, self.turn_of_ungrouped(job), 1))
            }
            _ => None,
        };
        if let Some((number, turn, weight)) = taken {
            self.turns.insert(number, turns::after(turn, weight));
            self.turns.insert(clock, self.shown(clock).max(turn));
        }
    }

    /// Whether a job that was just given was the last of its group in its lane that had a turn, while
    /// others stand in line for one: they are called before anybody else is given.
    pub fn was_last_of_group(&self, index: usize) -> bool {
        let job = &self.records[index].job;
        let Some((number, _)) = self.group_of(job) else { return false };
        let its = |other: &&Job| self.is_same_lane(other, job) && has_key(other, number);
        let jobs = || self.records.iter().map(|record| &record.job).filter(its);
        let is_last = jobs().all(|other| turn_of(other).is_none());
        is_last
            && jobs().any(|other| line_of(other) == Some(number))
            && self.room_of_group(job, number) > 0
    }

    /// The group of a job that takes turns: its number and weight.
    fn group_of(&self, job: &Job) -> Option<(u64, u32)> {
        let group = job.extras.group.clone()?;
        let key = LineKey::Group { queue: job.queue.clone(), group };
        let policy = self.policies.get(&job.namespace)?.of_key(&key)?;
        policy.takes_turns().then(|| (key.number(&job.namespace), policy.weight.unwrap_or(1)))
    }
}

/// The turn of a ready job, if it was given one.
pub(super) fn turn_of(job: &Job) -> Option<Rank> {
    rank_of_ready(job).filter(|&rank| turns::is_turn(rank))
}

fn rank_of_ready(job: &Job) -> Option<Rank> {
    match job.life.state {
        lifecycle::State::Available(Place::Ready(rank)) => Some(rank),
        _ => None,
    }
}
