//! Reads what decisions need to the desk, as far as it is not there.

use std::collections::HashMap;

use taskwright_core::rank::{AGING_DEFAULT, fifo};
use taskwright_core::{Policy, Timestamp, Usage};
use taskwright_store::Result;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::desk::{Number, Order, Slice, Stand, Triple, Waiting};
use super::settle::Settling;
use super::turns::{Part, REST};
use crate::codec::extras_from;
use crate::connect::Fault;
use crate::lanes::NAMED;
use crate::link::Argument;
use crate::row::get;

/// About how many jobs in lines are read at first, of all keys that are asked for, …
const SLICES: usize = 2_000;
/// … and of one line where those were not enough.
const MORE: i32 = 300;
/// Ready jobs of a key that are counted at first: a key seldom has room for more.
const SAMPLE_MIN: u32 = 100;
const SAMPLE_MAX: u32 = 1_000;
/// Keys that are read at once.
pub(super) const KEYS: usize = 1_000;

/// The numbers of keys, as the database has them.
pub(super) fn signed(numbers: &[Number]) -> Vec<i64> {
    numbers.iter().map(|number| number.cast_signed()).collect()
}

fn unsigned(row: &Row, column: &str) -> Result<Number> {
    Ok(get::<i64>(row, column)?.cast_unsigned())
}

impl Settling<'_> {
    /// Reads who stands in the lines of keys, where that is not known yet.
    pub async fn read_lines_of(&mut self, keys: &[Number]) -> Result<(), Fault> {
        let unknown = |key: &&Number| !self.desk.lines.contains_key(*key);
        let keys: Vec<Number> = keys.iter().filter(unknown).copied().collect();
        if keys.is_empty() {
            return Ok(());
        }
        self.read_timers(&keys).await?;
        // Of many keys, few jobs each.
        let slice = i32::try_from(SLICES / keys.len()).unwrap_or(1).clamp(2, 64);
        let rows = self
            .tx
            .query(
                "select * from taskwright.first_in_lines($1, $2, $3, $4)",
                &[
                    (&self.desk.now.as_micros(), Type::INT8),
                    (&signed(&keys), Type::INT8_ARRAY),
                    (&slice, Type::INT4),
                    (&self.busy, Type::INT8_ARRAY),
                ],
            )
            .await?;
        for key in &keys {
            self.desk.lines.insert(*key, HashMap::new());
        }
        self.take_line(&rows, slice).await?;
        self.desk.catch_up_lines(&keys);
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
    pub async fn read_further(&mut self, key: Number, lane: i32) -> Result<(), Fault> {
        let slice = self.desk.lines.get_mut(&key).and_then(|line| line.get_mut(&lane));
        let Some((rank, seq)) = slice.and_then(|slice| slice.more_after.take()) else {
            return Ok(());
        };
        let wanted = MORE;
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
    pub(super) fn meet(&mut self, row: &Row, lane: i32, stand: Stand) -> Result<(Order, bool)> {
        let (rank, seq): (i64, i64) = (get(row, "rank")?, get(row, "seq")?);
        if let Some(job) = self.desk.jobs.get(&seq) {
            return Ok(((rank, seq), !job.has_moved()));
        }
        let keys = get::<Option<Vec<i64>>>(row, "keys")?.unwrap_or_default();
        let keys: Vec<Number> = keys.into_iter().map(i64::cast_unsigned).collect();
        let limited = match keys.is_empty() {
            true => Vec::new(),
            false => self.desk.limited(lane, &keys, || extras_from(get(row, "extras")?))?,
        };
        let run_at = Timestamp::from_micros(get(row, "run_at")?);
        let priority = get::<i16>(row, "priority")?;
        let age = fifo(run_at, i8::try_from(priority).unwrap_or_default(), AGING_DEFAULT);
        let is_over = get(row, "is_over")?;
        let was = (lane, stand, rank);
        self.desk.jobs.insert(seq, Waiting { rank, age, is_over, keys, limited, was, lane, stand });
        Ok(((rank, seq), true))
    }

    /// Gets to know the lanes of rows.
    pub async fn name_lanes(&mut self, rows: &[Row]) -> Result<(), Fault> {
        let numbers = rows.iter().map(|row| get(row, "lane")).collect::<Result<Vec<i32>>>()?;
        self.name_numbers(numbers).await
    }

    /// Gets to know the lanes with these numbers.
    pub async fn name_numbers(&mut self, mut numbers: Vec<i32>) -> Result<(), Fault> {
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| !self.desk.lanes.contains_key(number));
        let (known, missing) = self.store.lanes.known_by_number(&numbers);
        self.desk.lanes.extend(known);
        if !missing.is_empty() {
            // Not on a connection of its own: all of them may wait for the lock that is held here.
            let rows = self.tx.query(NAMED, &[(&missing, Type::INT4_ARRAY)]).await?;
            self.desk.lanes.extend(self.store.lanes.learn(&rows)?);
        }
        Ok(())
    }

    /// Reads what keys have used, where that is not known yet.
    pub async fn read_usages(&mut self, keys: &[Number]) -> Result<(), Fault> {
        let unknown = keys.iter().filter(|key| !self.desk.usages.contains_key(*key));
        // What has a turn and no other limit, or no policy, may always start.
        let counts = |policy: Policy| policy.counts_running() || policy.rate.is_some();
        let unknown = unknown.filter(|key| self.policy_of(**key).is_none_or(counts));
        let keys: Vec<Number> = unknown.copied().collect();
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

    /// How many jobs with a key are ready of a queue and task, which is to be known only up to `room`.
    pub async fn beside(&mut self, key: Number, triple: &Triple, room: u32) -> Result<u32, Fault> {
        self.read_ready(&[key]).await?;
        if self.desk.ready_in(key, triple) < room && self.desk.sampled.remove(&key) {
            self.count_ready(&[key], &[None]).await?;
        }
        Ok(self.desk.ready_in(key, triple))
    }

    /// Reads how many jobs with keys are ready, where that is not known yet: of each no more than it
    /// is likely to have room for, whose usage is known.
    pub async fn read_ready(&mut self, keys: &[Number]) -> Result<(), Fault> {
        let unknown = |key: &&Number| !self.desk.ready.contains_key(*key);
        let keys: Vec<Number> = keys.iter().filter(unknown).copied().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let likely = |key: &Number| {
            let room = self.policy_of(*key).map_or(0, |policy| self.desk.ready_room(*key, &policy));
            // It counts itself, and there may be jobs of other lanes.
            Some(i64::from(room.saturating_mul(2).clamp(SAMPLE_MIN, SAMPLE_MAX)))
        };
        let limits: Vec<Option<i64>> = keys.iter().map(likely).collect();
        self.count_ready(&keys, &limits).await
    }

    /// Counts ready jobs with keys, of each at most as many as its limit says.
    async fn count_ready(&mut self, keys: &[Number], limits: &[Option<i64>]) -> Result<(), Fault> {
        let arguments: [Argument<'_>; 2] =
            [(&signed(keys), Type::INT8_ARRAY), (&limits, Type::INT8_ARRAY)];
        let rows = self.tx.query("select * from taskwright.key_ready($1, $2)", &arguments).await?;
        self.name_lanes(&rows).await?;
        for key in keys {
            self.desk.ready.insert(*key, HashMap::new());
        }
        let mut totals: HashMap<Number, i64> = HashMap::new();
        for row in &rows {
            let (key, amount) = (unsigned(row, "number")?, get::<i64>(row, "amount")?);
            let triple = self.desk.triple(get(row, "lane")?);
            if let Some(ready) = self.desk.ready.get_mut(&key) {
                *ready.entry(triple).or_default() += u32::try_from(amount).unwrap_or(u32::MAX);
            }
            *totals.entry(key).or_default() += amount;
        }
        for (key, limit) in keys.iter().zip(limits) {
            if totals.get(key).copied() == *limit {
                self.desk.sampled.insert(*key);
            }
        }
        self.desk.catch_up_ready(keys);
        Ok(())
    }

    /// Gets to know the ready jobs in rows, of each lane at most `slice`, for a claim; of a lane that was
    /// read further, those of the part that is `wanted`.
    pub async fn take_candidates(
        &mut self,
        rows: &[Row],
        wanted: Option<Part>,
    ) -> Result<(), Fault> {
        self.name_lanes(rows).await?;
        let mut counts: HashMap<i32, i32> = HashMap::new();
        let mut cut: Vec<(i32, Order)> = Vec::new();
        let mut keys: Vec<Number> = Vec::new();
        let mut seqs: Vec<i64> = Vec::new();
        for row in rows {
            let lane = get::<i32>(row, "lane")?;
            if !self.desk.serves(lane) {
                // What it requires is newer than what this node knew.
                continue;
            }
            let (order, is_new) = self.meet(row, lane, Stand::Ready)?;
            seqs.push(order.1);
            let part = self.desk.part_of(lane, order.0);
            if is_new && wanted.is_none_or(|wanted| wanted == part) {
                self.desk.candidates.entry((lane, part)).or_default().found.insert(order);
            }
            let count = counts.entry(lane).or_default();
            *count += 1;
            if *count == get::<i32>(row, "slice")? {
                cut.push((lane, order));
            }
            let job = self.desk.jobs.get(&order.1);
            keys.extend(job.iter().flat_map(|job| &job.limited).map(|(key, _)| *key));
        }
        for (lane, last) in cut {
            self.note_cut(lane, last, wanted);
        }
        self.read_clocks(&seqs).await?;
        keys.sort_unstable();
        keys.dedup();
        self.read_heads(&keys).await?;
        self.read_usages(&keys).await
    }

    /// Behind this job of a lane there may be more.
    fn note_cut(&mut self, lane: i32, last: Order, wanted: Option<Part>) {
        let part = self.desk.part_of(lane, last.0);
        let mut more = |part, after| {
            self.desk.candidates.entry((lane, part)).or_default().more_after = Some(after);
        };
        if wanted.is_none_or(|wanted| wanted == part) {
            more(part, last);
        }
        if part == Part::WithTurn && wanted.is_none() {
            more(Part::Rest, REST);
        }
    }
}
