//! Opening: the table, then the groups of the journal that it had not applied, then service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taskwright_store::{Clock, Error, ErrorKind, Publisher, Result};

use crate::core::{Core, Feed, Log};
use crate::directory::Directory;
use crate::disk::{Disk, FileDisk};
use crate::journal::{Cut, Durability, Expect, Group, Journal, JournalOptions, StoreId};
use crate::ledger::{Archive, Ledger, Start};
use crate::options::{FileOptions, MemoryOptions};
use crate::table::{Held, Table, TableArchive, TableHandle, TableThread};
use crate::writer::{self, Inbox};

/// How often groups are synced where the operating system is to decide: it bounds how far the
/// table can be behind.
const OS_SYNC_EVERY: Duration = Duration::from_secs(30);
/// Everything that an open store consists of.
pub(crate) struct Parts {
    pub inbox: Arc<Inbox>,
    pub table: TableHandle,
    pub table_thread: TableThread,
    pub writer: std::thread::JoinHandle<Core>,
    pub publisher: Publisher,
    pub epoch: u32,
    pub cut: Option<Cut>,
}

/// Opens a store in files.
pub(crate) fn file(
    directory: &Directory,
    options: &FileOptions,
    clock: Arc<dyn Clock>,
) -> Result<Parts> {
    let table = Table::open(&directory.table(), random()?)?;
    let store = StoreId(table.store().to_be_bytes());
    let disk = FileDisk::new(directory.journal()).map_err(|error| {
        let place = directory.journal();
        Error::new(ErrorKind::Unusable, format!("cannot open {}: {error}", place.display()))
    })?;
    let expect = Expect { store, table_position: table.position(), replay_after: table.whole() };
    let held = table.held()?;
    let ledger = loaded(&table, random()? as u64)?;
    let (handle, table_thread) = TableHandle::start(table, Box::new(|_| {}))?;
    let journal_options =
        JournalOptions { durability: options.durability, ..JournalOptions::default() };
    let mut archive = TableArchive::new(handle.clone())?;
    let recovery =
        Recovery { ledger, held, archive: &mut archive, feed: &mut handle.clone(), clock: &*clock };
    let recovered = recovery.run(Arc::new(disk), journal_options, expect);
    let (ledger, log, cut) = match recovered {
        Ok(recovered) => recovered,
        Err(error) => {
            // Nothing may hold the files once the lock is free. The first error is what counts.
            handle.close();
            let _ = table_thread.join();
            return Err(error);
        }
    };
    let epoch = ledger.epoch();
    let sync_every = match options.durability {
        Durability::Fsync => None,
        Durability::Interval(every) => Some(every),
        Durability::Os => Some(OS_SYNC_EVERY),
    };
    start(ledger, log, handle, table_thread, clock, sync_every).map(|parts| Parts {
        epoch,
        cut,
        ..parts
    })
}

/// Opens a store in memory.
pub(crate) fn memory(_options: &MemoryOptions, clock: Arc<dyn Clock>) -> Result<Parts> {
    let table = Table::open_memory(random()?)?;
    let mut ledger = loaded(&table, random()? as u64)?;
    ledger.resume(1, clock.now());
    let (handle, table_thread) = TableHandle::start(table, Box::new(|_| {}))?;
    start(ledger, Log::Memory(0), handle, table_thread, clock, None)
}

fn start(
    ledger: Ledger,
    log: Log,
    table: TableHandle,
    table_thread: TableThread,
    clock: Arc<dyn Clock>,
    sync_every: Option<Duration>,
) -> Result<Parts> {
    let publisher = Publisher::default();
    let archive = Box::new(TableArchive::new(table.clone())?);
    let feed = Box::new(table.clone());
    let core = Core::new(clock, ledger, log, feed, archive, publisher.clone());
    let inbox = Arc::new(Inbox::default());
    let writer = writer::start(Arc::clone(&inbox), core, sync_every)?;
    Ok(Parts { inbox, table, table_thread, writer, publisher, epoch: 1, cut: None })
}

/// What becomes of a ledger that knows what the table knows.
pub(crate) struct Recovery<'a> {
    pub ledger: Ledger,
    pub held: Held,
    pub archive: &'a mut dyn Archive,
    pub feed: &'a mut dyn Feed,
    pub clock: &'a dyn Clock,
}

impl Recovery<'_> {
    /// Opens the journal, sets again what the table had not applied, and begins service.
    pub fn run(
        self,
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        expect: Expect,
    ) -> Result<(Ledger, Log, Option<Cut>)> {
        let Recovery { mut ledger, held, archive, feed, clock } = self;
        let (journal, recovered) =
            Journal::open(disk, options, expect, &mut |position, now, mut changes| {
                held.keep(position, &mut changes);
                ledger.replay(position, now, &changes, archive)?;
                feed.push(position, now, changes);
                Ok(())
            })?;
        let epoch = journal.epoch();
        ledger.resume(epoch, recovered.high_water.max(clock.now()));
        feed.push(journal.position(), ledger.now(), Vec::new());
        let group = Group::new(epoch, ledger.now());
        Ok((ledger, Log::Journal(Box::new(journal), group), recovered.cut))
    }
}

/// A ledger as the table knows it; `seed` is the chance in the nonces of tokens.
pub(crate) fn loaded(table: &Table, seed: u64) -> Result<Ledger> {
    let mut ledger = Ledger::new(Start {
        now: table.high_water(),
        position: table.position(),
        next_seq: table.next_seq(),
        seed,
    });
    ledger.load(table.load()?.into())?;
    table.live_jobs(|job| ledger.load_job(job.into()))?;
    if ledger.wants_dead() {
        ledger.note_archived(table.dead_with_keys()?);
    }
    for (number, id) in table.worker_ids(&ledger.nameless_workers())? {
        ledger.name_worker(number, id);
    }
    table.ended_ids(|id, state| ledger.load_ended_id(id, state))?;
    Ok(ledger)
}

/// Random bits of the operating system.
pub(crate) fn random() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = format!("the operating system gave no random bytes: {error}; try again");
        Error::new(ErrorKind::Unavailable, message)
    })?;
    Ok(u128::from_be_bytes(bytes))
}

/// Makes the directory of a store ready.
pub(crate) fn directory(path: &Path) -> Result<Directory> {
    Directory::open(path)
}
