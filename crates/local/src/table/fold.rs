//! Groups of changes, folded: of each job only what is true in the end.
//!
//! A fold can hold young jobs back that have not ended: one that ends soon is then written once, as
//! it ended, rather than as it waited, ran and ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use taskwright_core::{AttemptRecord, Json, State, Timestamp, limits};
use taskwright_store::{Document, DocumentId};

use crate::change::{
    Arrival, Audit, Change, DocumentFact, Fixed, Lane, More, PolicyFact, Position, QueueSettings,
    Rewrite, Seq, Turn, Update, Vital, WorkerFact, WorkerNumber,
};

/// Room for so many inserted jobs is kept when there are none.
const KEPT_ROWS: usize = 16_384;

/// The changes of some groups that follow each other, of each job only the last image: a job that
/// was inserted, claimed and completed becomes one row to insert.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    pub(super) position: Position,
    pub(super) now: Timestamp,
    /// Jobs inserted by these groups, by growing seq, and by earlier ones where they are held back.
    pub(super) inserted: VecDeque<Inserted>,
    /// The number of each and how it stands: looking for some of many must not look at them all.
    marks: VecDeque<(Seq, Mark)>,
    /// The groups that inserted them, each with the last number that it gave.
    births: VecDeque<(Position, Seq)>,
    /// Jobs that were there before.
    pub(super) updated: FxHashMap<Seq, Patch>,
    /// What some of these were given while they waited.
    pub(super) rewritten: FxHashMap<Seq, Box<Rewrite>>,
    pub(super) lanes: Vec<Lane>,
    pub(super) queues: Vec<QueueSettings>,
    pub(super) policies: Vec<PolicyFact>,
    pub(super) documents: BTreeMap<DocumentId, Option<Document>>,
    pub(super) arrivals: FxHashMap<u64, Timestamp>,
    pub(super) turns: FxHashMap<u64, Turn>,
    pub(super) workers: Vec<WorkerFact>,
    pub(super) audit: Vec<Audit>,
    /// The highest number of a claim of each worker that claimed.
    pub(super) claims: FxHashMap<WorkerNumber, u64>,
    changes: usize,
    /// Bytes of texts, but for the args of inserted jobs that have not ended.
    bytes: usize,
    /// Inserted jobs that have not ended, and the bytes of their args.
    live: usize,
    live_bytes: usize,
    /// Inserted jobs that have.
    ended: usize,
}

/// How an inserted job stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Mark {
    Waiting,
    Running,
    Ended,
    Written,
}

/// A job inserted by the groups of a fold.
#[derive(Clone, Debug)]
pub(super) struct Inserted {
    pub seq: Seq,
    /// `None`: it was written.
    pub fixed: Option<Arc<Fixed>>,
    args_len: usize,
    pub patch: Patch,
}

/// Which of the inserted jobs that have not ended are held back when a fold is applied: those
/// inserted after a position, and of them the newest.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Jobs inserted up to this position are written.
    pub after: Position,
    /// Most jobs held back.
    pub rows: usize,
    /// Most bytes of their args.
    pub bytes: usize,
}

impl Hold {
    /// Everything is written.
    pub const NOTHING: Hold = Hold { after: Position::MAX, rows: 0, bytes: 0 };
}

/// What the groups of a fold say of a job, last word.
#[derive(Clone, Debug, Default)]
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

    /// Whether no group was pushed since it was last applied, and nothing is held back.
    pub fn is_empty(&self) -> bool {
        !self.is_fresh() && self.live == 0
    }

    /// Whether a group was pushed since it was last applied.
    pub fn is_fresh(&self) -> bool {
        self.position > 0
    }

    /// Changes pushed since it was last applied.
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// Rows of jobs that applying it will write.
    pub fn rows(&self) -> usize {
        self.live + self.ended + self.updated.len()
    }

    /// Inserted jobs that have not ended.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Rows and bytes of texts that applying it writes, where some jobs are held back; about, and
    /// without those that are too old to be.
    pub(super) fn due(&self, hold: Hold) -> (usize, usize) {
        let rows = self.rows() - self.live.min(hold.rows);
        let bytes = self.bytes + self.live_bytes.saturating_sub(hold.bytes);
        (rows, bytes)
    }

    /// The place in `inserted` from which jobs that have not ended are held back.
    pub(super) fn held_from(&self, hold: Hold) -> usize {
        let old = self.births.partition_point(|(position, _)| *position <= hold.after);
        let old_to = old.checked_sub(1).map_or(0, |index| self.births[index].1);
        let first_young = self.marks.partition_point(|(seq, _)| *seq <= old_to);
        if self.live <= hold.rows && self.live_bytes <= hold.bytes {
            return first_young;
        }
        let (mut rows, mut bytes) = (0, 0);
        let mut from = self.inserted.len();
        while from > first_young {
            if self.marks[from - 1].1.is_live() {
                (rows, bytes) = (rows + 1, bytes + self.inserted[from - 1].args_len);
            }
            if rows > hold.rows || bytes > hold.bytes {
                break;
            }
            from -= 1;
        }
        from
    }

    /// The inserted jobs to write where others are held back.
    pub(super) fn written(
        &self,
        held_from: usize,
    ) -> impl Iterator<Item = (&Inserted, &Arc<Fixed>)> {
        let written = move |(index, mark): (usize, Mark)| mark.is_written(index < held_from);
        let marks = self.marks.iter().map(|(_, mark)| *mark).enumerate();
        let places = marks.filter_map(move |mark| written(mark).then_some(mark.0));
        places.filter_map(|index| {
            let job = &self.inserted[index];
            Some((job, job.fixed.as_ref()?))
        })
    }

    /// The numbers of the jobs that are held back, and who runs them.
    pub(super) fn held(
        &self,
        held_from: usize,
    ) -> impl Iterator<Item = (Seq, Option<WorkerNumber>)> {
        let marks = self.marks.iter().enumerate().skip(held_from);
        let live = marks.filter(|(_, (_, mark))| mark.is_live());
        live.map(|(index, &(seq, mark))| {
            let run = match mark {
                Mark::Running => self.inserted[index].patch.vital.and_then(|vital| vital.run),
                _ => None,
            };
            (seq, run.map(|run| run.worker))
        })
    }

    /// The position of the group that inserted a job of this fold.
    pub(super) fn birth(&self, seq: Seq) -> Position {
        let index = self.births.partition_point(|(_, last)| *last < seq);
        self.births.get(index).map_or(self.position, |(position, _)| *position)
    }

    /// Forgets what was written.
    pub(super) fn settle(&mut self, held_from: usize) {
        for (index, (_, mark)) in self.marks.iter_mut().enumerate() {
            if mark.is_written(index < held_from) {
                let job = &mut self.inserted[index];
                if mark.is_live() {
                    self.live -= 1;
                    self.live_bytes -= job.args_len;
                }
                *mark = Mark::Written;
                job.fixed = None;
                job.patch = Patch::default();
            }
        }
        while self.marks.front().is_some_and(|(_, mark)| *mark == Mark::Written) {
            self.marks.pop_front();
            self.inserted.pop_front();
        }
        let first = self.marks.front().map_or(Seq::MAX, |(seq, _)| *seq);
        while self.births.front().is_some_and(|(_, last)| *last < first) {
            self.births.pop_front();
        }
        if self.inserted.is_empty() {
            self.inserted.shrink_to(KEPT_ROWS);
            self.marks.shrink_to(KEPT_ROWS);
        }
        self.updated.clear();
        self.rewritten.clear();
        self.lanes.clear();
        self.queues.clear();
        self.policies.clear();
        self.documents.clear();
        self.arrivals.clear();
        self.turns.clear();
        self.workers.clear();
        self.audit.clear();
        self.claims.clear();
        (self.position, self.changes, self.bytes, self.ended) = (0, 0, 0, 0);
    }

    fn add(&mut self, change: Change) {
        match change {
            Change::Insert(fixed, vital) => self.insert(fixed, vital),
            Change::Update(update) => self.update(update),
            Change::Rewrite(rewrite) => self.rewrite(rewrite),
            Change::Delete(seq) => {
                let patch = self.patch(seq);
                patch.deleted = true;
                patch.more = None;
                patch.attempts = Vec::new();
            }
            Change::Lane(lane) => self.lanes.push(lane),
            Change::Queue(settings) => self.queues.push(settings),
            Change::Policy(policy) => self.policies.push(*policy),
            Change::Document(fact) => self.document(*fact),
            Change::Arrival(Arrival { number, at }) => {
                self.arrivals.insert(number, at);
            }
            Change::Turn(turn) => {
                self.turns.insert(turn.number, turn);
            }
            Change::Worker(worker) => self.workers.push(worker),
            Change::Audit(audit) => self.audit.push(audit),
        }
    }

    fn document(&mut self, DocumentFact { id, document }: DocumentFact) {
        self.bytes += document.as_ref().map_or(0, |document| document.body.len());
        self.documents.insert(id, document);
    }

    fn insert(&mut self, fixed: Arc<Fixed>, vital: Vital) {
        let (seq, args_len) = (fixed.seq, fixed.args.len());
        match self.births.back_mut() {
            Some((position, last)) if *position == self.position => *last = seq,
            _ => self.births.push_back((self.position, seq)),
        }
        let patch = Patch { vital: Some(vital), ..Patch::default() };
        let mark = Mark::of(&vital);
        self.inserted.push_back(Inserted { seq, fixed: Some(fixed), args_len, patch });
        self.marks.push_back((seq, Mark::Waiting));
        (self.live, self.live_bytes) = (self.live + 1, self.live_bytes + args_len);
        self.mark(self.marks.len() - 1, mark);
    }

    fn update(&mut self, update: Update) {
        if let Some(more) = &update.more {
            self.bytes += weight(more);
        }
        if let (State::Running(_), Some(run)) = (update.vital.life.state, update.vital.run) {
            let newest = self.claims.entry(run.worker).or_default();
            *newest = run.claim.max(*newest);
        }
        let Some(index) = self.find(update.seq) else {
            return self.updated.entry(update.seq).or_default().take(update);
        };
        let mark = Mark::of(&update.vital);
        self.inserted[index].patch.take(update);
        self.mark(index, mark);
    }

    fn rewrite(&mut self, rewrite: Box<Rewrite>) {
        let seq = rewrite.seq;
        let update = Update { seq, vital: rewrite.vital, more: None };
        match self.find(seq) {
            Some(index) => self.rewrite_inserted(index, &rewrite),
            None => {
                self.bytes += rewrite.args.as_ref().map_or(0, Json::len);
                self.rewrite_written(rewrite);
            }
        }
        self.update(update);
    }

    /// Rewrites a job that is not written yet.
    fn rewrite_inserted(&mut self, index: usize, rewrite: &Rewrite) {
        let job = &mut self.inserted[index];
        let Some(fixed) = &mut job.fixed else { return };
        Arc::make_mut(fixed).rewrite(rewrite);
        let args_len = fixed.args.len();
        let old = std::mem::replace(&mut job.args_len, args_len);
        let counted =
            if self.marks[index].1.is_live() { &mut self.live_bytes } else { &mut self.bytes };
        *counted = *counted - old + args_len;
    }

    fn rewrite_written(&mut self, mut rewrite: Box<Rewrite>) {
        let seq = rewrite.seq;
        if let Some(earlier) = self.rewritten.remove(&seq) {
            rewrite.args = rewrite.args.or(earlier.args);
            rewrite.tags = rewrite.tags.or(earlier.tags);
        }
        self.rewritten.insert(seq, rewrite);
    }

    fn mark(&mut self, index: usize, mark: Mark) {
        let bytes = self.inserted[index].args_len;
        let old = std::mem::replace(&mut self.marks[index].1, mark);
        match (old.is_live(), mark.is_live()) {
            (true, false) => {
                (self.live, self.live_bytes) = (self.live - 1, self.live_bytes - bytes);
                (self.ended, self.bytes) = (self.ended + 1, self.bytes + bytes);
            }
            // Somebody redrove it.
            (false, true) => {
                (self.live, self.live_bytes) = (self.live + 1, self.live_bytes + bytes);
                (self.ended, self.bytes) = (self.ended - 1, self.bytes - bytes);
            }
            _ => {}
        }
    }

    fn patch(&mut self, seq: Seq) -> &mut Patch {
        match self.find(seq) {
            Some(index) => &mut self.inserted[index].patch,
            None => self.updated.entry(seq).or_default(),
        }
    }

    /// The place of an inserted job that is not written. Seqs grow, and mostly by one: the place is
    /// guessed before it is searched.
    fn find(&self, seq: Seq) -> Option<usize> {
        let first = self.marks.front()?.0;
        let guess = usize::try_from(seq.checked_sub(first)?).ok()?;
        let index = match self.marks.get(guess) {
            Some((found, _)) if *found == seq => guess,
            _ => self.marks.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?,
        };
        (self.marks[index].1 != Mark::Written).then_some(index)
    }
}

impl Mark {
    fn of(vital: &Vital) -> Mark {
        match vital.life.state {
            State::Running(_) => Mark::Running,
            state if state.is_final() => Mark::Ended,
            _ => Mark::Waiting,
        }
    }

    /// Whether the job has not ended, and is not written.
    fn is_live(self) -> bool {
        matches!(self, Mark::Waiting | Mark::Running)
    }

    /// Whether the job is written now.
    fn is_written(self, although_live: bool) -> bool {
        self == Mark::Ended || (although_live && self.is_live())
    }
}

impl Patch {
    fn take(&mut self, update: Update) {
        self.vital = Some(update.vital);
        if let Some(more) = update.more {
            self.merge(more);
        }
        self.settle(update.vital.life.state);
    }

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
