//! Who stands in which line, and who leaves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::limits::{CLAIM_LOOKS_MAX, POLICIES_MAX, PROMOTIONS_MAX};
use taskwright_core::{LineKey, Name, Place, Policy, Rank, State, StateName, Subject};
use taskwright_store::{Controlled, Result};

use super::entry::Entry;
use super::limits::{Key, KeyNumber, is_keyed};
use super::{Archive, Ledger};
use crate::change::{Change, Fixed, PolicyFact, Seq, Vital};

/// How a key stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The number of the key.
    pub number: KeyNumber,
    /// Jobs in its line.
    pub waiting: usize,
    /// Jobs that run.
    pub running: u32,
    /// Whether it has room and a line, which nobody is about to serve.
    pub is_open: bool,
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
        archive: &mut dyn Archive,
    ) -> Result<Controlled> {
        let policy = policy.filter(|policy| !policy.is_empty());
        let known = self.limits.policies.get(&namespace);
        let is_known = known.is_some_and(|policies| policies.contains(&subject));
        if policy.is_some() && !is_known && known.is_some_and(|all| all.len() >= POLICIES_MAX) {
            return Ok(Controlled::PoliciesFull { max: POLICIES_MAX });
        }
        if policy.is_some() || is_known {
            let fact = PolicyFact { namespace, subject, policy };
            self.restore_policy(&fact, archive)?;
            let lines = self.limits.keys.iter().filter(|(_, key)| !key.lines.is_empty());
            let of_namespace = lines.filter(|(_, key)| key.namespace == fact.namespace);
            let touched: Vec<_> = of_namespace.map(|(number, _)| *number).collect();
            self.limits.touched.extend(touched);
            self.changes.push(Change::Policy(Box::new(fact)));
            // Lanes that were held back may have room now.
            self.became_ready = true;
        }
        Ok(Controlled::Done { state: None })
    }

    /// The keys of a job, in their order.
    fn line_keys(&self, fixed: &Fixed) -> Vec<LineKey> {
        let queue = &self.lanes.get(fixed.lane).queue;
        fixed.extras.as_ref().map(|extras| LineKey::of(queue, extras)).unwrap_or_default()
    }

    /// Their numbers.
    pub(super) fn keys_of(&self, fixed: &Fixed) -> Arc<[KeyNumber]> {
        let namespace = &self.lanes.get(fixed.lane).namespace;
        self.line_keys(fixed).iter().map(|key| key.number(namespace)).collect()
    }

    /// Makes sure that the keys of a job are known.
    fn meet_keys(&mut self, fixed: &Fixed) {
        let keys = self.line_keys(fixed);
        let namespace = &self.lanes.get(fixed.lane).namespace;
        let policies = self.limits.policies.get(namespace);
        for key in keys {
            self.limits.keys.entry(key.number(namespace)).or_insert_with(|| {
                let policy = policies.and_then(|policies| policies.of_key(&key));
                let ordered = policy.and_then(|policy| policy.ordered);
                Key {
                    namespace: namespace.clone(),
                    policy,
                    key,
                    jobs: 0,
                    running: 0,
                    ready: BTreeMap::new(),
                    turns: BTreeMap::new(),
                    lines: BTreeMap::new(),
                    order: ordered.map(|_| BTreeSet::new()),
                    grows_at: None,
                }
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
        let Some(entry) = self.jobs.get(&seq) else { return };
        let Some(numbers) = entry.keys() else { return };
        if vital.life.state.is_final() {
            if vital.life.state.name() == StateName::Dead && !entry.is_deleted() {
                let namespace = &self.lanes.get(entry.fixed.lane).namespace;
                self.limits.dead.note(namespace, seq, &numbers);
            }
            numbers.iter().for_each(|number| self.limits.forget_if_unused(*number));
            return;
        }
        let rank = entry.rank_at(vital.due_at);
        let place = (entry.fixed.lane, entry.fixed.priority);
        if numbers.iter().any(|number| !self.limits.keys.contains_key(number)) {
            let fixed = Arc::clone(&entry.fixed);
            self.meet_keys(&fixed);
        }
        for &number in numbers.iter() {
            let Some(key) = self.limits.keys.get_mut(&number) else { continue };
            key.jobs += 1;
            if let Some(order) = &mut key.order {
                order.insert(seq);
            }
            match vital.life.state {
                State::Available(Place::Ready(at)) => key.note_ready(place, (at, seq)),
                State::Available(Place::Line(line)) if line == number => {
                    key.lines.entry(place).or_default().insert((rank, seq));
                }
                State::Running(_) => key.running += 1,
                _ => {}
            }
            self.limits.touch(number);
        }
    }

    /// A job that waits has another priority, and so another rank in a line.
    pub(super) fn rerank(&mut self, seq: Seq, vital: &Vital, (old, old_rank): (i8, Rank)) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let (lane, new) = (entry.fixed.lane, entry.fixed.priority);
        match vital.life.state {
            State::Available(Place::Ready(rank)) if old != new => {
                let of_lane = self.lanes.get_mut(lane);
                let ready = match vital.life.is_suspect() {
                    true => &mut of_lane.suspects,
                    false => &mut of_lane.ready,
                };
                ready.remove(old, (rank, seq));
                ready.insert(new, (rank, seq));
                let keys = entry.keys();
                for number in keys.iter().flat_map(|keys| keys.iter()) {
                    if let Some(key) = self.limits.keys.get_mut(number) {
                        key.note_unready((lane, old), (rank, seq));
                        key.note_ready((lane, new), (rank, seq));
                    }
                }
            }
            State::Available(Place::Line(number)) => {
                let rank = entry.rank_at(vital.due_at);
                if let Some(key) = self.limits.keys.get_mut(&number)
                    && key.leave_line((lane, old), (old_rank, seq))
                {
                    key.lines.entry((lane, new)).or_default().insert((rank, seq));
                }
            }
            _ => {}
        }
    }

    /// Takes a job from where its keys found it; `link_keys` follows, and forgets keys that nobody has
    /// any more.
    pub(super) fn unlink_keys(&mut self, seq: Seq, vital: &Vital) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let Some(numbers) = entry.keys() else { return };
        let rank = entry.rank_at(vital.due_at);
        let place = (entry.fixed.lane, entry.fixed.priority);
        if vital.life.state.name() == StateName::Dead {
            self.limits.dead.forget(seq);
        }
        for &number in numbers.iter() {
            let Some(key) = self.limits.keys.get_mut(&number) else { continue };
            key.jobs -= u32::from(!vital.life.state.is_final());
            if let Some(order) = &mut key.order {
                order.remove(&seq);
            }
            match vital.life.state {
                State::Available(Place::Ready(at)) => key.note_unready(place, (at, seq)),
                State::Available(Place::Line(line)) if line == number => {
                    key.leave_line(place, (rank, seq));
                }
                State::Running(_) => key.running -= 1,
                _ => {}
            }
            self.limits.touch(number);
        }
    }

    /// Every key that live jobs have, for tests to compare with them.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<_> = self
            .limits
            .keys
            .iter()
            .map(|(&number, key)| Line {
                number,
                waiting: key.lines.values().map(BTreeSet::len).sum(),
                running: key.running,
                is_open: key.policy.is_none_or(|policy| policy.rate.is_none())
                    && !self.limits.touched.contains(&number)
                    && self.next_in_line(number).is_some(),
            })
            .collect();
        lines.sort_unstable_by_key(|line| line.number);
        lines
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
            while let Some(seq) = self.next_in_line(number) {
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
        self.limits.turns.forget();
    }

    /// After replaying: of the lines only those are to be served that were not served to the end, and
    /// the others wait for their time.
    pub(super) fn resume_lines(&mut self) {
        let touched = std::mem::take(&mut self.limits.touched);
        for number in touched {
            match self.next_in_line(number) {
                Some(_) => {
                    self.limits.touched.insert(number);
                }
                None => self.limits.set_timer(number, self.now),
            }
        }
    }

    fn promote(&mut self, seq: Seq, number: KeyNumber) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let vital = entry.vital();
        let rank = self.next_turn(seq).unwrap_or_else(|| entry.rank_at(vital.due_at));
        let Ok(mut life) = step(&vital.life, &Event::Promote { rank }) else { return };
        let keys = entry.keys();
        let others = keys.iter().flat_map(|keys| keys.iter().copied()).filter(|&key| key != number);
        let mut limited = others.filter(|&other| self.limits.is_limited(other));
        let stopping = limited.find(|other| !self.has_place(*other, seq));
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
}
