//! The table without its thread, over a SQLite that forgets what was not checkpointed.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use taskwright_core::{Job, JobId, Name, Timestamp};
use taskwright_store::Result;

use super::Random;
use crate::change::{Change, Position, Seq};
use crate::core::Feed;
use crate::ledger::{Archive, Archived, DeadJob};
use crate::table::{Fold, Hold, Table};

/// The id of every simulated store.
const STORE: u128 = 0x5eed;

/// An empty table, made once: making one takes longer than a whole simulated life.
static EMPTY: LazyLock<Result<Vec<u8>>> =
    LazyLock::new(|| Table::open_memory(STORE).and_then(|mut table| table.snapshot()));

type Group = (Position, Timestamp, Vec<Change>);

/// A table in memory, applied to when the simulator says so. Clones share it.
#[derive(Clone)]
pub struct SimTable(Arc<Mutex<State>>);

/// What happened to a table.
enum Step {
    /// Groups were applied in one transaction, and some jobs held back.
    Applied(Vec<Group>, Hold),
    /// The process ended, and what was held back was gone.
    Forgot,
}

struct State {
    table: Table,
    waiting: VecDeque<Group>,
    /// What is held back.
    fold: Fold,
    /// The table as of the last checkpoint, what was held back then, and what happened since.
    checkpoint: (Vec<u8>, Fold),
    since: Vec<Step>,
    durable: Position,
    /// Planted bug: what is applied is taken for durable.
    boasts: bool,
}

impl SimTable {
    /// An empty table.
    pub fn new(boasts: bool) -> Result<Self> {
        SimTable::over((EMPTY.clone()?, Fold::new()), Vec::new(), boasts)
    }

    fn over(checkpoint: (Vec<u8>, Fold), steps: Vec<Step>, boasts: bool) -> Result<Self> {
        let table = Table::from_snapshot(&checkpoint.0)?;
        let durable = table.whole();
        let (waiting, since) = (VecDeque::new(), Vec::new());
        let fold = checkpoint.1.clone();
        let state = State { table, waiting, fold, checkpoint, since, durable, boasts };
        let table = SimTable(Arc::new(Mutex::new(state)));
        for step in steps {
            match step {
                Step::Applied(groups, hold) => table.state().apply(groups, hold)?,
                Step::Forgot => table.state().forget(),
            }
        }
        Ok(table)
    }

    /// What the power failure leaves: the last checkpoint and any number of transactions after it.
    pub fn crash(&self, random: &mut Random) -> Result<Self> {
        let mut state = self.state();
        let kept = random.below(state.since.len() + 1);
        let mut steps = std::mem::take(&mut state.since);
        steps.truncate(kept);
        let over = SimTable::over(state.checkpoint.clone(), steps, state.boasts)?;
        over.state().forget();
        Ok(over)
    }

    /// Applies some of the waiting groups in one transaction, and holds some jobs back.
    pub fn apply_some(&self, random: &mut Random) -> Result<()> {
        let mut state = self.state();
        let count = random.below(state.waiting.len() + 1);
        let groups = state.waiting.drain(..count).collect();
        let hold = match random.below(3) {
            0 => Hold::NOTHING,
            _ => {
                let after = state.table.position().saturating_sub(random.below(20) as u64);
                Hold { after, rows: random.below(40), bytes: usize::MAX }
            }
        };
        state.apply(groups, hold)
    }

    /// Applies all waiting groups.
    pub fn apply_all(&self) -> Result<()> {
        let mut state = self.state();
        let groups = state.waiting.drain(..).collect();
        state.apply(groups, Hold::NOTHING)
    }

    /// Makes durable what was applied.
    pub fn checkpoint(&self) -> Result<()> {
        let mut state = self.state();
        state.checkpoint = (state.table.snapshot()?, state.fold.clone());
        state.since.clear();
        state.durable = state.table.whole();
        Ok(())
    }

    /// A job as the table has it.
    pub fn get(&self, namespace: &Name, id: JobId) -> Result<Option<Job>> {
        let mut jobs = self.state().table.look().get(namespace, &[id])?;
        Ok(jobs.pop().flatten())
    }

    /// Lends the table out.
    pub fn with<T>(&self, use_it: impl FnOnce(&Table) -> T) -> T {
        use_it(&self.state().table)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, groups: Vec<Group>, hold: Hold) -> Result<()> {
        for (position, now, changes) in &groups {
            self.fold.push(*position, *now, changes.clone());
        }
        // Noted even where nothing is applied yet: the next transaction has these groups, too.
        self.since.push(Step::Applied(groups, hold));
        if self.fold.is_empty() || self.table.is_ahead_of(&self.fold) {
            return Ok(());
        }
        self.table.apply_but(&mut self.fold, hold)
    }

    fn forget(&mut self) {
        self.fold = Fold::new();
        self.since.push(Step::Forgot);
    }
}

impl Feed for SimTable {
    fn push(&mut self, position: Position, now: Timestamp, changes: Vec<Change>) {
        self.state().waiting.push_back((position, now, changes));
    }

    fn applied(&self) -> Position {
        self.state().table.position()
    }

    fn whole(&self) -> Position {
        self.state().table.whole()
    }

    fn durable(&self) -> Position {
        let state = self.state();
        if state.boasts { state.table.position() } else { state.durable }
    }

    fn segments(&self, _count: usize) {}
}

impl Archive for SimTable {
    fn by_id(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>> {
        self.state().table.by_id(namespace, id)
    }

    fn by_seq(&mut self, seq: Seq) -> Result<Option<Archived>> {
        self.state().table.by_seq(seq)
    }

    fn dead_with_keys(&mut self) -> Result<Vec<DeadJob>> {
        self.state().table.dead_with_keys()
    }

    fn recall(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>> {
        self.by_id(namespace, id)
    }

    /// Nothing is pruned.
    fn release(&mut self, _seq: Seq) {}
}
