//! What is known of a namespace while its lock is held: jobs that wait, the room of keys, queues and
//! tasks, and where each job is to stand. No IO: `settle` fills it, and writes down what has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use taskwright_core::placement::Cost;
use taskwright_core::{
    Extras, Labels, LineKey, Name, Policy, Requirement, Subject, Timestamp, Usage, turns,
};

use taskwright_store::Result;

use super::PolicySet;
use super::policies::lane_number;
use super::turns::Part;
use crate::lanes::{FRESH, Lane, RETURNED, SUSPECT};

/// The number of a key, queue or task.
pub(super) type Number = u64;
/// What orders jobs of a lane: rank and number.
pub(super) type Order = (i64, i64);
/// Jobs that wait side by side: of a queue, a task, and a requirement and level.
pub(super) type Triple = (Name, Name, (Requirement, i8));

/// Where a job stands that waited when the lock was taken.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Ready,
    Line(Number),
    Given,
}

/// A job that waited when the lock was taken.
pub(super) struct Waiting {
    pub rank: i64,
    /// Its rank by priority and age, whatever turn it has.
    pub age: i64,
    /// Its time to start is over: nobody is given it.
    pub is_over: bool,
    pub keys: Vec<Number>,
    /// Those of its keys that are limited, in their order.
    pub limited: Vec<(Number, Policy)>,
    /// Its lane, stand and rank in the database, …
    pub was: (i32, Stand, i64),
    /// … and as they are to be.
    pub lane: i32,
    pub stand: Stand,
}

impl Waiting {
    pub fn has_moved(&self) -> bool {
        self.was != (self.lane, self.stand, self.rank)
    }

    /// Its turn, if it is ready and was given one.
    pub fn turn(&self) -> Option<i64> {
        Some(self.rank).filter(|&rank| self.stand == Stand::Ready && turns::is_turn(rank))
    }
}

/// The first jobs of a lane or line, in order.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub found: BTreeSet<Order>,
    /// There may be more behind this one, which were not read yet.
    pub more_after: Option<Order>,
}

/// What comes first in a slice.
pub(super) enum First {
    Is(Order),
    /// Nothing, and there is nothing more.
    Nobody,
    /// What comes next was not read yet.
    Unread,
}

impl Slice {
    /// Whether nobody is known to be in it.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.more_after.is_none()
    }

    pub fn first(&self) -> First {
        match (self.found.first(), self.more_after) {
            (Some(first), Some(end)) if *first > end => First::Unread,
            (Some(first), _) => First::Is(*first),
            (None, Some(_)) => First::Unread,
            (None, None) => First::Nobody,
        }
    }
}

/// Everything that is known.
pub(super) struct Desk {
    pub now: Timestamp,
    pub namespace: i32,
    pub name: Name,
    pub set: Arc<PolicySet>,
    pub lanes: HashMap<i32, Arc<Lane>>,
    pub jobs: HashMap<i64, Waiting>,
    /// Those that were put somewhere, be it where they stood.
    put: BTreeSet<i64>,
    /// The policies of keys that jobs have.
    pub policies: HashMap<Number, Option<Policy>>,
    pub usages: HashMap<Number, Usage>,
    /// How many jobs with a key are ready, by queue and task.
    pub ready: HashMap<Number, HashMap<Triple, u32>>,
    /// Keys of `ready` of which some ready jobs were not counted.
    pub sampled: BTreeSet<Number>,
    /// Who comes first in the order of a key.
    pub heads: HashMap<Number, Option<i64>>,
    /// Who stands in the line of a key, by lane.
    pub lines: HashMap<Number, HashMap<i32, Slice>>,
    /// When the line of a key has more room by time alone, as far as it was noted.
    pub timers: HashMap<Number, Option<Timestamp>>,
    /// Keys of `timers` that are to be noted anew.
    pub retimed: BTreeSet<Number>,
    /// Keys whose lines are to be served, …
    pub touched: BTreeSet<Number>,
    /// … and those of them only since attempts ended.
    pub ended: HashSet<Number>,
    /// Ready jobs of the lanes that a claim may take from.
    pub candidates: HashMap<(i32, Part), Slice>,
    /// The turns of groups: those that ready jobs have, by queue and task, …
    pub turns: HashMap<Number, HashMap<Triple, BTreeSet<Order>>>,
    /// … and what clocks show, and the turns after the newest starts.
    pub shown: HashMap<Number, i64>,
    /// Those of `shown` that have moved on, and their clocks.
    pub turned: BTreeMap<Number, Number>,
    /// What the claim serves.
    pub served: Option<Served>,
    /// What queues and tasks have used of their policies.
    pub subjects: HashMap<Number, Usage>,
    lane_subjects: HashMap<i32, Vec<(Number, Policy)>>,
    /// When the next start is due by a rate that was used.
    pub arrivals: BTreeMap<Number, Timestamp>,
    /// Lanes that jobs go to and that have no number yet go by these.
    unnumbered: i32,
}

/// Whose jobs a claim may take.
pub(super) struct Served {
    pub queues: Vec<Name>,
    pub tasks: Option<Vec<Name>>,
    pub labels: Labels,
    pub paused: Vec<Name>,
}

impl Served {
    fn takes(&self, lane: &Lane) -> bool {
        self.queues.contains(&lane.queue)
            && self.tasks.as_ref().is_none_or(|tasks| tasks.contains(&lane.task))
            && lane.requires.matches(&self.labels)
            && !self.paused.contains(&lane.queue)
    }
}

impl Desk {
    pub fn new(now: Timestamp, namespace: i32, name: Name, set: Arc<PolicySet>) -> Self {
        Desk {
            now,
            namespace,
            name,
            set,
            lanes: HashMap::new(),
            jobs: HashMap::new(),
            put: BTreeSet::new(),
            policies: HashMap::new(),
            usages: HashMap::new(),
            ready: HashMap::new(),
            sampled: BTreeSet::new(),
            heads: HashMap::new(),
            lines: HashMap::new(),
            timers: HashMap::new(),
            retimed: BTreeSet::new(),
            touched: BTreeSet::new(),
            ended: HashSet::new(),
            candidates: HashMap::new(),
            turns: HashMap::new(),
            shown: HashMap::new(),
            turned: BTreeMap::new(),
            served: None,
            subjects: HashMap::new(),
            lane_subjects: HashMap::new(),
            arrivals: BTreeMap::new(),
            unnumbered: 0,
        }
    }

    /// What each job of a lane takes.
    pub fn cost_of(&self, lane: i32) -> Cost {
        self.lanes.get(&lane).map_or(Cost::ONE, |lane| lane.requires.cost())
    }

    pub fn triple(&self, lane: i32) -> Triple {
        let lane = self.lanes.get(&lane);
        // Lanes are read before their jobs.
        lane.map_or_else(
            || (Name::default_name(), Name::default_name(), (Requirement::default(), 0)),
            |lane| {
                let level = self.level_of(lane);
                (lane.queue.clone(), lane.task.clone(), (lane.requires.clone(), level))
            },
        )
    }

    /// The level of the jobs of a lane: in a strict queue their priority.
    fn level_of(&self, lane: &Lane) -> i8 {
        if !self.set.has_strict {
            return 0;
        }
        let priority = i8::try_from(lane.priority).unwrap_or_default();
        self.set.policies.level(&lane.queue, priority)
    }

    /// Who is first of these jobs, each with its lane, as queues have it.
    pub fn first_of(&self, jobs: impl Iterator<Item = (i32, Order)>) -> Option<i64> {
        let standing = |(lane, (rank, seq)): (i32, Order)| {
            let lane = self.lanes.get(&lane)?;
            Some((&lane.queue, self.level_of(lane), rank, seq))
        };
        taskwright_core::rank::first(jobs.filter_map(standing))
    }

    /// Which of these keys are limited, and how; they are those of `extras`, which is seldom looked at.
    pub fn limited(
        &mut self,
        lane: i32,
        keys: &[Number],
        extras: impl FnOnce() -> Result<Extras>,
    ) -> Result<Vec<(Number, Policy)>> {
        if keys.iter().any(|key| !self.policies.contains_key(key)) {
            let (queue, ..) = self.triple(lane);
            for key in LineKey::of(&queue, &extras()?) {
                let policy = self.set.policies.of_key(&key);
                self.policies.insert(key.number(&self.name), policy);
            }
        }
        let policy_of = |key: &Number| Some((*key, self.policies.get(key).copied().flatten()?));
        Ok(keys.iter().filter_map(policy_of).collect())
    }

    /// Puts a job elsewhere, with this turn or by its age; the lines of its keys are to be served then.
    pub fn put(&mut self, seq: i64, lane: i32, stand: Stand, turn: Option<i64>) {
        let Some(job) = self.jobs.get_mut(&seq) else { return };
        self.put.insert(seq);
        let (old_lane, old, old_order) = (job.lane, job.stand, (job.rank, seq));
        (job.lane, job.stand, job.rank) = (lane, stand, turn.unwrap_or(job.age));
        let (order, keys, is_over) = ((job.rank, seq), job.keys.clone(), job.is_over);
        self.touched.extend(&keys);
        keys.iter().for_each(|key| {
            self.ended.remove(key);
        });
        match old {
            Stand::Ready => {
                self.count_ready(&keys, old_lane, false);
                self.note_turn(&keys, seq, (old_lane, old, old_order.0), false);
                let part = self.part_of(old_lane, old_order.0);
                if let Some(slice) = self.candidates.get_mut(&(old_lane, part)) {
                    slice.found.remove(&old_order);
                }
            }
            Stand::Line(key) => {
                let line = self.lines.get_mut(&key).and_then(|line| line.get_mut(&old_lane));
                line.map(|slice| slice.found.remove(&old_order));
            }
            Stand::Given => {}
        }
        match stand {
            Stand::Ready => {
                self.count_ready(&keys, lane, true);
                self.note_turn(&keys, seq, (lane, stand, order.0), true);
                if !is_over && self.serves(lane) {
                    let part = self.part_of(lane, order.0);
                    self.candidates.entry((lane, part)).or_default().found.insert(order);
                }
            }
            Stand::Line(key) => {
                if let Some(line) = self.lines.get_mut(&key) {
                    line.entry(lane).or_default().found.insert(order);
                }
            }
            Stand::Given => {}
        }
    }

    /// The jobs that do not stand where the database says, by number.
    pub fn moved(&self) -> impl Iterator<Item = (i64, &Waiting)> {
        let put = self.put.iter().filter_map(|seq| Some((*seq, self.jobs.get(seq)?)));
        put.filter(|(_, job)| job.has_moved())
    }

    pub fn serves(&self, lane: i32) -> bool {
        let lane = self.lanes.get(&lane);
        lane.zip(self.served.as_ref()).is_some_and(|(lane, served)| served.takes(lane))
    }

    /// How many jobs with a key are ready of a lane, as far as is known.
    pub fn ready_in(&self, key: Number, triple: &Triple) -> u32 {
        self.ready.get(&key).and_then(|ready| ready.get(triple)).copied().unwrap_or(0)
    }

    fn count_ready(&mut self, keys: &[Number], lane: i32, is_more: bool) {
        let triple = self.triple(lane);
        for key in keys {
            let Some(ready) = self.ready.get_mut(key) else { continue };
            let count = ready.entry(triple.clone()).or_default();
            *count = if is_more { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// Brings what was just read of the database on keys to where jobs have been put meanwhile.
    pub fn catch_up_ready(&mut self, keys: &[Number]) {
        let keys: HashSet<Number> = keys.iter().copied().collect();
        let of_them = |job: &Waiting| -> Vec<Number> {
            job.keys.iter().copied().filter(|key| keys.contains(key)).collect()
        };
        let moved = self.moved().map(|(_, job)| (of_them(job), job.was, job.lane, job.stand));
        let moved: Vec<_> = moved.filter(|(keys, ..)| !keys.is_empty()).collect();
        for (keys, (old_lane, old, _), lane, stand) in moved {
            if old == Stand::Ready {
                self.count_ready(&keys, old_lane, false);
            }
            if stand == Stand::Ready {
                self.count_ready(&keys, lane, true);
            }
        }
    }

    /// The same for who stands in the lines of keys.
    pub fn catch_up_lines(&mut self, keys: &[Number]) {
        let keys: HashSet<Number> = keys.iter().copied().collect();
        let parked = self.moved().filter_map(|(seq, job)| match job.stand {
            Stand::Line(key) => Some((key, job.lane, (job.rank, seq))),
            Stand::Ready | Stand::Given => None,
        });
        let parked: Vec<_> = parked.filter(|(key, ..)| keys.contains(key)).collect();
        for (key, lane, order) in parked {
            self.lines.entry(key).or_default().entry(lane).or_default().found.insert(order);
        }
    }

    /// The lane of jobs that come back beside this one; where it has no number yet, it is given one of
    /// its own, which is negative.
    pub fn returned(&mut self, lane: i32, known: impl Fn(&Lane) -> Option<i32>) -> i32 {
        let Some(from) = self.lanes.get(&lane).filter(|lane| lane.kind == FRESH) else {
            return lane;
        };
        let to = Lane { kind: RETURNED, ..Lane::clone(from) };
        if let Some((number, _)) = self.lanes.iter().find(|(_, lane)| ***lane == to) {
            return *number;
        }
        let number = known(&to).unwrap_or_else(|| {
            self.unnumbered -= 1;
            self.unnumbered
        });
        self.lanes.insert(number, Arc::new(to));
        number
    }

    /// Lanes that jobs are to go to and that have no number yet.
    pub fn new_lanes(&self) -> Vec<Lane> {
        let used: BTreeSet<i32> = self.moved().map(|(_, job)| job.lane).collect();
        let used = used.range(..0);
        used.filter_map(|lane| Some(Lane::clone(self.lanes.get(lane)?))).collect()
    }

    pub fn is_suspect(&self, lane: i32) -> bool {
        self.lanes.get(&lane).is_some_and(|lane| lane.kind == SUSPECT)
    }

    /// How many more jobs with this key may start; its usage is known.
    pub fn room_of_key(&self, key: Number, policy: &Policy) -> u32 {
        policy.room(self.usages.get(&key).copied().unwrap_or_default(), self.now)
    }

    /// How many jobs with this key may be ready in a lane; its usage is known.
    pub fn ready_room(&self, key: Number, policy: &Policy) -> u32 {
        policy.ready_room(self.usages.get(&key).copied().unwrap_or_default(), self.now)
    }

    /// What limits the queue and the task of a lane.
    fn subjects_of(&mut self, lane: i32) -> Vec<(Number, Policy)> {
        if let Some(subjects) = self.lane_subjects.get(&lane) {
            return subjects.clone();
        }
        let (queue, task, _) = self.triple(lane);
        let policies = &self.set.policies;
        let (of_queue, of_task) = (policies.of_queue(&queue), policies.of_task(&task));
        let both = [(Subject::Queue(queue), of_queue), (Subject::Task(task), of_task)];
        let limited = both
            .into_iter()
            .filter_map(|(subject, policy)| Some((lane_number(&self.name, &subject)?, *policy?)));
        let subjects: Vec<_> = limited.collect();
        self.lane_subjects.insert(lane, subjects.clone());
        subjects
    }

    /// Whether queue and task let a job of this lane start.
    pub fn lane_has_room(&mut self, lane: i32) -> bool {
        self.subjects_of(lane).into_iter().all(|(number, policy)| {
            let usage = self.subjects.get(&number).copied().unwrap_or_default();
            policy.room(usage, self.now) > 0
        })
    }

    /// When the queue or the task of a lane has room again, by time alone; `None`: it has room, or time
    /// alone makes none.
    pub fn lane_grows_at(&mut self, lane: i32) -> Option<Timestamp> {
        let now = self.now;
        let subjects = self.subjects_of(lane).into_iter();
        let grows_at = |(number, policy): (Number, Policy)| {
            let usage = self.subjects.get(&number).copied().unwrap_or_default();
            if policy.room(usage, now) > 0 { None } else { policy.grows_at(usage, now) }
        };
        subjects.filter_map(grows_at).min()
    }

    /// A job starts.
    pub fn give(&mut self, seq: i64) {
        let Some(job) = self.jobs.get(&seq) else { return };
        let (lane, limited) = (job.lane, job.limited.clone());
        for (key, policy) in limited {
            let usage = self.usages.entry(key).or_default();
            *usage = usage.started(&policy, self.now);
            if policy.rate.is_some() {
                self.arrivals.insert(key, usage.arrival);
            }
        }
        for (number, policy) in self.subjects_of(lane) {
            let usage = self.subjects.entry(number).or_default();
            *usage = usage.started(&policy, self.now);
            if policy.rate.is_some() {
                self.arrivals.insert(number, usage.arrival);
            }
        }
        self.take_turn(seq);
        self.put(seq, lane, Stand::Given, None);
    }

    /// Notes when the line of a key has more room by time alone, if it has one.
    pub fn set_timer(&mut self, key: Number, has_line: bool) {
        let policy = self.policies.get(&key).copied().flatten().filter(|_| has_line);
        let usage = self.usages.get(&key).copied().unwrap_or_default();
        let grows_at = policy.and_then(|policy| policy.grows_at(usage, self.now));
        if self.timers.insert(key, grows_at) != Some(grows_at) {
            self.retimed.insert(key);
        }
    }

    /// The queues of jobs that became ready.
    pub fn readied(&self) -> BTreeSet<Name> {
        let readied = self.moved().filter(|(_, job)| job.stand == Stand::Ready);
        readied.map(|(_, job)| self.triple(job.lane).0).collect()
    }
}
