//! How many jobs of a queue are where.

use taskwright_core::{Place, State, StateName};

/// Counts of a queue's jobs, kept with every step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; 9]);

/// What is counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Available and ready.
    Ready,
    /// Available, on the timer.
    Scheduled,
    /// Available, in a line or at intake.
    InLine,
    /// In this other state.
    State(StateName),
}

impl Slot {
    /// Where a job in this state is counted.
    pub fn of(state: State) -> Self {
        match state {
            State::Available(Place::Ready(_)) => Slot::Ready,
            State::Available(Place::Until(_)) => Slot::Scheduled,
            State::Available(Place::Line(_) | Place::Intake) => Slot::InLine,
            other => Slot::State(other.name()),
        }
    }

    fn index(self) -> usize {
        match self {
            Slot::Ready | Slot::State(StateName::Available) => 0,
            Slot::Scheduled => 1,
            Slot::InLine => 2,
            Slot::State(StateName::Blocked) => 3,
            Slot::State(StateName::Running) => 4,
            Slot::State(StateName::Completed) => 5,
            Slot::State(StateName::Dead) => 6,
            Slot::State(StateName::Cancelled) => 7,
            Slot::State(StateName::Expired) => 8,
        }
    }
}

impl Counters {
    /// The count of a slot.
    pub fn get(&self, slot: Slot) -> u64 {
        self.0[slot.index()]
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&count| count == 0)
    }

    /// Counts `count` more.
    pub fn add(&mut self, slot: Slot, count: u64) {
        self.0[slot.index()] += count;
    }

    /// Counts `count` fewer.
    pub fn subtract(&mut self, slot: Slot, count: u64) {
        let kept = &mut self.0[slot.index()];
        debug_assert!(*kept >= count, "{slot:?} would fall below zero");
        *kept = kept.saturating_sub(count);
    }
}
