//! What a store shows of itself.

use std::sync::Arc;

pub use taskwright_core::Job;
use taskwright_core::{Name, Resources, StateName, Timestamp, WorkerId};

use crate::request::{Profile, WorkerInfo};

/// A queue and how many of its jobs are in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueCounts {
    /// The queue.
    pub queue: Name,
    /// Whether it is paused.
    pub paused: bool,
    /// Available and ready.
    pub ready: u64,
    /// Available, on the timer: scheduled, retrying or snoozed.
    pub scheduled: u64,
    /// Available, in a line or at intake.
    pub in_line: u64,
    /// Waiting for other jobs.
    pub blocked: u64,
    /// Running.
    pub running: u64,
    /// Completed and kept.
    pub completed: u64,
    /// Dead and kept.
    pub dead: u64,
    /// Cancelled and kept.
    pub cancelled: u64,
    /// Expired and kept.
    pub expired: u64,
    /// When the ready job that is due longest became due, rounded down to a full second.
    pub oldest_ready_at: Option<Timestamp>,
}

impl QueueCounts {
    /// A queue with no jobs.
    pub fn empty(queue: Name) -> Self {
        QueueCounts {
            queue,
            paused: false,
            ready: 0,
            scheduled: 0,
            in_line: 0,
            blocked: 0,
            running: 0,
            completed: 0,
            dead: 0,
            cancelled: 0,
            expired: 0,
            oldest_ready_at: None,
        }
    }

    /// How many jobs are in a state.
    pub fn of(&self, state: StateName) -> u64 {
        match state {
            StateName::Blocked => self.blocked,
            StateName::Available => self.ready + self.scheduled + self.in_line,
            StateName::Running => self.running,
            StateName::Completed => self.completed,
            StateName::Dead => self.dead,
            StateName::Cancelled => self.cancelled,
            StateName::Expired => self.expired,
        }
    }

    /// Jobs that have not ended: the size of the queue.
    pub fn live(&self) -> u64 {
        StateName::ALL.into_iter().filter(|s| !s.is_final()).map(|s| self.of(s)).sum()
    }
}

/// A worker as the store sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Its id.
    pub id: WorkerId,
    /// What it says of itself.
    pub info: WorkerInfo,
    /// What it serves, as its newest claim said; `None` where the store has not heard a claim of it
    /// since it was opened.
    pub profile: Option<Arc<Profile>>,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last heard of; a store may note it to a quarter of a second only.
    pub last_seen_at: Timestamp,
    /// How many jobs it holds.
    pub running: usize,
    /// How many slots they take.
    pub slots_taken: u64,
    /// How much they take of each resource.
    pub resources_taken: Resources,
}

/// A process that has a store open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The epoch of its opening: no other node has it, and later ones have higher ones.
    pub epoch: u32,
    /// What it is called, for people, often `host:pid`.
    pub name: Arc<str>,
    /// The version of its program.
    pub version: Arc<str>,
    /// When it opened the store.
    pub started_at: Timestamp,
    /// When it was last heard of.
    pub seen_at: Timestamp,
}

/// How much of what was acknowledged survives what.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// D0: in memory, gone with the process.
    Memory,
    /// D1: a crash of the machine may lose about a second.
    Delayed,
    /// D2: on disk and synced before the answer.
    Synced,
    /// D3: synced on several machines before the answer.
    Replicated,
}

impl Durability {
    /// `D0` to `D3`.
    pub const fn class(self) -> &'static str {
        match self {
            Durability::Memory => "D0",
            Durability::Delayed => "D1",
            Durability::Synced => "D2",
            Durability::Replicated => "D3",
        }
    }
}

/// What a store is and what it promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `memory`, `file`, `postgres`.
    pub kind: &'static str,
    /// Where it is.
    pub location: String,
    /// What survives.
    pub durability: Durability,
    /// How often it has been opened.
    pub epoch: u32,
    /// The store's own time.
    pub now: Timestamp,
    /// Findings of interest: name and value, in words.
    pub facts: Vec<(Arc<str>, String)>,
}
