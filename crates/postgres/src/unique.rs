//! Inserts of jobs with unique keys: look who holds the keys, decide what becomes of each job, write.
//! Where somebody else was faster in between, nothing was written, and it begins again.

use std::collections::{BTreeMap, HashMap, HashSet};

use taskwright_core::limits::LANES_MAX;
use taskwright_core::{
    Job, JobId, Life, NewJob, OnConflict, Place, Replace, State, StateName, Timestamp,
};
use taskwright_store::{Inserted, Refusal, Result, Ticked};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::change::{Held, Lacking, Selection};
use crate::connect::Fault;
use crate::fresh::{Fresh, INSERT};
use crate::insert::{FORGOTTEN, Item, without_writing};
use crate::keys::{KEYS_TRIED_MAX, LOST, keys_taken};
use crate::lanes::{GIVEN_BACK, Lane};
use crate::limits::CHANGED;
use crate::limits::bounds::{BOUND, Places, Rooms};
use crate::link::{Argument, Transaction, no_answer};
use crate::look_up::{Asked, Holder, Looked};
use crate::row::get;
use crate::store::PostgresStore;
use crate::ticks::{Change, uncounted};

const HOLDERS: &str = "select seq from taskwright.job where seq = any($1) order by seq for update";

/// What becomes of a job of a call.
enum Fate {
    /// This, and nothing is written.
    Answered(Inserted),
    /// It is written.
    New,
    /// It repeats the new job at this place.
    Repeats(usize),
    /// The new job at this place has its key, and was given fields of it or not.
    Twin { of: usize, replaced: bool },
    /// It gives fields to a job that waits.
    Replaces(Holder, Replace),
}

/// What becomes of the jobs of a call, each as after those before it.
struct Plan {
    fates: Vec<Fate>,
    /// The new jobs by their places, as they are to be written.
    fresh: BTreeMap<usize, NewJob>,
}

/// What the jobs of a call do, and what they are told.
struct Planner<'a> {
    jobs: &'a [NewJob],
    namespaces: &'a [i32],
    now: Timestamp,
    /// The places of jobs for whose lanes there is no room.
    full: &'a HashSet<usize>,
    rooms: Rooms,
    fresh: BTreeMap<usize, NewJob>,
    ids: HashMap<(i32, JobId), usize>,
    keys: HashMap<(i32, &'a str), usize>,
}

impl<'a> Planner<'a> {
    fn new(
        jobs: &'a [NewJob],
        namespaces: &'a [i32],
        now: Timestamp,
        full: &'a HashSet<usize>,
        rooms: Rooms,
    ) -> Self {
        let (fresh, ids, keys) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Planner { jobs, namespaces, now, full, rooms, fresh, ids, keys }
    }

    fn plan(mut self, looked: &[Looked]) -> Plan {
        let fates = looked.iter().enumerate().map(|(place, looked)| self.fate(place, *looked));
        Plan { fates: fates.collect(), fresh: self.fresh }
    }

    fn fate(&mut self, place: usize, looked: Looked) -> Fate {
        let (job, namespace) = (&self.jobs[place], self.namespaces[place]);
        if let Some(known) = looked.known {
            return Fate::Answered(known.answer(job));
        }
        if let Some(&first) = self.ids.get(&(namespace, job.id)) {
            return match self.jobs[first].fingerprint == job.fingerprint {
                true => Fate::Repeats(first),
                false => Fate::Answered(Inserted::Refused(Refusal::IdConflict(job.id))),
            };
        }
        let key = job.extras.unique.as_ref().map(|unique| (namespace, &*unique.key));
        if let Some(&of) = key.and_then(|key| self.keys.get(&key)) {
            return self.twin(of, job);
        }
        if let Some(holder) = looked.holder {
            return duplicate(holder, job);
        }
        if self.full.contains(&place) {
            return Fate::Answered(Inserted::Refused(Refusal::LanesFull { max: LANES_MAX }));
        }
        if let Some(refusal) = self.rooms.take(namespace, &job.queue) {
            return Fate::Answered(Inserted::Refused(refusal));
        }
        self.ids.insert((namespace, job.id), place);
        let life = Life::new(1, 0, Place::Intake);
        let unique = job.extras.unique.as_ref();
        if unique.is_some_and(|unique| unique.is_held(&life, self.now, self.now)) {
            self.keys.extend(key.map(|key| (key, place)));
        }
        self.fresh.insert(place, job.clone());
        Fate::New
    }

    /// What becomes of a job whose key a new one of the same call will hold.
    fn twin(&mut self, of: usize, job: &NewJob) -> Fate {
        let replace = match job.on_conflict {
            OnConflict::Refuse => return Fate::Answered(taken(job, self.jobs[of].id)),
            OnConflict::Keep => None,
            OnConflict::Replace(replace) => Some(replace),
        };
        let Some(first) = self.fresh.get_mut(&of) else {
            return Fate::Twin { of, replaced: false };
        };
        let due_at = first.run_at.unwrap_or(self.now).max(self.now);
        let place = if due_at > self.now { Place::Until(due_at) } else { Place::Intake };
        let life = Life::new(1, 0, place);
        let Some(replace) = replace.filter(|replace| replace.applies_to(&life)) else {
            return Fate::Twin { of, replaced: false };
        };
        if replace.args {
            first.args = job.args.clone();
        }
        if replace.priority {
            first.priority = job.priority;
        }
        if replace.timeout {
            first.timeout_ms = job.timeout_ms;
        }
        if replace.tags {
            first.extras.tags.clone_from(&job.extras.tags);
        }
        if replace.max_attempts {
            first.max_attempts = job.max_attempts.max(1);
        }
        let due_at = replace.due_at(job.run_at, self.now, due_at, self.now);
        first.run_at = (due_at > self.now).then_some(due_at);
        Fate::Twin { of, replaced: true }
    }
}

/// What becomes of a job whose key another one holds.
fn duplicate(holder: Holder, job: &NewJob) -> Fate {
    match job.on_conflict {
        OnConflict::Refuse => Fate::Answered(taken(job, holder.id)),
        OnConflict::Replace(replace) if holder.may_wait() => Fate::Replaces(holder, replace),
        _ => {
            let Holder { id, seq, state, .. } = holder;
            Fate::Answered(Inserted::Duplicate { id, seq, state, replaced: false })
        }
    }
}

fn taken(job: &NewJob, holder: JobId) -> Inserted {
    let key = job.extras.unique.as_ref().map(|unique| unique.key.clone()).unwrap_or_default();
    Inserted::Refused(Refusal::UniqueTaken { key, holder })
}

impl Plan {
    fn is_refused(&self) -> bool {
        self.fates.iter().any(|fate| matches!(fate, Fate::Answered(Inserted::Refused(_))))
    }

    /// The answers where nothing is written, since a job is refused.
    fn refused(self) -> Vec<Inserted> {
        let answer = |fate| match fate {
            Fate::Answered(answer) => Some(answer),
            _ => None,
        };
        without_writing(self.fates.into_iter().map(answer).collect())
    }

    /// Those that give fields to others, by the namespace of these.
    fn replacing(&self, namespaces: &[i32]) -> BTreeMap<i32, Vec<(usize, Holder, Replace)>> {
        let mut replacing: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (place, fate) in self.fates.iter().enumerate() {
            if let Fate::Replaces(holder, replace) = fate {
                replacing.entry(namespaces[place]).or_default().push((place, *holder, *replace));
            }
        }
        replacing
    }

    /// The answers once all is written: the numbers of the new jobs, and what was replaced.
    fn answers(
        self,
        jobs: &[NewJob],
        seqs: &HashMap<usize, u64>,
        replaced: &HashMap<usize, Inserted>,
    ) -> Vec<Inserted> {
        let state = StateName::Available;
        let seq_of = |place: usize| seqs.get(&place).copied().unwrap_or(0);
        let answer = |(place, fate)| match fate {
            Fate::Answered(answer) => answer,
            Fate::New => Inserted::New { seq: seq_of(place) },
            Fate::Repeats(of) => Inserted::Existing { seq: seq_of(of), state },
            Fate::Twin { of, replaced } => {
                Inserted::Duplicate { id: jobs[of].id, seq: seq_of(of), state, replaced }
            }
            Fate::Replaces(..) => replaced.get(&place).cloned().unwrap_or(Inserted::Skipped),
        };
        self.fates.into_iter().enumerate().map(answer).collect()
    }
}

/// What was written: the numbers of new jobs by their place among them, what was replaced by the
/// place in the call, and the jobs that were changed.
type Written = (Vec<u64>, HashMap<usize, Inserted>, Vec<Held>);

/// How an attempt to write came out.
enum Attempted {
    Written(Written),
    /// Nothing was written, and the call has to begin again.
    Again,
    /// Nothing was written, as the change of the document does not count.
    Uncounted(Ticked),
}

impl PostgresStore {
    pub(crate) async fn insert_unique(
        &self,
        jobs: &[NewJob],
        partial: bool,
    ) -> Result<Vec<Inserted>> {
        match self.insert_planned(jobs, partial, None).await? {
            Ticked::Done { inserted } => Ok(inserted),
            _ => Err(no_answer("what became of an insert")),
        }
    }

    /// Writes jobs, in the transaction of a change of a document where one is given; nothing is
    /// written where that does not count.
    pub(crate) async fn insert_planned(
        &self,
        jobs: &[NewJob],
        partial: bool,
        change: Option<&Change<'_>>,
    ) -> Result<Ticked> {
        let mut namespaces = Vec::with_capacity(jobs.len());
        for job in jobs {
            namespaces.push(self.lanes.namespace(&self.link, &job.namespace).await?);
        }
        let mut full = HashSet::new();
        for _ in 0..KEYS_TRIED_MAX {
            // First the room: a job that was written since then is known, and is not refused.
            let rooms = match change {
                None => self.rooms(jobs, &namespaces).await?,
                // Those who made the schedule have gone: nobody would hear that a queue is full.
                Some(_) => Rooms::default(),
            };
            let (now, looked) = self.look_up(&asked(jobs, &namespaces)).await?;
            let plan = Planner::new(jobs, &namespaces, now, &full, rooms.clone()).plan(&looked);
            if !partial && plan.is_refused() {
                return Ok(Ticked::Done { inserted: plan.refused() });
            }
            let places: Vec<usize> = plan.fresh.keys().copied().collect();
            let mut items: Vec<Item> = plan
                .fresh
                .values()
                .zip(&places)
                .enumerate()
                .map(|(first, (job, place))| Item {
                    job: job.clone(),
                    namespace: namespaces[*place],
                    lane: None,
                    first,
                })
                .collect();
            self.find_lanes(&mut items).await?;
            let full_before = full.len();
            let lacks_lane = |(_, item): &(&usize, &Item)| item.lane.is_none();
            full.extend(places.iter().zip(&items).filter(lacks_lane).map(|(place, _)| *place));
            if full.len() > full_before {
                continue;
            }
            let replacing = plan.replacing(&namespaces);
            let (seqs, replaced, held) =
                match self.write_unique(jobs, &items, replacing, &rooms, change).await? {
                    Attempted::Written(written) => written,
                    Attempted::Again => continue,
                    Attempted::Uncounted(ticked) => return Ok(ticked),
                };
            self.announce_jobs(items.iter().map(|item| &item.job));
            held.iter().for_each(|held| self.tell(held));
            let seqs = places.into_iter().zip(seqs).collect();
            return Ok(Ticked::Done { inserted: plan.answers(jobs, &seqs, &replaced) });
        }
        Err(keys_taken())
    }

    async fn write_unique(
        &self,
        jobs: &[NewJob],
        items: &[Item],
        replacing: BTreeMap<i32, Vec<(usize, Holder, Replace)>>,
        rooms: &Rooms,
        change: Option<&Change<'_>>,
    ) -> Result<Attempted> {
        if items.is_empty() && replacing.is_empty() && change.is_none() {
            return Ok(Attempted::Written((Vec::new(), HashMap::new(), Vec::new())));
        }
        let all: Vec<&Item> = items.iter().collect();
        let mut fresh = Fresh::of(&all, self.clock.shown(), false, self.entering(&all).await?);
        let anyway = || change.map(|_| Places::default());
        if let Some(places) = rooms.places(items).or_else(anyway) {
            fresh = fresh.with_places(places, self.tally.from());
        }
        if replacing.is_empty() && change.is_none() {
            return match self.link.attempt(INSERT, &fresh.arguments()).await? {
                Ok(rows) => Ok(Attempted::Written((seqs_in(&rows)?, HashMap::new(), Vec::new()))),
                Err(code) => self.prepare_again(&code, items).await,
            };
        }
        let lacking = Lacking::default();
        let (fresh_jobs, replaces, lacks) = (&fresh, &replacing, &lacking);
        let work = |connection| {
            Box::pin(async move {
                let tx = Transaction { connection, link: &self.link };
                if let Some(change) = change {
                    self.change_document(&tx, change, lacks).await?;
                }
                let mut seqs = Vec::new();
                if !items.is_empty() {
                    let rows = tx.query(INSERT, &fresh_jobs.arguments()).await;
                    seqs = seqs_in(&rows.map_err(|fault| lacks.note_raised(fault))?)?;
                }
                let (mut answers, mut all_held) = (HashMap::new(), Vec::new());
                for some in replaces.values() {
                    let held = self.replace(&tx, jobs, some, &mut answers, lacks).await?;
                    all_held.push(held);
                }
                Ok((seqs, answers, all_held))
            })
        };
        let done = Box::pin(self.link.pool.transact(self.link.deadline(), work)).await;
        let (lanes, code) = (lacking.take(), lacking.take_code());
        match (done, code) {
            (Ok(written), _) => Ok(Attempted::Written(written)),
            (Err(_), Some(code)) => self.prepare_again(&code, items).await,
            (Err(_), None) if !lanes.is_empty() => {
                self.lanes.numbers(&self.link, &lanes, self.tally.from()).await?;
                Ok(Attempted::Again)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Does what helps after a transaction that ended with this code.
    async fn prepare_again(&self, code: &str, items: &[Item]) -> Result<Attempted> {
        if let Some(ticked) = uncounted(code) {
            return Ok(Attempted::Uncounted(ticked));
        }
        if code == FORGOTTEN {
            let ids: Vec<Uuid> =
                items.iter().map(|item| Uuid::from_u128(item.job.id.as_u128())).collect();
            self.forget_ids(&ids).await?;
        }
        if code == CHANGED || code == BOUND {
            self.learn_bounds(items).await?;
        }
        if code == GIVEN_BACK {
            let lanes: Vec<Lane> = items.iter().map(Item::wanted_lane).collect();
            self.lanes.forget(&lanes);
        }
        Ok(Attempted::Again)
    }

    /// Gives waiting jobs of one namespace fields of new ones, and notes the answers.
    async fn replace(
        &self,
        tx: &Transaction<'_>,
        jobs: &[NewJob],
        replacing: &[(usize, Holder, Replace)],
        answers: &mut HashMap<usize, Inserted>,
        lacking: &Lacking,
    ) -> Result<Held, Fault> {
        let seqs: Vec<i64> =
            replacing.iter().map(|(_, holder, _)| holder.seq.cast_signed()).collect();
        let arguments: [Argument<'_>; 1] = [(&seqs, Type::INT8_ARRAY)];
        let selection = Selection::Live { statement: HOLDERS, arguments: &arguments };
        let mut held = self.lock(tx, &selection).await?;
        let now = held.now;
        for (place, Holder { id, .. }, replace) in replacing {
            let record = held.jobs.get_mut(id).filter(|record| holds_its_key(&record.job, now));
            // It has let go of the key since this call looked.
            let Some(record) = record else { return Err(lacking.note_code(LOST)) };
            let (seq, state) = (record.job.seq, record.job.life.state.name());
            let replaced = replace.applies_to(&record.job.life);
            if replaced {
                record.replace(*replace, &jobs[*place], now);
            }
            answers.insert(*place, Inserted::Duplicate { id: *id, seq, state, replaced });
        }
        held.line_up();
        self.save(tx, &held, lacking).await?;
        Ok(held)
    }
}

fn asked<'j>(jobs: &'j [NewJob], namespaces: &[i32]) -> Vec<Asked<'j>> {
    let key = |job: &'j NewJob| job.extras.unique.as_ref().map(|unique| &*unique.key);
    let asked = jobs.iter().zip(namespaces);
    asked.map(|(job, namespace)| (*namespace, job.id, job.fingerprint, key(job))).collect()
}

fn holds_its_key(job: &Job, now: Timestamp) -> bool {
    let has_ended =
        !matches!(job.life.state, State::Available(_) | State::Blocked | State::Running(_));
    let unique = job.extras.unique.as_ref();
    !has_ended && unique.is_some_and(|unique| unique.is_held(&job.life, job.created_at, now))
}

/// The numbers of new jobs, in order.
fn seqs_in(rows: &[Row]) -> Result<Vec<u64>> {
    let mut numbered = Vec::with_capacity(rows.len());
    for row in rows {
        numbered.push((get::<i64>(row, "ord")?, get::<i64>(row, "seq")?.unsigned_abs()));
    }
    numbered.sort_unstable();
    Ok(numbered.into_iter().map(|(_, seq)| seq).collect())
}
