//! One job in memory, as small as it can be.

use std::sync::Arc;

use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{JobError, Json, Life, Place, Rank, State, Timestamp, turns};

use super::limits::KeyNumber;
use crate::change::{Fixed, More, Position, Rewrite, Vital};

/// A job that has not ended, or whose end the table has not applied yet.
#[derive(Debug)]
pub struct Entry {
    /// What never changes, but while it waits. Its args are empty once the table has them and memory is short.
    pub fixed: Arc<Fixed>,
    heart: Heart,
    /// Bytes of its args, here or in the table.
    pub args_len: u32,
    /// What changes seldom.
    pub rare: Option<Box<Rare>>,
}

/// A backlog is mostly jobs that were never claimed: of those, when they are due says it all.
#[derive(Debug)]
enum Heart {
    Ready { due_at: Timestamp },
    Until { due_at: Timestamp },
    Whole(Box<Vital>),
}

/// What most jobs never have.
#[derive(Debug, Default)]
pub struct Rare {
    /// The newest error.
    pub error: Option<JobError>,
    /// The result.
    pub result: Option<Json>,
    /// Why somebody asked it to stop.
    pub cancel_reason: Option<Arc<str>>,
    /// What the attempt says of itself.
    pub progress: Option<Json>,
    /// What a later attempt can start from.
    pub checkpoint: Option<Json>,
    /// Whether the table keeps ended attempts of it.
    pub has_attempts: bool,
    /// Ends that were undone by a redrive before the table had applied them.
    pub undone_ends: u32,
    /// Whether an operator deleted it.
    pub deleted: bool,
    /// The numbers of its keys, in their order: each of its steps asks for them.
    pub keys: Option<Arc<[KeyNumber]>>,
    /// The position of the group that gave it other args than it was inserted with.
    pub args_at: Position,
}

impl Rare {
    /// Drops what has no meaning in a state: progress is gone with its attempt, and a job that is
    /// to run again has neither a result nor a reason to stop.
    pub fn settle(&mut self, state: State) {
        if !matches!(state, State::Running(_)) {
            self.progress = None;
        }
        if matches!(state, State::Available(_)) {
            self.result = None;
            self.cancel_reason = None;
        }
    }

    /// Takes over what `more` says.
    pub fn absorb(&mut self, more: &More) {
        fn take<T: Clone>(field: &mut Option<T>, new: &Option<T>) {
            if new.is_some() {
                field.clone_from(new);
            }
        }
        take(&mut self.error, &more.error);
        take(&mut self.result, &more.result);
        take(&mut self.cancel_reason, &more.cancel_reason);
        take(&mut self.progress, &more.progress);
        take(&mut self.checkpoint, &more.checkpoint);
        self.has_attempts |= more.attempt.is_some();
    }
}

impl Entry {
    /// A job with what is known of it.
    pub fn new(fixed: Arc<Fixed>, vital: Vital) -> Self {
        let mut entry = Entry {
            args_len: u32::try_from(fixed.args.len()).unwrap_or(u32::MAX),
            fixed,
            heart: Heart::Until { due_at: vital.due_at },
            rare: None,
        };
        entry.set_vital(vital);
        entry
    }

    /// State, counts and times.
    pub fn vital(&self) -> Vital {
        match &self.heart {
            Heart::Ready { due_at } => self.ready(*due_at),
            Heart::Until { due_at } => self.until(*due_at),
            Heart::Whole(vital) => **vital,
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.vital().life.state
    }

    /// Replaces state, counts and times.
    pub fn set_vital(&mut self, vital: Vital) {
        let due_at = vital.due_at;
        let is_unclaimed = vital.run.is_none();
        if is_unclaimed && vital == self.ready(due_at) {
            self.heart = Heart::Ready { due_at };
        } else if is_unclaimed && vital == self.until(due_at) {
            self.heart = Heart::Until { due_at };
        } else if let Heart::Whole(kept) = &mut self.heart {
            **kept = vital;
        } else {
            self.heart = Heart::Whole(Box::new(vital));
        }
    }

    /// A job that was never claimed and is ready.
    fn ready(&self, due_at: Timestamp) -> Vital {
        let rank = rank::fifo(due_at, self.fixed.priority, AGING_DEFAULT);
        fresh(self.fixed.max_attempts, Place::Ready(rank), due_at)
    }

    /// A job that was never claimed and is on the timer.
    fn until(&self, due_at: Timestamp) -> Vital {
        fresh(self.fixed.max_attempts, Place::Until(due_at), due_at)
    }

    /// Its rank where it is due at this instant.
    pub fn rank_at(&self, due_at: Timestamp) -> Rank {
        rank::fifo(due_at, self.fixed.priority, AGING_DEFAULT)
    }

    /// Its turn, where it is ready and was given one.
    pub fn turn(&self) -> Option<Rank> {
        match (&self.heart, self.state()) {
            (Heart::Whole(_), State::Available(Place::Ready(rank))) => {
                Some(rank).filter(|&rank| turns::is_turn(rank))
            }
            _ => None,
        }
    }

    /// What it is given while it waits, all but its place.
    pub fn rewrite(&mut self, rewrite: &Rewrite, position: Position) {
        let vital = self.vital();
        Arc::make_mut(&mut self.fixed).rewrite(rewrite);
        // What stands for most of the vital fields follows from what has just changed.
        self.set_vital(vital);
        if let Some(args) = &rewrite.args {
            self.args_len = u32::try_from(args.len()).unwrap_or(u32::MAX);
            self.rare_mut().args_at = position;
        }
    }

    /// Leaves its args to the table; how many bytes that frees. The table's thread may still hold
    /// the job for a moment: then it keeps them.
    pub fn evict_args(&mut self, no_text: &Json) -> usize {
        Arc::get_mut(&mut self.fixed)
            .map_or(0, |fixed| std::mem::replace(&mut fixed.args, no_text.clone()).len())
    }

    /// Whether it holds its unique key.
    pub fn holds_key(&self, now: Timestamp) -> bool {
        let fixed = &self.fixed;
        fixed.unique().is_some_and(|unique| {
            !self.is_deleted() && unique.is_held(&self.vital().life, fixed.created_at, now)
        })
    }

    /// What changes seldom, made where it was not there.
    pub fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The numbers of its group and limit keys, in their order.
    pub fn keys(&self) -> Option<Arc<[KeyNumber]>> {
        self.rare.as_ref()?.keys.clone()
    }

    /// Whether an operator deleted it.
    pub fn is_deleted(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.deleted)
    }
}

fn fresh(max_attempts: u32, place: Place, due_at: Timestamp) -> Vital {
    Vital { life: Life::new(max_attempts, 0, place), due_at, run: None, finished_at: None }
}
