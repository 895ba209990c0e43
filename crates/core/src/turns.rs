//! Whose turn it is in a fair queue: groups are scheduled, not jobs.
//!
//! Start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996).
//! Each queue has a clock of its own, which shows the turn of the newest start. A job of a group gets
//! its turn when it becomes ready: no earlier than the clock, and behind the group's job before it by
//! what that one costs. A group of weight 3 pays a third for a job, so three of its jobs start while one
//! of weight 1 does. A group that had no jobs for a while begins at the clock: it has saved nothing up,
//! and waits for nobody's backlog.

use crate::rank::Rank;

/// What the clock of a queue shows before anything has started.
///
/// Turns are ranks, from here to [`END`]; those of instants are above. So nobody takes one for the other.
pub const BEGIN: Rank = i64::MIN / 2;

/// No turn comes so far: billions of starts a day do not reach it in a hundred years.
pub const END: Rank = BEGIN / 2;

/// Most jobs of a group that are ready in a lane: so many starts later a change of weight counts.
pub const READY_MAX: u32 = 32;

/// The largest weight of a group; the smallest, and what groups have by themselves, is 1.
pub const WEIGHT_MAX: u32 = 1_000;

/// What a job costs at weight 1.
const COST: i64 = 10_000;

/// What a job of a group of this weight costs.
fn cost(weight: u32) -> i64 {
    COST / i64::from(weight.clamp(1, WEIGHT_MAX))
}

/// Whether a rank is a turn.
pub fn is_turn(rank: Rank) -> bool {
    rank < END
}

/// The turn of a group's next job: `clock` shows the turn of the newest start in the queue, `done` is
/// the turn after the group's newest start, `ready` are the turns that jobs of it have and wait with.
///
/// It is behind the last of these by what a job costs, but no further behind the group's next one than
/// as many as wait would have brought it: what was cancelled has cost nothing.
pub fn next(clock: Rank, done: Rank, ready: impl Iterator<Item = Rank>, weight: u32) -> Rank {
    let begin = clock.max(done);
    let (before, last) = ready.fold((0, BEGIN), |(before, last), turn| {
        (before + i64::from(turn >= begin), last.max(turn))
    });
    let counted = begin.saturating_add(before * cost(weight));
    after(last, weight).min(counted).max(last).max(begin).min(END - 1)
}

/// The turn of the next job of a group that waits with none: `clock` and `done` as for [`next`].
pub fn next_of_one(clock: Rank, done: Rank) -> Rank {
    clock.max(done)
}

/// The turn after this one, of a group of this weight.
pub fn after(turn: Rank, weight: u32) -> Rank {
    turn.saturating_add(cost(weight)).min(END - 1)
}

#[cfg(test)]
#[path = "tests/turns.rs"]
mod tests;
