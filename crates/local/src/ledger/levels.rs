//! Jobs in order, apart by priority.

use std::collections::BTreeSet;

use taskwright_core::Rank;

use crate::change::{LaneNumber, Seq};

/// Jobs of a lane in the order of their ranks, those of each priority for themselves: so that a queue
/// may become strict, and no longer be so, while it is full.
#[derive(Debug, Default)]
pub struct Levels {
    /// Of each priority that any of them has, the highest first.
    levels: Vec<(i8, BTreeSet<(Rank, Seq)>)>,
}

impl Levels {
    /// Whether there is no job.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The jobs of each priority, best first.
    pub fn iter(&self) -> impl Iterator<Item = (i8, &BTreeSet<(Rank, Seq)>)> {
        self.levels.iter().map(|(priority, jobs)| (*priority, jobs))
    }

    /// Adds a job.
    pub fn insert(&mut self, priority: i8, job: (Rank, Seq)) {
        match self.find(priority) {
            Ok(index) => {
                self.levels[index].1.insert(job);
            }
            Err(index) => self.levels.insert(index, (priority, BTreeSet::from([job]))),
        }
    }

    /// Takes a job out; whether it was there.
    pub fn remove(&mut self, priority: i8, job: (Rank, Seq)) -> bool {
        let Ok(index) = self.find(priority) else { return false };
        let jobs = &mut self.levels[index].1;
        let was_there = jobs.remove(&job);
        if jobs.is_empty() {
            self.levels.remove(index);
        }
        was_there
    }

    fn find(&self, priority: i8) -> Result<usize, usize> {
        self.levels.binary_search_by(|(other, _)| priority.cmp(other))
    }
}

/// Jobs that wait side by side: those of a lane, in a strict queue those of one priority.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The lane.
    pub lane: LaneNumber,
    /// Their priority, in a strict queue.
    pub priority: Option<i8>,
}

impl Rung {
    /// All of a lane.
    pub fn whole(lane: LaneNumber) -> Self {
        Rung { lane, priority: None }
    }

    /// Their level (`Policies::level`).
    pub fn level(self) -> i8 {
        self.priority.unwrap_or(0)
    }

    /// The keys under which they are kept that are kept by lane and priority.
    pub fn range(self) -> std::ops::RangeInclusive<(LaneNumber, i8)> {
        let (low, high) = self.priority.map_or((i8::MIN, i8::MAX), |level| (level, level));
        (self.lane, low)..=(self.lane, high)
    }
}
