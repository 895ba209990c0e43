//! What is limited: policies, and the keys that live jobs have.
//!
//! A key (group or limit key) that live jobs have is kept with what it uses and who waits for it. All
//! of that follows from the jobs; only the arrival times of rates are facts of their own.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use taskwright_core::{
    Extras, LineKey, Name, Policies, Policy, Rank, Subject, Timestamp, Usage, turns,
};

use super::levels::Rung;
use super::order::Dead;
use super::turns::Turns;
use crate::change::{Arrival, Fixed, LaneNumber, PolicyFact, Seq};

/// The number of a key's line.
pub type KeyNumber = u64;

/// Everything that limits what may start.
#[derive(Debug, Default)]
pub struct Limits {
    pub policies: FxHashMap<Name, Policies>,
    /// Whether any queue is strict.
    has_strict: bool,
    pub keys: FxHashMap<KeyNumber, Key>,
    /// When the next start is due by a rate, of keys, queues and tasks.
    pub arrivals: FxHashMap<u64, Timestamp>,
    /// Keys whose line has more room by time alone, and when.
    pub timer: BTreeSet<(Timestamp, KeyNumber)>,
    /// The turns of fair queues.
    pub turns: Turns,
    /// The dead that may keep others back.
    pub dead: Dead,
    /// Whether a start has taken a token of a rate.
    pub took_tokens: bool,
    /// Keys whose lines are to be served.
    pub touched: BTreeSet<KeyNumber>,
}

/// A key that live jobs have.
#[derive(Debug)]
pub struct Key {
    /// The tenant.
    pub namespace: Name,
    /// The group or limit key.
    pub key: LineKey,
    /// Its policy, where it has one.
    pub policy: Option<Policy>,
    /// Live jobs that have it, wherever they are.
    pub jobs: u32,
    /// Its jobs that run.
    pub running: u32,
    /// How many of its jobs are ready, by lane and priority.
    pub ready: BTreeMap<(LaneNumber, i8), u32>,
    /// The turns of its jobs that are ready and have one, by lane.
    pub turns: BTreeMap<LaneNumber, BTreeSet<(Rank, Seq)>>,
    /// Who stands in its line, best first, by lane and priority.
    pub lines: BTreeMap<(LaneNumber, i8), BTreeSet<(Rank, Seq)>>,
    /// Where it is ordered: its jobs that have not ended.
    pub order: Option<BTreeSet<Seq>>,
    /// Its place in the timer.
    pub grows_at: Option<Timestamp>,
}

impl Key {
    fn is_unused(&self) -> bool {
        self.jobs == 0
    }

    /// How many of its jobs are ready side by side, as candidates: where it takes turns, those that
    /// have one.
    pub fn ready_in(&self, rung: Rung) -> u32 {
        match self.takes_turns() {
            true => self.turns.get(&rung.lane).map_or(0, |turns| turns.len() as u32),
            false => self.ready.range(rung.range()).map(|(_, ready)| ready).sum(),
        }
    }

    /// Whether any of its jobs that wait side by side stands in its line.
    pub fn has_line_in(&self, rung: Rung) -> bool {
        self.lines.range(rung.range()).next().is_some()
    }

    /// A job leaves its line; whether it stood there.
    pub fn leave_line(&mut self, place: (LaneNumber, i8), job: (Rank, Seq)) -> bool {
        let Some(line) = self.lines.get_mut(&place) else { return false };
        let stood = line.remove(&job);
        if line.is_empty() {
            self.lines.remove(&place);
        }
        stood
    }

    /// Whether it is a group of a fair queue.
    pub fn takes_turns(&self) -> bool {
        self.policy.is_some_and(|policy| policy.takes_turns())
    }

    /// Whether its jobs run in order.
    pub fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// The turns that ready jobs of it have.
    pub fn ready_turns(&self) -> impl Iterator<Item = Rank> {
        self.turns.values().flatten().map(|(turn, _)| *turn)
    }

    /// A job of this lane and priority became ready, at this rank.
    pub fn note_ready(&mut self, place: (LaneNumber, i8), (rank, seq): (Rank, Seq)) {
        *self.ready.entry(place).or_insert(0) += 1;
        if turns::is_turn(rank) {
            self.turns.entry(place.0).or_default().insert((rank, seq));
        }
    }

    /// It is no longer ready.
    pub fn note_unready(&mut self, place: (LaneNumber, i8), (rank, seq): (Rank, Seq)) {
        if let Some(ready) = self.ready.get_mut(&place) {
            *ready -= 1;
            if *ready == 0 {
                self.ready.remove(&place);
            }
        }
        if turns::is_turn(rank)
            && let Some(of_lane) = self.turns.get_mut(&place.0)
        {
            of_lane.remove(&(rank, seq));
            if of_lane.is_empty() {
                self.turns.remove(&place.0);
            }
        }
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

    /// Whether the priorities of a queue are absolute.
    pub fn is_strict(&self, namespace: &Name, queue: &Name) -> bool {
        let policies = self.has_strict.then(|| self.policies.get(namespace)).flatten();
        policies.is_some_and(|policies| policies.is_strict(queue))
    }

    /// Sets a policy as it was set before.
    pub fn restore(&mut self, fact: &PolicyFact) {
        let PolicyFact { namespace, subject, policy } = fact;
        let policies = self.policies.entry(namespace.clone()).or_default();
        policies.set(subject.clone(), *policy);
        if policies.is_empty() {
            self.policies.remove(namespace);
        }
        let mut all = self.policies.values().flat_map(Policies::iter);
        self.has_strict = all.any(|(_, policy)| policy.strict);
        let policies = &self.policies;
        for key in self.keys.values_mut().filter(|key| key.namespace == *namespace) {
            key.policy = policies.get(namespace).and_then(|set| set.of_key(&key.key));
        }
    }

    /// Sets an arrival time as it was set before.
    pub fn restore_arrival(&mut self, arrival: Arrival) {
        self.arrivals.insert(arrival.number, arrival.at);
    }

    /// What a key, queue or task has used of its policy.
    pub fn usage(&self, number: u64, running: u32) -> Usage {
        let arrival = self.arrivals.get(&number).copied().unwrap_or(Timestamp::ZERO);
        Usage { running, arrival }
    }

    /// How many more jobs with this key may start now.
    pub fn room_of_key(&self, number: KeyNumber, now: Timestamp) -> u32 {
        let Some(key) = self.keys.get(&number) else { return u32::MAX };
        let Some(policy) = &key.policy else { return u32::MAX };
        policy.room(self.usage(number, key.running), now)
    }

    /// How many jobs with this key may be ready side by side.
    pub fn ready_room(&self, number: KeyNumber, now: Timestamp) -> u32 {
        let Some(key) = self.keys.get(&number) else { return u32::MAX };
        let Some(policy) = &key.policy else { return u32::MAX };
        policy.ready_room(self.usage(number, key.running), now)
    }

    /// Whether one more job with this key may be ready there, and none stands in line for that.
    pub fn has_place(&self, number: KeyNumber, rung: Rung, now: Timestamp) -> bool {
        let Some(key) = self.keys.get(&number) else { return true };
        !key.has_line_in(rung) && key.ready_in(rung) < self.ready_room(number, now)
    }

    /// Whether a key has a policy.
    pub fn is_limited(&self, number: KeyNumber) -> bool {
        self.keys.get(&number).is_some_and(|key| key.policy.is_some())
    }

    /// Notes when the line of a key has more room by time alone.
    pub fn set_timer(&mut self, number: KeyNumber, now: Timestamp) {
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

    /// The line of a key, where it has one, is served at the end of the call.
    pub fn touch(&mut self, number: KeyNumber) {
        let has_line = |key: &Key| !key.lines.is_empty() || key.grows_at.is_some();
        if self.keys.get(&number).is_some_and(has_line) {
            self.touched.insert(number);
        }
    }

    /// Those of the keys that nobody has any more are forgotten.
    pub fn forget_if_unused(&mut self, number: KeyNumber) {
        if self.keys.get(&number).is_some_and(Key::is_unused)
            && let Some(key) = self.keys.remove(&number)
            && let Some(at) = key.grows_at
        {
            self.timer.remove(&(at, number));
        }
    }

    /// Arrival times that have passed say nothing any more.
    pub fn forget_arrivals(&mut self, now: Timestamp) {
        self.arrivals.retain(|_, at| *at > now);
    }
}

/// Whether a job has a group or limit keys.
pub fn is_keyed(fixed: &Fixed) -> bool {
    let keyed = |extras: &Extras| extras.group.is_some() || !extras.limit_keys.is_empty();
    fixed.extras.as_deref().is_some_and(keyed)
}
