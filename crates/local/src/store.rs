//! The local store, as the engine sees it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use taskwright_core::limits::{BATCH_MAX, WAIT_MAX};
use taskwright_core::{Job, JobId, Name, Policy, Subject, Timestamp};
use taskwright_store::{
    Claim, ClaimedJob, Clock, Command, Controlled, Description, Document, Durability as Class,
    Error, ErrorKind, Events, Exported, Filter, Heartbeat, HeartbeatReply, Imported, Insert,
    Inserted, Nudges, Page, Publisher, QueueCounts, Record, Report, Reported, Result, Retention,
    Store, Swept, Tick, Ticked, Wanted, WorkerView, moving,
};
use tokio::sync::oneshot;

use crate::core::Core;
use crate::directory::Directory;
use crate::ledger::Found;
use crate::open::{self, Parts};
use crate::options::{Durability, FileOptions, MemoryOptions};
use crate::request::{Reply, Request, Settled, bytes_of_tick};
use crate::table::{CHANGES_MAX, TableHandle, TableThread};
use crate::writer::Inbox;

/// How long a caller is held up for the table to catch up, before it is asked to come again.
const ROOM_WITHIN: Duration = Duration::from_secs(10);
/// About how many bytes of ticks go into the journal at once.
const TICK_BYTES: usize = 1024 * 1024;
/// Between looks whether the table has caught up.
const ROOM_LOOK: Duration = Duration::from_millis(2);

/// A store in the memory of this process, or in a directory.
pub struct LocalStore {
    inbox: Arc<Inbox>,
    table: TableHandle,
    retention: Retention,
    about: About,
    open: Mutex<Option<Open>>,
}

/// What goes when the store is closed.
struct Open {
    publisher: Publisher,
    writer: std::thread::JoinHandle<Core>,
    table: TableThread,
    /// Unlocked last.
    _directory: Option<Directory>,
}

/// What does not change while it is open.
struct About {
    kind: &'static str,
    location: String,
    durability: Class,
    epoch: u32,
    facts: Vec<(Arc<str>, String)>,
}

impl LocalStore {
    /// A new store in memory, gone with this process.
    pub fn open_memory(options: MemoryOptions, clock: Arc<dyn Clock>) -> Result<Arc<LocalStore>> {
        let parts = open::memory(&options, clock)?;
        let about = About {
            kind: "memory",
            location: "the memory of this process".to_owned(),
            durability: Class::Memory,
            epoch: parts.epoch,
            facts: Vec::new(),
        };
        Ok(LocalStore::of(parts, options.retention, about, None))
    }

    /// Opens the store in a directory, or makes one there.
    ///
    /// # Errors
    /// `Unusable`, `Locked`, `TooNew`, `Corrupt` or `Full`, with what to do next; nothing has
    /// changed then.
    pub fn open_file(
        path: &Path,
        options: FileOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<LocalStore>> {
        let directory = open::directory(path)?;
        let parts = open::file(&directory, &options, clock)?;
        let (durability, syncing) = match options.durability {
            Durability::Fsync => (Class::Synced, "before each answer".to_owned()),
            Durability::Interval(every) => (Class::Delayed, format!("every {every:?}")),
            Durability::Os => (Class::Delayed, "when the operating system does".to_owned()),
        };
        let mut facts: Vec<(Arc<str>, String)> = vec![("sync".into(), syncing)];
        if let Some(cut) = &parts.cut {
            let text = format!(
                "{} bytes of an unfinished group at byte {} of {}, which nobody was told of",
                cut.bytes, cut.offset, cut.segment
            );
            facts.push(("cut at the start".into(), text));
        }
        let about = About {
            kind: "file",
            location: path.display().to_string(),
            durability,
            epoch: parts.epoch,
            facts,
        };
        Ok(LocalStore::of(parts, options.retention, about, Some(directory)))
    }

    fn of(
        parts: Parts,
        retention: Retention,
        about: About,
        directory: Option<Directory>,
    ) -> Arc<LocalStore> {
        let open = Open {
            publisher: parts.publisher,
            writer: parts.writer,
            table: parts.table_thread,
            _directory: directory,
        };
        Arc::new(LocalStore {
            inbox: parts.inbox,
            table: parts.table,
            retention,
            about,
            open: Mutex::new(Some(open)),
        })
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(request(reply));
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Holds a caller up while the table is too far behind: memory must not grow without end.
    async fn wait_for_room(&self, changes_max: usize) -> Result<()> {
        if self.table.backlog() < changes_max {
            return Ok(());
        }
        let until = Instant::now() + ROOM_WITHIN;
        while self.table.backlog() >= changes_max {
            if Instant::now() >= until {
                let busy = Error::new(
                    ErrorKind::Busy,
                    "the disk does not keep up with the journal; try again in a moment",
                );
                return Err(self.table.trouble().unwrap_or(busy).retry_after(ROOM_WITHIN));
            }
            tokio::time::sleep(ROOM_LOOK).await;
        }
        Ok(())
    }

    /// Reads the args that the ledger left to the table.
    async fn fill_args(&self, jobs: &mut [ClaimedJob]) -> Result<()> {
        let missing: Vec<_> =
            jobs.iter().filter(|job| job.args.is_empty()).map(|j| j.seq).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found = self.table.args(0, missing).await?;
        for (job, args) in jobs.iter_mut().filter(|job| job.args.is_empty()).zip(found) {
            job.args = args.ok_or_else(|| {
                let message = format!("the args of job {} are gone; run `taskwright fsck`", job.id);
                Error::new(ErrorKind::Corrupt, message)
            })?;
        }
        Ok(())
    }

    async fn prune(&self, now: taskwright_core::Timestamp, limit: usize) -> Result<(usize, bool)> {
        if limit == 0 {
            return Ok((0, false));
        }
        let pruned = self.table.prune(now, self.retention, limit).await?;
        let (count, more) = (pruned.ids.len(), pruned.more);
        self.ask(|reply| Request::Pruned(pruned, reply)).await?;
        Ok((count, more))
    }

    fn opened(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Finishes what was begun: the writer first, then the table with all it was given.
    fn close(self, inbox: &Inbox, table: &TableHandle) -> Result<()> {
        inbox.close();
        let stopped = match self.writer.join() {
            Ok(mut core) => {
                let synced = core.sync();
                core.stopped().cloned().map_or(synced, Err)
            }
            Err(_) => Err(Error::new(ErrorKind::Stopped, "the writer ended early; open it again")),
        };
        table.close();
        let applied = self.table.join().map(drop);
        stopped.and(applied)
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        if let Some(open) = self.opened().take() {
            // Whoever wants to know of an error calls `close`.
            let _ = open.close(&self.inbox, &self.table);
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed; open it again")
}

/// Ticks in parts that go into the journal one by one: each stands for itself.
fn parts(ticks: Vec<Tick>) -> Vec<Vec<Tick>> {
    let mut parts: Vec<Vec<Tick>> = Vec::new();
    let mut room = 0;
    for tick in ticks {
        let bytes = bytes_of_tick(&tick);
        match parts.last_mut() {
            Some(part) if bytes <= room => {
                part.push(tick);
                room -= bytes;
            }
            _ => {
                parts.push(vec![tick]);
                room = TICK_BYTES.saturating_sub(bytes);
            }
        }
    }
    parts
}

#[async_trait]
impl Store for LocalStore {
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>> {
        self.wait_for_room(CHANGES_MAX).await?;
        self.ask(|reply| Request::Insert(insert, reply)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>> {
        // Finishing what runs must stay possible when enqueues are already held up.
        self.wait_for_room(2 * CHANGES_MAX).await?;
        let until = Instant::now() + claim.wait.min(WAIT_MAX);
        let claim = Claim { max: claim.max.min(BATCH_MAX), ..claim };
        let mut jobs = self.ask(|reply| Request::Claim(claim, until, reply)).await?;
        self.fill_args(&mut jobs).await?;
        Ok(jobs)
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        self.ask(|reply| Request::Report(reports, reply)).await
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        self.ask(|reply| Request::Heartbeat(heartbeat, reply)).await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        if self.table.has_spared() {
            // Once the table has what became of recalled jobs, the ledger lets them go again.
            let Settled { position, .. } = self.ask(Request::Settle).await?;
            self.table.wait_applied(position).await?;
        }
        let (swept, now) = self.ask(|reply| Request::Sweep(limit, reply)).await?;
        let done = swept.due + swept.lapsed + swept.timed_out + swept.expired;
        let (pruned, more) = self.prune(now, limit.saturating_sub(done)).await?;
        Ok(Swept { pruned, more: swept.more || more, ..swept })
    }

    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>> {
        let actor = actor.to_owned();
        self.ask(|reply| Request::Control(actor, commands, reply)).await
    }

    async fn tick(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>> {
        self.wait_for_room(CHANGES_MAX).await?;
        let mut ticked = Vec::with_capacity(ticks.len());
        for part in parts(ticks) {
            ticked.extend(self.ask(|reply| Request::Tick(part, reply)).await?);
        }
        Ok(ticked)
    }

    async fn documents(&self, wanted: Wanted, limit: usize) -> Result<Vec<Document>> {
        self.ask(|reply| Request::Documents(wanted, limit, reply)).await
    }

    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        let (name, wanted) = (namespace.clone(), ids.to_vec());
        let (position, found) = self.ask(|reply| Request::Get(name, wanted, reply)).await?;
        let in_table = found.iter().zip(ids).filter(|(found, _)| matches!(found, Found::InTable));
        let in_table: Vec<_> = in_table.map(|(_, id)| *id).collect();
        let mut from_table = match in_table.is_empty() {
            true => Vec::new().into_iter(),
            false => self.table.get(position, namespace.clone(), in_table).await?.into_iter(),
        };
        let job = |found| match found {
            Found::Here(job) => Some(*job),
            Found::InTable => from_table.next().flatten(),
            Found::Nowhere => None,
        };
        Ok(found.into_iter().map(job).collect())
    }

    async fn list(&self, filter: Filter) -> Result<Page> {
        let Settled { position, .. } = self.ask(Request::Settle).await?;
        self.table.list(position, filter).await
    }

    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>> {
        let (namespace, queue) = (namespace.clone(), queue.clone());
        self.ask(|reply| Request::Peek(namespace, queue, max, reply)).await
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        let namespace = namespace.clone();
        self.ask(|reply| Request::Counts(namespace, reply)).await
    }

    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        let namespace = namespace.clone();
        self.ask(|reply| Request::Policies(namespace, reply)).await
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        let namespace = namespace.clone();
        self.ask(|reply| Request::Workers(namespace, reply)).await
    }

    async fn export(&self, after: Option<u64>, limit: usize) -> Result<Exported> {
        let (position, settings) = self.ask(Request::Settings).await?;
        let page = self.table.export(position, after, limit.clamp(1, BATCH_MAX)).await?;
        Ok(Exported { settings: after.is_none().then_some(settings), ..page })
    }

    async fn import(&self, records: Vec<Record>) -> Result<Vec<Imported>> {
        moving::check_batch(&records)?;
        self.wait_for_room(CHANGES_MAX).await?;
        self.ask(|reply| Request::Import(records, reply)).await
    }

    fn events(&self) -> Events {
        // Where it is closed, so is the stream of a publisher just dropped.
        self.opened()
            .as_ref()
            .map_or_else(|| Publisher::default().subscribe(), |open| open.publisher.subscribe())
    }

    fn room_at(&self) -> Option<Timestamp> {
        self.opened().as_ref().and_then(|open| open.publisher.room_at())
    }

    fn nudges(&self) -> Nudges {
        let open = self.opened();
        open.as_ref().map_or_else(Nudges::none, |open| open.publisher.subscribe_to_nudges())
    }

    async fn describe(&self) -> Result<Description> {
        let settled = self.ask(Request::Settle).await?;
        let mut facts = self.about.facts.clone();
        facts.push(("jobs in memory".into(), settled.jobs.to_string()));
        facts.push(("bytes of args in memory".into(), settled.args_bytes.to_string()));
        facts.push(("changes that the table lags behind".into(), self.table.backlog().to_string()));
        if let Some(trouble) = self.table.trouble() {
            facts.push(("trouble of the table".into(), trouble.to_string()));
        }
        Ok(Description {
            kind: self.about.kind,
            location: self.about.location.clone(),
            durability: self.about.durability,
            epoch: self.about.epoch,
            now: settled.now,
            facts,
        })
    }

    async fn close(&self) -> Result<()> {
        let Some(open) = self.opened().take() else { return Ok(()) };
        let (inbox, table) = (Arc::clone(&self.inbox), self.table.clone());
        let closing = tokio::task::spawn_blocking(move || open.close(&inbox, &table));
        closing.await.unwrap_or_else(|_| Err(closed()))
    }
}
