//! Under the lock of a namespace: reads what decisions need, serves lines, writes what was decided.

use std::collections::HashMap;
use std::sync::Arc;

use taskwright_core::{Policy, Timestamp};
use tokio_postgres::Row;

use super::desk::{Desk, First, Number, Order, Stand, Triple};
use crate::change::Lacking;
use crate::connect::Fault;
use crate::link::Transaction;
use crate::row::get;
use crate::store::PostgresStore;

/// Noted keys that one transaction serves at most.
pub(super) const NOTES: i32 = 1_000;

/// What decides in one transaction.
pub(super) struct Settling<'s> {
    pub store: &'s PostgresStore,
    pub tx: &'s Transaction<'s>,
    pub lacking: &'s Lacking,
    /// Jobs whose rows others hold: they are left out.
    pub busy: Vec<i64>,
    pub desk: Desk,
}

impl Settling<'_> {
    /// Serves the lines of the keys that were touched; how many jobs left one, at most `limit`.
    pub async fn settle(&mut self, limit: usize) -> Result<usize, Fault> {
        let mut promoted = 0;
        while let Some(key) = self.desk.touched.pop_first() {
            self.foresee(key).await?;
            if self.has_no_more_room(key) {
                continue;
            }
            while let Some(seq) = self.next_in_line(key).await? {
                if promoted == limit {
                    self.desk.touched.insert(key);
                    return Ok(promoted);
                }
                self.promote(seq, key).await?;
                promoted += 1;
            }
            let has_line = self.has_line(key, |_, _| true).await?;
            self.desk.set_timer(key, has_line);
        }
        Ok(promoted)
    }

    /// Whether nothing has happened with a key but that attempts ended, and how many run counts for
    /// nothing there.
    pub(super) fn has_no_more_room(&self, key: Number) -> bool {
        let counts = |policy: Policy| policy.counts_running();
        self.desk.ended.contains(&key) && self.policy_of(key).is_some_and(|it| !counts(it))
    }

    /// The first of the line of a key in a lane where it has room for one more to be ready.
    async fn next_in_line(&mut self, key: Number) -> Result<Option<i64>, Fault> {
        if self.desk.lines.get(&key).is_none_or(HashMap::is_empty) {
            return Ok(None);
        }
        let mut room = u32::MAX;
        if let Some(policy) = self.policy_of(key) {
            self.read_usages(&[key]).await?;
            if policy.ordered.is_some() {
                return self.next_in_order(key, &policy).await;
            }
            room = self.desk.ready_room(key, &policy);
            if room == 0 {
                return Ok(None);
            }
        }
        let mut full: Vec<Triple> = Vec::new();
        if room < u32::MAX {
            let lanes: Vec<i32> =
                self.desk.lines.get(&key).into_iter().flatten().map(|(lane, _)| *lane).collect();
            for lane in lanes {
                if self.ready_beside(key, lane, room).await? >= room {
                    full.push(self.desk.triple(lane));
                }
            }
        }
        loop {
            let mut open: Vec<(i32, Order)> = Vec::new();
            let mut unread = None;
            for (lane, slice) in self.desk.lines.get(&key).into_iter().flatten() {
                if full.contains(&self.desk.triple(*lane)) {
                    continue;
                }
                match slice.first() {
                    First::Is(order) => open.push((*lane, order)),
                    First::Unread => unread = Some(*lane),
                    First::Nobody => {}
                }
            }
            match unread {
                Some(lane) => {
                    self.read_further(key, lane).await?;
                    self.foresee_keys(&[key]).await?;
                }
                None => return Ok(self.desk.first_of(open.into_iter())),
            }
        }
    }

    pub(super) fn policy_of(&self, key: Number) -> Option<Policy> {
        self.desk.policies.get(&key).copied().flatten()
    }

    pub(super) fn takes_turns(&self, key: Number) -> bool {
        self.policy_of(key).is_some_and(|policy| policy.takes_turns())
    }

    /// Lets a job leave the line of a key; another of its keys may stop it.
    async fn promote(&mut self, seq: i64, key: Number) -> Result<(), Fault> {
        let Some(job) = self.desk.jobs.get(&seq) else { return Ok(()) };
        let (lane, limited) = (job.lane, job.limited.clone());
        let known = |lane: &_| self.store.lanes.known(std::slice::from_ref(lane)).pop().flatten();
        let lane = self.desk.returned(lane, known);
        if let Some((group, _)) = self.desk.group_of(seq) {
            self.read_turns(&[group], lane).await?;
        }
        let turn = self.desk.next_turn(seq);
        self.desk.put(seq, lane, Stand::Ready, turn);
        let triple = self.desk.triple(lane);
        for (other, policy) in limited.into_iter().filter(|(other, _)| *other != key) {
            if policy.ordered.is_some() {
                if !self.has_place_in_order(other, &policy, seq).await? {
                    self.desk.put(seq, lane, Stand::Line(other), None);
                    break;
                }
                continue;
            }
            self.read_lines_of(&[other]).await?;
            let stands_before =
                self.has_line(other, |desk, lane| desk.triple(lane) == triple).await?;
            let is_full = stands_before || {
                self.read_usages(&[other]).await?;
                let room = self.desk.ready_room(other, &policy);
                // It counts itself.
                self.ready_beside(other, lane, room.saturating_add(1)).await? > room
            };
            if is_full {
                self.desk.put(seq, lane, Stand::Line(other), None);
                break;
            }
        }
        Ok(())
    }

    /// How many jobs with a key are ready of a lane's queue and task, up to `room`; of a group that takes
    /// turns, those that have one.
    async fn ready_beside(&mut self, key: Number, lane: i32, room: u32) -> Result<u32, Fault> {
        let triple = self.desk.triple(lane);
        if !self.takes_turns(key) {
            return self.beside(key, &triple, room).await;
        }
        self.read_turns(&[key], lane).await?;
        let turns = self.desk.turns.get(&key).and_then(|turns| turns.get(&triple));
        Ok(turns.map_or(0, |turns| u32::try_from(turns.len()).unwrap_or(u32::MAX)))
    }

    /// Whether anybody stands in the line of a key, in the lanes that are meant.
    pub async fn has_line(
        &mut self,
        key: Number,
        is_meant: impl Fn(&Desk, i32) -> bool,
    ) -> Result<bool, Fault> {
        loop {
            let mut unread = None;
            for (lane, slice) in self.desk.lines.get(&key).into_iter().flatten() {
                if is_meant(&self.desk, *lane) {
                    match slice.first() {
                        First::Is(_) => return Ok(true),
                        First::Unread if !slice.found.is_empty() => return Ok(true),
                        First::Unread => unread = Some(*lane),
                        First::Nobody => {}
                    }
                }
            }
            match unread {
                Some(lane) => self.read_further(key, lane).await?,
                None => return Ok(false),
            }
        }
    }
}

impl PostgresStore {
    /// A desk for a namespace whose lock is held.
    pub(super) async fn desk(
        &self,
        tx: &Transaction<'_>,
        namespace: i32,
        row: &Row,
    ) -> Result<Desk, Fault> {
        let set = self.policies_at(tx, namespace, get(row, "version")?).await?;
        let name = self.lanes.namespace_name(&self.link, namespace).await?;
        let now = Timestamp::from_micros(get(row, "now")?);
        let mut desk = Desk::new(now, namespace, name, Arc::clone(&set));
        let noted: Vec<i64> = get(row, "noted")?;
        desk.touched.extend(noted.into_iter().map(i64::cast_unsigned));
        let ended: Vec<i64> = get(row, "ended")?;
        desk.ended.extend(ended.into_iter().map(i64::cast_unsigned));
        Ok(desk)
    }
}
