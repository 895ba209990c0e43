//! Groups of changes, folded: of each job only what is true in the end.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use taskwright_core::{AttemptRecord, Json, State, Timestamp, limits};

use crate::change::{
    Audit, Change, Fixed, Lane, More, Position, QueueSettings, Seq, Update, Vital, WorkerFact,
    WorkerNumber,
};

/// The changes of some groups that follow each other, of each job only the last image: a job that
/// was inserted, claimed and completed becomes one row to insert.
#[derive(Debug, Default)]
pub struct Fold {
    pub(super) position: Position,
    pub(super) now: Timestamp,
    /// Jobs inserted by these groups, by growing seq.
    pub(super) inserted: Vec<Inserted>,
    /// Jobs that were there before.
    pub(super) updated: FxHashMap<Seq, Patch>,
    pub(super) lanes: Vec<Lane>,
    pub(super) queues: Vec<QueueSettings>,
    pub(super) workers: Vec<WorkerFact>,
    pub(super) audit: Vec<Audit>,
    /// The highest number of a claim of each worker that claimed.
    pub(super) claims: FxHashMap<WorkerNumber, u64>,
    changes: usize,
    bytes: usize,
}

/// A job inserted by the groups of a fold.
#[derive(Debug)]
pub(super) struct Inserted {
    pub seq: Seq,
    pub fixed: Arc<Fixed>,
    pub patch: Patch,
}

/// What the groups of a fold say of a job, last word.
#[derive(Debug, Default)]
pub(super) struct Patch {
    /// `None`: nothing but that it was deleted.
    pub vital: Option<Vital>,
    pub more: Option<Box<More>>,
    /// Attempts that ended, oldest first; `more.attempt` is always moved here.
    pub attempts: Vec<AttemptRecord>,
    /// What an attempt said of itself earlier is no longer so.
    pub drops_progress: bool,
    /// A result and a reason to stop that were there earlier are no longer so.
    pub drops_end: bool,
    pub deleted: bool,
}

impl Fold {
    /// An empty fold.
    pub fn new() -> Self {
        Fold::default()
    }

    /// Adds the changes of the group at `position`, made at `now`. Groups come in order.
    pub fn push(&mut self, position: Position, now: Timestamp, mut changes: Vec<Change>) {
        self.empty(position, now, &mut changes);
    }

    /// As `push`; leaves the list empty, to be used again.
    pub fn empty(&mut self, position: Position, now: Timestamp, changes: &mut Vec<Change>) {
        self.position = position;
        self.now = self.now.max(now);
        self.changes += changes.len();
        for change in changes.drain(..) {
            self.add(change);
        }
    }

    /// The position of the newest group in it; 0 where there is none.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether no group was pushed.
    pub fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// Changes pushed so far.
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// Rows of jobs that applying it will write.
    pub fn rows(&self) -> usize {
        self.inserted.len() + self.updated.len()
    }

    /// Bytes of args, results and other texts in it, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Empties it, and keeps its memory for the next groups.
    pub(super) fn clear(&mut self) {
        self.inserted.clear();
        self.updated.clear();
        self.lanes.clear();
        self.queues.clear();
        self.workers.clear();
        self.audit.clear();
        self.claims.clear();
        (self.position, self.changes, self.bytes) = (0, 0, 0);
    }

    fn add(&mut self, change: Change) {
        match change {
            Change::Insert(fixed, vital) => {
                self.bytes += fixed.args.len();
                let patch = Patch { vital: Some(vital), ..Patch::default() };
                self.inserted.push(Inserted { seq: fixed.seq, fixed, patch });
            }
            Change::Update(update) => self.update(update),
            Change::Delete(seq) => {
                let patch = self.patch(seq);
                patch.deleted = true;
                patch.more = None;
                patch.attempts = Vec::new();
            }
            Change::Lane(lane) => self.lanes.push(lane),
            Change::Queue(settings) => self.queues.push(settings),
            Change::Worker(worker) => self.workers.push(worker),
            Change::Audit(audit) => self.audit.push(audit),
        }
    }

    fn update(&mut self, update: Update) {
        if let Some(more) = &update.more {
            self.bytes += weight(more);
        }
        if let (State::Running(_), Some(run)) = (update.vital.life.state, update.vital.run) {
            let newest = self.claims.entry(run.worker).or_default();
            *newest = run.claim.max(*newest);
        }
        let patch = self.patch(update.seq);
        patch.vital = Some(update.vital);
        if let Some(more) = update.more {
            patch.merge(more);
        }
        patch.settle(update.vital.life.state);
    }

    fn patch(&mut self, seq: Seq) -> &mut Patch {
        match self.find(seq) {
            Some(index) => &mut self.inserted[index].patch,
            None => self.updated.entry(seq).or_default(),
        }
    }

    /// Seqs grow, and mostly by one: the place of a job is guessed before it is searched.
    fn find(&self, seq: Seq) -> Option<usize> {
        let first = self.inserted.first()?.seq;
        let guess = usize::try_from(seq.checked_sub(first)?).ok()?;
        if self.inserted.get(guess).is_some_and(|job| job.seq == seq) {
            return Some(guess);
        }
        self.inserted.binary_search_by_key(&seq, |job| job.seq).ok()
    }
}

impl Patch {
    fn merge(&mut self, mut more: Box<More>) {
        if let Some(attempt) = more.attempt.take() {
            self.attempts.push(attempt);
            let (first, last) = (limits::ATTEMPTS_KEPT_FIRST, limits::ATTEMPTS_KEPT_LAST);
            // The first attempts of a fold may be among the first of the job; the table decides.
            if self.attempts.len() > first + last {
                self.attempts.remove(first);
            }
        }
        let Some(known) = &mut self.more else {
            self.more = Some(more);
            return;
        };
        let More { attempt: _, error, result, cancel_reason, progress, checkpoint } = *more;
        replace(&mut known.error, error);
        replace(&mut known.result, result);
        replace(&mut known.cancel_reason, cancel_reason);
        replace(&mut known.progress, progress);
        replace(&mut known.checkpoint, checkpoint);
    }

    /// Drops what has no meaning in a state, as the ledger does: progress is gone with its attempt,
    /// and a job that is to run again has neither a result nor a reason to stop.
    fn settle(&mut self, state: State) {
        let is_over = !matches!(state, State::Running(_));
        let runs_again = matches!(state, State::Available(_));
        self.drops_progress |= is_over;
        self.drops_end |= runs_again;
        let Some(more) = &mut self.more else { return };
        if is_over || more.progress.as_ref().is_some_and(Json::is_empty) {
            self.drops_progress = true;
            more.progress = None;
        }
        if runs_again {
            more.result = None;
            more.cancel_reason = None;
        }
    }
}

fn replace<T>(known: &mut Option<T>, newer: Option<T>) {
    if newer.is_some() {
        *known = newer;
    }
}

fn weight(more: &More) -> usize {
    let texts = [&more.result, &more.progress, &more.checkpoint];
    let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
    texts + more.error.as_ref().map_or(0, |error| error.message.len())
}

#[cfg(test)]
#[path = "tests/fold.rs"]
mod tests;
