//! Changing jobs one by one, as Rust decides: lock their rows, change them, write them back.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskwright_core::lifecycle::{Place, State};
use taskwright_core::{Job, JobId, Name, StateName, Timestamp};
use taskwright_store::{Error, ErrorKind, Event, Nudge, Result};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::connect::Fault;
use crate::keys::{Keys, LOST, Rewrites, keys_taken};
use crate::lanes::{FRESH, GIVEN_BACK, Lane, RETURNED, SUSPECT};
use crate::limits::PolicySet;
use crate::limits::budgets::Budgets;
use crate::link::{Argument, Transaction, no_answer, raised};
use crate::record::{Record, Shelf};
use crate::row::{COLUMNS, Changes, JOINS, get, record};
use crate::store::PostgresStore;

/// How often a transaction begins again because it needs a lane that is new.
pub(crate) const ATTEMPTS_MAX: usize = 5;

/// When a call may be tried again that others were in the way of.
const AGAIN: Duration = Duration::from_millis(200);

pub(crate) const SAVE: &str = "select taskwright.save_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
    $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)";

/// Jobs whose rows a transaction has locked.
pub(crate) struct Held {
    /// The store's time, the same for all of them.
    pub now: Timestamp,
    /// The jobs as they are to be.
    pub jobs: BTreeMap<JobId, Record>,
    /// Who else holds the unique keys of those that have ended.
    pub rivals: HashMap<JobId, JobId>,
    /// What is limited in their namespaces.
    pub policies: BTreeMap<Name, Arc<PolicySet>>,
    /// The retry budgets of their queues, where these are open.
    pub budgets: Budgets,
    /// Whether any queue of any namespace has a retry budget.
    has_budgets: bool,
    /// The jobs as they were.
    before: HashMap<JobId, Job>,
}

impl Held {
    pub fn new(now: Timestamp) -> Self {
        let (jobs, rivals, before) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let (policies, budgets) = (BTreeMap::new(), Budgets::default());
        Held { now, jobs, rivals, policies, budgets, has_budgets: false, before }
    }

    pub fn add(&mut self, record: Record) {
        self.before.insert(record.job.id, record.job.clone());
        self.jobs.insert(record.job.id, record);
    }

    fn changed(&self) -> impl Iterator<Item = &Record> {
        self.jobs.values().filter(|record| self.before.get(&record.job.id) != Some(&record.job))
    }

    /// The workers of running jobs that were just asked to stop.
    fn nudges(&self) -> Vec<Nudge> {
        let was_asked = |record: &Record| {
            self.before.get(&record.job.id).is_some_and(|job| job.life.cancel_requested)
        };
        let asked = self.jobs.values().filter(|record| {
            let life = &record.job.life;
            life.cancel_requested && life.token().is_some() && !was_asked(record)
        });
        asked
            .filter_map(|record| {
                Some(Nudge { namespace: record.job.namespace.clone(), worker: record.job.worker? })
            })
            .collect()
    }

    /// The queues of jobs that were available before and are ready only now.
    fn readied(&self) -> Vec<(&Name, &Name)> {
        let place = |job: &Job| match job.life.state {
            State::Available(place) => Some(place),
            _ => None,
        };
        let waited = |record: &Record| {
            let before = self.before.get(&record.job.id).and_then(place);
            before.is_some_and(|place| !matches!(place, Place::Ready(_)))
        };
        let is_ready = |record: &&Record| matches!(place(&record.job), Some(Place::Ready(_)));
        let readied = self.changed().filter(is_ready).filter(|record| waited(record));
        readied.map(|record| (&record.job.namespace, &record.job.queue)).collect()
    }

    /// The hints of what changed its state.
    fn events(&self) -> Vec<Event> {
        let state_before =
            |record: &Record| self.before.get(&record.job.id).map(|job| job.life.state.name());
        let is_news = |record: &&Record| state_before(record) != Some(record.job.life.state.name());
        self.changed().filter(is_news).map(Record::event).collect()
    }
}

/// What a transaction lacks: it ends without a trace, and begins again when that is there.
#[derive(Default)]
pub(crate) struct Lacking {
    /// Lanes that are new or were given back.
    lanes: Mutex<Vec<Lane>>,
    /// The code of what the database raised, or would.
    code: Mutex<Option<String>>,
    /// Jobs that others hold, which it does without.
    busy: Mutex<Vec<i64>>,
}

impl Lacking {
    pub fn note(&self, lanes: Vec<Lane>) -> Fault {
        *self.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
        Fault::Store(Error::new(ErrorKind::Busy, "some lanes are new; try again"))
    }

    pub fn take(&self) -> Vec<Lane> {
        std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The transaction has to begin again for the reason that has this code.
    pub fn note_code(&self, code: &str) -> Fault {
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(code.to_owned());
        Fault::Store(keys_taken())
    }

    /// The same for what the database raised; other faults stay as they are.
    pub fn note_raised(&self, fault: Fault) -> Fault {
        raised(&fault).map_or(fault, |code| self.note_code(&code))
    }

    /// Others hold these jobs: the transaction has to begin again without them.
    pub fn note_busy(&self, found: Vec<i64>) -> Fault {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        let message = "others hold the jobs that have room; try again";
        Fault::Store(Error::new(ErrorKind::Busy, message).retry_after(AGAIN))
    }

    /// The jobs that others hold, as far as was noted.
    pub fn busy(&self) -> Vec<i64> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn take_code(&self) -> Option<String> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Which jobs a transaction is about.
pub(crate) enum Selection<'a> {
    /// Those with these ids, wherever they are.
    Ids { namespace: i32, ids: &'a [JobId] },
    /// Live ones whose `seq` this statement answers, locked.
    Live { statement: &'a str, arguments: &'a [Argument<'a>] },
}

impl PostgresStore {
    /// Locks jobs, lets `change` change them, and writes back what differs, in one transaction.
    /// `change` may run several times, each time on the jobs as they are then.
    pub(crate) async fn change_jobs<T: Send>(
        &self,
        selection: Selection<'_>,
        change: impl Fn(&mut Held) -> T + Send + Sync,
    ) -> Result<T> {
        let lacking = Lacking::default();
        let (change, selection, lacks) = (&change, &selection, &lacking);
        let mut reason = no_answer("the lanes of the jobs");
        for _ in 0..ATTEMPTS_MAX {
            let work = |connection| {
                // A future of this size is better kept off the stacks of those who call it.
                Box::pin(async move {
                    let transaction = Transaction { connection, link: &self.link };
                    let mut held = self.lock(&transaction, selection).await?;
                    if held.has_budgets {
                        self.open_budgets(&transaction, &mut held).await?;
                    }
                    let answer = change(&mut held);
                    self.note_budgets(&transaction, &held).await?;
                    held.line_up();
                    self.save(&transaction, &held, lacks).await?;
                    Ok((answer, held))
                })
            };
            let done = Box::pin(self.link.pool.transact(self.link.deadline(), work)).await;
            let lanes = lacking.take();
            let code = lacking.take_code();
            match done {
                Err(_) if !lanes.is_empty() => {
                    self.lanes.numbers(&self.link, &lanes, self.tally.from()).await?;
                }
                // Somebody has taken a key since this call looked.
                Err(error) if code.is_some_and(|code| code == LOST) => reason = error,
                Err(error) => return Err(error),
                Ok((answer, held)) => {
                    self.tell(&held);
                    return Ok(answer);
                }
            }
        }
        Err(reason)
    }

    /// Tells of what a transaction that was committed has changed.
    pub(crate) fn tell(&self, held: &Held) {
        self.announce(held.events());
        self.hints.ready(held.readied());
        self.hints.nudge(held.nudges());
    }

    /// Locks jobs for a transaction.
    pub(crate) async fn lock(
        &self,
        tx: &Transaction<'_>,
        selection: &Selection<'_>,
    ) -> Result<Held, Fault> {
        let clock = self.clock.shown();
        let mut held = Held::new(Timestamp::ZERO);
        let shelves = match selection {
            Selection::Ids { namespace, ids } => {
                let ids: Vec<Uuid> = ids.iter().map(|id| Uuid::from_u128(id.as_u128())).collect();
                let arguments: [Argument<'_>; 2] =
                    [(namespace, Type::INT4), (&ids, Type::UUID_ARRAY)];
                let rows = tx
                    .query("select seq, place from taskwright.lock_jobs($1, $2)", &arguments)
                    .await?;
                let mut shelves: [Vec<i64>; 3] = Default::default();
                for row in &rows {
                    let place = usize::try_from(get::<i16>(row, "place")?).unwrap_or(0);
                    shelves[place.min(2)].push(get(row, "seq")?);
                }
                shelves
            }
            Selection::Live { statement, arguments } => {
                let rows = tx.query(statement, arguments).await?;
                let seqs = rows.iter().map(|row| get(row, "seq")).collect::<Result<Vec<i64>>>()?;
                [seqs, Vec::new(), Vec::new()]
            }
        };
        if shelves.iter().all(Vec::is_empty) {
            return Ok(held);
        }
        let statement = "select taskwright.time_of($1) as now, \
            exists (select from taskwright.limits where budgets > 0) as has_budgets";
        let rows = tx.query(statement, &[(&clock, Type::INT8)]).await?;
        let now = rows.first().map(|row| get(row, "now")).transpose()?;
        let has_budgets = rows.first().map(|row| get(row, "has_budgets")).transpose()?;
        held.has_budgets = has_budgets.unwrap_or(false);
        held.now = Timestamp::from_micros(now.unwrap_or(0));
        for (shelf, seqs) in [Shelf::Live, Shelf::Dead, Shelf::Ended].into_iter().zip(&shelves) {
            if !seqs.is_empty() {
                self.load(tx, shelf, seqs, &mut held).await?;
            }
        }
        self.find_rivals(tx, &mut held).await?;
        held.policies = {
            let jobs = held.jobs.values().map(|it| &it.job);
            self.policies_for(tx, jobs, held.has_budgets).await?
        };
        Ok(held)
    }

    async fn load(
        &self,
        tx: &Transaction<'_>,
        shelf: Shelf,
        seqs: &[i64],
        held: &mut Held,
    ) -> Result<(), Fault> {
        let statement = format!(
            "select {COLUMNS} from taskwright.{} j {JOINS} where j.seq = any($1)",
            shelf.table()
        );
        for row in &tx.query(&statement, &[(&seqs, Type::INT8_ARRAY)]).await? {
            held.add(record(row, shelf)?);
        }
        Ok(())
    }

    /// Writes back the jobs that changed.
    pub(crate) async fn save(
        &self,
        tx: &Transaction<'_>,
        held: &Held,
        lacking: &Lacking,
    ) -> Result<(), Fault> {
        self.note_lines(tx, held.notes()).await?;
        let changed: Vec<&Record> = held.changed().collect();
        if changed.is_empty() {
            return Ok(());
        }
        let priority_before = |record: &Record| {
            held.before.get(&record.job.id).map_or(record.job.priority, |job| job.priority)
        };
        let lanes = changed.iter().map(|record| self.lane_after(record, priority_before(record)));
        let mut wanted = Vec::new();
        for lane in lanes {
            wanted.push(lane.await?);
        }
        let named: Vec<Lane> = wanted.iter().flatten().cloned().collect();
        let numbers = self.lanes.known(&named);
        if numbers.iter().any(Option::is_none) {
            return Err(lacking.note(named));
        }
        let mut numbers = numbers.into_iter().flatten();

        let risen: Vec<i64> = changed
            .iter()
            .filter(|record| record.shelf != Shelf::Live)
            .map(|record| record.job.seq.cast_signed())
            .collect();
        if !risen.is_empty() {
            tx.query("select taskwright.revive($1)", &[(&risen, Type::INT8_ARRAY)]).await?;
        }
        let mut changes = Changes::default();
        for (record, wanted) in changed.iter().zip(&wanted) {
            let lane = match wanted {
                Some(_) => numbers.next().unwrap_or(record.lane),
                None => record.lane,
            };
            changes.add(record, lane);
        }
        match tx.query(SAVE, &changes.arguments()).await {
            Err(fault) if raised(&fault).is_some_and(|code| code == GIVEN_BACK) => {
                self.lanes.forget(&named);
                return Err(lacking.note(named));
            }
            saved => saved.map(drop)?,
        }
        let mut rewrites = Rewrites::default();
        let mut keys = Keys::default();
        for record in changed {
            if let Some(before) = held.before.get(&record.job.id) {
                rewrites.add(before, &record.job);
            }
            if record.shelf != Shelf::Live {
                let namespace = self.lanes.namespace(&self.link, &record.job.namespace).await?;
                keys.add(record.job.seq, namespace, &record.job, held.now);
            }
        }
        rewrites.write(tx).await?;
        keys.take(tx, held.now).await.map_err(|fault| lacking.note_raised(fault))
    }

    /// The lane that a changed job goes to; `None`: the one it is in.
    async fn lane_after(
        &self,
        record: &Record,
        priority_before: i8,
    ) -> Result<Option<Lane>, Fault> {
        let life = &record.job.life;
        let kind = match life.state {
            State::Available(_) if life.is_suspect() => SUSPECT,
            State::Available(Place::Ready(_)) => RETURNED,
            State::Available(_) if record.kind == FRESH => FRESH,
            State::Available(_) => RETURNED,
            _ => record.kind,
        };
        if kind == record.kind && record.job.priority == priority_before {
            return Ok(None);
        }
        let namespace = self.lanes.namespace(&self.link, &record.job.namespace).await?;
        Ok(Some(Lane {
            namespace,
            queue: record.job.queue.clone(),
            task: record.job.task.clone(),
            requires: record.job.extras.requires.clone(),
            priority: i16::from(record.job.priority),
            kind,
        }))
    }

    /// Tells those who listen, and those who wait for jobs.
    pub(crate) fn announce(&self, events: Vec<Event>) {
        let ready = events.iter().filter(|event| event.state == StateName::Available);
        let mut queues: Vec<_> = ready.map(|event| (&event.namespace, &event.queue)).collect();
        queues.sort_unstable();
        queues.dedup();
        self.hints.ready(queues);
        self.hints.publish(events);
    }
}
