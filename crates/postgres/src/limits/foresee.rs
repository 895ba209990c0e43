//! Reads at once what serving the lines of many keys will ask for: a question for each job that leaves
//! a line would cost more than all the rest.

use std::collections::{BTreeMap, BTreeSet};

use taskwright_store::Result;

use super::desk::{Desk, Number};
use super::read::KEYS;
use super::settle::Settling;
use crate::connect::Fault;

impl Settling<'_> {
    /// Reads who stands in the line of a key and of those that are served after it, and what will be
    /// asked of the keys of the first of them. All of it may be asked for again.
    pub async fn foresee(&mut self, key: Number) -> Result<(), Fault> {
        if self.desk.lines.contains_key(&key) {
            return Ok(());
        }
        let unknown = |key: &&Number| !self.desk.lines.contains_key(*key);
        let next = self.desk.touched.iter().filter(unknown).copied();
        let served: Vec<Number> = std::iter::once(key).chain(next).take(KEYS).collect();
        self.read_lines_of(&served).await?;
        self.foresee_keys(&served).await
    }

    /// Reads what will be asked of these keys, whose lines were read; and of the other keys of the first
    /// in them, where there is room for one more to be ready.
    pub async fn foresee_keys(&mut self, lines: &[Number]) -> Result<(), Fault> {
        let with_jobs = lines.iter().copied().filter(|key| self.desk.has_found(*key));
        let with_jobs: Vec<Number> = with_jobs.filter(|key| !self.has_no_more_room(*key)).collect();
        self.read_rooms(&with_jobs).await?;
        let with_room = with_jobs.iter().filter(|key| self.may_call(**key));
        let others = self.desk.keys_in_lines(with_room.copied());
        let others: Vec<Number> = others.into_iter().collect();
        self.read_lines_of(&others).await?;
        self.read_rooms(&others).await
    }

    /// Reads what keys have used, and how many jobs with them are ready.
    async fn read_rooms(&mut self, keys: &[Number]) -> Result<(), Fault> {
        self.read_usages(keys).await?;
        self.read_heads(keys).await?;
        let (groups, others): (Vec<Number>, Vec<Number>) =
            keys.iter().copied().partition(|key| self.takes_turns(*key));
        let others: Vec<Number> =
            others.into_iter().filter(|key| self.policy_of(*key).is_some()).collect();
        self.read_ready(&others).await?;
        for lane in self.desk.lanes_of_clocks() {
            self.read_turns(&groups, lane).await?;
        }
        Ok(())
    }

    /// Whether one more job with this key may be ready, in a lane in which some stand in its line; what
    /// that takes is known.
    fn may_call(&self, key: Number) -> bool {
        let Some(policy) = self.policy_of(key) else { return true };
        let room = self.desk.ready_room(key, &policy);
        let ready_in = |lane: i32| {
            let triple = self.desk.triple(lane);
            if !policy.takes_turns() {
                return self.desk.ready_in(key, &triple);
            }
            let turns = self.desk.turns.get(&key).and_then(|turns| turns.get(&triple));
            turns.map_or(0, |turns| u32::try_from(turns.len()).unwrap_or(u32::MAX))
        };
        let lanes = self.desk.lines.get(&key).into_iter().flat_map(|line| line.keys());
        room > 0 && lanes.copied().any(|lane| ready_in(lane) < room)
    }
}

impl Desk {
    /// Whether anybody was read of the line of a key.
    fn has_found(&self, key: Number) -> bool {
        let line = self.lines.get(&key).into_iter().flatten();
        line.into_iter().any(|(_, slice)| !slice.found.is_empty())
    }

    /// The limited keys of the jobs that were read of these lines.
    fn keys_in_lines(&self, lines: impl Iterator<Item = Number>) -> BTreeSet<Number> {
        let slices = lines.filter_map(|key| self.lines.get(&key)).flat_map(|line| line.values());
        let jobs = slices.flat_map(|slice| &slice.found).filter_map(|(_, seq)| self.jobs.get(seq));
        jobs.flat_map(|job| &job.limited).map(|(key, _)| *key).collect()
    }

    /// A lane of each fair queue that is known here.
    fn lanes_of_clocks(&self) -> Vec<i32> {
        let clocked = self.lanes.keys().filter_map(|lane| Some((self.clock_of(*lane)?, *lane)));
        let lanes: BTreeMap<Number, i32> =
            clocked.map(|(clock, lane)| (clock.number, lane)).collect();
        lanes.into_values().collect()
    }
}
