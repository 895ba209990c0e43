//! Ordered keys: who comes first, and the dead that keep others back.
//!
//! Only keys that are ordered keep who has a place in their order. Dead jobs have left memory, so
//! those of a namespace are read from the archive when a key of it first has to know them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use taskwright_core::{Extras, LineKey, Name, Ordered, Place, Policies, State, StateName, rank};
use taskwright_store::Result;

use super::levels::Rung;
use super::limits::{KeyNumber, Limits};
use super::{Archive, Ledger};
use crate::change::{LaneNumber, PolicyFact, Seq};

/// A dead job that has a group or limit keys, as the archive knows it.
#[derive(Clone, Debug)]
pub struct DeadJob {
    /// Its number.
    pub seq: Seq,
    /// Its lane.
    pub lane: LaneNumber,
    /// Its keys, among others.
    pub extras: Box<Extras>,
}

/// The dead jobs with keys, of those namespaces in which a dead job may keep others back.
#[derive(Debug, Default)]
pub struct Dead {
    watched: FxHashSet<Name>,
    by_key: FxHashMap<KeyNumber, BTreeSet<Seq>>,
    jobs: FxHashMap<Seq, (Name, Arc<[KeyNumber]>)>,
}

impl Dead {
    /// A job with these keys has died, or was found dead.
    pub fn note(&mut self, namespace: &Name, seq: Seq, keys: &Arc<[KeyNumber]>) {
        if !self.watched.contains(namespace) {
            return;
        }
        for number in keys.iter() {
            self.by_key.entry(*number).or_default().insert(seq);
        }
        self.jobs.insert(seq, (namespace.clone(), Arc::clone(keys)));
    }

    /// It is no longer dead, or gone. Answers its keys, where it was known.
    pub fn forget(&mut self, seq: Seq) -> Option<Arc<[KeyNumber]>> {
        let (_, keys) = self.jobs.remove(&seq)?;
        for number in keys.iter() {
            if let Some(seqs) = self.by_key.get_mut(number) {
                seqs.remove(&seq);
                if seqs.is_empty() {
                    self.by_key.remove(number);
                }
            }
        }
        Some(keys)
    }

    fn first(&self, number: KeyNumber) -> Option<Seq> {
        self.by_key.get(&number)?.first().copied()
    }
}

impl Limits {
    /// How a key is ordered, if it is.
    pub fn order_of(&self, number: KeyNumber) -> Option<Ordered> {
        self.keys.get(&number)?.policy?.ordered
    }

    /// The first in the order of a key.
    pub fn head(&self, number: KeyNumber) -> Option<Seq> {
        let key = self.keys.get(&number)?;
        let ordered = key.policy?.ordered?;
        let live = key.order.as_ref().and_then(|order| order.first().copied());
        let dead = self.dead.first(number).filter(|_| ordered.is_blocked_by_dead());
        live.into_iter().chain(dead).min()
    }

    /// Whether a job may be the next with this key: where it is ordered, the head alone.
    pub fn may_be_next(&self, number: KeyNumber, seq: Seq) -> bool {
        self.order_of(number).is_none() || self.head(number) == Some(seq)
    }

    fn is_blocked_by_dead(&self, number: KeyNumber) -> bool {
        self.order_of(number).is_some_and(Ordered::is_blocked_by_dead)
    }
}

fn is_blocking(policies: &Policies) -> bool {
    let blocks = Ordered::is_blocked_by_dead;
    policies.iter().any(|(_, policy)| policy.ordered.is_some_and(blocks))
}

impl Ledger {
    /// Sets a policy, and gets to know who has a place in the order of which key.
    pub(super) fn restore_policy(
        &mut self,
        fact: &PolicyFact,
        archive: &mut dyn Archive,
    ) -> Result<()> {
        let ordered = fact.policy.and_then(|policy| policy.ordered);
        let blocks = ordered.is_some_and(Ordered::is_blocked_by_dead);
        // Asked first: if it fails, nothing has changed.
        let found = match blocks && !self.limits.dead.watched.contains(&fact.namespace) {
            true => archive.dead_with_keys()?,
            false => Vec::new(),
        };
        self.limits.restore(fact);
        self.fill_orders(&fact.namespace);
        if blocks {
            if self.limits.dead.watched.insert(fact.namespace.clone()) {
                self.note_dead_in_memory(&fact.namespace);
                self.note_archived(found);
            }
        } else if self.limits.dead.watched.contains(&fact.namespace) {
            let policies = self.limits.policies.get(&fact.namespace);
            if !policies.is_some_and(is_blocking) {
                self.unwatch(&fact.namespace);
            }
        }
        Ok(())
    }

    /// Whether the dead have to be handed over, as the policies are that were loaded.
    pub fn wants_dead(&mut self) -> bool {
        let blocking = self.limits.policies.iter().filter(|(_, policies)| is_blocking(policies));
        let watched: Vec<Name> = blocking.map(|(namespace, _)| namespace.clone()).collect();
        self.limits.dead.watched.extend(watched);
        !self.limits.dead.watched.is_empty()
    }

    /// Takes over dead jobs with keys. What is in memory is known better there.
    pub fn note_archived(&mut self, found: Vec<DeadJob>) {
        for DeadJob { seq, lane, extras } in found {
            if self.jobs.contains_key(&seq) {
                continue;
            }
            let lane = self.lanes.get(lane);
            let keys = LineKey::of(&lane.queue, &extras);
            let keys = keys.iter().map(|key| key.number(&lane.namespace)).collect();
            self.limits.dead.note(&lane.namespace, seq, &keys);
        }
    }

    fn note_dead_in_memory(&mut self, namespace: &Name) {
        for entry in self.jobs.values() {
            let is_its = self.lanes.get(entry.fixed.lane).namespace == *namespace;
            if is_its
                && entry.state().name() == StateName::Dead
                && !entry.is_deleted()
                && let Some(keys) = entry.keys()
            {
                self.limits.dead.note(namespace, entry.fixed.seq, &keys);
            }
        }
    }

    fn unwatch(&mut self, namespace: &Name) {
        if !self.limits.dead.watched.remove(namespace) {
            return;
        }
        let dead = self.limits.dead.jobs.iter().filter(|(_, (of, _))| of == namespace);
        let seqs: Vec<Seq> = dead.map(|(seq, _)| *seq).collect();
        for seq in seqs {
            self.limits.dead.forget(seq);
        }
    }

    /// Keys that have just become ordered get to know the jobs that have not ended.
    fn fill_orders(&mut self, namespace: &Name) {
        let mut fresh: FxHashSet<KeyNumber> = FxHashSet::default();
        for (number, key) in &mut self.limits.keys {
            if key.namespace != *namespace {
                continue;
            }
            match key.policy.and_then(|policy| policy.ordered) {
                None => key.order = None,
                Some(_) if key.order.is_none() => {
                    key.order = Some(BTreeSet::new());
                    fresh.insert(*number);
                }
                Some(_) => {}
            }
        }
        if fresh.is_empty() {
            return;
        }
        for entry in self.jobs.values().filter(|entry| !entry.state().is_final()) {
            let keys = entry.keys();
            for number in keys.iter().flat_map(|keys| keys.iter()) {
                if fresh.contains(number)
                    && let Some(key) = self.limits.keys.get_mut(number)
                    && let Some(order) = &mut key.order
                {
                    order.insert(entry.fixed.seq);
                }
            }
        }
    }

    /// A dead job is gone. Where it kept a place, others may come first now.
    pub(super) fn leave_orders(&mut self, seq: Seq) {
        let Some(keys) = self.limits.dead.forget(seq) else { return };
        for &number in keys.iter() {
            if self.limits.is_blocked_by_dead(number) {
                self.limits.touch(number);
            }
        }
    }

    /// Who leaves the line of a key next: where it is ordered its head, if it stands there.
    pub(super) fn next_in_line(&self, number: KeyNumber) -> Option<Seq> {
        if self.limits.order_of(number).is_none() {
            return self.first_in_line(number);
        }
        let head = self.limits.head(number)?;
        let stands = self.jobs.get(&head)?.state() == State::Available(Place::Line(number));
        (stands && self.limits.room_of_key(number, self.now) > 0).then_some(head)
    }

    /// Who is first, as queues have it, of those in the line of a key that it has room for.
    fn first_in_line(&self, number: KeyNumber) -> Option<Seq> {
        let key = self.limits.keys.get(&number)?;
        let room = self.limits.ready_room(number, self.now);
        let open = key.lines.iter().filter_map(|(&(lane, priority), line)| {
            let rung = self.rung(lane, priority);
            let &(rank, seq) = line.first().filter(|_| key.ready_in(rung) < room)?;
            Some((self.lanes.get(lane).queue_index, rung.level(), rank, seq))
        });
        rank::first(open)
    }

    /// Beside whom a job of this lane and priority waits.
    fn rung(&self, number: LaneNumber, priority: i8) -> Rung {
        let lane = self.lanes.get(number);
        let is_strict = self.limits.is_strict(&lane.namespace, &lane.queue);
        Rung { lane: number, priority: is_strict.then_some(priority) }
    }

    /// Whether a job may be ready that has this key.
    pub(super) fn has_place(&self, number: KeyNumber, seq: Seq) -> bool {
        match self.limits.order_of(number) {
            None => self.jobs.get(&seq).is_none_or(|entry| {
                let rung = self.rung(entry.fixed.lane, entry.fixed.priority);
                self.limits.has_place(number, rung, self.now)
            }),
            Some(_) => {
                self.limits.may_be_next(number, seq)
                    && self.limits.room_of_key(number, self.now) > 0
            }
        }
    }
}
