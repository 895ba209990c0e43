//! A whole store on a simulated machine: ledger, journal and table, on one thread.

use std::sync::Arc;
use std::time::Instant;

use taskwright_core::{Job, JobId, Json, Name, Place, State, Timestamp};
use taskwright_store::{ClaimedJob, Clock, ManualClock, Publisher, Result};

use super::table::SimTable;
use super::{Faults, Random, SimDisk};
use crate::change::{Change, Update};
use crate::core::{Core, Feed, Log};
use crate::disk::Disk;
use crate::journal::{Durability, Expect, Group, Journal, JournalOptions, Preparing, StoreId};
use crate::ledger::{Found, Ledger, Start};
use crate::open::{Recovery, loaded};
use crate::request::Request;
use crate::table::{Held, Table};

/// Mistakes that the simulation must find.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Answers go out before the sync: the disk's syncs do nothing.
    ReplyBeforeSync,
    /// Segments are used again that the durable table still needs.
    RecycledTooEarly,
    /// Any token counts as the current one.
    LateReportAccepted,
    /// A job that waited for its time when the store was opened is never made ready.
    LostPromotion,
    /// Opening believes the clock, whatever the store has seen.
    ClockGoesBack,
    /// Opening gives a job its new place, and not what it was given with it.
    LostRewrite,
    /// Opening forgets which ended jobs still hold their unique key.
    ForgottenHold,
    /// Opening forgets what operators limited.
    ForgottenPolicy,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 8] = [
        Bug::ReplyBeforeSync,
        Bug::RecycledTooEarly,
        Bug::LateReportAccepted,
        Bug::LostPromotion,
        Bug::ClockGoesBack,
        Bug::LostRewrite,
        Bug::ForgottenHold,
        Bug::ForgottenPolicy,
    ];
}

impl Bug {
    /// Whether it shows when a store is opened.
    fn is_of_opening(self) -> bool {
        use Bug::{ClockGoesBack, ForgottenHold, ForgottenPolicy, LostPromotion, LostRewrite};
        let of_changes = matches!(self, LostPromotion | ClockGoesBack | LostRewrite);
        of_changes || matches!(self, ForgottenHold | ForgottenPolicy)
    }
}

/// What survives a crash, and the time.
pub struct Machine {
    /// Where the journal is.
    pub disk: SimDisk,
    /// The table.
    pub table: SimTable,
    /// What the wall shows.
    pub clock: Arc<ManualClock>,
    segment_bytes: u64,
    bug: Option<Bug>,
}

impl Machine {
    /// A machine with empty disks, and perhaps a mistake in the store that it runs.
    pub fn new(random: &mut Random, bug: Option<Bug>) -> Result<Self> {
        Ok(Machine {
            disk: SimDisk::new(random.bits()),
            table: SimTable::new(bug == Some(Bug::RecycledTooEarly))?,
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_795_000_000_000))),
            segment_bytes: 1024 * (8 + random.below(9) as u64),
            bug,
        })
    }

    /// Sets what the disk does wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        let syncs_lie = self.bug == Some(Bug::ReplyBeforeSync);
        self.disk.set_faults(Faults { syncs_lie, ..faults });
    }

    /// The power fails, or only the process ends.
    pub fn crash(&mut self, random: &mut Random) -> Result<()> {
        self.disk = if random.one_in(4) { self.disk.kill() } else { self.disk.crash() };
        self.table = self.table.crash(random)?;
        Ok(())
    }

    /// Opens the store.
    pub fn open(&self, random: &mut Random) -> Result<SimStore> {
        let expect = self.table.with(|table| Expect {
            store: StoreId(table.store().to_be_bytes()),
            table_position: table.position(),
            replay_after: table.whole(),
        });
        let held = self.table.with(Table::held)?;
        let options = JournalOptions {
            segment_bytes: self.segment_bytes,
            durability: Durability::Fsync,
            preparing: Preparing::ByHand,
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let (ledger, log) = match self.bug {
            Some(bug) if bug.is_of_opening() => {
                self.recover_wrongly(bug, disk, options, (expect, held))?
            }
            _ => {
                let ledger = self.table.with(|table| loaded(table, random.bits()))?;
                let (mut archive, mut feed) = (self.table.clone(), self.table.clone());
                let recovery = Recovery {
                    ledger,
                    held,
                    archive: &mut archive,
                    feed: &mut feed,
                    clock: &*self.clock,
                };
                let (ledger, log, _) = recovery.run(disk, options, expect)?;
                (ledger, log)
            }
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (feed, archive) = (Box::new(self.table.clone()), Box::new(self.table.clone()));
        let core = Core::new(clock, ledger, log, feed, archive, Publisher::default());
        let accepts_late = self.bug == Some(Bug::LateReportAccepted);
        Ok(SimStore { core, table: self.table.clone(), accepts_late })
    }

    /// What [`Recovery`] does, with a mistake.
    fn recover_wrongly(
        &self,
        bug: Bug,
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        (expect, held): (Expect, Held),
    ) -> Result<(Ledger, Log)> {
        let wall = self.clock.now();
        let goes_back = bug == Bug::ClockGoesBack;
        let mut ledger = self.table.with(|table| {
            let mut ledger = Ledger::new(Start {
                now: if goes_back { wall } else { table.high_water() },
                position: table.position(),
                next_seq: table.next_seq(),
                seed: 1,
            });
            let mut loaded = table.load()?;
            if bug == Bug::ForgottenHold {
                loaded.holds.clear();
            }
            if bug == Bug::ForgottenPolicy {
                loaded.policies.clear();
            }
            ledger.load(loaded.into())?;
            table.live_jobs(|job| ledger.load_job(job.into()))?;
            table.ended_ids(|id, state| ledger.load_ended_id(id, state))?;
            Ok(ledger)
        })?;
        let (mut archive, mut feed) = (self.table.clone(), self.table.clone());
        let (journal, recovered) =
            Journal::open(disk, options, expect, &mut |position, now, mut changes| {
                held.keep(position, &mut changes);
                let mut replayed = changes.clone();
                match bug {
                    Bug::LostPromotion => replayed.iter_mut().for_each(put_off),
                    Bug::ForgottenPolicy => {
                        replayed.retain(|change| !matches!(change, Change::Policy(_)));
                    }
                    Bug::LostRewrite => replayed.iter_mut().for_each(take_back),
                    _ => {}
                }
                let now_told = if goes_back { wall } else { now };
                ledger.replay(position, now_told, &replayed, &mut archive)?;
                feed.push(position, now, changes);
                Ok(())
            })?;
        let epoch = journal.epoch();
        ledger.resume(epoch, if goes_back { wall } else { recovered.high_water.max(wall) });
        feed.push(journal.position(), recovered.high_water.max(wall), Vec::new());
        let group = Group::new(epoch, ledger.now());
        Ok((ledger, Log::Journal(Box::new(journal), group)))
    }
}

/// Makes a job that waits for its time wait for ever.
fn put_off(change: &mut Change) {
    let vital = match change {
        Change::Insert(_, vital) | Change::Update(Update { vital, .. }) => vital,
        Change::Rewrite(rewrite) => &mut rewrite.vital,
        _ => return,
    };
    if let State::Available(Place::Until(at)) = &mut vital.life.state {
        *at = Timestamp::from_micros(i64::MAX);
    }
}

/// Leaves of what a waiting job was given only its place.
fn take_back(change: &mut Change) {
    let Change::Rewrite(rewrite) = change else { return };
    let (seq, vital) = (rewrite.seq, rewrite.vital);
    *change = Change::Update(Update { seq, vital, more: None });
}

/// An open store.
pub struct SimStore {
    core: Core,
    table: SimTable,
    accepts_late: bool,
}

impl SimStore {
    /// Serves requests in one group.
    pub fn serve(&mut self, mut requests: Vec<Request>) {
        if self.accepts_late {
            requests.iter_mut().for_each(|request| self.make_current(request));
        }
        self.core.serve(requests);
        self.core.end_waits(Instant::now());
    }

    /// The table's turn: some groups are applied, perhaps made durable, and segments freed.
    pub fn turn(&mut self, random: &mut Random) -> Result<()> {
        if random.one_in(2) {
            self.table.apply_some(random)?;
        }
        if random.one_in(5) {
            self.table.checkpoint()?;
        }
        self.core.recycle();
        Ok(())
    }

    /// A job, wherever it is.
    pub fn get(&self, namespace: &Name, id: JobId) -> Result<Option<Job>> {
        match self.core.ledger().get(namespace, id) {
            Found::Here(job) => Ok(Some(*job)),
            Found::Nowhere => Ok(None),
            Found::InTable => {
                self.table.apply_all()?;
                self.table.get(namespace, id)
            }
        }
    }

    /// Reads from the table the args that are no longer in memory.
    pub fn fill_args(&self, jobs: &mut [ClaimedJob]) -> Result<()> {
        for job in jobs.iter_mut().filter(|job| job.args.is_empty()) {
            let found = self.get(&Name::default_name(), job.id)?;
            job.args = found.and_then(|job| job.args).unwrap_or_else(Json::null);
        }
        Ok(())
    }

    /// The live state, to look at.
    pub fn ledger(&self) -> &Ledger {
        self.core.ledger()
    }

    /// The mistake [`Bug::LateReportAccepted`]: every report gets the token that counts.
    fn make_current(&self, request: &mut Request) {
        let Request::Report(reports, _) = request else { return };
        for report in reports {
            let job = self.get(&report.namespace, report.id).ok().flatten();
            if let Some(token) = job.and_then(|job| job.life.token()) {
                report.token = token;
            }
        }
    }
}
