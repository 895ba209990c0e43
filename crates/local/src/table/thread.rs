//! The thread that keeps the table behind the journal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::RetryPolicy;
use taskwright_store::{ErrorKind, Result};

use super::handle::Shared;
use super::inbox::{Errand, Wish};
use super::{Checkpoint, Fold, Hold, Table};
use crate::change::Position;

/// How long groups are folded where nobody waits for them.
const FOLD_FOR: Duration = Duration::from_millis(250);
/// A fold is applied when it has so many rows: more would hold up the disk for too long.
const FOLD_ROWS: usize = 20_000;
/// … or so many bytes of texts.
const FOLD_BYTES: usize = 8 * 1024 * 1024;
/// … or so many changes, of however few jobs.
const FOLD_CHANGES: usize = 60_000;
/// Jobs that have not ended are held back so long, if nobody wants to read them: most end soon, and
/// are then written once. What is held back is in memory, and in the journal.
const HOLD_FOR: Duration = Duration::from_secs(2);
/// … so many of them …
const HOLD_ROWS: usize = 105_000;
/// … with so many bytes of args.
const HOLD_BYTES: usize = 24 * 1024 * 1024;
/// Changes taken out of the inbox at once.
const TAKEN_CHANGES: usize = 5_000;
/// The log is written back when it is so long, in bytes.
const LOG_BYTES: u64 = 8 * 1024 * 1024;
/// A table that nobody changes is written back after so long.
const REST: Duration = Duration::from_secs(2);
/// Between looks at a table that nobody changes.
const IDLE: Duration = Duration::from_secs(3_600);
/// Pages given back to the file system at once.
const PAGES_GIVEN_BACK: u32 = 256;
/// How long closing tries to apply what is left; the journal has it anyway.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How much the thread stands back behind others.
const NICENESS: i32 = 10;
/// Between tries after a failure.
const TRY_AGAIN: RetryPolicy = RetryPolicy::Exponential { base_ms: 200, max_ms: 5_000 };
const TRY_AGAIN_AT_LEAST: Duration = Duration::from_millis(20);

/// What is called with the position up to which the journal may be given up.
pub type OnDurable = Box<dyn FnMut(Position) + Send>;

/// The state of the thread.
pub(super) struct Keeper {
    table: Table,
    shared: Arc<Shared>,
    on_durable: OnDurable,
    fold: Fold,
    errands: VecDeque<Errand>,
    /// When the fold is applied although nobody waits for it.
    fold_until: Option<Instant>,
    /// When the fold was applied up to where, while jobs were held back.
    held_since: VecDeque<(Instant, Position)>,
    /// Jobs inserted up to here were held back long enough.
    held_to: Position,
    /// After a failure: when to try again.
    retry_at: Option<Instant>,
    failures: u32,
    /// When the log is written back although it is short.
    checkpoint_at: Option<Instant>,
    wants_checkpoint: bool,
    has_written: bool,
    has_space_to_give: bool,
}

impl Keeper {
    pub fn new(table: Table, shared: Arc<Shared>, on_durable: OnDurable) -> Self {
        Keeper {
            table,
            shared,
            on_durable,
            fold: Fold::new(),
            errands: VecDeque::new(),
            fold_until: None,
            held_since: VecDeque::new(),
            held_to: 0,
            retry_at: None,
            failures: 0,
            // How much of an old log is durable is not known before the first checkpoint.
            checkpoint_at: Some(Instant::now()),
            wants_checkpoint: false,
            has_written: false,
            has_space_to_give: true,
        }
    }

    /// Applies, runs errands and writes back until the inbox is closed.
    pub fn run(mut self) -> Result<Table> {
        // The journal's writer comes first: only it makes callers wait. (On Linux this is the
        // niceness of this thread alone; where it is refused, all are equal.)
        let _ = rustix::process::nice(NICENESS);
        struct EndOnExit(Arc<Shared>);
        impl Drop for EndOnExit {
            fn drop(&mut self) {
                self.0.end();
            }
        }
        let _end = EndOnExit(Arc::clone(&self.shared));

        let mut close_until = None;
        loop {
            let (is_closed, is_empty) = self.step();
            // While it is applied there may be much; where that fails, the journal has it.
            if !is_closed || (!is_empty && self.retry_at.is_none()) {
                continue;
            }
            // Errands that are left wait for groups that will never come.
            let until = *close_until.get_or_insert_with(|| Instant::now() + CLOSE_WITHIN);
            let is_done = is_empty && (self.fold.is_empty() || self.table.is_ahead_of(&self.fold));
            if is_done || Instant::now() >= until || self.shared.is_broken() {
                break;
            }
            if let Some(retry_at) = self.retry_at {
                std::thread::sleep(retry_at.saturating_duration_since(Instant::now()));
            }
        }
        match self.shared.trouble() {
            Some(error) => Err(error),
            None => {
                self.checkpoint(Checkpoint::Whole)?;
                Ok(self.table)
            }
        }
    }

    /// One round; answers whether the inbox is closed, and then also empty.
    fn step(&mut self) -> (bool, bool) {
        let taken = self.shared.inbox.take(self.wish(), self.next_turn());
        for mut group in taken.groups {
            self.fold.empty(group.position, group.now, &mut group.changes);
            self.shared.inbox.give_back(group.changes);
        }
        self.errands.extend(taken.errands);
        self.wants_checkpoint |= taken.wants_checkpoint;

        let now = Instant::now();
        if self.fold.is_fresh() {
            self.fold_until.get_or_insert(now + FOLD_FOR);
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return (taken.is_closed, taken.is_closing);
        }
        self.retry_at = None;
        let is_wanted = taken.wanted > self.table.position() || taken.is_closing;
        let is_wanted_whole = taken.wanted_whole > self.table.whole() || taken.is_closing;
        let is_due = self.next_apply().is_some_and(|at| at <= now);
        if !self.fold.is_empty()
            && !self.table.is_ahead_of(&self.fold)
            && (is_wanted || is_wanted_whole || is_due || self.is_full())
        {
            let hold = if is_wanted_whole { Hold::NOTHING } else { self.hold(now) };
            self.apply(hold);
        }
        self.run_errands();
        if self.retry_at.is_none() {
            self.write_back();
        }
        if self.retry_at.is_none() {
            self.give_back();
        }
        (taken.is_closed, taken.is_closing)
    }

    /// While applying fails, groups still fold, as long as memory allows.
    fn wish(&self) -> Wish {
        let (applied, whole) = match self.retry_at {
            Some(_) => (Position::MAX, Position::MAX),
            None => (self.table.position(), self.table.whole()),
        };
        let (enough, at_most) = match (self.fold.is_fresh(), self.is_full()) {
            (false, _) => (1, TAKEN_CHANGES),
            (true, false) => (TAKEN_CHANGES, TAKEN_CHANGES),
            (true, true) => (usize::MAX, 0),
        };
        Wish { enough, at_most, applied, whole }
    }

    fn next_turn(&self) -> Instant {
        let now = Instant::now();
        if let Some(retry_at) = self.retry_at {
            return retry_at;
        }
        if self.has_space_to_give && !self.fold.is_fresh() {
            return now;
        }
        let turns = [self.next_apply(), self.checkpoint_at];
        turns.into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    /// When the fold is applied although nobody waits for it.
    fn next_apply(&self) -> Option<Instant> {
        let held = self.held_since.front().filter(|_| !self.fold.is_fresh());
        self.fold_until.or(held.map(|(since, _)| *since + HOLD_FOR))
    }

    /// What is held back now.
    fn hold(&mut self, now: Instant) -> Hold {
        if self.table.path().is_none() {
            return Hold::NOTHING;
        }
        while let Some((since, position)) = self.held_since.front()
            && *since + HOLD_FOR <= now
        {
            self.held_to = *position;
            self.held_since.pop_front();
        }
        Hold { after: self.held_to, rows: HOLD_ROWS, bytes: HOLD_BYTES }
    }

    fn is_full(&self) -> bool {
        let hold = match self.table.path() {
            Some(_) => Hold { after: 0, rows: HOLD_ROWS, bytes: HOLD_BYTES },
            None => Hold::NOTHING,
        };
        let (rows, bytes) = self.fold.due(hold);
        rows >= FOLD_ROWS || bytes >= FOLD_BYTES || self.fold.changes() >= FOLD_CHANGES
    }

    fn apply(&mut self, hold: Hold) {
        let changes = self.fold.changes();
        match self.table.apply_but(&mut self.fold, hold) {
            Ok(()) => {
                self.recover();
                self.fold_until = None;
                match self.fold.live() {
                    0 => self.held_since.clear(),
                    _ => self.held_since.push_back((Instant::now(), self.table.position())),
                }
                self.has_space_to_give = true;
                self.note_written();
                self.shared.inbox.applied(changes);
                self.shared.set_applied(self.table.position(), self.table.whole());
                if self.table.path().is_none() {
                    self.set_durable(self.table.position());
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn run_errands(&mut self) {
        while let Some(errand) = self.errands.front()
            && errand.after <= self.table.position()
            && let Some(errand) = self.errands.pop_front()
        {
            (errand.run)(&mut self.table);
            self.has_space_to_give = true;
            self.note_written();
        }
    }

    fn write_back(&mut self) {
        let is_at_rest = self.checkpoint_at.is_some_and(|at| at <= Instant::now());
        let how = if is_at_rest && self.fold.is_empty() {
            Checkpoint::Whole
        } else if self.wants_checkpoint || is_at_rest || self.is_log_long() {
            Checkpoint::Passive
        } else {
            return;
        };
        self.wants_checkpoint = false;
        if let Err(error) = self.checkpoint(how) {
            self.fail(error);
        }
    }

    fn is_log_long(&mut self) -> bool {
        // Measuring costs a little: only where something was written.
        std::mem::take(&mut self.has_written)
            && self.table.unwritten_bytes().is_ok_and(|bytes| bytes >= LOG_BYTES)
    }

    fn checkpoint(&mut self, how: Checkpoint) -> Result<()> {
        match self.table.checkpoint(how)? {
            Some(durable) => {
                self.recover();
                self.checkpoint_at = None;
                self.set_durable(durable);
            }
            // Somebody reads the file just now.
            None => self.checkpoint_at = Some(Instant::now() + REST),
        }
        Ok(())
    }

    fn note_written(&mut self) {
        self.has_written = true;
        self.checkpoint_at = Some(Instant::now() + REST);
    }

    fn set_durable(&mut self, durable: Position) {
        if self.shared.set_durable(durable) {
            (self.on_durable)(durable);
        }
    }

    fn give_back(&mut self) {
        if !self.has_space_to_give || self.fold.is_fresh() {
            return;
        }
        // A failure here loses nothing; the next one who writes will tell.
        self.has_space_to_give = self.table.give_back(PAGES_GIVEN_BACK).unwrap_or(false);
        if self.has_space_to_give {
            self.note_written();
        }
    }

    fn recover(&mut self) {
        if self.failures > 0 {
            self.failures = 0;
            self.retry_at = None;
            self.shared.set_trouble(None);
        }
    }

    fn fail(&mut self, error: taskwright_store::Error) {
        self.failures += 1;
        if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::TooNew) {
            self.shared.set_broken();
        }
        let seed = self.table.position() ^ u64::from(self.failures);
        let wait = TRY_AGAIN.delay(self.failures, seed).max(TRY_AGAIN_AT_LEAST);
        self.retry_at = Some(Instant::now() + wait);
        self.shared.set_trouble(Some(error));
    }
}
