//! Policies: what may start, and who stands in which line.
//!
//! A key (group or limit key) that live jobs have is kept with what it uses and who waits for it. All
//! of that follows from the jobs; only the arrival times of rates are facts of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use taskwright_core::lifecycle::{Event, step};
use taskwright_core::limits::{CLAIM_LOOKS_MAX, POLICIES_MAX, PROMOTIONS_MAX};
use taskwright_core::{
    Extras, LineKey, Name, Place, Policies, Policy, Rank, State, Subject, Timestamp, Usage,
};
use taskwright_store::Controlled;

use super::Ledger;
use super::counters::Slot;
use super::entry::Entry;
use crate::change::{Arrival, Change, Fixed, LaneNumber, PolicyFact, Seq, Vital};

/// The number of a key's line.
pub type KeyNumber = u64;

/// Everything that limits what may start.
#[derive(Debug, Default)]
pub struct Limits {
    policies: FxHashMap<Name, Policies>,
    keys: FxHashMap<KeyNumber, Key>,
    /// When the next start is due by a rate, of keys, queues and tasks.
    arrivals: FxHashMap<u64, Timestamp>,
    /// Keys whose line has more room by time alone, and when.
    timer: BTreeSet<(Timestamp, KeyNumber)>,
    /// Keys whose lines are to be served.
    touched: BTreeSet<KeyNumber>,
}

/// A key that live jobs have.
#[derive(Debug)]
struct Key {
    namespace: Name,
    key: LineKey,
    policy: Option<Policy>,
    running: u32,
    /// How many of its jobs are ready, by lane.
    ready: FxHashMap<LaneNumber, u32>,
    /// Who stands in its line, best first, by lane.
    lines: BTreeMap<LaneNumber, BTreeSet<(Rank, Seq)>>,
    /// Its place in the timer.
    grows_at: Option<Timestamp>,
}

impl Key {
    fn is_unused(&self) -> bool {
        self.running == 0 && self.ready.is_empty() && self.lines.is_empty()
    }

    fn ready_in(&self, lane: LaneNumber) -> u32 {
        self.ready.get(&lane).copied().unwrap_or(0)
    }
}

impl Limits {
    /// Whether anything in this namespace is limited; if not, nobody has to ask.
    pub fn has_policies(&self, namespace: &Name) -> bool {
        self.policies.contains_key(namespace)
    }

    /// Whether there is any policy.
    pub fn has_any(&self) -> bool {
        !self.policies.is_empty()
    }

    /// The policies of a namespace, by subject.
    pub fn policies(&self, namespace: &Name) -> Vec<(Subject, Policy)> {
        let policies = self.policies.get(namespace).into_iter().flat_map(Policies::iter);
        policies.map(|(subject, policy)| (subject.clone(), *policy)).collect()
    }

    /// Every policy there is, by namespace and subject.
    pub fn all_policies(&self) -> Vec<(Name, Subject, Policy)> {
        let of = |namespace: &Name| {
            let named = |(subject, policy)| (namespace.clone(), subject, policy);
            self.policies(namespace).into_iter().map(named).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.policies.keys().flat_map(of).collect();
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    }

    /// Sets a policy as it was set before.
    pub fn restore(&mut self, fact: &PolicyFact) {
        let PolicyFact { namespace, subject, policy } = fact;
        let policies = self.policies.entry(namespace.clone()).or_default();
        policies.set(subject.clone(), *policy);
        if policies.is_empty() {
            self.policies.remove(namespace);
        }
        let policies = &self.policies;
        for key in self.keys.values_mut().filter(|key| key.namespace == *namespace) {
            key.policy = policies.get(namespace).and_then(|set| set.of_key(&key.key)).copied();
        }
    }

    /// Sets an arrival time as it was set before.
    pub fn restore_arrival(&mut self, arrival: Arrival) {
        self.arrivals.insert(arrival.number, arrival.at);
    }

    fn usage(&self, number: u64, running: u32) -> Usage {
        let arrival = self.arrivals.get(&number).copied().unwrap_or(Timestamp::ZERO);
        Usage { running, arrival }
    }

    /// How many more jobs with this key may start now.
    fn room_of_key(&self, number: KeyNumber, now: Timestamp) -> u32 {
        let Some(key) = self.keys.get(&number) else { return u32::MAX };
        let Some(policy) = &key.policy else { return u32::MAX };
        policy.room(self.usage(number, key.running), now)
    }

    fn is_limited(&self, number: KeyNumber) -> bool {
        self.keys.get(&number).is_some_and(|key| key.policy.is_some())
    }

    /// The best of the line of a key in a lane where it has room for one more to be ready.
    fn next_in_line(&self, number: KeyNumber, now: Timestamp) -> Option<Seq> {
        let key = self.keys.get(&number)?;
        let room = self.room_of_key(number, now);
        let open = key.lines.iter().filter(|(lane, _)| key.ready_in(**lane) < room);
        open.filter_map(|(_, line)| line.first()).min().map(|&(_, seq)| seq)
    }

    /// Notes when the line of a key has more room by time alone.
    fn set_timer(&mut self, number: KeyNumber, now: Timestamp) {
        let Some(key) = self.keys.get(&number) else { return };
        let usage = self.usage(number, key.running);
        let policy = key.policy.filter(|_| !key.lines.is_empty());
        let grows_at = policy.and_then(|policy| policy.grows_at(usage, now));
        let Some(key) = self.keys.get_mut(&number) else { return };
        if key.grows_at != grows_at {
            key.grows_at.inspect(|&at| {
                self.timer.remove(&(at, number));
            });
            grows_at.inspect(|&at| {
                self.timer.insert((at, number));
            });
            key.grows_at = grows_at;
        }
    }

    fn touch(&mut self, number: KeyNumber) {
        let has_line = |key: &Key| !key.lines.is_empty() || key.grows_at.is_some();
        if self.keys.get(&number).is_some_and(has_line) {
            self.touched.insert(number);
        }
    }

    /// Those of the keys that nobody has any more are forgotten.
    fn forget_if_unused(&mut self, number: KeyNumber) {
        if self.keys.get(&number).is_some_and(Key::is_unused)
            && let Some(key) = self.keys.remove(&number)
            && let Some(at) = key.grows_at
        {
            self.timer.remove(&(at, number));
        }
    }

    /// Arrival times that have passed say nothing any more.
    fn forget_arrivals(&mut self, now: Timestamp) {
        self.arrivals.retain(|_, at| *at > now);
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

impl Ledger {
    /// See `Store::policies`.
    pub fn policies(&self, namespace: &Name) -> Vec<(Subject, Policy)> {
        self.limits.policies(namespace)
    }

    pub(super) fn set_policy(
        &mut self,
        namespace: Name,
        subject: Subject,
        policy: Option<Policy>,
    ) -> Controlled {
        let policy = policy.filter(|policy| !policy.is_empty());
        let known = self.limits.policies.get(&namespace);
        let is_known = known.is_some_and(|policies| policies.contains(&subject));
        if policy.is_some() && !is_known && known.is_some_and(|all| all.len() >= POLICIES_MAX) {
            return Controlled::PoliciesFull { max: POLICIES_MAX };
        }
        if policy.is_some() || is_known {
            let fact = PolicyFact { namespace, subject, policy };
            self.limits.restore(&fact);
            let lines = self.limits.keys.iter().filter(|(_, key)| !key.lines.is_empty());
            let of_namespace = lines.filter(|(_, key)| key.namespace == fact.namespace);
            let touched: Vec<_> = of_namespace.map(|(number, _)| *number).collect();
            self.limits.touched.extend(touched);
            self.changes.push(Change::Policy(Box::new(fact)));
            // Lanes that were held back may have room now.
            self.became_ready = true;
        }
        Controlled::Done { state: None }
    }

    /// The keys of a job, in their order.
    fn line_keys(&self, fixed: &Fixed) -> Vec<LineKey> {
        let queue = &self.lanes.get(fixed.lane).queue;
        fixed.extras.as_ref().map(|extras| LineKey::of(queue, extras)).unwrap_or_default()
    }

    /// Their numbers.
    fn keys_of(&self, fixed: &Fixed) -> Vec<KeyNumber> {
        let namespace = &self.lanes.get(fixed.lane).namespace;
        self.line_keys(fixed).iter().map(|key| key.number(namespace)).collect()
    }

    /// Makes sure that the keys of a job are known.
    fn meet_keys(&mut self, fixed: &Fixed) {
        let keys = self.line_keys(fixed);
        let namespace = &self.lanes.get(fixed.lane).namespace;
        let policies = self.limits.policies.get(namespace);
        for key in keys {
            self.limits.keys.entry(key.number(namespace)).or_insert_with(|| Key {
                namespace: namespace.clone(),
                policy: policies.and_then(|policies| policies.of_key(&key)).copied(),
                key,
                running: 0,
                ready: FxHashMap::default(),
                lines: BTreeMap::new(),
                grows_at: None,
            });
        }
    }

    /// The place of a job that is due: with a limited key, the line of the first.
    pub(super) fn lined_up(&self, fixed: &Fixed, vital: Vital) -> Vital {
        let is_ready = matches!(vital.life.state, State::Available(Place::Ready(_)));
        if !is_ready || !is_keyed(fixed) {
            return vital;
        }
        let namespace = &self.lanes.get(fixed.lane).namespace;
        let Some(policies) = self.limits.policies.get(namespace) else { return vital };
        let keys = self.line_keys(fixed);
        let Some(key) = keys.iter().find(|key| policies.of_key(key).is_some()) else {
            return vital;
        };
        let park = Event::Park { key: key.number(namespace) };
        step(&vital.life, &park).map_or(vital, |life| Vital { life, ..vital })
    }

    /// Puts a job where its keys find it.
    pub(super) fn link_keys(&mut self, seq: Seq, vital: &Vital) {
        let Some(entry) = self.jobs.get(&seq).filter(|entry| is_keyed(&entry.fixed)) else {
            return;
        };
        if vital.life.state.is_final() {
            return;
        }
        let fixed = Arc::clone(&entry.fixed);
        let (rank, lane) = (entry.rank_at(vital.due_at), fixed.lane);
        self.meet_keys(&fixed);
        for number in self.keys_of(&fixed) {
            let Some(key) = self.limits.keys.get_mut(&number) else { continue };
            match vital.life.state {
                State::Available(Place::Ready(_)) => *key.ready.entry(lane).or_insert(0) += 1,
                State::Available(Place::Line(line)) if line == number => {
                    key.lines.entry(lane).or_default().insert((rank, seq));
                }
                State::Running(_) => key.running += 1,
                _ => {}
            }
            self.limits.touch(number);
            self.limits.forget_if_unused(number);
        }
    }

    /// A job that stands in a line has another priority, and so another rank.
    pub(super) fn rerank(&mut self, seq: Seq, vital: &Vital, old: Rank) {
        let State::Available(Place::Line(number)) = vital.life.state else { return };
        let Some(entry) = self.jobs.get(&seq) else { return };
        let (new, lane) = (entry.rank_at(vital.due_at), entry.fixed.lane);
        let line = self.limits.keys.get_mut(&number).and_then(|key| key.lines.get_mut(&lane));
        if let Some(line) = line
            && line.remove(&(old, seq))
        {
            line.insert((new, seq));
        }
    }

    /// Takes a job from where its keys found it; `rank` is the one it had.
    pub(super) fn unlink_keys(&mut self, seq: Seq, vital: &Vital) {
        let Some(entry) = self.jobs.get(&seq).filter(|entry| is_keyed(&entry.fixed)) else {
            return;
        };
        let (rank, lane) = (entry.rank_at(vital.due_at), entry.fixed.lane);
        for number in self.keys_of(&entry.fixed) {
            let Some(key) = self.limits.keys.get_mut(&number) else { continue };
            match vital.life.state {
                State::Available(Place::Ready(_)) => {
                    if let Some(ready) = key.ready.get_mut(&lane) {
                        *ready -= 1;
                        if *ready == 0 {
                            key.ready.remove(&lane);
                        }
                    }
                }
                State::Available(Place::Line(line)) if line == number => {
                    if let Some(places) = key.lines.get_mut(&lane) {
                        places.remove(&(rank, seq));
                        if places.is_empty() {
                            key.lines.remove(&lane);
                        }
                    }
                }
                State::Running(_) => key.running -= 1,
                _ => {}
            }
            self.limits.touch(number);
            self.limits.forget_if_unused(number);
        }
    }

    /// About how many bytes of changes serving lines adds to those of one request, rather too many.
    pub fn settling_bytes(&self) -> u64 {
        match self.limits.has_any() {
            true => 128 * (PROMOTIONS_MAX + CLAIM_LOOKS_MAX) as u64,
            false => 0,
        }
    }

    /// Serves the lines of the keys that were touched; how many jobs left one, at most `limit`.
    pub(super) fn settle(&mut self, limit: usize) -> usize {
        let mut promoted = 0;
        while let Some(number) = self.limits.touched.pop_first() {
            while let Some(seq) = self.limits.next_in_line(number, self.now) {
                if promoted == limit {
                    self.limits.touched.insert(number);
                    return promoted;
                }
                self.promote(seq, number);
                promoted += 1;
            }
            self.limits.set_timer(number, self.now);
        }
        promoted
    }

    /// Whether a line is still to be served.
    pub(super) fn has_touched(&self) -> bool {
        !self.limits.touched.is_empty()
    }

    /// Lines that have more room by time alone are to be served.
    pub(super) fn touch_due_lines(&mut self) {
        while let Some(&(at, number)) = self.limits.timer.first()
            && at <= self.now
        {
            self.limits.timer.remove(&(at, number));
            if let Some(key) = self.limits.keys.get_mut(&number) {
                key.grows_at = None;
            }
            self.limits.touched.insert(number);
        }
        self.limits.forget_arrivals(self.now);
    }

    /// After replaying: of the lines only those are to be served that were not served to the end, and
    /// the others wait for their time.
    pub(super) fn resume_lines(&mut self) {
        let touched = std::mem::take(&mut self.limits.touched);
        for number in touched {
            match self.limits.next_in_line(number, self.now) {
                Some(_) => {
                    self.limits.touched.insert(number);
                }
                None => self.limits.set_timer(number, self.now),
            }
        }
    }

    fn promote(&mut self, seq: Seq, number: KeyNumber) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let (vital, lane) = (entry.vital(), entry.fixed.lane);
        let rank = entry.rank_at(vital.due_at);
        let Ok(mut life) = step(&vital.life, &Event::Promote { rank }) else { return };
        let others = self.keys_of(&entry.fixed).into_iter().filter(|&key| key != number);
        let mut limited = others.filter(|&other| self.limits.is_limited(other));
        let stopping = limited.find(|other| {
            let Some(key) = self.limits.keys.get(other) else { return false };
            key.lines.contains_key(&lane)
                || key.ready_in(lane) >= self.limits.room_of_key(*other, self.now)
        });
        if let Some(key) = stopping
            && let Ok(parked) = step(&life, &Event::Park { key })
        {
            life = parked;
        }
        self.set_placed(seq, Vital { life, ..vital }, None);
    }

    /// Puts a ready job into the line of a key.
    pub(super) fn park(&mut self, seq: Seq, key: KeyNumber) {
        let Some(vital) = self.jobs.get(&seq).map(Entry::vital) else { return };
        if let Ok(life) = step(&vital.life, &Event::Park { key }) {
            self.set_placed(seq, Vital { life, ..vital }, None);
        }
    }

    /// When a line, or a lane that is held back, has more room by time alone.
    pub(super) fn next_room_at(&self) -> Option<Timestamp> {
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
            let running = counters.get(Slot::State(taskwright_core::StateName::Running));
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
        let keys = self.keys_of(&entry.fixed).into_iter().filter_map(limited);
        let lanes = self.lane_limits(lane).into_iter().map(|limit| (limit.number, limit.policy));
        let with_rate: Vec<_> = keys.chain(lanes).filter(|(_, p)| p.rate.is_some()).collect();
        for (number, policy) in with_rate {
            let at = self.limits.usage(number, 0).started(&policy, self.now).arrival;
            self.limits.arrivals.insert(number, at);
            self.changes.push(Change::Arrival(Arrival { number, at }));
        }
    }

    /// What a claim may still take of what is limited.
    pub(super) fn allowance(&self) -> Allowance<'_> {
        Allowance { ledger: self, rooms: FxHashMap::default(), lanes: FxHashMap::default() }
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
}

impl Allowance<'_> {
    /// Whether a job may start; if so, its room is taken.
    pub fn take(&mut self, seq: Seq) -> Room {
        let ledger = self.ledger;
        let Some(entry) = ledger.jobs.get(&seq) else { return Room::LaneFull };
        let of_lane = self.limits_of(entry.fixed.lane);
        if of_lane.iter().any(|number| self.rooms.get(number) == Some(&0)) {
            return Room::LaneFull;
        }
        let keys = if is_keyed(&entry.fixed) { ledger.keys_of(&entry.fixed) } else { Vec::new() };
        for &number in &keys {
            let room = || ledger.limits.room_of_key(number, ledger.now);
            if *self.rooms.entry(number).or_insert_with(room) == 0 {
                return Room::KeyFull(number);
            }
        }
        for number in of_lane.into_iter().chain(keys) {
            if let Some(room) = self.rooms.get_mut(&number).filter(|room| **room != u32::MAX) {
                *room -= 1;
            }
        }
        Room::Free
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

/// Whether a job has a group or limit keys.
fn is_keyed(fixed: &Fixed) -> bool {
    let keyed = |extras: &Extras| extras.group.is_some() || !extras.limit_keys.is_empty();
    fixed.extras.as_deref().is_some_and(keyed)
}
