//! The live state of a local store, in memory.
//!
//! One thread asks it one thing after another. It checks, decides through `core`, changes its
//! state at once and notes what it did as [`Change`]s: the caller makes them durable before it
//! lets anybody know. It reads no clock, file or randomness; the same commands at the same times
//! with the same seeds give the same changes.

mod allowance;
mod bounds;
mod claim;
mod control;
mod counters;
mod documents;
mod entry;
mod heartbeat;
mod ids;
mod import;
mod index;
mod insert;
mod keys;
mod lanes;
mod levels;
mod limits;
mod lines;
mod merge;
mod order;
mod query;
mod replay;
mod report;
mod seen;
mod seq_map;
mod sweep;
mod turns;
mod unique;
mod workers;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashSet;
use taskwright_core::limits::{ID_WINDOW, PROMOTIONS_MAX};
use taskwright_core::{JobId, Json, Name, StateName, Timestamp, Token, WorkerId};
use taskwright_store::{Event, Nudge, Result};

use self::documents::Documents;
use self::entry::Entry;
use self::ids::Ids;
use self::keys::Keys;
use self::lanes::Lanes;
use self::limits::Limits;
pub use self::order::DeadJob;
pub use self::query::Found;
pub use self::replay::{Loaded, LoadedJob};
use self::seen::Seen;
use self::seq_map::SeqMap;
use self::workers::Workers;
use crate::change::{Change, Fixed, More, Position, Seq, Vital};

/// Bytes of args kept in memory for claims; args above that are read from the table.
pub const ARGS_BYTES_KEPT: usize = 16 * 1024 * 1024;

/// Ended jobs let go before one group: more would hold it up for milliseconds. It is more than end
/// in a group of full batches.
const LET_GO_AT_ONCE: usize = 2_048;

/// Where ended jobs are found again once the ledger has let them go.
pub trait Archive {
    /// What is known of a job by its id.
    fn by_id(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>>;
    /// What is known of a job by its number.
    fn by_seq(&mut self, seq: Seq) -> Result<Option<Archived>>;
    /// As `by_id`, for a job that may be changed: it stays until it is released.
    fn recall(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>>;
    /// The dead jobs that have a group or limit keys, of all namespaces.
    fn dead_with_keys(&mut self) -> Result<Vec<DeadJob>>;
    /// A job that was recalled may go.
    fn release(&mut self, seq: Seq);
}

/// What the archive knows of a job.
#[derive(Clone, Debug)]
pub enum Archived {
    /// All of it, args included.
    Whole(Box<ArchivedJob>),
    /// It was deleted, but its id is still remembered.
    Gone {
        /// Its number.
        seq: Seq,
        /// Its digest.
        fingerprint: u64,
        /// The state it ended in.
        state: StateName,
        /// When it ended: its id is remembered for `ID_WINDOW` from then on.
        finished_at: Timestamp,
    },
}

/// A job that the ledger has let go.
#[derive(Clone, Debug)]
pub struct ArchivedJob {
    /// What never changes, with args.
    pub fixed: Fixed,
    /// What changed with every step.
    pub vital: Vital,
    /// What changed seldom.
    pub more: More,
    /// Who ran it last.
    pub worker: Option<WorkerId>,
}

/// The live state.
#[derive(Debug)]
pub struct Ledger {
    epoch: u32,
    now: Timestamp,
    position: Position,
    next_seq: Seq,
    nonce: u64,
    jobs: SeqMap<Entry>,
    ids: Ids,
    keys: Keys,
    lanes: Lanes,
    workers: Workers,
    limits: Limits,
    documents: Documents,
    /// Jobs on the timer, by when they are due.
    timer: BTreeSet<(Timestamp, Seq)>,
    /// Jobs that end as expired unless they start, by when.
    expiry: BTreeSet<(Timestamp, Seq)>,
    /// Running attempts with a timeout, by when it is over.
    deadlines: BTreeSet<(Timestamp, Seq)>,
    served: Duration,
    swept_at: Timestamp,
    /// Ended jobs, kept until the table has applied the position of their end.
    departing: VecDeque<(Position, Seq)>,
    /// The last job inserted at or before a position.
    inserted: VecDeque<(Position, Seq)>,
    /// Jobs that were given other args, until the table has them.
    rewritten: VecDeque<(Position, Seq)>,
    args_bytes: usize,
    args_evicted_to: Seq,
    no_text: Json,
    completed_ids: Seen,
    other_ids: Seen,
    changes: Vec<Change>,
    events: Vec<Event>,
    is_heard: bool,
    nudges: Vec<Nudge>,
    /// Ended jobs that are in memory only because somebody asked to change them.
    recalled: FxHashSet<Seq>,
    /// Jobs that the archive keeps until they are released.
    kept: FxHashSet<Seq>,
    released: Vec<Seq>,
    /// Whether a job became ready since waiting claims were last served.
    became_ready: bool,
    /// Ready jobs in all lanes.
    ready: usize,
}

/// What the table has.
#[derive(Copy, Clone, Debug)]
pub struct Shown {
    /// The ends of jobs up to this position.
    pub ended: Position,
    /// Everything up to this position.
    pub all: Position,
}

/// What a ledger starts from.
#[derive(Copy, Clone, Debug)]
pub struct Start {
    /// The highest time the store has seen.
    pub now: Timestamp,
    /// The position of the last group.
    pub position: Position,
    /// The number that the next job gets.
    pub next_seq: Seq,
    /// Chance for the nonces of tokens.
    pub seed: u64,
}

impl Ledger {
    /// A ledger with no jobs.
    pub fn new(start: Start) -> Self {
        Ledger {
            epoch: 0,
            now: start.now,
            position: start.position,
            next_seq: start.next_seq.max(1),
            nonce: start.seed,
            jobs: SeqMap::default(),
            ids: Ids::default(),
            keys: Keys::default(),
            lanes: Lanes::default(),
            workers: Workers::default(),
            limits: Limits::default(),
            documents: Documents::default(),
            timer: BTreeSet::new(),
            expiry: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            served: Duration::ZERO,
            swept_at: start.now,
            departing: VecDeque::new(),
            inserted: VecDeque::new(),
            rewritten: VecDeque::new(),
            args_bytes: 0,
            args_evicted_to: 0,
            no_text: Json::from_trusted(""),
            completed_ids: Seen::default(),
            other_ids: Seen::default(),
            changes: Vec::new(),
            events: Vec::new(),
            is_heard: false,
            nudges: Vec::new(),
            recalled: FxHashSet::default(),
            kept: FxHashSet::default(),
            released: Vec::new(),
            became_ready: false,
            ready: 0,
        }
    }

    /// The store's time: it never goes back.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How often the store was opened.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Serves the lines of the keys whose jobs or policies were changed.
    pub fn settle_lines(&mut self) {
        self.settle(PROMOTIONS_MAX);
    }

    /// Jobs in memory.
    pub fn jobs_in_memory(&self) -> usize {
        self.jobs.len()
    }

    /// Bytes of args in memory.
    pub fn args_bytes(&self) -> usize {
        self.args_bytes
    }

    /// Begins the group that will get `position`; `wall` is what the clock says, `shown` how far
    /// the table is, `is_heard` whether anybody listens for hints.
    pub fn begin(&mut self, position: Position, wall: Timestamp, shown: Shown, is_heard: bool) {
        self.position = position;
        self.now = self.now.max(wall);
        self.is_heard = is_heard;
        self.let_go(shown, LET_GO_AT_ONCE);
    }

    /// The changes and hints since `begin`, for the caller to make durable and to announce; what
    /// `blank` gives is filled next.
    pub fn take_changes(
        &mut self,
        blank: impl FnOnce() -> Vec<Change>,
    ) -> (Vec<Change>, Vec<Event>) {
        if let Some(last) = self.next_seq.checked_sub(1)
            && self.inserted.back().is_none_or(|&(_, seq)| seq < last)
        {
            self.inserted.push_back((self.position, last));
        }
        let changes = match self.changes.is_empty() {
            true => Vec::new(),
            false => std::mem::replace(&mut self.changes, blank()),
        };
        (changes, std::mem::take(&mut self.events))
    }

    /// Workers to nudge since the last call.
    pub fn take_nudges(&mut self) -> Vec<Nudge> {
        std::mem::take(&mut self.nudges)
    }

    /// Jobs that the archive need not keep any longer, since the last call.
    pub fn take_released(&mut self) -> Vec<Seq> {
        std::mem::take(&mut self.released)
    }

    /// Whether anything was decided since `begin`.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether any job is ready.
    pub fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// Whether a job became ready since the last call.
    pub fn take_became_ready(&mut self) -> bool {
        std::mem::take(&mut self.became_ready)
    }

    /// The job with this id, where it is in memory. A deleted one is found as well: as long as it is
    /// here, the archive may not know that it is gone.
    fn find(&self, namespace: &Name, id: JobId) -> Option<Seq> {
        let is_it = |entry: &Entry| {
            entry.fixed.id == id && self.lanes.get(entry.fixed.lane).namespace == *namespace
        };
        let find = |is_free: bool| {
            self.ids.find(id, |seq| {
                let entry = self.jobs.get(&seq);
                entry.is_some_and(|entry| is_it(entry) && self.is_forgotten(entry) == is_free)
            })
        };
        // A free id may have been given again.
        find(false).or_else(|| find(true))
    }

    /// Whether it was deleted so long after its end that its id is free again.
    fn is_forgotten(&self, entry: &Entry) -> bool {
        let ended = || entry.vital().finished_at;
        entry.is_deleted() && ended().is_some_and(|at| self.now >= at.plus(ID_WINDOW))
    }

    /// Whether the archive may know an id that is not in memory.
    fn may_be_archived(&self, id: JobId) -> bool {
        self.completed_ids.may_contain(id) || self.other_ids.may_contain(id)
    }

    fn next_nonce(&mut self) -> u64 {
        // A Weyl sequence through SplitMix64's finaliser: distinct for 2^64 draws.
        self.nonce = self.nonce.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.nonce;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// As `set_placed`, but a job that is due stands in line where a policy says so.
    fn set(&mut self, seq: Seq, vital: Vital, more: Option<Box<More>>) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let vital = self.lined_up(&entry.fixed, vital);
        self.set_placed(seq, vital, more);
    }

    /// A job is now so: changes it, its place in every index and the counts, and notes the change.
    fn set_placed(&mut self, seq: Seq, vital: Vital, mut more: Option<Box<More>>) {
        if vital.life.token().is_none() && self.shows_progress(seq) {
            more.get_or_insert_default().progress = Some(self.no_text.clone());
        }
        self.place(seq, vital, more.as_deref());
        self.changes.push(Change::Update(crate::change::Update { seq, vital, more }));
    }

    fn shows_progress(&self, seq: Seq) -> bool {
        let rare = self.jobs.get(&seq).and_then(|entry| entry.rare.as_ref());
        rare.is_some_and(|rare| rare.progress.is_some())
    }

    /// Lets go of ended jobs, of so many at most, and where memory is short of args that the table
    /// has. Answers whether there is more to let go.
    pub fn let_go(&mut self, shown: Shown, at_most: usize) -> bool {
        for _ in 0..at_most {
            let Some(&(position, seq)) = self.departing.front() else { break };
            if position > shown.ended {
                break;
            }
            self.departing.pop_front();
            self.depart(seq);
        }
        let mut last_applied = None;
        while let Some(&(position, seq)) = self.inserted.front() {
            if position > shown.all {
                break;
            }
            last_applied = Some(seq);
            if self.inserted.len() == 1 || self.inserted[1].0 > shown.all {
                break;
            }
            self.inserted.pop_front();
        }
        if let Some(last) = last_applied {
            self.evict_args(last, shown.all);
        }
        self.evict_rewritten(shown.all);
        self.departing.front().is_some_and(|&(position, _)| position <= shown.ended)
    }

    fn depart(&mut self, seq: Seq) {
        let Some(entry) = self.jobs.get_mut(&seq) else { return };
        if let Some(rare) = &mut entry.rare
            && rare.undone_ends > 0
        {
            rare.undone_ends -= 1;
            return;
        }
        let state = entry.state().name();
        let Some(entry) = self.jobs.remove(&seq) else { return };
        if self.kept.remove(&seq) {
            self.released.push(seq);
        }
        self.refer(entry.vital().run, None);
        self.args_bytes -= entry.fixed.args.len();
        self.ids.remove(entry.fixed.id, seq);
        match state {
            StateName::Completed => self.completed_ids.insert(entry.fixed.id),
            _ => self.other_ids.insert(entry.fixed.id),
        }
    }

    fn evict_args(&mut self, last_applied: Seq, shown: Position) {
        if self.args_bytes <= ARGS_BYTES_KEPT || last_applied <= self.args_evicted_to {
            return;
        }
        let mut seq = self.args_evicted_to;
        for (next, entry) in self.jobs.range_mut(seq + 1..=last_applied) {
            seq = next;
            if entry.rare.as_ref().is_none_or(|rare| rare.args_at <= shown) {
                self.args_bytes -= entry.evict_args(&self.no_text);
            }
            if self.args_bytes <= ARGS_BYTES_KEPT {
                break;
            }
        }
        self.args_evicted_to = seq;
    }

    /// Lets go of args that jobs were given when memory had been short of args before.
    fn evict_rewritten(&mut self, shown: Position) {
        while let Some(&(position, seq)) = self.rewritten.front()
            && position <= shown
        {
            self.rewritten.pop_front();
            if seq <= self.args_evicted_to
                && let Some(entry) = self.jobs.get_mut(&seq)
                && entry.rare.as_ref().is_some_and(|rare| rare.args_at == position)
            {
                self.args_bytes -= entry.evict_args(&self.no_text);
            }
        }
    }

    /// The fence of the attempt that a job runs.
    fn token_of(&self, seq: Seq) -> Option<Token> {
        self.jobs.get(&seq)?.vital().life.token()
    }
}
