//! Fair queues: whose turn it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use taskwright_core::{LineKey, turns};
use tokio_postgres::types::Type;

use super::desk::{Desk, First, Number, Order, Stand, Waiting};
use super::read::{KEYS, signed};
use super::settle::Settling;
use crate::connect::Fault;
use crate::row::get;

/// Which of the ready jobs of a lane: in fair queues those with a turn, and those without, are apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    All,
    WithTurn,
    Rest,
}

/// Before the first job of a lane that has no turn.
pub(super) const REST: Order = (turns::END, i64::MIN);

/// The clock of a fair queue, and the number of those of its jobs that have no group.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    pub number: Number,
    pub ungrouped: Number,
}

/// Who comes first of all candidates.
pub(super) enum Best {
    Is(i64),
    /// Nobody, before this was read further.
    Unread(i32, Part),
    Nobody,
}

/// The first candidates of a fair queue.
#[derive(Default)]
struct Heads {
    with_turn: Option<Order>,
    rest: Option<Order>,
}

fn earlier(one: Option<Order>, other: Order) -> Option<Order> {
    Some(one.map_or(other, |one| one.min(other)))
}

impl Desk {
    /// The clock of a lane's queue, if that is fair.
    pub fn clock_of(&self, lane: i32) -> Option<Clock> {
        let queue = &self.lanes.get(&lane)?.queue;
        self.set.policies.is_fair(queue).then(|| Clock {
            number: LineKey::clock(&self.name, queue),
            ungrouped: LineKey::ungrouped(&self.name, queue),
        })
    }

    /// Where a ready job of this rank is among the candidates.
    pub fn part_of(&self, lane: i32, rank: i64) -> Part {
        match (self.clock_of(lane), turns::is_turn(rank)) {
            (None, _) => Part::All,
            (Some(_), true) => Part::WithTurn,
            (Some(_), false) => Part::Rest,
        }
    }

    /// Who may start next, if the keys have room: within a fair queue whose turn it is, within a strict
    /// one who is most urgent; between queues by rank, in a fair one that of the age of who is next there.
    pub fn best_candidate(&mut self, has_suspect: bool) -> Best {
        let mut first: Vec<(i32, Order)> = Vec::new();
        let mut fair: BTreeMap<Number, (Clock, Heads)> = BTreeMap::new();
        let slots: Vec<(i32, Part)> = self.candidates.keys().copied().collect();
        for (lane, part) in slots {
            let is_barred = self.is_suspect(lane) && has_suspect;
            if is_barred || !self.lane_has_room(lane) {
                continue;
            }
            let order = match self.candidates.get(&(lane, part)).map(|slice| slice.first()) {
                Some(First::Is(order)) => order,
                Some(First::Unread) => return Best::Unread(lane, part),
                Some(First::Nobody) | None => continue,
            };
            match self.clock_of(lane) {
                None => first.push((lane, order)),
                Some(clock) => {
                    let (_, heads) = fair.entry(clock.number).or_insert((clock, Heads::default()));
                    let head = match part {
                        Part::WithTurn => &mut heads.with_turn,
                        Part::All | Part::Rest => &mut heads.rest,
                    };
                    *head = earlier(*head, order);
                }
            }
        }
        for (clock, heads) in fair.into_values() {
            let rest = heads.rest.map(|(_, seq)| (self.turn_of_ungrouped(clock), seq));
            let head = heads.with_turn.into_iter().chain(rest).min().map(|(_, seq)| seq);
            let job = |seq| self.jobs.get(&seq).map(|job| (job.lane, (job.age, seq)));
            first.extend(head.and_then(job));
        }
        self.first_of(first.into_iter()).map_or(Best::Nobody, Best::Is)
    }

    fn shown(&self, number: Number) -> i64 {
        self.shown.get(&number).copied().unwrap_or(turns::BEGIN)
    }

    fn turn_of_ungrouped(&self, clock: Clock) -> i64 {
        turns::next_of_one(self.shown(clock.number), self.shown(clock.ungrouped))
    }

    /// The group of a job, if it takes turns, and its weight.
    pub fn group_of(&self, seq: i64) -> Option<(Number, u32)> {
        let (group, policy) = self.jobs.get(&seq)?.limited.first()?;
        policy.takes_turns().then(|| (*group, policy.weight.unwrap_or(1)))
    }

    fn lane_and_group(&self, seq: i64) -> Option<(i32, Number)> {
        Some((self.jobs.get(&seq)?.lane, self.group_of(seq)?.0))
    }

    /// The groups of the candidates that have turns.
    fn groups_of_candidates(&self) -> Vec<Number> {
        let with_turns = self.candidates.iter().filter(|((_, part), _)| *part == Part::WithTurn);
        let jobs = with_turns.flat_map(|(_, slice)| slice.found.iter().take(KEYS));
        let groups: BTreeSet<Number> =
            jobs.filter_map(|(_, seq)| Some(self.group_of(*seq)?.0)).collect();
        groups.into_iter().take(KEYS).collect()
    }

    /// The turn of a job that is to be ready, if its group takes turns; those are known.
    pub fn next_turn(&self, seq: i64) -> Option<i64> {
        let (group, weight) = self.group_of(seq)?;
        let clock = self.clock_of(self.jobs.get(&seq)?.lane)?;
        let ready = self.turns.get(&group).into_iter().flat_map(HashMap::values).flatten();
        let ready = ready.map(|(turn, _)| *turn);
        Some(turns::next(self.shown(clock.number), self.shown(group), ready, weight))
    }

    /// A job starts: the clock of its queue shows its turn.
    pub fn take_turn(&mut self, seq: i64) {
        let Some(job) = self.jobs.get(&seq) else { return };
        let Some(clock) = self.clock_of(job.lane) else { return };
        let (number, turn, weight) = match (job.turn(), self.group_of(seq)) {
            (Some(turn), Some((group, weight))) => (group, turn, weight),
            (None, None) => (clock.ungrouped, self.turn_of_ungrouped(clock), 1),
            _ => return,
        };
        let shown = self.shown(clock.number).max(turn);
        for (number, at) in [(number, turns::after(turn, weight)), (clock.number, shown)] {
            self.shown.insert(number, at);
            self.turned.insert(number, clock.number);
        }
    }

    /// What the call has moved on: numbers, their clocks and turns.
    pub fn moved_turns(&self) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
        let numbers: Vec<Number> = self.turned.keys().copied().collect();
        let clocks: Vec<Number> = self.turned.values().copied().collect();
        let turns = numbers.iter().map(|number| self.shown(*number)).collect();
        (signed(&numbers), signed(&clocks), turns)
    }

    /// Brings the turns of groups that were just read to where jobs have been put meanwhile.
    fn catch_up_turns(&mut self, groups: &[Number]) {
        let groups: HashSet<Number> = groups.iter().copied().collect();
        // A group is the first key of its jobs.
        let of_them = |job: &Waiting| job.keys.first().copied().filter(|key| groups.contains(key));
        let moved = self.moved().filter_map(|(seq, job)| Some((of_them(job)?, seq, job)));
        let moved: Vec<_> = moved
            .map(|(group, seq, job)| (group, seq, job.was, (job.lane, job.stand, job.rank)))
            .collect();
        for (group, seq, was, is) in moved {
            self.note_turn(&[group], seq, was, false);
            self.note_turn(&[group], seq, is, true);
        }
    }

    /// A ready job with a turn is there now, or no longer.
    pub fn note_turn(
        &mut self,
        keys: &[Number],
        seq: i64,
        (lane, stand, rank): (i32, Stand, i64),
        is_there: bool,
    ) {
        if stand != Stand::Ready || !turns::is_turn(rank) {
            return;
        }
        let triple = self.triple(lane);
        for key in keys {
            let Some(turns) = self.turns.get_mut(key) else { continue };
            let of_lane = turns.entry(triple.clone()).or_default();
            if is_there {
                of_lane.insert((rank, seq));
            } else {
                of_lane.remove(&(rank, seq));
            }
        }
    }
}

impl Settling<'_> {
    /// Reads the turns of groups, and what the clock of a lane's queue shows, where that is not known yet.
    pub async fn read_turns(&mut self, groups: &[Number], lane: i32) -> Result<(), Fault> {
        let unknown = |group: &&Number| !self.desk.turns.contains_key(*group);
        let groups: Vec<Number> = groups.iter().filter(unknown).copied().collect();
        let clock = self.desk.clock_of(lane).map(|clock| clock.number);
        self.read_shown(groups.iter().copied().chain(clock)).await?;
        if groups.is_empty() {
            return Ok(());
        }
        let numbers = signed(&groups);
        let rows = self
            .tx
            .query("select * from taskwright.key_turns($1)", &[(&numbers, Type::INT8_ARRAY)])
            .await?;
        self.name_lanes(&rows).await?;
        for group in &groups {
            self.desk.turns.insert(*group, HashMap::new());
        }
        for row in &rows {
            let group = get::<i64>(row, "number")?.cast_unsigned();
            let at = (get(row, "lane")?, Stand::Ready, get(row, "rank")?);
            self.desk.note_turn(&[group], get(row, "seq")?, at, true);
        }
        self.desk.catch_up_turns(&groups);
        Ok(())
    }

    /// Whether a job that was just given was the last of its group in its lane that had a turn, while
    /// others stand in line for one: they are called before anybody else is given.
    pub async fn was_last_of_group(&mut self, seq: i64) -> Result<bool, Fault> {
        let Some((group, _)) = self.desk.group_of(seq) else { return Ok(false) };
        let Some(lane) = self.desk.jobs.get(&seq).map(|job| job.lane) else { return Ok(false) };
        let triple = self.desk.triple(lane);
        self.read_turns(&[group], lane).await?;
        let turns = self.desk.turns.get(&group).and_then(|turns| turns.get(&triple));
        if turns.is_some_and(|turns| !turns.is_empty()) {
            return Ok(false);
        }
        let policy = self.desk.policies.get(&group).copied().flatten().unwrap_or_default();
        if self.desk.room_of_key(group, &policy) == 0 {
            return Ok(false);
        }
        let mut groups = self.desk.groups_of_candidates();
        groups.push(group);
        self.read_lines_of(&groups).await?;
        self.has_line(group, |desk, lane| desk.triple(lane) == triple).await
    }

    /// Reads what the clocks of the candidates' queues show, and the turns of their groups.
    pub async fn read_clocks(&mut self, jobs: &[i64]) -> Result<(), Fault> {
        let clocks = self.desk.candidates.keys().filter_map(|(lane, _)| self.desk.clock_of(*lane));
        let numbers: Vec<Number> =
            clocks.flat_map(|clock| [clock.number, clock.ungrouped]).collect();
        self.read_shown(numbers.into_iter()).await?;
        let mut groups: BTreeMap<i32, Vec<Number>> = BTreeMap::new();
        for (lane, group) in jobs.iter().filter_map(|seq| self.desk.lane_and_group(*seq)) {
            groups.entry(lane).or_default().push(group);
        }
        for (lane, groups) in groups {
            self.read_turns(&groups, lane).await?;
        }
        Ok(())
    }

    async fn read_shown(&mut self, numbers: impl Iterator<Item = Number>) -> Result<(), Fault> {
        let mut numbers: Vec<Number> =
            numbers.filter(|number| !self.desk.shown.contains_key(number)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.is_empty() {
            return Ok(());
        }
        let rows = self
            .tx
            .query(
                "select number, at from taskwright.turn \
                 where namespace = $1 and number = any($2)",
                &[(&self.desk.namespace, Type::INT4), (&signed(&numbers), Type::INT8_ARRAY)],
            )
            .await?;
        self.desk.shown.extend(numbers.into_iter().map(|number| (number, turns::BEGIN)));
        for row in &rows {
            let number = get::<i64>(row, "number")?.cast_unsigned();
            self.desk.shown.insert(number, get(row, "at")?);
        }
        Ok(())
    }
}
