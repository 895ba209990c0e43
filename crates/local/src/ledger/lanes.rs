//! Lanes: where ready jobs wait, and which of them a worker is offered.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use taskwright_core::limits::LANES_MAX;
use taskwright_core::placement::Cost;
use taskwright_core::{Extras, Name, Requirement, Timestamp};
use taskwright_store::{Profile, Refusal};

use super::counters::Counters;
use super::levels::Levels;
use crate::change::{Fixed, Lane as LaneFact, LaneNumber};

/// Profiles remembered; beyond that they are matched anew.
const PROFILES_MAX: usize = 4_096;

/// Jobs of one task in one queue that require the same of their worker.
#[derive(Debug)]
pub struct Lane {
    /// The tenant.
    pub namespace: Name,
    /// The queue.
    pub queue: Name,
    /// The task.
    pub task: Name,
    /// What its jobs require of their worker.
    pub requires: Requirement,
    /// What each of its jobs takes.
    pub cost: Cost,
    /// The queue's place in [`Lanes::queues`].
    pub queue_index: usize,
    /// Ready jobs.
    pub ready: Levels,
    /// Ready jobs that were lost with their worker so often that a worker gets one at a time.
    pub suspects: Levels,
    /// Jobs that run.
    pub running: u32,
}

impl Lane {
    /// The extras of a job of this lane, with what it requires.
    pub fn extras_of(&self, fixed: &Fixed) -> Extras {
        let extras = fixed.extras.as_deref().cloned().unwrap_or_default();
        Extras { requires: self.requires.clone(), ..extras }
    }
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    /// The tenant.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Whether its jobs stay where they are.
    pub paused: bool,
    /// How many of its jobs are where.
    pub counters: Counters,
    /// How many ready jobs became due in which second.
    pub ready_since: BTreeMap<i64, u32>,
    /// Its lanes.
    pub lanes: Vec<LaneNumber>,
}

/// Namespace, queue, task and requirement of a lane.
pub type LaneName = (Name, Name, Name, Requirement);

/// All lanes and queues.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// All queues. Their order means nothing.
    pub queues: Vec<Queue>,
    lane_numbers: FxHashMap<LaneName, LaneNumber>,
    queue_indexes: FxHashMap<(Name, Name), usize>,
    profiles: FxHashMap<(Name, Arc<Profile>), Arc<Vec<LaneNumber>>>,
}

impl Lanes {
    /// A lane.
    pub fn get(&self, number: LaneNumber) -> &Lane {
        &self.lanes[number as usize]
    }

    /// A lane, to change.
    pub fn get_mut(&mut self, number: LaneNumber) -> &mut Lane {
        &mut self.lanes[number as usize]
    }

    /// The queue of a lane.
    pub fn queue_of(&self, number: LaneNumber) -> &Queue {
        &self.queues[self.get(number).queue_index]
    }

    /// How many lanes there are.
    pub fn count(&self) -> usize {
        self.lanes.len()
    }

    /// How many jobs of a task run, over all queues.
    pub fn running_of_task(&self, namespace: &Name, task: &Name) -> u32 {
        let of_task = |lane: &&Lane| lane.task == *task && lane.namespace == *namespace;
        self.lanes.iter().filter(of_task).map(|lane| lane.running).sum()
    }

    /// The number of a lane, where it exists.
    pub fn number(&self, name: &LaneName) -> Option<LaneNumber> {
        self.lane_numbers.get(name).copied()
    }

    /// A queue's index, where it exists.
    pub fn queue_index(&self, namespace: &Name, queue: &Name) -> Option<usize> {
        self.queue_indexes.get(&(namespace.clone(), queue.clone())).copied()
    }

    /// The index of a queue, made where it did not exist.
    pub fn queue_or_new(&mut self, namespace: &Name, queue: &Name) -> usize {
        let key = (namespace.clone(), queue.clone());
        *self.queue_indexes.entry(key).or_insert_with(|| {
            self.queues.push(Queue {
                namespace: namespace.clone(),
                name: queue.clone(),
                paused: false,
                counters: Counters::default(),
                ready_since: BTreeMap::new(),
                lanes: Vec::new(),
            });
            self.queues.len() - 1
        })
    }

    /// Whether `more` lanes fit.
    pub fn check_room(&self, more: usize) -> Result<(), Refusal> {
        if self.lanes.len() + more > LANES_MAX {
            return Err(Refusal::LanesFull { max: LANES_MAX });
        }
        Ok(())
    }

    /// Makes a lane that does not exist yet.
    pub fn add(&mut self, name: LaneName) -> LaneFact {
        let number = self.lanes.len() as LaneNumber;
        let (namespace, queue, task, requires) = name.clone();
        let queue_index = self.queue_or_new(&namespace, &queue);
        let fact = LaneFact {
            number,
            namespace: namespace.as_str().into(),
            queue: queue.as_str().into(),
            task: task.as_str().into(),
            requires: requires.to_string().into(),
        };
        self.queues[queue_index].lanes.push(number);
        self.lanes.push(Lane {
            namespace,
            queue,
            task,
            cost: requires.cost(),
            requires,
            queue_index,
            ready: Levels::default(),
            suspects: Levels::default(),
            running: 0,
        });
        self.lane_numbers.insert(name, number);
        // Profiles that match the new lane must offer it.
        self.profiles.clear();
        fact
    }

    /// The lanes that a worker with this profile is offered.
    pub fn matching(&mut self, namespace: &Name, profile: &Arc<Profile>) -> Arc<Vec<LaneNumber>> {
        let key = (namespace.clone(), Arc::clone(profile));
        if let Some(lanes) = self.profiles.get(&key) {
            return Arc::clone(lanes);
        }
        if self.profiles.len() >= PROFILES_MAX {
            self.profiles.clear();
        }
        let serves = |lane: &Lane| {
            lane.namespace == *namespace && profile.matches(&lane.queue, &lane.task, &lane.requires)
        };
        let numbers = (0..self.lanes.len() as LaneNumber).filter(|&n| serves(self.get(n)));
        let lanes = Arc::new(numbers.collect::<Vec<_>>());
        self.profiles.insert(key, Arc::clone(&lanes));
        lanes
    }
}

/// The second in which an instant lies, for [`Queue::ready_since`].
pub fn second(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}
