//! Under the lock of a namespace: reads what decisions need, serves lines, writes what was decided.

use std::collections::HashMap;
use std::sync::Arc;

use taskwright_core::{Policy, Timestamp, Usage};
use taskwright_store::Result;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::desk::{Desk, First, Number, Order, Slice, Stand, Waiting};
use crate::change::Lacking;
use crate::codec::extras_from;
use crate::connect::Fault;
use crate::lanes::GIVEN_BACK;
use crate::link::{Argument, Transaction, raised};
use crate::row::{LINE, READY, get};
use crate::store::PostgresStore;

/// Jobs of a lane or line that are read at first; then more and more.
pub(super) const SLICE: i32 = 12;
const SLICE_MAX: i32 = 500;
/// Keys that are read at once.
const KEYS: usize = 200;
/// Noted keys that one transaction serves at most.
pub(super) const NOTES: i32 = 5_000;

/// What decides in one transaction.
pub(super) struct Settling<'s> {
    pub store: &'s PostgresStore,
    pub tx: &'s Transaction<'s>,
    pub lacking: &'s Lacking,
    /// Jobs whose rows others hold: they are left out.
    pub busy: &'s [i64],
    pub desk: Desk,
}

/// The numbers of keys, as the database has them.
fn signed(numbers: &[Number]) -> Vec<i64> {
    numbers.iter().map(|number| number.cast_signed()).collect()
}

fn unsigned(row: &Row, column: &str) -> Result<Number> {
    Ok(get::<i64>(row, column)?.cast_unsigned())
}

impl Settling<'_> {
    /// Serves the lines of the keys that were touched; how many jobs left one, at most `limit`.
    pub async fn settle(&mut self, limit: usize) -> Result<usize, Fault> {
        let mut promoted = 0;
        while let Some(key) = self.desk.touched.pop_first() {
            self.read_lines(key).await?;
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

    /// The first of the line of a key in a lane where it has room for one more to be ready.
    async fn next_in_line(&mut self, key: Number) -> Result<Option<i64>, Fault> {
        if self.desk.lines.get(&key).is_none_or(HashMap::is_empty) {
            return Ok(None);
        }
        let mut room = u32::MAX;
        if let Some(policy) = self.policy_of(key) {
            let asked = self.asked_next(key);
            self.read_usages(&asked).await?;
            room = self.desk.room_of_key(key, &policy);
            if room == 0 {
                return Ok(None);
            }
            self.read_ready(&asked).await?;
        }
        loop {
            let mut best: Option<Order> = None;
            let mut unread = None;
            for (lane, slice) in self.desk.lines.get(&key).into_iter().flatten() {
                let ready = self.desk.ready.get(&key);
                let beside = ready.and_then(|ready| ready.get(&self.desk.pair(*lane)).copied());
                if room < u32::MAX && beside.unwrap_or(0) >= room {
                    continue;
                }
                match slice.first() {
                    First::Is(order) => best = Some(best.map_or(order, |best| best.min(order))),
                    First::Unread => unread = Some(*lane),
                    First::Nobody => {}
                }
            }
            match unread {
                Some(lane) => self.read_further(key, lane).await?,
                None => return Ok(best.map(|(_, seq)| seq)),
            }
        }
    }

    /// A key, and others with lines that will be served next.
    fn asked_next(&self, key: Number) -> Vec<Number> {
        let has_line = |key: &&Number| {
            self.desk.lines.get(*key).is_some_and(|line| !line.is_empty())
                && self.policy_of(**key).is_some()
        };
        let others = self.desk.touched.iter().filter(has_line).copied();
        std::iter::once(key).chain(others).take(KEYS).collect()
    }

    fn policy_of(&self, key: Number) -> Option<Policy> {
        self.desk.policies.get(&key).copied().flatten()
    }

    /// Lets a job leave the line of a key; another of its keys may stop it.
    async fn promote(&mut self, seq: i64, key: Number) -> Result<(), Fault> {
        let Some(job) = self.desk.jobs.get(&seq) else { return Ok(()) };
        let (lane, limited) = (job.lane, job.limited.clone());
        let known = |lane: &_| self.store.lanes.known(std::slice::from_ref(lane)).pop().flatten();
        let lane = self.desk.returned(lane, known);
        self.desk.put(seq, lane, Stand::Ready);
        let pair = self.desk.pair(lane);
        for (other, policy) in limited.into_iter().filter(|(other, _)| *other != key) {
            self.read_lines(other).await?;
            let stands_before = self.has_line(other, |desk, lane| desk.pair(lane) == pair).await?;
            let is_full = stands_before || {
                self.read_usages(&[other]).await?;
                self.read_ready(&[other]).await?;
                let ready = self.desk.ready.get(&other).and_then(|ready| ready.get(&pair));
                // It counts itself.
                let beside = ready.copied().unwrap_or(0).saturating_sub(1);
                beside >= self.desk.room_of_key(other, &policy)
            };
            if is_full {
                self.desk.put(seq, lane, Stand::Line(other));
                break;
            }
        }
        Ok(())
    }

    /// Whether anybody stands in the line of a key, in the lanes that are meant.
    async fn has_line(
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

    /// Reads who stands in the line of a key, and of others that will be asked for next.
    async fn read_lines(&mut self, key: Number) -> Result<(), Fault> {
        if self.desk.lines.contains_key(&key) {
            return Ok(());
        }
        let mut keys = vec![key];
        keys.extend(self.desk.touched.iter().filter(|key| !self.desk.lines.contains_key(key)));
        keys.truncate(KEYS);
        self.read_timers(&keys).await?;
        let rows = self
            .tx
            .query(
                "select * from taskwright.first_in_lines($1, $2, $3, $4)",
                &[
                    (&self.desk.now.as_micros(), Type::INT8),
                    (&signed(&keys), Type::INT8_ARRAY),
                    (&SLICE, Type::INT4),
                    (&self.busy, Type::INT8_ARRAY),
                ],
            )
            .await?;
        for key in &keys {
            self.desk.lines.insert(*key, HashMap::new());
        }
        self.take_line(&rows, SLICE).await?;
        for key in keys {
            self.desk.catch_up_line(key);
        }
        Ok(())
    }

    async fn read_timers(&mut self, keys: &[Number]) -> Result<(), Fault> {
        let rows = self
            .tx
            .query(
                "select number, at from taskwright.line_timer \
                 where namespace = $1 and number = any($2)",
                &[(&self.desk.namespace, Type::INT4), (&signed(keys), Type::INT8_ARRAY)],
            )
            .await?;
        for key in keys {
            self.desk.timers.insert(*key, None);
        }
        for row in &rows {
            let at = Timestamp::from_micros(get(row, "at")?);
            self.desk.timers.insert(unsigned(row, "number")?, Some(at));
        }
        Ok(())
    }

    /// Reads more of the line of a key in one lane.
    async fn read_further(&mut self, key: Number, lane: i32) -> Result<(), Fault> {
        let slice = self.desk.lines.get_mut(&key).and_then(|line| line.get_mut(&lane));
        let Some((rank, seq)) = slice.and_then(|slice| slice.more_after.take()) else {
            return Ok(());
        };
        let wanted = SLICE_MAX;
        let rows = self
            .tx
            .query(
                "select * from taskwright.in_lines($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&self.desk.now.as_micros(), Type::INT8),
                    (&vec![key.cast_signed()], Type::INT8_ARRAY),
                    (&vec![lane], Type::INT4_ARRAY),
                    (&vec![rank], Type::INT8_ARRAY),
                    (&vec![seq], Type::INT8_ARRAY),
                    (&wanted, Type::INT4),
                    (&self.busy, Type::INT8_ARRAY),
                ],
            )
            .await?;
        self.take_line(&rows, wanted).await
    }

    /// Takes in rows of lines, of each lane at most `wanted`.
    async fn take_line(&mut self, rows: &[Row], wanted: i32) -> Result<(), Fault> {
        self.name_lanes(rows).await?;
        let mut counts: HashMap<(Number, i32), i32> = HashMap::new();
        for row in rows {
            let (key, lane) = (unsigned(row, "number")?, get::<i32>(row, "lane")?);
            let (order, is_new) = self.meet(row, lane, Stand::Line(key))?;
            let slice: &mut Slice =
                self.desk.lines.entry(key).or_default().entry(lane).or_default();
            if is_new {
                slice.found.insert(order);
            }
            let count = counts.entry((key, lane)).or_default();
            *count += 1;
            if *count == wanted {
                slice.more_after = Some(order);
            }
        }
        Ok(())
    }

    /// Gets to know the job in a row; its order, and whether it stands where the database says.
    fn meet(&mut self, row: &Row, lane: i32, stand: Stand) -> Result<(Order, bool)> {
        let (rank, seq): (i64, i64) = (get(row, "rank")?, get(row, "seq")?);
        if let Some(job) = self.desk.jobs.get(&seq) {
            return Ok(((rank, seq), !job.has_moved()));
        }
        let keys = get::<Option<Vec<i64>>>(row, "keys")?.unwrap_or_default();
        let keys: Vec<Number> = keys.into_iter().map(i64::cast_unsigned).collect();
        let limited = match keys.is_empty() {
            true => Vec::new(),
            false => self.desk.limited(lane, &keys, &extras_from(get(row, "extras")?)?),
        };
        let is_over = get(row, "is_over")?;
        let was = (lane, stand);
        self.desk.jobs.insert(seq, Waiting { rank, is_over, keys, limited, was, lane, stand });
        Ok(((rank, seq), true))
    }

    /// Gets to know the lanes of rows.
    pub async fn name_lanes(&mut self, rows: &[Row]) -> Result<()> {
        let mut numbers = rows.iter().map(|row| get(row, "lane")).collect::<Result<Vec<i32>>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| !self.desk.lanes.contains_key(number));
        if !numbers.is_empty() {
            let named = self.store.lanes.named(&self.store.link, &numbers).await?;
            self.desk.lanes.extend(named);
        }
        Ok(())
    }

    /// Reads what keys have used, where that is not known yet.
    pub async fn read_usages(&mut self, keys: &[Number]) -> Result<(), Fault> {
        let unknown = |key: &&Number| !self.desk.usages.contains_key(*key);
        let keys: Vec<Number> = keys.iter().filter(unknown).copied().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let rows = self
            .tx
            .query(
                "select * from taskwright.key_usage($1, $2)",
                &[(&self.desk.namespace, Type::INT4), (&signed(&keys), Type::INT8_ARRAY)],
            )
            .await?;
        for row in &rows {
            let running = u32::try_from(get::<i64>(row, "running")?).unwrap_or(u32::MAX);
            let arrival = Timestamp::from_micros(get(row, "arrival")?);
            self.desk.usages.insert(unsigned(row, "number")?, Usage { running, arrival });
        }
        Ok(())
    }

    /// Reads how many jobs with keys are ready, where that is not known yet.
    async fn read_ready(&mut self, keys: &[Number]) -> Result<(), Fault> {
        let unknown = |key: &&Number| !self.desk.ready.contains_key(*key);
        let keys: Vec<Number> = keys.iter().filter(unknown).copied().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let arguments: [Argument<'_>; 1] = [(&signed(&keys), Type::INT8_ARRAY)];
        let rows = self.tx.query("select * from taskwright.key_ready($1)", &arguments).await?;
        self.name_lanes(&rows).await?;
        for key in &keys {
            self.desk.ready.insert(*key, HashMap::new());
        }
        for row in &rows {
            let pair = self.desk.pair(get(row, "lane")?);
            let amount = u32::try_from(get::<i64>(row, "amount")?).unwrap_or(u32::MAX);
            if let Some(ready) = self.desk.ready.get_mut(&unsigned(row, "number")?) {
                *ready.entry(pair).or_default() += amount;
            }
        }
        for key in keys {
            self.desk.catch_up_ready(key);
        }
        Ok(())
    }

    /// Locks the jobs that were put elsewhere. `None`: all of them are as they were read; else those
    /// that others hold or have changed, and nothing may be written.
    pub async fn hold(&self) -> Result<Option<Vec<i64>>, Fault> {
        let mut moved: Vec<(i64, &Waiting)> = self.moved();
        moved.sort_unstable_by_key(|(seq, _)| *seq);
        if moved.is_empty() {
            return Ok(None);
        }
        let seqs: Vec<i64> = moved.iter().map(|(seq, _)| *seq).collect();
        let lanes: Vec<i32> = moved.iter().map(|(_, job)| job.was.0).collect();
        let states: Vec<i16> = moved.iter().map(|(_, job)| state_of(job.was.1)).collect();
        let ranks: Vec<i64> = moved.iter().map(|(_, job)| job.rank).collect();
        let lines: Vec<Option<i64>> = moved.iter().map(|(_, job)| line_in(job.was.1)).collect();
        let rows = self
            .tx
            .query(
                "select seq from taskwright.hold_jobs($1, $2, $3, $4, $5)",
                &[
                    (&seqs, Type::INT8_ARRAY),
                    (&lanes, Type::INT4_ARRAY),
                    (&states, Type::INT2_ARRAY),
                    (&ranks, Type::INT8_ARRAY),
                    (&lines, Type::INT8_ARRAY),
                ],
            )
            .await?;
        let held = rows.iter().map(|row| get(row, "seq")).collect::<Result<Vec<i64>>>()?;
        let busy: Vec<i64> = seqs.into_iter().filter(|seq| !held.contains(seq)).collect();
        Ok((!busy.is_empty()).then_some(busy))
    }

    fn moved(&self) -> Vec<(i64, &Waiting)> {
        let moved = self.desk.jobs.iter().filter(|(_, job)| job.has_moved());
        moved.map(|(seq, job)| (*seq, job)).collect()
    }

    /// Writes where jobs stand now, and what else was decided. What was given is left to the claim.
    pub async fn write(&self) -> Result<(), Fault> {
        let lanes = self.desk.new_lanes();
        if !lanes.is_empty() {
            return Err(self.lacking.note(lanes));
        }
        let mut put = self.moved();
        put.retain(|(_, job)| job.stand != Stand::Given);
        if !put.is_empty() {
            let seqs: Vec<i64> = put.iter().map(|(seq, _)| *seq).collect();
            let lanes: Vec<i32> = put.iter().map(|(_, job)| job.lane).collect();
            let states: Vec<i16> = put.iter().map(|(_, job)| state_of(job.stand)).collect();
            let lines: Vec<Option<i64>> = put.iter().map(|(_, job)| line_in(job.stand)).collect();
            let arguments: [Argument<'_>; 4] = [
                (&seqs, Type::INT8_ARRAY),
                (&lanes, Type::INT4_ARRAY),
                (&states, Type::INT2_ARRAY),
                (&lines, Type::INT8_ARRAY),
            ];
            let statement = "select count(taskwright.put_jobs($1, $2, $3, $4)::text)";
            match self.tx.query(statement, &arguments).await {
                Err(fault) if raised(&fault).is_some_and(|code| code == GIVEN_BACK) => {
                    let named = lanes.iter().filter_map(|lane| self.desk.lanes.get(lane));
                    let named: Vec<_> = named.map(|lane| crate::lanes::Lane::clone(lane)).collect();
                    self.store.lanes.forget(&named);
                    return Err(self.lacking.note(named));
                }
                done => done.map(drop)?,
            }
        }
        self.close().await
    }

    async fn close(&self) -> Result<(), Fault> {
        let desk = &self.desk;
        if desk.arrivals.is_empty() && desk.retimed.is_empty() && desk.touched.is_empty() {
            return Ok(());
        }
        let used: Vec<Number> = desk.arrivals.keys().copied().collect();
        let arrivals: Vec<i64> = desk.arrivals.values().map(|at| at.as_micros()).collect();
        let timed: Vec<Number> = desk.retimed.iter().copied().collect();
        let timer = |key: &Number| desk.timers.get(key).copied().flatten();
        let at: Vec<Option<i64>> =
            timed.iter().map(|key| timer(key).map(Timestamp::as_micros)).collect();
        let later: Vec<Number> = desk.touched.iter().copied().collect();
        self.tx
            .query(
                "select count(taskwright.close_desk($1, $2, $3, $4, $5, $6)::text)",
                &[
                    (&desk.namespace, Type::INT4),
                    (&signed(&used), Type::INT8_ARRAY),
                    (&arrivals, Type::INT8_ARRAY),
                    (&signed(&timed), Type::INT8_ARRAY),
                    (&at, Type::INT8_ARRAY),
                    (&signed(&later), Type::INT8_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }

    /// Gets to know the ready jobs in rows, of each lane at most `wanted`, for a claim.
    pub async fn take_candidates(&mut self, rows: &[Row], wanted: i32) -> Result<(), Fault> {
        self.name_lanes(rows).await?;
        let mut counts: HashMap<i32, i32> = HashMap::new();
        let mut keys: Vec<Number> = Vec::new();
        for row in rows {
            let lane = get::<i32>(row, "lane")?;
            let (order, is_new) = self.meet(row, lane, Stand::Ready)?;
            let slice = self.desk.candidates.entry(lane).or_default();
            if is_new {
                slice.found.insert(order);
            }
            let count = counts.entry(lane).or_default();
            *count += 1;
            if *count == wanted {
                slice.more_after = Some(order);
            }
            let job = self.desk.jobs.get(&order.1);
            keys.extend(job.iter().flat_map(|job| &job.limited).map(|(key, _)| *key));
        }
        keys.sort_unstable();
        keys.dedup();
        self.read_usages(&keys).await
    }
}

fn state_of(stand: Stand) -> i16 {
    match stand {
        Stand::Ready => READY,
        Stand::Line(_) => LINE,
        Stand::Given => crate::row::RUNNING,
    }
}

fn line_in(stand: Stand) -> Option<i64> {
    match stand {
        Stand::Line(key) => Some(key.cast_signed()),
        Stand::Ready | Stand::Given => None,
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
        Ok(desk)
    }
}
