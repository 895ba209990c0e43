//! Which ready job comes first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// The place of a ready job in its lane: the smallest rank is claimed first, ties go by `seq`.
pub type Rank = i64;

/// What one level of priority is worth in waiting time, where the queue does not say otherwise.
pub const AGING_DEFAULT: Duration = Duration::from_secs(60);

/// The rank of a job that is due at `due_at`: `due_at − priority × aging`, in microseconds.
///
/// A level of priority is a head start of `aging`, so that old work always wins in the end: a job
/// of the lowest priority waits at most 20 × `aging` longer than one of the highest.
pub fn fifo(due_at: Timestamp, priority: i8, aging: Duration) -> Rank {
    let head_start =
        i64::from(priority) * i64::try_from(aging.as_micros()).unwrap_or(i64::MAX / 20);
    due_at.as_micros().saturating_sub(head_start)
}

/// Who is first of these jobs, each with its queue, its level (`Policies::level`), its rank and its
/// `seq`. Within a queue it is one of the highest level; between queues rank decides, that of who is
/// first in each. Ties go by `seq`.
pub fn first<Q: Ord, S: Ord + Copy>(jobs: impl Iterator<Item = (Q, i8, Rank, S)>) -> Option<S> {
    let mut firsts: BTreeMap<Q, (Reverse<i8>, Rank, S)> = BTreeMap::new();
    for (queue, level, rank, seq) in jobs {
        let job = (Reverse(level), rank, seq);
        firsts.entry(queue).and_modify(|first| *first = job.min(*first)).or_insert(job);
    }
    firsts.into_values().map(|(_, rank, seq)| (rank, seq)).min().map(|(_, seq)| seq)
}

#[cfg(test)]
#[path = "tests/rank.rs"]
mod tests;
