//! Which jobs the table does not have yet although it has what came after them.

use rusqlite::Connection;
use taskwright_store::Result;

use super::failure::{corrupt, failed};
use super::fold::Fold;
use crate::change::{Change, Position, Seq, WorkerNumber};

const READ: &str = "read which jobs the table lacks";

/// Jobs that were inserted up to a position and are held back: the table has everything up to there
/// but them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Up to here.
    position: Position,
    /// Before the first of them was inserted.
    whole: Position,
    /// Runs of their numbers, first and last, growing.
    runs: Vec<(Seq, Seq)>,
    /// Who runs some of them, growing.
    workers: Vec<WorkerNumber>,
}

impl Held {
    /// What stays back when a fold is applied.
    pub(super) fn of(fold: &Fold, held_from: usize, position: Position) -> Self {
        let mut held = Held { position, whole: position, ..Held::default() };
        for (seq, worker) in fold.held(held_from) {
            match held.runs.last_mut() {
                Some((_, last)) if *last + 1 == seq => *last = seq,
                _ => held.runs.push((seq, seq)),
            }
            held.workers.extend(worker.filter(|worker| held.workers.last() != Some(worker)));
        }
        if let Some((first, _)) = held.runs.first() {
            held.whole = fold.birth(*first).saturating_sub(1);
        }
        held.workers.sort_unstable();
        held.workers.dedup();
        held
    }

    /// The position up to which the table lacks nothing.
    pub fn whole(&self) -> Position {
        self.whole
    }

    /// The workers that run some of them.
    pub(super) fn workers(&self) -> &[WorkerNumber] {
        &self.workers
    }

    /// Leaves of a group's changes what the table lacks of them.
    pub fn keep(&self, position: Position, changes: &mut Vec<Change>) {
        if position > self.position {
            return;
        }
        changes.retain(|change| match change {
            Change::Insert(fixed, _) => self.contains(fixed.seq),
            Change::Update(update) => self.contains(update.seq),
            Change::Rewrite(rewrite) => self.contains(rewrite.seq),
            Change::Delete(seq) => self.contains(*seq),
            Change::Lane(_)
            | Change::Queue(_)
            | Change::Policy(_)
            | Change::Document(_)
            | Change::Arrival(_)
            | Change::Turn(_)
            | Change::Worker(_)
            | Change::Audit(_) => false,
        });
    }

    fn contains(&self, seq: Seq) -> bool {
        let index = self.runs.partition_point(|(_, last)| *last < seq);
        self.runs.get(index).is_some_and(|(first, _)| *first <= seq)
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let numbers = self.runs.iter().flat_map(|&(first, last)| [first, last]);
        let workers = self.workers.iter().map(|&worker| worker.into());
        connection
            .prepare_cached("UPDATE held SET whole = ?1, seqs = ?2, workers = ?3")?
            .execute((self.whole.cast_signed(), packed(numbers), packed(workers)))
            .map(|_| ())
    }

    pub(super) fn read(connection: &Connection, position: Position) -> Result<Self> {
        let (whole, seqs, workers): (i64, Vec<u8>, Vec<u8>) = connection
            .query_row("SELECT whole, seqs, workers FROM held", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .map_err(failed(READ))?;
        let damaged = || corrupt("the list of the jobs that it lacks is damaged");
        let seqs = unpacked(&seqs).ok_or_else(damaged)?;
        let runs = seqs.chunks_exact(2).map(|run| (run[0], run[1])).collect();
        let workers = unpacked(&workers).ok_or_else(damaged)?;
        let workers: std::result::Result<_, _> =
            workers.into_iter().map(WorkerNumber::try_from).collect();
        let workers = workers.map_err(|_| damaged())?;
        Ok(Held { position, whole: whole.cast_unsigned(), runs, workers })
    }
}

/// Numbers that do not fall, as LEB128 varints of their differences.
fn packed(numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    for number in numbers {
        let mut rest = number - last;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        last = number;
    }
    bytes
}

/// The numbers in such bytes; `None` where they are no such.
fn unpacked(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let (mut last, mut apart, mut shift) = (0_u64, 0_u64, 0);
    for byte in bytes {
        if shift >= 64 {
            return None;
        }
        apart |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            last = last.checked_add(apart)?;
            numbers.push(last);
            (apart, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(numbers)
}

#[cfg(test)]
#[path = "tests/held.rs"]
mod tests;
