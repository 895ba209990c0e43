//! Writing jobs.

use std::collections::HashMap;

use taskwright_core::limits::{ID_WINDOW, LANES_MAX};
use taskwright_core::rank::AGING_DEFAULT;
use taskwright_core::{JobId, NewJob, StateName, Timestamp};
use taskwright_store::{Error, ErrorKind, Event, Insert, Inserted, Refusal, Result};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::alike::are_alike;
use crate::codec::extras_text;
use crate::fresh::{Fresh, INSERT};
use crate::lanes::{FRESH, GIVEN_BACK, Lane};
use crate::limits::bounds::BOUND;
use crate::limits::{CHANGED, is_keyed};
use crate::link::{micros, no_answer};
use crate::row::{get, state_numbered};
use crate::store::PostgresStore;

/// What `insert_jobs` raises where an id is taken by another job, …
const CONFLICT: &str = "TW001";
/// … and where the id of a deleted job is known no longer than until now.
pub(crate) const FORGOTTEN: &str = "TW003";

/// How often a call begins again because lanes were given back in the middle of it.
const ATTEMPTS_MAX: usize = 5;

/// A job of a call, and what the database needs to know of it.
pub(crate) struct Item {
    pub job: NewJob,
    pub namespace: i32,
    /// `None`: there is no room for its lane.
    pub lane: Option<i32>,
    /// The first item of the call with the same id; often itself.
    pub first: usize,
}

/// What the database knows of an id.
#[derive(Copy, Clone)]
pub(crate) struct Known {
    pub seq: u64,
    pub is_conflict: bool,
    pub state: StateName,
}

impl Known {
    pub fn answer(self, job: &NewJob) -> Inserted {
        match self {
            Known { is_conflict: true, .. } => Inserted::Refused(Refusal::IdConflict(job.id)),
            Known { seq, state, .. } => Inserted::Existing { seq, state },
        }
    }
}

impl Item {
    pub fn wanted_lane(&self) -> Lane {
        Lane {
            namespace: self.namespace,
            queue: self.job.queue.clone(),
            task: self.job.task.clone(),
            requires: self.job.extras.requires.clone(),
            priority: i16::from(self.job.priority),
            kind: FRESH,
        }
    }
}

/// How an attempt to write came out.
pub(crate) enum Written {
    /// With these answers.
    Answered(Vec<Inserted>),
    /// An id is taken, and nothing was written.
    Taken,
    /// A lane was given back to others, and nothing was written.
    GivenBack,
    /// A queue lets only so many jobs wait, and nothing was written.
    Bound,
}

impl PostgresStore {
    pub(crate) async fn insert_jobs(&self, insert: Insert) -> Result<Vec<Inserted>> {
        let Insert { jobs, partial } = insert;
        if jobs.iter().any(|job| job.extras.unique.is_some()) || self.is_any_bound(&jobs).await? {
            return self.insert_unique(&jobs, partial).await;
        }
        let mut items = self.items(jobs).await?;
        for _ in 0..ATTEMPTS_MAX {
            if let Some(answers) = self.insert_items(&items, partial).await? {
                return Ok(answers);
            }
            let lanes: Vec<Lane> = items.iter().map(Item::wanted_lane).collect();
            self.lanes.forget(&lanes);
            self.find_lanes(&mut items).await?;
        }
        Err(lanes_taken())
    }

    /// `None`: a lane was given back to others, and nothing was written.
    async fn insert_items(&self, items: &[Item], partial: bool) -> Result<Option<Vec<Inserted>>> {
        let mut answers: Vec<Option<Inserted>> = vec![None; items.len()];

        let clashes = |item: &Item| item.job.fingerprint != items[item.first].job.fingerprint;
        let lacks_room = items.iter().any(|item| item.lane.is_none());
        if lacks_room || (!partial && items.iter().any(clashes)) {
            let known = self.known(items.iter().collect()).await?;
            for ((item, known), answer) in items.iter().zip(known).zip(&mut answers) {
                *answer = match known {
                    Some(known) => Some(known.answer(&item.job)),
                    None if item.lane.is_none() => {
                        Some(Inserted::Refused(Refusal::LanesFull { max: LANES_MAX }))
                    }
                    None if !partial && clashes(item) => {
                        Some(Inserted::Refused(Refusal::IdConflict(item.job.id)))
                    }
                    None => None,
                };
            }
        }
        let is_refused = |answer: &Option<Inserted>| matches!(answer, Some(Inserted::Refused(_)));
        if !partial && answers.iter().any(is_refused) {
            return Ok(Some(without_writing(answers)));
        }

        let open = |index: usize, item: &Item| item.first == index && answers[index].is_none();
        let fresh: Vec<usize> =
            (0..items.len()).filter(|&index| open(index, &items[index])).collect();
        match self.write(items, &fresh, partial).await? {
            Written::Answered(written) => {
                for (index, answer) in fresh.into_iter().zip(written) {
                    answers[index] = Some(answer);
                }
            }
            Written::GivenBack => return Ok(None),
            Written::Bound => {
                self.learn_bounds(items).await?;
                let jobs: Vec<NewJob> = items.iter().map(|item| item.job.clone()).collect();
                return Box::pin(self.insert_unique(&jobs, partial)).await.map(Some);
            }
            Written::Taken => {
                let known = self.known(items.iter().collect()).await?;
                let answers = items.iter().zip(known);
                let answers =
                    answers.map(|(item, known)| known.map(|known| known.answer(&item.job)));
                return Ok(Some(without_writing(answers.collect())));
            }
        }
        self.answer_repetitions(items, &mut answers).await?;
        self.announce_new(items, &answers);
        Ok(Some(answers.into_iter().map(|answer| answer.unwrap_or(Inserted::Skipped)).collect()))
    }

    async fn items(&self, jobs: Vec<NewJob>) -> Result<Vec<Item>> {
        let mut firsts = HashMap::new();
        let mut items = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.into_iter().enumerate() {
            let namespace = self.lanes.namespace(&self.link, &job.namespace).await?;
            let first = *firsts.entry((namespace, job.id)).or_insert(index);
            items.push(Item { job, namespace, lane: None, first });
        }
        self.find_lanes(&mut items).await?;
        Ok(items)
    }

    pub(crate) async fn find_lanes(&self, items: &mut [Item]) -> Result<()> {
        let lanes: Vec<Lane> = items.iter().map(Item::wanted_lane).collect();
        let numbers = self.lanes.numbers(&self.link, &lanes, self.tally.from()).await?;
        for (item, number) in items.iter_mut().zip(numbers) {
            item.lane = number;
        }
        Ok(())
    }

    /// Writes the items at these places.
    async fn write(&self, all: &[Item], places: &[usize], partial: bool) -> Result<Written> {
        if places.is_empty() {
            return Ok(Written::Answered(Vec::new()));
        }
        if let [place] = places
            && !is_keyed(&all[*place].job.extras)
        {
            match self.write_one(&all[*place]).await? {
                Written::Taken => {}
                written => return Ok(written),
            }
        }
        let items: Vec<&Item> = places.iter().map(|&place| &all[place]).collect();
        if items.len() > 1 && are_alike(&items) {
            match self.write_alike(&items).await? {
                Written::Taken => {}
                written => return Ok(written),
            }
        }
        let entering = self.entering(&items).await?;
        let fresh = Fresh::of(&items, self.clock.shown(), partial, entering);
        let written = self.link.attempt(INSERT, &fresh.arguments()).await?;
        let rows = match written {
            Ok(rows) => rows,
            Err(code) if code == FORGOTTEN => {
                self.forget_ids(fresh.ids()).await?;
                return Box::pin(self.write(all, places, partial)).await;
            }
            Err(code) if code == CHANGED => {
                self.read_policies_again(&items).await?;
                return Box::pin(self.write(all, places, partial)).await;
            }
            Err(code) if code == CONFLICT => return Ok(Written::Taken),
            Err(code) if code == GIVEN_BACK => return Ok(Written::GivenBack),
            Err(code) if code == BOUND => return Ok(Written::Bound),
            Err(code) => return Err(no_answer(&format!("an insert (SQLSTATE {code})"))),
        };
        let mut answers = vec![Inserted::Skipped; items.len()];
        for row in &rows {
            let place = usize::try_from(get::<i64>(row, "ord")? - 1).unwrap_or(usize::MAX);
            let (Some(item), Some(answer)) = (items.get(place), answers.get_mut(place)) else {
                continue;
            };
            let seq = get::<i64>(row, "seq")?.unsigned_abs();
            *answer = match get::<i16>(row, "verdict")? {
                0 => Inserted::New { seq },
                verdict => {
                    let state = state_numbered(get::<Option<i16>>(row, "state")?.unwrap_or(1))?;
                    Known { seq, is_conflict: verdict == 2, state }.answer(&item.job)
                }
            };
        }
        Ok(Written::Answered(answers))
    }

    /// Writes one item, the cheapest way.
    async fn write_one(&self, item: &Item) -> Result<Written> {
        let job = &item.job;
        let written = self
            .link
            .attempt(
                "select taskwright.insert_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
                 $13) as seq",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&micros(AGING_DEFAULT), Type::INT8),
                    (&item.namespace, Type::INT4),
                    (&Uuid::from_u128(job.id.as_u128()), Type::UUID),
                    (&item.lane.unwrap_or(0), Type::INT4),
                    (&job.fingerprint.cast_signed(), Type::INT8),
                    (&i16::from(job.priority), Type::INT2),
                    (&job.run_at.map(Timestamp::as_micros), Type::INT8),
                    (&job.max_attempts.cast_signed(), Type::INT4),
                    (&job.timeout_ms.map(u64::cast_signed), Type::INT8),
                    (&job.extras.expires_at.map(Timestamp::as_micros), Type::INT8),
                    (&extras_text(&job.extras), Type::TEXT),
                    (&job.args.as_str(), Type::TEXT),
                ],
            )
            .await?;
        let rows = match written {
            Ok(rows) => rows,
            Err(code) if code == GIVEN_BACK => return Ok(Written::GivenBack),
            Err(code) if code == BOUND => return Ok(Written::Bound),
            Err(code) => return Err(no_answer(&format!("an insert (SQLSTATE {code})"))),
        };
        let seq = rows.first().map(|row| get::<Option<i64>>(row, "seq")).transpose()?.flatten();
        Ok(match seq {
            Some(seq) => Written::Answered(vec![Inserted::New { seq: seq.unsigned_abs() }]),
            None => Written::Taken,
        })
    }

    /// Forgets ids of deleted jobs that were to be known until now.
    pub(crate) async fn forget_ids(&self, ids: &[Uuid]) -> Result<()> {
        self.link
            .query(
                "delete from taskwright.ident where id = any($1) \
                 and finished_at + $2 <= taskwright.time_of($3)",
                &[
                    (&ids, Type::UUID_ARRAY),
                    (&micros(ID_WINDOW), Type::INT8),
                    (&self.clock.shown(), Type::INT8),
                ],
            )
            .await?;
        Ok(())
    }

    /// Items that repeat an id of the same call are a repetition or a conflict.
    async fn answer_repetitions(
        &self,
        items: &[Item],
        answers: &mut [Option<Inserted>],
    ) -> Result<()> {
        let places: Vec<usize> = (0..items.len()).filter(|&i| answers[i].is_none()).collect();
        if places.is_empty() {
            return Ok(());
        }
        let known = self.known(places.iter().map(|&place| &items[place]).collect()).await?;
        for (place, known) in places.into_iter().zip(known) {
            answers[place] = known.map(|known| known.answer(&items[place].job));
        }
        Ok(())
    }

    async fn known(&self, items: Vec<&Item>) -> Result<Vec<Option<Known>>> {
        let ids = items.iter().map(|item| (item.namespace, item.job.id, item.job.fingerprint));
        self.known_ids(ids.collect()).await
    }

    /// What is known of ids in namespaces, where jobs with these fingerprints are to have them.
    pub(crate) async fn known_ids(
        &self,
        ids: Vec<(i32, JobId, u64)>,
    ) -> Result<Vec<Option<Known>>> {
        let namespaces: Vec<i32> = ids.iter().map(|(namespace, ..)| *namespace).collect();
        let uuids: Vec<Uuid> = ids.iter().map(|(_, id, _)| Uuid::from_u128(id.as_u128())).collect();
        let fingerprints: Vec<i64> = ids.iter().map(|(.., print)| print.cast_signed()).collect();
        let rows = self
            .link
            .query(
                "select ord, seq, conflict, state from taskwright.known_jobs($1, $2, $3)",
                &[
                    (&namespaces, Type::INT4_ARRAY),
                    (&uuids, Type::UUID_ARRAY),
                    (&fingerprints, Type::INT8_ARRAY),
                ],
            )
            .await?;
        let mut known = vec![None; ids.len()];
        for row in &rows {
            let place = usize::try_from(get::<i64>(row, "ord")? - 1).unwrap_or(usize::MAX);
            if let Some(known) = known.get_mut(place) {
                *known = Some(Known {
                    seq: get::<i64>(row, "seq")?.unsigned_abs(),
                    is_conflict: get(row, "conflict")?,
                    state: state_numbered(get::<Option<i16>>(row, "state")?.unwrap_or(1))?,
                });
            }
        }
        Ok(known)
    }

    fn announce_new(&self, items: &[Item], answers: &[Option<Inserted>]) {
        let is_new = |answer: &Option<Inserted>| matches!(answer, Some(Inserted::New { .. }));
        let new = items.iter().zip(answers).filter(|(_, answer)| is_new(answer));
        self.announce_jobs(new.map(|(item, _)| &item.job));
    }

    /// Tells of new jobs.
    pub(crate) fn announce_jobs<'j>(&self, jobs: impl Iterator<Item = &'j NewJob> + Clone) {
        let mut queues: Vec<_> = jobs.clone().map(|job| (&job.namespace, &job.queue)).collect();
        queues.dedup();
        self.hints.ready(queues);
        if self.hints.is_heard() {
            let event = |job: &NewJob| Event {
                namespace: job.namespace.clone(),
                queue: job.queue.clone(),
                task: job.task.clone(),
                id: job.id,
                state: StateName::Available,
                attempt: 0,
            };
            self.hints.publish(jobs.map(event).collect());
        }
    }
}

/// The error for one who lost his lanes to others again and again.
pub(crate) fn lanes_taken() -> Error {
    let message =
        "the lanes of the jobs were given back to others while they were written; try again";
    Error::new(ErrorKind::Busy, message).retry_after(std::time::Duration::from_millis(200))
}

/// The answers of a call of which nothing is written.
pub(crate) fn without_writing(answers: Vec<Option<Inserted>>) -> Vec<Inserted> {
    let answer = |answer| match answer {
        Some(Inserted::Refused(refusal)) => Inserted::Refused(refusal),
        _ => Inserted::Skipped,
    };
    answers.into_iter().map(answer).collect()
}
