//! What a claim may still take of what is limited.

use rustc_hash::FxHashMap;
use taskwright_core::{LineKey, Name, Policy, StateName, Subject, Timestamp, Usage};

use super::Ledger;
use super::counters::Slot;
use super::levels::Rung;
use super::limits::{Key, KeyNumber};
use crate::change::{Arrival, Change, LaneNumber, Seq};

impl Ledger {
    /// When a line, or a lane that is held back, has more room by time alone.
    pub fn next_room_at(&self) -> Option<Timestamp> {
        let of_lines = self.limits.timer.first().map(|&(at, _)| at);
        let held_back = (0..self.lanes.count() as LaneNumber)
            .filter(|_| !self.limits.policies.is_empty())
            .filter(|&number| {
                let lane = self.lanes.get(number);
                !lane.ready.is_empty() || !lane.suspects.is_empty()
            });
        let of_lanes = held_back.flat_map(|number| {
            let limits = self.lane_limits(number).into_iter();
            let full = limits.filter(|limit| limit.room(self.now) == 0);
            full.filter_map(|limit| limit.policy.grows_at(limit.usage, self.now)).min()
        });
        of_lines.into_iter().chain(of_lanes).min()
    }

    /// What limits the queue and the task of a lane.
    fn lane_limits(&self, number: LaneNumber) -> Vec<LaneLimit> {
        let lane = self.lanes.get(number);
        let Some(policies) = self.limits.policies.get(&lane.namespace) else { return Vec::new() };
        let queue = policies.of_queue(&lane.queue).map(|policy| {
            let counters = &self.lanes.queues[lane.queue_index].counters;
            let running = counters.get(Slot::State(StateName::Running));
            let subject = Subject::Queue(lane.queue.clone());
            (subject, *policy, u32::try_from(running).unwrap_or(u32::MAX))
        });
        let task = policies.of_task(&lane.task).map(|policy| {
            let running = self.lanes.running_of_task(&lane.namespace, &lane.task);
            (Subject::Task(lane.task.clone()), *policy, running)
        });
        let limit = |(subject, policy, running): (Subject, Policy, u32)| {
            let number = lane_number(&lane.namespace, &subject);
            LaneLimit { number, policy, usage: self.limits.usage(number, running) }
        };
        queue.into_iter().chain(task).map(limit).collect()
    }

    /// A job starts: the tokens of its rates are taken.
    pub(super) fn take_tokens(&mut self, seq: Seq) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let lane = entry.fixed.lane;
        if !self.limits.has_policies(&self.lanes.get(lane).namespace) {
            return;
        }
        let limited = |number: KeyNumber| Some((number, self.limits.keys.get(&number)?.policy?));
        let keys = entry.keys();
        let keys = keys.iter().flat_map(|keys| keys.iter().copied()).filter_map(limited);
        let lanes = self.lane_limits(lane).into_iter().map(|limit| (limit.number, limit.policy));
        let with_rate: Vec<_> = keys.chain(lanes).filter(|(_, p)| p.rate.is_some()).collect();
        self.limits.took_tokens |= !with_rate.is_empty();
        for (number, policy) in with_rate {
            let at = self.limits.usage(number, 0).started(&policy, self.now).arrival;
            self.limits.arrivals.insert(number, at);
            self.changes.push(Change::Arrival(Arrival { number, at }));
        }
    }

    /// Whether tokens of rates were taken since this was asked last.
    pub fn take_took_tokens(&mut self) -> bool {
        std::mem::take(&mut self.limits.took_tokens)
    }

    /// What a claim may still take of what is limited.
    pub(super) fn allowance(&self) -> Allowance<'_> {
        Allowance {
            ledger: self,
            rooms: FxHashMap::default(),
            lanes: FxHashMap::default(),
            of_groups: FxHashMap::default(),
        }
    }
}

/// What limits a queue or a task.
struct LaneLimit {
    number: u64,
    policy: Policy,
    usage: Usage,
}

impl LaneLimit {
    fn room(&self, now: Timestamp) -> u32 {
        self.policy.room(self.usage, now)
    }
}

/// How a claim finds a job.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may start.
    Free,
    /// Its queue or its task has no room: it stays where it is.
    LaneFull,
    /// This key has no room: the job waits in its line.
    KeyFull(KeyNumber),
}

/// What one claim may still take, of the keys and lanes that it has met.
pub(super) struct Allowance<'a> {
    ledger: &'a Ledger,
    /// Room by the number of a key, or of the limit of a queue or task.
    rooms: FxHashMap<u64, u32>,
    /// The limits of a lane, by number.
    lanes: FxHashMap<LaneNumber, Vec<u64>>,
    /// How many it has taken of a group that takes turns, by lane.
    of_groups: FxHashMap<(KeyNumber, LaneNumber), u32>,
}

impl Allowance<'_> {
    /// Whether a job may start; if so, its room is taken.
    pub fn take(&mut self, seq: Seq) -> Room {
        let ledger = self.ledger;
        let Some(entry) = ledger.jobs.get(&seq) else { return Room::LaneFull };
        if self.is_full(entry.fixed.lane) {
            return Room::LaneFull;
        }
        let of_lane = self.limits_of(entry.fixed.lane);
        let keys = entry.keys();
        let keys = keys.as_deref().unwrap_or_default();
        for &number in keys {
            let key = ledger.limits.keys.get(&number);
            let waits_for_turn = key.is_some_and(Key::takes_turns) && entry.turn().is_none();
            let is_ordered = key.is_some_and(Key::is_ordered);
            if waits_for_turn || (is_ordered && ledger.limits.head(number) != Some(seq)) {
                return Room::KeyFull(number);
            }
            let room = || ledger.limits.room_of_key(number, ledger.now);
            if *self.rooms.entry(number).or_insert_with(room) == 0 {
                return Room::KeyFull(number);
            }
        }
        for number in of_lane.into_iter().chain(keys.iter().copied()) {
            if let Some(room) = self.rooms.get_mut(&number).filter(|room| **room != u32::MAX) {
                *room -= 1;
            }
        }
        Room::Free
    }

    /// Whether a job that was just taken was the last of its group in its lane that had a turn, while
    /// others stand in line for one.
    pub fn was_last_of_group(&mut self, seq: Seq) -> bool {
        let ledger = self.ledger;
        let Some(entry) = ledger.jobs.get(&seq).filter(|entry| entry.turn().is_some()) else {
            return false;
        };
        let Some(&number) = entry.keys().as_deref().and_then(<[KeyNumber]>::first) else {
            return false;
        };
        let lane = entry.fixed.lane;
        let Some(key) = ledger.limits.keys.get(&number).filter(|key| key.takes_turns()) else {
            return false;
        };
        let taken = self.of_groups.entry((number, lane)).or_insert(0);
        *taken += 1;
        *taken >= key.ready_in(Rung::whole(lane))
            && key.has_line_in(Rung::whole(lane))
            && self.rooms.get(&number) != Some(&0)
    }

    /// Whether the queue or the task of a lane has no room.
    pub fn is_full(&mut self, lane: LaneNumber) -> bool {
        self.limits_of(lane).iter().any(|number| self.rooms.get(number) == Some(&0))
    }

    fn limits_of(&mut self, lane: LaneNumber) -> Vec<u64> {
        if let Some(numbers) = self.lanes.get(&lane) {
            return numbers.clone();
        }
        let limits = self.ledger.lane_limits(lane);
        for limit in &limits {
            self.rooms.entry(limit.number).or_insert_with(|| limit.room(self.ledger.now));
        }
        let numbers: Vec<u64> = limits.iter().map(|limit| limit.number).collect();
        self.lanes.insert(lane, numbers.clone());
        numbers
    }
}

/// The number under which the arrival time of a queue or task is kept.
fn lane_number(namespace: &Name, subject: &Subject) -> u64 {
    let (kind, name) = match subject {
        Subject::Queue(name) => ("queue", name),
        Subject::Task(name) => ("task", name),
        Subject::Group { .. } | Subject::Key(_) => return 0,
    };
    // A limit key with such a text would have another kind.
    let queue = LineKey::Group { queue: name.clone(), group: format!("\0{kind}").into() };
    queue.number(namespace)
}
