//! What waits for the table's thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use taskwright_core::Timestamp;

use super::Table;
use crate::change::{Change, Position};

/// The changes of a group that is durable in the journal.
#[derive(Debug)]
pub(super) struct Group {
    pub position: Position,
    pub now: Timestamp,
    pub changes: Vec<Change>,
}

/// Something to do with the table once the groups up to `after` are applied.
pub(super) struct Errand {
    pub after: Position,
    pub run: Box<dyn FnOnce(&mut Table) + Send>,
}

/// Empty lists kept to be filled again, and the most changes that one of them has room for. Fresh
/// memory of that size costs the writer more than filling it.
const BLANKS_MAX: usize = 16;
const BLANK_CHANGES_MAX: usize = 16_384;

/// Groups and errands on their way to the table's thread.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Condvar,
    blanks: Mutex<Vec<Vec<Change>>>,
}

#[derive(Default)]
struct Waiting {
    groups: VecDeque<Group>,
    errands: VecDeque<Errand>,
    /// Changes that are sent and not applied.
    changes: usize,
    /// Those of them that were not taken out.
    queued: usize,
    /// So many of them wake the thread.
    enough: usize,
    /// Somebody waits for this position: it is to be applied at once.
    wanted: Position,
    /// Somebody waits for this position, and nothing may be held back.
    wanted_whole: Position,
    /// The position of the newest group that was sent.
    newest: Position,
    /// Somebody needs a checkpoint.
    wants_checkpoint: bool,
    is_closing: bool,
    /// Whether the thread is gone.
    is_over: bool,
}

/// What the table's thread wants.
#[derive(Copy, Clone, Debug)]
pub(super) struct Wish {
    /// Groups with so many changes are worth waking up for.
    pub enough: usize,
    /// Groups are taken until they have so many changes.
    pub at_most: usize,
    /// Whoever waits for a position beyond this matters.
    pub applied: Position,
    /// Whoever waits for a position beyond this, with nothing held back, matters too.
    pub whole: Position,
}

/// What the table's thread takes out at once.
pub(super) struct Taken {
    pub groups: Vec<Group>,
    pub errands: Vec<Errand>,
    pub wanted: Position,
    pub wanted_whole: Position,
    pub wants_checkpoint: bool,
    /// Whether the thread was asked to end.
    pub is_closed: bool,
    /// Whether nothing is left then.
    pub is_closing: bool,
}

impl Inbox {
    /// Adds a group; it never waits.
    pub fn send(&self, group: Group) {
        let mut waiting = self.locked();
        if waiting.is_over {
            return;
        }
        waiting.changes += group.changes.len();
        waiting.queued += group.changes.len();
        waiting.newest = group.position;
        waiting.groups.push_back(group);
        // Somebody may wait for a group before it comes.
        if waiting.queued >= waiting.enough || waiting.wanted >= waiting.newest {
            waiting.enough = usize::MAX;
            self.arrived.notify_one();
        }
    }

    /// Takes back a list whose changes were taken out.
    pub fn give_back(&self, list: Vec<Change>) {
        let mut blanks = self.blanks.lock().unwrap_or_else(PoisonError::into_inner);
        if list.is_empty() && list.capacity() <= BLANK_CHANGES_MAX && blanks.len() < BLANKS_MAX {
            blanks.push(list);
        }
    }

    /// An empty list, if possible one with room.
    pub fn blank(&self) -> Vec<Change> {
        self.blanks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Adds an errand, unless the thread is gone.
    pub fn ask(&self, errand: Errand) {
        let mut waiting = self.locked();
        if !waiting.is_over {
            waiting.wanted = waiting.wanted.max(errand.after);
            waiting.errands.push_back(errand);
            self.arrived.notify_one();
        }
    }

    /// Asks for the groups up to `position` to be applied at once, and nothing to be held back.
    pub fn want(&self, position: Position) {
        let mut waiting = self.locked();
        if waiting.wanted_whole < position {
            waiting.wanted = waiting.wanted.max(position);
            waiting.wanted_whole = position;
            self.arrived.notify_one();
        }
    }

    /// Asks for a checkpoint soon.
    pub fn want_checkpoint(&self) {
        let mut waiting = self.locked();
        if !waiting.wants_checkpoint {
            waiting.wants_checkpoint = true;
            self.arrived.notify_one();
        }
    }

    /// Asks the thread to finish everything and to end.
    pub fn close(&self) {
        self.locked().is_closing = true;
        self.arrived.notify_one();
    }

    /// The position of the newest group that was sent.
    pub fn newest(&self) -> Position {
        self.locked().newest
    }

    /// Changes that are sent and not applied.
    pub fn changes(&self) -> usize {
        self.locked().changes
    }

    /// Waits until fewer than `max` changes wait, but not beyond `until`; whether it is so.
    pub fn wait_for_room(&self, max: usize, until: Instant) -> bool {
        let mut waiting = self.locked();
        while waiting.changes >= max && !waiting.is_over {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
            waiting =
                self.room.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Takes what is there as soon as there is an errand or `wish` is fulfilled; at `until` whatever
    /// there is.
    pub fn take(&self, wish: Wish, until: Instant) -> Taken {
        let mut waiting = self.locked();
        while waiting.queued < wish.enough
            && waiting.errands.is_empty()
            && waiting.wanted.min(waiting.newest) <= wish.applied
            && waiting.wanted_whole.min(waiting.newest) <= wish.whole
            && !waiting.wants_checkpoint
            && !waiting.is_closing
        {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            waiting.enough = wish.enough;
            waiting =
                self.arrived.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.enough = usize::MAX;
        let mut groups = Vec::new();
        let mut taken_changes = 0;
        while taken_changes < wish.at_most
            && let Some(group) = waiting.groups.pop_front()
        {
            taken_changes += group.changes.len();
            groups.push(group);
        }
        waiting.queued -= taken_changes;
        Taken {
            groups,
            errands: waiting.errands.drain(..).collect(),
            wanted: waiting.wanted,
            wanted_whole: waiting.wanted_whole.min(waiting.newest),
            wants_checkpoint: std::mem::take(&mut waiting.wants_checkpoint),
            is_closed: waiting.is_closing,
            is_closing: waiting.is_closing && waiting.groups.is_empty(),
        }
    }

    /// Notes that so many changes were applied.
    pub fn applied(&self, changes: usize) {
        let mut waiting = self.locked();
        waiting.changes = waiting.changes.saturating_sub(changes);
        self.room.notify_all();
    }

    /// Refuses everything from now on; what waits is dropped.
    pub fn end(&self) {
        let mut waiting = self.locked();
        waiting.is_over = true;
        waiting.groups.clear();
        waiting.errands.clear();
        self.room.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
