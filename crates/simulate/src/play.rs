//! One event after another, on the ledger of the memory and file stores.
//!
//! It does for the ledger what the engine and the workers do: it inserts what arrives, claims for free
//! slots, reports what ran, sweeps when something is due, feeds claims that wait. Nothing of it decides
//! who runs when. Calls take no time, and claims that wait are fed in their order.

mod run;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use taskwright_core::limits::{BATCH_MAX, SIMULATED_SPAN_MAX, SWEEP_EVERY};
use taskwright_core::{Extras, JobError, JobId, Json, Name, NewJob, OnConflict, Timestamp, Token};
use taskwright_local::change::{Change, Seq, Update};
use taskwright_local::ledger::{Archive, Archived, DeadJob, Ledger, Shown, Start};
use taskwright_store::{Command, Insert, Inserted};

use crate::arrival::Source;
use crate::chance::seconds;
use crate::error::{Error, Result};
use crate::fleet::{AttemptIndex, Presence, WorkerIndex, Workers};
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::tally::Tally;
use crate::usage::{Hold, Usage};

/// Sweeps for jobs that come due are so far apart at least, as the engine's are in the long run.
const SWEEP_GAP: Duration = Duration::from_millis(20);
/// After so many events without any job, for each worker, nobody will end what is left.
const IDLE_EVENTS_MAX: u64 = 10;
/// After so many without any job nobody will, whatever is due.
const IDLE_EVENTS_END: u64 = 10_000_000;
/// Draws of a job: its keys first, then those of each attempt.
const KEYS_DRAWN: u64 = 0;

/// Plays a plan to its end.
pub fn play(plan: &Plan) -> Result<Outcome> {
    let mut play = Play::new(plan);
    play.begin()?;
    while let Some(at) = play.next_at() {
        if at > Timestamp::ZERO.plus(SIMULATED_SPAN_MAX) {
            break;
        }
        play.step(at)?;
        if play.is_over() {
            break;
        }
    }
    Ok(play.outcome())
}

/// Something that happens.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The next job of a class arrives.
    Arrive(usize),
    /// A worker of a class joins.
    Join(usize),
    /// A worker leaves.
    Leave(WorkerIndex),
    /// An attempt ends; its place may have been given to another since.
    End(AttemptIndex, Token),
}

/// An attempt that runs.
#[derive(Debug)]
struct Attempt {
    seq: Seq,
    id: JobId,
    token: Token,
    class: usize,
    worker: WorkerIndex,
    started_at: Timestamp,
    how: How,
    holds: Box<[Hold]>,
}

/// How an attempt will end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum How {
    Well,
    Badly,
    TooLate,
}

/// The class of a job, and its number in it.
#[derive(Copy, Clone, Debug)]
struct Mark {
    class: u32,
    number: u32,
}

struct Play<'a> {
    plan: &'a Plan,
    ledger: Ledger,
    archive: Nothing,
    position: u64,
    now: Timestamp,
    agenda: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    noted: u64,
    sources: Vec<Source>,
    /// Classes of which jobs still arrive.
    arriving: usize,
    /// Workers that have not joined for the first time.
    joining: u64,
    numbers: Vec<u32>,
    /// By `seq`, from 1.
    marks: Vec<Mark>,
    attempts: Vec<Option<Attempt>>,
    free_places: Vec<AttemptIndex>,
    /// Attempts of lost workers whose leases run still.
    lost: FxHashMap<Seq, AttemptIndex>,
    workers: Workers,
    usage: Usage,
    tally: Tally,
    swept_at: Timestamp,
    served: Duration,
    sweeps_on: bool,
    idle_events: u64,
    namespace: Name,
    args: Json,
    error: JobError,
    changes: Vec<Change>,
    passed_over: Vec<bool>,
}

impl<'a> Play<'a> {
    fn new(plan: &'a Plan) -> Play<'a> {
        let start = Start { now: Timestamp::ZERO, position: 0, next_seq: 1, seed: plan.seed };
        Play {
            plan,
            ledger: Ledger::new(start),
            archive: Nothing,
            position: 0,
            now: Timestamp::ZERO,
            agenda: BinaryHeap::new(),
            noted: 0,
            sources: plan.classes.iter().map(|class| class.source.clone()).collect(),
            arriving: 0,
            joining: 0,
            numbers: vec![0; plan.classes.len()],
            marks: Vec::new(),
            attempts: Vec::new(),
            free_places: Vec::new(),
            lost: FxHashMap::default(),
            workers: Workers::new(plan),
            usage: Usage::new(plan),
            tally: Tally::new(plan),
            swept_at: Timestamp::ZERO,
            served: Duration::ZERO,
            sweeps_on: false,
            idle_events: 0,
            namespace: Name::default_name(),
            args: Json::from_trusted("null"),
            error: run::failure(),
            changes: Vec::new(),
            passed_over: vec![false; plan.fleets.len()],
        }
    }

    fn begin(&mut self) -> Result<()> {
        self.begin_group(Timestamp::ZERO);
        let namespace = self.namespace.clone();
        for (subject, policy) in &self.plan.policies {
            let (namespace, subject) = (namespace.clone(), subject.clone());
            let policy = Some(*policy).filter(|policy| !policy.is_empty());
            let command = Command::SetPolicy { namespace, subject, policy };
            let done = self.ledger.control("simulation", vec![command], &mut self.archive);
            done.map_err(refused)?;
        }
        self.end_group();
        for (index, fleet) in self.plan.fleets.iter().enumerate() {
            for _ in 0..fleet.count {
                self.note(Timestamp::ZERO.plus(fleet.joins), Event::Join(index));
                self.joining += 1;
            }
        }
        for class in 0..self.plan.classes.len() {
            self.note_arrival(class);
        }
        Ok(())
    }

    fn note(&mut self, at: Timestamp, event: Event) {
        self.noted += 1;
        self.agenda.push(Reverse((at, self.noted, event)));
    }

    /// Notes when the next job of a class arrives, if one does.
    fn note_arrival(&mut self, class: usize) {
        let next = self.sources[class].next();
        if let Some(after) = next.filter(|after| *after < self.plan.until) {
            self.arriving += 1;
            self.note(Timestamp::ZERO.plus(after), Event::Arrive(class));
        }
    }

    /// Whether every job has ended, or nobody will end those that are left: each worker has come and
    /// gone several times, and none had anything to do.
    fn is_over(&self) -> bool {
        if self.arriving > 0 {
            return false;
        }
        let workers: u64 = self.plan.fleets.iter().map(|fleet| u64::from(fleet.count)).sum();
        let is_stuck = self.idle_events > IDLE_EVENTS_MAX * (workers + 1)
            && self.joining == 0
            && self.tally.running() == 0
            && self.ledger.next_due().is_none();
        self.tally.live() == 0 || is_stuck || self.idle_events > IDLE_EVENTS_END
    }

    /// When something happens next.
    fn next_at(&self) -> Option<Timestamp> {
        let event = self.agenda.peek().map(|Reverse((at, ..))| *at);
        event.into_iter().chain(self.sweep_at()).min().map(|at| at.max(self.now))
    }

    /// When a sweep has something to do.
    fn sweep_at(&self) -> Option<Timestamp> {
        if self.sweeps_on {
            return Some(self.now);
        }
        let due = self.ledger.next_due().map(|at| at.max(self.swept_at.plus(SWEEP_GAP)));
        let lapse = (!self.lost.is_empty()).then(|| self.swept_at.plus(SWEEP_EVERY));
        due.into_iter().chain(lapse).min()
    }

    /// Does what happens at `at`: one thing.
    fn step(&mut self, at: Timestamp) -> Result<()> {
        self.idle_events += 1;
        let has_sweep = self.sweep_at().is_some_and(|sweep| sweep <= at);
        self.now = at;
        self.tally.pass(at);
        self.begin_group(at);
        if has_sweep {
            self.sweep()?;
        } else if let Some(Reverse((_, _, event))) = self.agenda.pop() {
            match event {
                Event::Arrive(class) => self.arrive(class)?,
                Event::Join(fleet) => self.join(fleet)?,
                Event::Leave(worker) => self.leave(worker),
                Event::End(attempt, token) => self.end(attempt, token)?,
            }
        }
        self.feed()?;
        self.end_group();
        Ok(())
    }

    fn begin_group(&mut self, at: Timestamp) {
        self.position += 1;
        let all = u64::MAX;
        self.ledger.begin(self.position, at, Shown { ended: all, all }, false);
    }

    /// Looks at what was changed, where that is not known otherwise, and lets it go.
    fn end_group(&mut self) {
        if !self.ledger.has_changes() {
            return;
        }
        let blank = std::mem::take(&mut self.changes);
        let (mut changes, _) = self.ledger.take_changes(|| blank);
        if !self.lost.is_empty() {
            for change in &changes {
                if let Change::Update(update) = change {
                    self.note_lapse(update);
                }
            }
        }
        changes.clear();
        self.changes = changes;
    }

    /// An attempt whose worker is lost may be over now.
    fn note_lapse(&mut self, update: &Update) {
        let Some(&place) = self.lost.get(&update.seq) else { return };
        let Some(attempt) = self.attempts[place as usize].as_ref() else { return };
        if update.vital.life.token() == Some(attempt.token) {
            return;
        }
        self.lost.remove(&update.seq);
        if let Some(attempt) = self.free(place) {
            self.usage.end(&attempt.holds);
            self.tally.lost(attempt.class, update.vital.life.state.is_final());
            self.idle_events = 0;
        }
    }

    fn arrive(&mut self, class: usize) -> Result<()> {
        self.arriving -= 1;
        let mut jobs = Vec::new();
        // Those that arrive at the same instant are enqueued together.
        loop {
            if self.tally.jobs() + jobs.len() as u64 >= self.plan.jobs_max {
                break;
            }
            jobs.push(self.new_job(class));
            self.note_arrival(class);
            let is_now = |Reverse((at, _, event)): &Reverse<(Timestamp, u64, Event)>| {
                *at <= self.now && *event == Event::Arrive(class)
            };
            if jobs.len() == BATCH_MAX || !self.agenda.peek().is_some_and(is_now) {
                break;
            }
            self.agenda.pop();
            self.arriving -= 1;
        }
        let count = jobs.len();
        let inserted = self.ledger.insert(Insert { jobs, partial: true }, &mut self.archive);
        for inserted in inserted.map_err(refused)? {
            let Inserted::New { .. } = inserted else {
                return Err(Error::Refused(format!("a job: {inserted:?}")));
            };
        }
        self.tally.arrived(class, count as u64);
        self.idle_events = 0;
        self.ledger.settle_lines();
        Ok(())
    }

    fn new_job(&mut self, class: usize) -> NewJob {
        let number = self.numbers[class];
        self.numbers[class] += 1;
        self.marks.push(Mark { class: class as u32, number });
        let (group, keys) = self.keys_of(class, number);
        let of = &self.plan.classes[class];
        let texts = of.limit_keys.iter().zip(keys).map(|(pool, at)| Arc::clone(&pool.texts[at]));
        let extras = Extras {
            group: group.and_then(|at| of.group.as_ref().map(|pool| Arc::clone(&pool.texts[at]))),
            limit_keys: texts.collect(),
            ..Extras::default()
        };
        NewJob {
            namespace: self.namespace.clone(),
            id: self.id_of(class, number),
            task: of.task.clone(),
            queue: of.queue.clone(),
            args: self.args.clone(),
            priority: of.priority,
            run_at: None,
            max_attempts: of.max_attempts,
            timeout_ms: of.timeout.map(|timeout| timeout.as_millis() as u64),
            fingerprint: 0,
            on_conflict: OnConflict::default(),
            extras,
        }
    }

    /// The same in every variant of a workload: the jitter of its retries comes from it.
    fn id_of(&self, class: usize, number: u32) -> JobId {
        let mut chance = self.plan.classes[class].chance;
        JobId::from_u128((u128::from(chance.bits()) << 64) | u128::from(number))
    }

    /// The places of a job's group and limit keys.
    fn keys_of(&self, class: usize, number: u32) -> (Option<usize>, Vec<usize>) {
        let of = &self.plan.classes[class];
        if of.group.is_none() && of.limit_keys.is_empty() {
            return (None, Vec::new());
        }
        let mut chance = of.chance.fork(number.into()).fork(KEYS_DRAWN);
        let group = of.group.as_ref().map(|pool| pool.choice.pick(&mut chance));
        let keys = of.limit_keys.iter().map(|pool| pool.choice.pick(&mut chance));
        (group, keys.collect())
    }

    fn join(&mut self, fleet: usize) -> Result<()> {
        let of = &self.plan.fleets[fleet];
        let (worker, before) = self.workers.join(fleet, of.slots, self.now);
        self.joining = self.joining.saturating_sub(u64::from(before < of.count.into()));
        let leaves = of.leaves.map(|leaves| Timestamp::ZERO.plus(leaves));
        let dies = of.lifetime.map(|mean| {
            let life = of.chance.fork(before).exponential(mean.as_secs_f64());
            self.now.plus(seconds(life))
        });
        if let Some(at) = leaves.into_iter().chain(dies).min() {
            self.note(at, Event::Leave(worker));
        }
        self.serve(worker)
    }

    fn leave(&mut self, index: WorkerIndex) {
        let worker = self.workers.get_mut(index);
        let of = &self.plan.fleets[worker.fleet];
        let fleet = worker.fleet;
        worker.presence = Presence::Leaving;
        if of.is_lost {
            let running = std::mem::take(&mut worker.running);
            for place in running {
                let Some(attempt) = &self.attempts[place as usize] else { continue };
                self.workers.was_busy(index, self.now.since(attempt.started_at));
                self.lost.insert(attempt.seq, place);
            }
        }
        if self.workers.get(index).running.is_empty() {
            self.workers.gone(index, of.slots, of.is_lost, self.now);
        }
        let next = self.now.plus(of.replaced_after);
        let is_over = of.leaves.is_some_and(|leaves| Timestamp::ZERO.plus(leaves) <= next);
        if of.lifetime.is_some() && !is_over {
            self.note(next, Event::Join(fleet));
        }
    }
}

/// No job of a simulation is asked for after its end.
#[derive(Debug)]
struct Nothing;

impl Archive for Nothing {
    fn by_id(&mut self, _: &Name, _: JobId) -> taskwright_store::Result<Option<Archived>> {
        Ok(None)
    }

    fn by_seq(&mut self, _: Seq) -> taskwright_store::Result<Option<Archived>> {
        Ok(None)
    }

    fn recall(&mut self, _: &Name, _: JobId) -> taskwright_store::Result<Option<Archived>> {
        Ok(None)
    }

    fn dead_with_keys(&mut self) -> taskwright_store::Result<Vec<DeadJob>> {
        Ok(Vec::new())
    }

    fn release(&mut self, _: Seq) {}
}

fn refused(error: taskwright_store::Error) -> Error {
    Error::Refused(error.to_string())
}
