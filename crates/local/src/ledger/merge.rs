//! Merges sorted lines of ready jobs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, btree_set};

use taskwright_core::placement::Cost;
use taskwright_core::{Rank, turns};

use super::claim::ONE;
use super::levels::Levels;
use crate::change::Seq;

/// What becomes of a job that a claim looks at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Take,
    /// And others are called before the next is looked at.
    TakeAndCall,
    Pass,
    /// So are all that follow it in its lane.
    PassLane,
    /// The claim looks no further.
    Stop,
}

/// Who says which jobs are taken.
pub(super) trait Judge {
    /// Whether a job may be thought of, which takes nothing: `Take`, `Pass` or `PassLane`.
    fn look(&mut self, seq: Seq) -> Judgement;
    /// Decides; what a job takes is taken then.
    fn decide(&mut self, seq: Seq) -> Judgement;
    /// The rank of a job by its age, whatever turn it has.
    fn age(&self, seq: Seq) -> Rank;
}

/// Jobs that are to start.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub jobs: Vec<Seq>,
    /// What they leave of what was free.
    pub left: Cost,
    /// The next job takes more than that.
    pub is_over: bool,
    /// Others are to be called from lines now, and may come before those that were not taken.
    pub calls_others: bool,
}

/// Lines of jobs, and queues that have an order of their own.
#[derive(Default)]
pub(super) struct Merge<'a> {
    plain: Lines<'a>,
    queues: Vec<Queue<'a>>,
}

impl<'a> Merge<'a> {
    /// Adds the jobs of a lane, which cost so much each. Of all bounded lines together at most one job
    /// is taken.
    pub fn add(&mut self, jobs: &'a Levels, is_bounded: bool, cost: &'a Cost) {
        for (_, line) in jobs.iter() {
            self.plain.add(line.range(..), is_bounded, cost);
        }
    }

    /// Adds a queue that has an order of its own.
    pub fn add_queue(&mut self, queue: Queue<'a>) {
        self.queues.push(queue);
    }

    /// The first jobs that fit what is free, of those that are judged to be taken; up to one that calls
    /// others, and to one that takes more than is left.
    pub fn take(mut self, free: &Cost, judge: &mut impl Judge) -> Taken {
        let mut taken = Taken { left: free.clone(), ..Taken::default() };
        let mut bound_is_used = false;
        while taken.left.slots > 0 && !taken.calls_others {
            let plain = self.plain.head();
            let queues = self.queues.iter_mut().enumerate().filter_map(|(index, queue)| {
                let (rank, seq) = queue.head(judge, bound_is_used)?;
                Some((rank, seq, index))
            });
            let chosen = match (plain, queues.min()) {
                (Some(plain), Some((rank, seq, index))) if (rank, seq) < plain => Some(index),
                (None, Some((.., index))) => Some(index),
                (Some(_), _) => None,
                (None, None) => break,
            };
            let lines = match chosen {
                Some(index) => self.queues[index].lines(),
                None => &mut self.plain,
            };
            let Some((_, seq)) = lines.head() else { break };
            let (is_bounded, cost) = lines.head_source();
            if is_bounded && bound_is_used {
                lines.drop_line();
                continue;
            }
            let judgement = judge.decide(seq);
            match judgement {
                Judgement::Take | Judgement::TakeAndCall if !cost.fits(&taken.left) => {
                    taken.is_over = true;
                    break;
                }
                Judgement::Take | Judgement::TakeAndCall => {
                    taken.jobs.push(seq);
                    taken.left = taken.left.minus(cost);
                    taken.calls_others = judgement == Judgement::TakeAndCall;
                    bound_is_used |= is_bounded;
                    if let Some(index) = chosen {
                        self.queues[index].take();
                        continue;
                    }
                }
                Judgement::Pass => {}
                Judgement::PassLane => {
                    lines.drop_line();
                    continue;
                }
                Judgement::Stop => break,
            }
            lines.advance();
        }
        taken
    }
}

/// A queue that has an order of its own.
pub(super) enum Queue<'a> {
    Fair(FairQueue<'a>),
    Strict(StrictQueue<'a>),
}

impl<'a> Queue<'a> {
    /// Adds the jobs of a lane of the queue, which cost so much each.
    pub fn add(&mut self, jobs: &'a Levels, is_bounded: bool, cost: &'a Cost) {
        match self {
            Queue::Fair(queue) => queue.add(jobs, is_bounded, cost),
            Queue::Strict(queue) => queue.add(jobs, is_bounded, cost),
        }
    }

    /// Who is next, of those that may be thought of, and the rank that counts between queues.
    fn head(&mut self, judge: &mut impl Judge, bound_is_used: bool) -> Option<(Rank, Seq)> {
        match self {
            Queue::Fair(queue) => {
                let seq = queue.head(judge, bound_is_used)?;
                Some((judge.age(seq), seq))
            }
            Queue::Strict(queue) => queue.head(judge, bound_is_used),
        }
    }

    /// The lines in which `head` found who is next.
    fn lines(&mut self) -> &mut Lines<'a> {
        match self {
            Queue::Fair(queue) => queue.lines(),
            Queue::Strict(queue) => queue.lines(),
        }
    }

    /// That job starts.
    fn take(&mut self) {
        match self {
            Queue::Fair(queue) => queue.take(),
            Queue::Strict(queue) => queue.lines().advance(),
        }
    }
}

/// A strict queue: its jobs apart by priority.
#[derive(Default)]
pub(super) struct StrictQueue<'a> {
    levels: BTreeMap<Reverse<i8>, Lines<'a>>,
    /// The level of who is next.
    next: Reverse<i8>,
}

impl<'a> StrictQueue<'a> {
    fn add(&mut self, jobs: &'a Levels, is_bounded: bool, cost: &'a Cost) {
        for (priority, line) in jobs.iter() {
            let level = self.levels.entry(Reverse(priority)).or_default();
            level.add(line.range(..), is_bounded, cost);
        }
    }

    fn head(&mut self, judge: &mut impl Judge, bound_is_used: bool) -> Option<(Rank, Seq)> {
        loop {
            let mut level = self.levels.first_entry()?;
            if let Some(head) = level.get_mut().settle(judge, bound_is_used) {
                self.next = *level.key();
                return Some(head);
            }
            level.remove();
        }
    }

    fn lines(&mut self) -> &mut Lines<'a> {
        self.levels.entry(self.next).or_default()
    }
}

/// A fair queue: jobs that have a turn, and those without group, which together are as one group.
#[derive(Default)]
pub(super) struct FairQueue<'a> {
    with_turn: Lines<'a>,
    rest: Lines<'a>,
    clock: Rank,
    /// The turn after the newest start of a job without group.
    done: Rank,
    rest_is_next: bool,
}

impl<'a> FairQueue<'a> {
    /// One whose clock shows this.
    pub fn new(clock: Rank, done: Rank) -> Self {
        FairQueue { clock, done, ..FairQueue::default() }
    }

    fn add(&mut self, jobs: &'a Levels, is_bounded: bool, cost: &'a Cost) {
        let first = (turns::END, Seq::MIN);
        for (_, line) in jobs.iter() {
            self.with_turn.add(line.range(..first), is_bounded, cost);
            self.rest.add(line.range(first..), is_bounded, cost);
        }
    }

    /// Whose turn it is, of those that may be thought of.
    fn head(&mut self, judge: &mut impl Judge, bound_is_used: bool) -> Option<Seq> {
        let with_turn = self.with_turn.settle(judge, bound_is_used);
        let rest = self.rest.settle(judge, bound_is_used);
        let rest = rest.map(|(_, seq)| (self.turn_of_rest(), seq));
        self.rest_is_next = match (with_turn, rest) {
            (Some(with_turn), Some(rest)) => rest < with_turn,
            (None, rest) => rest.is_some(),
            (Some(_), None) => false,
        };
        let next = if self.rest_is_next { rest } else { with_turn };
        next.map(|(_, seq)| seq)
    }

    fn turn_of_rest(&self) -> Rank {
        turns::next_of_one(self.clock, self.done)
    }

    /// The lines in which `head` found whose turn it is.
    fn lines(&mut self) -> &mut Lines<'a> {
        if self.rest_is_next { &mut self.rest } else { &mut self.with_turn }
    }

    /// That job starts.
    fn take(&mut self) {
        let turn = match self.rest_is_next {
            true => {
                let turn = self.turn_of_rest();
                self.done = turns::after(turn, 1);
                turn
            }
            false => self.with_turn.head().map_or(self.clock, |(turn, _)| turn),
        };
        self.clock = self.clock.max(turn);
        self.lines().advance();
    }
}

/// Lines of jobs, merged by rank.
#[derive(Default)]
struct Lines<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<(Rank, Seq, usize)>>,
}

struct Source<'a> {
    rest: btree_set::Range<'a, (Rank, Seq)>,
    is_bounded: bool,
    /// What each of its jobs takes.
    cost: &'a Cost,
}

impl<'a> Lines<'a> {
    fn add(
        &mut self,
        mut rest: btree_set::Range<'a, (Rank, Seq)>,
        is_bounded: bool,
        cost: &'a Cost,
    ) {
        if let Some(&(rank, seq)) = rest.next() {
            self.heads.push(Reverse((rank, seq, self.sources.len())));
            self.sources.push(Source { rest, is_bounded, cost });
        }
    }

    fn head(&self) -> Option<(Rank, Seq)> {
        self.heads.peek().map(|Reverse((rank, seq, _))| (*rank, *seq))
    }

    fn head_is_bounded(&self) -> bool {
        self.head_source().0
    }

    /// Whether the line of the first job is bounded, and what each of its jobs takes.
    fn head_source(&self) -> (bool, &'a Cost) {
        let source = self.heads.peek().map(|Reverse((.., index))| &self.sources[*index]);
        source.map_or((false, &ONE), |source| (source.is_bounded, source.cost))
    }

    /// Goes on to the job after the first.
    fn advance(&mut self) {
        let Some(mut head) = self.heads.peek_mut() else { return };
        let index = head.0.2;
        match self.sources[index].rest.next() {
            Some(&(rank, seq)) => *head = Reverse((rank, seq, index)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
    }

    /// Leaves out the whole line whose job is first.
    fn drop_line(&mut self) {
        self.heads.pop();
    }

    /// Goes on to the first job that may be thought of.
    fn settle(&mut self, judge: &mut impl Judge, bound_is_used: bool) -> Option<(Rank, Seq)> {
        loop {
            let head = self.head()?;
            if self.head_is_bounded() && bound_is_used {
                self.drop_line();
                continue;
            }
            match judge.look(head.1) {
                Judgement::Pass => self.advance(),
                Judgement::PassLane => self.drop_line(),
                Judgement::Take | Judgement::TakeAndCall | Judgement::Stop => return Some(head),
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/merge.rs"]
mod tests;
