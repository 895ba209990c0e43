//! The table, as the rest of the store uses it while its thread runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;
use taskwright_core::{Job, JobId, Json, Name, Timestamp};
use taskwright_store::{Error, ErrorKind, Exported, Filter, Page, Result, Retention};
use tokio::sync::{oneshot, watch};

use super::desk::Desk;
use super::inbox::{Errand, Group, Inbox};
use super::thread::{Keeper, OnDurable};
use super::{Known, Look, Pruned, Table};
use crate::change::{Change, Position, Seq};

/// Changes that may wait to be applied before the writer has to wait.
pub const CHANGES_MAX: usize = 150_000;
/// How long a question to the table may take, waiting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Jobs pruned in one transaction.
const PRUNED_AT_ONCE: usize = 2_000;

/// A table whose thread runs. Clones speak to the same table.
#[derive(Clone)]
pub struct TableHandle {
    shared: Arc<Shared>,
    /// Two, so that a long list holds up nobody's args; none where the table is in memory.
    desks: Option<Arc<Desks>>,
    path: Option<PathBuf>,
}

struct Desks {
    quick: Desk,
    slow: Desk,
}

/// The thread of a table; whoever has this closes it.
pub struct TableThread(JoinHandle<Result<Table>>);

/// What the thread and its users share.
pub(super) struct Shared {
    pub inbox: Inbox,
    progress: watch::Sender<Progress>,
    durable: AtomicU64,
    trouble: Mutex<Option<Error>>,
    is_broken: AtomicBool,
    /// Jobs that are not to be pruned now.
    spared: Mutex<FxHashSet<Seq>>,
}

/// How far the thread is.
#[derive(Copy, Clone, Debug)]
struct Progress {
    applied: Position,
    /// Nothing is held back up to here.
    whole: Position,
    is_over: bool,
}

impl Shared {
    pub fn set_applied(&self, applied: Position, whole: Position) {
        self.progress.send_modify(|progress| {
            (progress.applied, progress.whole) = (applied, whole);
        });
    }

    /// Notes that the thread is gone, and lets nobody wait for it.
    pub fn end(&self) {
        self.inbox.end();
        self.progress.send_modify(|progress| progress.is_over = true);
    }

    /// Answers whether it was news.
    pub fn set_durable(&self, position: Position) -> bool {
        self.durable.fetch_max(position, Ordering::AcqRel) < position
    }

    pub fn set_trouble(&self, trouble: Option<Error>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_broken(&self) {
        self.is_broken.store(true, Ordering::Release);
    }

    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    fn spared(&self) -> MutexGuard<'_, FxHashSet<Seq>> {
        self.spared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prunes while nobody else can have jobs spared.
    fn prune(
        &self,
        table: &mut Table,
        now: Timestamp,
        retention: &Retention,
        limit: usize,
    ) -> Result<Pruned> {
        table.prune(now, retention, limit, &self.spared())
    }
}

impl TableHandle {
    /// Starts the thread of a table. `on_durable` is called on it with every new position up to
    /// which the table is durable.
    pub fn start(table: Table, on_durable: OnDurable) -> Result<(TableHandle, TableThread)> {
        let shared = Arc::new(Shared {
            inbox: Inbox::default(),
            progress: watch::Sender::new(Progress {
                applied: table.position(),
                whole: table.whole(),
                is_over: false,
            }),
            durable: AtomicU64::new(0),
            trouble: Mutex::new(None),
            is_broken: AtomicBool::new(false),
            spared: Mutex::default(),
        });
        let path = table.path().map(ToOwned::to_owned);
        let desks = match &path {
            Some(path) => Some(Arc::new(Desks {
                quick: Desk::open(path, "taskwright-read")?,
                slow: Desk::open(path, "taskwright-list")?,
            })),
            None => None,
        };
        let keeper = Keeper::new(table, Arc::clone(&shared), on_durable);
        let thread = std::thread::Builder::new()
            .name("taskwright-table".to_owned())
            .spawn(move || keeper.run())
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("could not start the table's thread: {error}; try again"),
                )
            })?;
        Ok((TableHandle { shared, desks, path }, TableThread(thread)))
    }

    /// Hands over a group that is durable in the journal. It never waits, and the group is never
    /// refused: ask [`TableHandle::wait_for_room`] before new work is begun.
    pub fn send(&self, position: Position, now: Timestamp, changes: Vec<Change>) {
        self.shared.inbox.send(Group { position, now, changes });
    }

    /// An empty list for the changes of a group, if possible one with room.
    pub fn blank(&self) -> Vec<Change> {
        self.shared.inbox.blank()
    }

    /// Waits until the table has room for more groups, at most so long; whether it has.
    pub fn wait_for_room(&self, at_most: Duration) -> bool {
        self.shared.inbox.wait_for_room(CHANGES_MAX, Instant::now() + at_most)
    }

    /// Changes that are sent and not applied.
    pub fn backlog(&self) -> usize {
        self.shared.inbox.changes()
    }

    /// The position of the newest group that was applied, perhaps but for jobs that have not ended.
    pub fn applied(&self) -> Position {
        self.shared.progress.borrow().applied
    }

    /// The position up to which everything was applied.
    pub fn whole(&self) -> Position {
        self.shared.progress.borrow().whole
    }

    /// The position up to which the table is durable; 0 where that is not known yet.
    pub fn durable(&self) -> Position {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// What keeps the table from applying, where something does. Nothing is lost meanwhile: the
    /// journal keeps it.
    pub fn trouble(&self) -> Option<Error> {
        self.shared.trouble()
    }

    /// Asks for a checkpoint soon, because the journal needs a segment back.
    pub fn want_checkpoint(&self) {
        self.shared.inbox.want_checkpoint();
    }

    /// Waits until everything up to `position` is applied.
    ///
    /// # Errors
    /// `Unavailable` where it takes too long, `Closed` where the table was closed.
    pub async fn wait_applied(&self, position: Position) -> Result<()> {
        if self.whole() >= position {
            return Ok(());
        }
        let mut progress = self.shared.progress.subscribe();
        self.shared.inbox.want(position);
        let is_settled = |progress: &Progress| progress.whole >= position || progress.is_over;
        match tokio::time::timeout(ANSWER_WITHIN, progress.wait_for(is_settled)).await {
            Ok(Ok(progress)) if progress.whole >= position => Ok(()),
            Ok(_) => Err(closed()),
            Err(_) => Err(self.trouble().unwrap_or_else(slow)),
        }
    }

    /// Jobs by id, with args, result and attempts, as of `position`.
    pub async fn get(
        &self,
        position: Position,
        namespace: Name,
        ids: Vec<JobId>,
    ) -> Result<Vec<Option<Job>>> {
        self.look(position, Pace::Quick, move |look| look.get(&namespace, &ids)).await
    }

    /// What is known of ids as of `position`, also of those whose job was deleted lately.
    pub async fn lookup(
        &self,
        position: Position,
        namespace: Name,
        ids: Vec<JobId>,
    ) -> Result<Vec<Option<Known>>> {
        self.look(position, Pace::Quick, move |look| look.lookup(&namespace, &ids)).await
    }

    /// The args of jobs as of `position`.
    pub async fn args(&self, position: Position, seqs: Vec<Seq>) -> Result<Vec<Option<Json>>> {
        self.look(position, Pace::Quick, move |look| look.args(&seqs)).await
    }

    /// A page of jobs as of `position`; see [`Look::list`].
    pub async fn list(&self, position: Position, filter: Filter) -> Result<Page> {
        self.look(position, Pace::Slow, move |look| look.list(&filter)).await
    }

    /// A page of whole jobs as of `position`; see [`Look::export`].
    pub async fn export(
        &self,
        position: Position,
        after: Option<Seq>,
        limit: usize,
    ) -> Result<Exported> {
        self.look(position, Pace::Slow, move |look| look.export(after, limit)).await
    }

    /// Prunes up to `limit` jobs, a few at a time, after every group sent before; see
    /// [`Table::prune`]. Jobs that were recalled and not released are spared.
    pub async fn prune(
        &self,
        now: Timestamp,
        retention: Retention,
        limit: usize,
    ) -> Result<Pruned> {
        let mut all = Pruned::default();
        loop {
            let at_once = PRUNED_AT_ONCE.min(limit - all.ids.len());
            let shared = Arc::clone(&self.shared);
            let prune = move |table: &mut Table| shared.prune(table, now, &retention, at_once);
            all.add(self.errand(self.shared.inbox.newest(), prune).await?);
            if !all.more || all.ids.len() >= limit {
                return Ok(all);
            }
        }
    }

    /// Asks the table something as of `position`.
    pub async fn look<T: Send + 'static>(
        &self,
        position: Position,
        pace: Pace,
        ask: impl FnOnce(&mut Look<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(desks) = &self.desks else {
            return self.errand(position, move |table| ask(&mut table.look())).await;
        };
        self.wait_applied(position).await?;
        let (reply, answer) = oneshot::channel();
        let desk = match pace {
            Pace::Quick => &desks.quick,
            Pace::Slow => &desks.slow,
        };
        // A caller that no longer waits is no error.
        desk.post(Box::new(move |reader| drop(reply.send(ask(&mut reader.look())))))?;
        settle(answer).await
    }

    async fn errand<T: Send + 'static>(
        &self,
        after: Position,
        run: impl FnOnce(&mut Table) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |table: &mut Table| drop(reply.send(run(table))));
        self.shared.inbox.ask(Errand { after, run });
        settle(answer).await
    }

    /// Like [`TableHandle::look`], for threads that may wait: at once, as of what is applied.
    pub(super) fn look_now<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Look<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let run = Box::new(move |table: &mut Table| drop(reply.send(ask(&mut table.look()))));
        self.shared.inbox.ask(Errand { after: 0, run });
        answer.recv_timeout(ANSWER_WITHIN).unwrap_or_else(|_| Err(slow()))
    }

    /// Keeps a job from being pruned until it is released.
    pub(super) fn spare(&self, seq: Seq) {
        self.shared.spared().insert(seq);
    }

    /// Lets a job be pruned again.
    pub(super) fn release(&self, seq: Seq) {
        self.shared.spared().remove(&seq);
    }

    /// Whether any job is kept from being pruned.
    pub fn has_spared(&self) -> bool {
        !self.shared.spared().is_empty()
    }

    /// The file of the table, where it is one.
    pub fn path(&self) -> Option<&std::path::Path> {
        self.path.as_deref()
    }

    /// Asks the thread to apply everything that was sent, to write it back and to end.
    pub fn close(&self) {
        self.shared.inbox.close();
    }
}

/// Whether a question can wait behind long ones.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It reads a few rows.
    Quick,
    /// It may read many.
    Slow,
}

impl TableThread {
    /// Waits for the thread to end, after [`TableHandle::close`], and gives the table back. An error
    /// says what was not applied; the journal has it.
    pub fn join(self) -> Result<Table> {
        self.0.join().unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Stopped,
                "the table's thread panicked; the journal has everything: open the store again",
            ))
        })
    }
}

async fn settle<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(closed()),
        Err(_) => Err(slow()),
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the table was closed; open the store again")
}

fn slow() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the table did not answer within {ANSWER_WITHIN:?}; look at `taskwright doctor`"),
    )
}

#[cfg(test)]
#[path = "tests/handle.rs"]
mod tests;
