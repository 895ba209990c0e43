//! Fair queues: whose turn it is.

use rustc_hash::FxHashMap;
use taskwright_core::{LineKey, Rank, turns};

use super::Ledger;
use super::limits::KeyNumber;
use crate::change::{Change, LaneNumber, Seq, Turn};

/// Turns that are kept without looking which of them say nothing any more.
const KEPT_MIN: usize = 1_024;

/// What the clocks of fair queues show, and the turns after the newest starts of their groups.
#[derive(Debug, Default)]
pub struct Turns {
    shown: FxHashMap<u64, Turn>,
    /// How many there were when the last ones were forgotten.
    kept: usize,
    /// Those that the call has changed.
    changed: Vec<u64>,
}

impl Turns {
    /// Sets a turn as it was set before.
    pub fn set(&mut self, turn: Turn) {
        self.shown.insert(turn.number, turn);
    }

    /// What is shown under a number.
    pub fn shown(&self, number: u64) -> Rank {
        self.shown.get(&number).map_or(turns::BEGIN, |turn| turn.at)
    }

    fn show(&mut self, turn: Turn) {
        if self.changed.last() != Some(&turn.number) {
            self.changed.push(turn.number);
        }
        self.set(turn);
    }

    fn take_changed(&mut self) -> Vec<Turn> {
        let mut numbers = std::mem::take(&mut self.changed);
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().filter_map(|number| self.shown.get(number).copied()).collect()
    }

    /// What the clocks have passed says nothing any more.
    pub fn forget(&mut self) {
        if self.shown.len() < KEPT_MIN.max(2 * self.kept) {
            return;
        }
        let is_clock = |turn: &&Turn| turn.number == turn.clock;
        let clocks = self.shown.values().filter(is_clock).map(|turn| (turn.number, turn.at));
        let clocks: FxHashMap<u64, Rank> = clocks.collect();
        let passed = |turn: &Turn| clocks.get(&turn.clock).is_some_and(|&at| turn.at <= at);
        self.shown.retain(|_, turn| turn.number == turn.clock || !passed(turn));
        self.kept = self.shown.len();
    }
}

impl Ledger {
    /// Whether the groups of a lane's queue take turns.
    pub(super) fn is_fair(&self, number: LaneNumber) -> bool {
        let lane = self.lanes.get(number);
        let policies = self.limits.policies.get(&lane.namespace);
        policies.is_some_and(|policies| policies.is_fair(&lane.queue))
    }

    /// The clock of a lane's queue, and the number of its jobs without group.
    pub(super) fn clock_of(&self, number: LaneNumber) -> (u64, u64) {
        let lane = self.lanes.get(number);
        let (namespace, queue) = (&lane.namespace, &lane.queue);
        (LineKey::clock(namespace, queue), LineKey::ungrouped(namespace, queue))
    }

    /// The turn of a job that is to be ready, if its group takes turns.
    pub(super) fn next_turn(&self, seq: Seq) -> Option<Rank> {
        let (group, weight) = self.group_of(seq)?;
        let ready = self.limits.keys.get(&group)?.ready_turns();
        let (clock, _) = self.clock_of(self.jobs.get(&seq)?.fixed.lane);
        let turns = &self.limits.turns;
        Some(turns::next(turns.shown(clock), turns.shown(group), ready, weight))
    }

    /// A job starts: the clock of its queue shows its turn.
    pub(super) fn take_turn(&mut self, seq: Seq) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let lane = entry.fixed.lane;
        let turn = entry.turn();
        if !self.limits.has_policies(&self.lanes.get(lane).namespace) || !self.is_fair(lane) {
            return;
        }
        let (clock, ungrouped) = self.clock_of(lane);
        let shown = &mut self.limits.turns;
        let at_clock = shown.shown(clock);
        let (number, turn, weight) = match (turn, self.group_of(seq)) {
            (Some(turn), Some((group, weight))) => (group, turn, weight),
            (None, None) => {
                let done = self.limits.turns.shown(ungrouped);
                (ungrouped, turns::next_of_one(at_clock, done), 1)
            }
            _ => return,
        };
        let turns = &mut self.limits.turns;
        turns.show(Turn { number, clock, at: turns::after(turn, weight) });
        turns.show(Turn { number: clock, clock, at: at_clock.max(turn) });
    }

    /// Writes down what starts have moved on.
    pub(super) fn note_turns(&mut self) {
        let changed = self.limits.turns.take_changed();
        self.changes.extend(changed.into_iter().map(Change::Turn));
    }

    /// The group of a job that takes turns: its number and weight.
    fn group_of(&self, seq: Seq) -> Option<(KeyNumber, u32)> {
        let keys = self.jobs.get(&seq)?.keys()?;
        let group = *keys.first()?;
        let policy = self.limits.keys.get(&group)?.policy?;
        policy.takes_turns().then(|| (group, policy.weight.unwrap_or(1)))
    }
}
