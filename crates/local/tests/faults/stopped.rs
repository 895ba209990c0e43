//! A write or sync that fails stops the store: whoever waits is told, and what was acknowledged
//! before is there when it is opened again.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use taskwright_core::{Job, JobId, Name, StateName};
use taskwright_local::core::{Core, Log};
use taskwright_local::disk::Disk;
use taskwright_local::journal::{
    Durability, Expect, Group, Journal, JournalOptions, Preparing, StoreId,
};
use taskwright_local::ledger::{Found, Ledger, Start};
use taskwright_local::request::{Reply, Request};
use taskwright_local::sim::{Faults, SimDisk};
use taskwright_local::table::{Table, TableArchive, TableHandle, TableThread};
use taskwright_store::{Clock, Error, ErrorKind, Insert, Inserted, Publisher, Result};
use tokio::sync::oneshot;

use crate::scene::{args, jobs, noon};

const SEGMENT: u64 = 64 * 1024;
const ARGS: usize = 100;

/// A store on a simulated disk, with its table in a file.
struct Opened {
    core: Core,
    table: TableHandle,
    thread: TableThread,
}

impl Opened {
    fn new(disk: &SimDisk, place: &Path) -> Result<Opened> {
        let table = Table::open(place, 7)?;
        let store = StoreId(table.store().to_be_bytes());
        let expect =
            Expect { store, table_position: table.position(), replay_after: table.whole() };
        let (mut ledger, held) = (loaded(&table)?, table.held()?);
        let (handle, thread) = TableHandle::start(table, Box::new(|_| {}))?;
        let options = JournalOptions {
            segment_bytes: SEGMENT,
            durability: Durability::Fsync,
            preparing: Preparing::ByHand,
        };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut archive = TableArchive::new(handle.clone())?;
        let mut feed = handle.clone();
        let replay = &mut |position, now, mut changes: Vec<_>| {
            held.keep(position, &mut changes);
            ledger.replay(position, now, &changes, &mut archive)?;
            taskwright_local::core::Feed::push(&mut feed, position, now, changes);
            Ok(())
        };
        let (journal, recovered) = Journal::open(disk, options, expect, replay)?;
        let epoch = journal.epoch();
        let clock = noon();
        ledger.resume(epoch, recovered.high_water.max(clock.now()));
        taskwright_local::core::Feed::push(&mut feed, journal.position(), ledger.now(), Vec::new());
        let log = Log::Journal(Box::new(journal), Group::new(epoch, ledger.now()));
        let (feed, archive) = (Box::new(feed), Box::new(archive));
        let core = Core::new(clock, ledger, log, feed, archive, Publisher::default());
        Ok(Opened { core, table: handle, thread })
    }

    /// Serves inserts of one job each as one group; what each caller hears.
    fn insert(&mut self, numbers: std::ops::Range<u128>) -> Vec<Result<Vec<Inserted>>> {
        let (requests, answers): (Vec<_>, Vec<_>) = numbers
            .map(|number| {
                let (reply, answer) = oneshot::channel();
                let insert = Insert { jobs: jobs(number..number + 1, ARGS), partial: false };
                (Request::Insert(insert, reply), answer)
            })
            .unzip();
        self.core.serve(requests);
        answers.into_iter().map(|mut answer| answer.try_recv().expect("an answer")).collect()
    }

    fn ask<T>(&mut self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let (reply, mut answer) = oneshot::channel();
        self.core.serve(vec![request(reply)]);
        self.core.end_waits(Instant::now());
        answer.try_recv().expect("an answer")
    }

    /// The process ends: the table gets what it was given, the journal nothing more.
    fn end(self) {
        drop(self.core);
        self.table.close();
        self.thread.join().unwrap();
    }
}

fn loaded(table: &Table) -> Result<Ledger> {
    let (now, position, next_seq) = (table.high_water(), table.position(), table.next_seq());
    let mut ledger = Ledger::new(Start { now, position, next_seq, seed: 5 });
    ledger.load(table.load()?.into())?;
    table.live_jobs(|job| ledger.load_job(job.into()))?;
    table.ended_ids(|id, state| ledger.load_ended_id(id, state))?;
    Ok(ledger)
}

fn in_table(store: &Opened, name: Name, id: JobId) -> Job {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(store.table.get(0, name, vec![id])).unwrap();
    found.into_iter().next().flatten().expect("a job that the ledger knows")
}

fn is_stopped(error: &Error) -> bool {
    error.kind == ErrorKind::Stopped
        && error.message.contains("check the disk and open the store again")
}

/// The disk fails at its `offset`-th operation after this many groups of `PER_GROUP` jobs.
fn fails_once(seed: u64, groups: u128, offset: u64) -> bool {
    const PER_GROUP: u128 = 8;
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("table.db");
    let disk = SimDisk::new(seed);
    let mut store = Opened::new(&disk, &place).unwrap();
    let mut acknowledged = Vec::new();
    for group in 0..groups {
        let numbers = group * PER_GROUP..(group + 1) * PER_GROUP;
        assert!(store.insert(numbers.clone()).iter().all(Result::is_ok));
        acknowledged.extend(numbers);
    }
    let fail_at = Some(disk.operations() + offset);
    disk.set_faults(Faults { fail_at, ..Faults::default() });
    let mut next = groups * PER_GROUP;
    let mut has_stopped = false;
    for _ in 0..40 {
        let numbers = next..next + PER_GROUP;
        next = numbers.end;
        let answers = store.insert(numbers.clone());
        if answers.iter().all(Result::is_ok) {
            assert!(!has_stopped, "a stopped store acknowledged something");
            acknowledged.extend(numbers);
            continue;
        }
        for answer in answers {
            let error = answer.expect_err("a part of a group was acknowledged");
            // Space that could not be prepared is no reason to stop.
            has_stopped |= is_stopped(&error);
            assert!(is_stopped(&error) || error.kind == ErrorKind::Unavailable, "{error}");
        }
    }
    if has_stopped {
        let name = Name::default_name();
        let get = store.ask(|reply| Request::Get(name, vec![JobId::from_u128(0)], reply));
        assert!(is_stopped(&get.err().unwrap()), "a stopped store answers nothing else");
        assert!(store.core.stopped().is_some_and(is_stopped));
    }
    store.end();

    let disk = if offset.is_multiple_of(2) { disk.crash() } else { disk.kill() };
    let store = Opened::new(&disk, &place).unwrap();
    for number in &acknowledged {
        let (name, id) = (Name::default_name(), JobId::from_u128(*number));
        let job = match store.core.ledger().get(&name, id) {
            Found::Here(job) => *job,
            Found::InTable => in_table(&store, name, id),
            Found::Nowhere => panic!("job {number} was acknowledged, and is lost"),
        };
        assert_eq!(job.state().name(), StateName::Available);
        assert_eq!(job.args, Some(args(*number, ARGS)));
    }
    store.end();
    has_stopped
}

#[test]
fn a_failed_write_or_sync_stops_the_store_and_loses_nothing_acknowledged() {
    let mut stopped = 0;
    for offset in 1..=48 {
        stopped += usize::from(fails_once(offset, 1 + u128::from(offset % 5), offset));
    }
    assert!(stopped > 30, "only {stopped} failures stopped the store");
}
