//! Values by number, packed.
//!
//! Jobs come with growing numbers. A B-tree that only grows at its end leaves its nodes half empty,
//! which a backlog of a million jobs would pay for with tens of megabytes. Here values lie in runs,
//! each full before the next one begins, and only the runs are in a tree.

use std::collections::BTreeMap;
use std::ops::{Index, RangeInclusive};

use crate::change::Seq;

/// Values in a full run.
const RUN: usize = 64;

/// A map from numbers that mostly grow: get, insert and remove are O(log n) plus the length of a run.
#[derive(Debug)]
pub struct SeqMap<V> {
    /// By a number that is at most that of their first value, each run by growing number, none empty.
    runs: BTreeMap<Seq, Vec<(Seq, V)>>,
    len: usize,
}

impl<V> Default for SeqMap<V> {
    fn default() -> Self {
        SeqMap { runs: BTreeMap::new(), len: 0 }
    }
}

impl<V> SeqMap<V> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is a value with this number.
    pub fn contains_key(&self, seq: &Seq) -> bool {
        self.get(seq).is_some()
    }

    /// The value with this number.
    pub fn get(&self, seq: &Seq) -> Option<&V> {
        let (_, run) = self.runs.range(..=*seq).next_back()?;
        let index = place(run, *seq).ok()?;
        Some(&run[index].1)
    }

    /// The value with this number, to change.
    pub fn get_mut(&mut self, seq: &Seq) -> Option<&mut V> {
        let (_, run) = self.runs.range_mut(..=*seq).next_back()?;
        let index = place(run, *seq).ok()?;
        Some(&mut run[index].1)
    }

    /// Adds a value, or replaces the one that has this number.
    pub fn insert(&mut self, seq: Seq, value: V) -> Option<V> {
        let Some((_, run)) = self.runs.range_mut(..=seq).next_back() else {
            return self.begin(seq, value);
        };
        let index = match place(run, seq) {
            Ok(index) => return Some(std::mem::replace(&mut run[index].1, value)),
            Err(index) => index,
        };
        if run.len() < RUN {
            run.insert(index, (seq, value));
            self.len += 1;
            return None;
        }
        if index == run.len() {
            return self.begin(seq, value);
        }
        // Out of turn, into a full run: what comes behind it begins another one.
        let rest = run.split_off(index);
        run.push((seq, value));
        self.runs.insert(rest[0].0, rest);
        self.len += 1;
        None
    }

    fn begin(&mut self, seq: Seq, value: V) -> Option<V> {
        self.runs.insert(seq, vec![(seq, value)]);
        self.len += 1;
        None
    }

    /// Takes the value with this number out.
    pub fn remove(&mut self, seq: &Seq) -> Option<V> {
        let (&first, run) = self.runs.range_mut(..=*seq).next_back()?;
        let index = place(run, *seq).ok()?;
        let (_, value) = run.remove(index);
        self.len -= 1;
        if run.is_empty() {
            self.runs.remove(&first);
        } else if run.len() * 4 <= run.capacity() {
            run.shrink_to(run.len() * 2);
        }
        Some(value)
    }

    /// The values whose numbers lie in a range, growing.
    pub fn range_mut(&mut self, range: RangeInclusive<Seq>) -> impl Iterator<Item = (Seq, &mut V)> {
        let (from, to) = range.into_inner();
        let first = self.runs.range(..=from).next_back().map_or(from, |(first, _)| *first);
        // A range that ends before it begins is empty.
        let runs = self.runs.range_mut(first..=to.max(first));
        let values = runs.flat_map(|(_, run)| run.iter_mut());
        let inside = values.filter(move |(seq, _)| (from..=to).contains(seq));
        inside.map(|(seq, value)| (*seq, value))
    }

    /// All values, by growing number.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.runs.values().flatten().map(|(_, value)| value)
    }
}

impl<V> Index<&Seq> for SeqMap<V> {
    type Output = V;

    /// # Panics
    /// Where there is no such value.
    fn index(&self, seq: &Seq) -> &V {
        match self.get(seq) {
            Some(value) => value,
            None => panic!("there is no job number {seq} in memory"),
        }
    }
}

/// Where a number stands in a run, or belongs. Mostly none is missing: the place is guessed first.
fn place<V>(run: &[(Seq, V)], seq: Seq) -> Result<usize, usize> {
    let guess = run.first().map_or(0, |(first, _)| seq.wrapping_sub(*first) as usize);
    match run.get(guess) {
        Some((found, _)) if *found == seq => Ok(guess),
        _ => run.binary_search_by_key(&seq, |(seq, _)| *seq),
    }
}

#[cfg(test)]
#[path = "tests/seq_map.rs"]
mod tests;
