//! Claims: taking jobs, and waiting for some.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{HEARTBEAT_EVERY, LEASE, WAIT_MAX};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{Json, Name, StateName, Timestamp, Token};
use taskwright_store::{Claim, ClaimedJob, Error, ErrorKind, Event, Result};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::{extras_from, profile_text};
use crate::floors::Begin;
use crate::lanes::Lane;
use crate::link::{Argument, micros};
use crate::requirements::Matching;
use crate::row::get;
use crate::store::PostgresStore;

/// How often a claim that waits looks by itself, since hints may be lost, …
const POLL: Duration = Duration::from_secs(4);
/// … and where none are heard, as behind a transaction pooler.
const POLL_UNHEARD: Duration = Duration::from_secs(1);

/// What a claim is given; `None`: the next job takes more than it has free, so it is not to wait.
pub(crate) type Given = Option<Vec<ClaimedJob>>;

impl PostgresStore {
    pub(crate) async fn claim_or_wait(&self, claim: Claim) -> Result<Vec<ClaimedJob>> {
        let deadline = Instant::now() + claim.wait.min(WAIT_MAX);
        let namespace = self.lanes.namespace(&self.link, &claim.namespace).await?;
        let mut waiter = (!claim.wait.is_zero()).then(|| self.hints.wait_for(&claim));
        loop {
            let given = self.claim_gathered(namespace, &claim).await?;
            if let Some(waiter) = &mut waiter {
                // What does not fit here may fit elsewhere.
                waiter.has_looked(given.as_ref().is_none_or(|jobs| !jobs.is_empty()));
            }
            let Some(jobs) = given else { return Ok(Vec::new()) };
            let now = Instant::now();
            let Some(waiter) = &mut waiter else { return Ok(jobs) };
            if !jobs.is_empty() || now >= deadline || claim.max == 0 {
                return Ok(jobs);
            }
            let poll = if self.hints.are_heard() { POLL } else { POLL_UNHEARD };
            // Up to a quarter earlier, so that those who wait do not all come at once.
            let poll = poll.mul_f64(1.0 - self.link.chance() / 4.0);
            waiter.wait((now + poll).min(deadline)).await;
        }
    }

    pub(crate) async fn claim_now(&self, namespace: i32, claim: &Claim) -> Result<Given> {
        self.check_open()?;
        if self.limits.is_limited(namespace) || self.takes_resources(claim) {
            return self.claim_limited(namespace, claim).await;
        }
        let begin = self.floors.begin();
        let wish = Wish::of(self, namespace, claim, &begin);
        let answered = self.link.attempt(CLAIM, &wish.arguments()).await?;
        // The same claim was sent twice, and the other one was first.
        let Ok(rows) = answered else { return Box::pin(self.claim_now(namespace, claim)).await };
        match is_refused(&rows)? {
            Some((LIMITED, _)) => {
                self.read_policies(namespace).await?;
                return Box::pin(self.claim_limited(namespace, claim)).await;
            }
            Some((UNKNOWN, _)) => {
                self.requirements.refresh(&self.link).await?;
                return Box::pin(self.claim_now(namespace, claim)).await;
            }
            Some((TOO_LARGE, _)) => return Ok(None),
            Some((_, last)) => return Err(too_low(claim, last)),
            None => {}
        }
        let lanes = self.lanes_of(&begin, &rows).await?;
        let jobs = in_order(&rows, &lanes)?;
        self.announce_claimed(claim, &jobs);
        Ok(Some(jobs))
    }

    /// Whether jobs that the worker matches take more of it than slots: what fits is decided in Rust then,
    /// as where something is limited.
    fn takes_resources(&self, claim: &Claim) -> bool {
        let labels = &claim.profile.labels;
        labels.has_resources() && self.requirements.matching(labels).take_resources
    }

    /// What each of some claims is given that workers who serve the same make at once, sorted by
    /// worker. `None`: one of them repeats a claim or must be looked at for itself; nothing is given.
    pub(crate) async fn claim_together(
        &self,
        namespace: i32,
        claims: &[&Claim],
    ) -> Result<Option<Vec<Vec<ClaimedJob>>>> {
        self.check_open()?;
        let [first, _, ..] = claims else { return Ok(None) };
        if self.limits.is_limited(namespace) || self.takes_resources(first) {
            return Ok(None);
        }
        let begin = self.floors.begin();
        let wish = Wish::of(self, namespace, first, &begin);
        let workers: Vec<Uuid> =
            claims.iter().map(|claim| Uuid::from_u128(claim.worker.as_u128())).collect();
        let seqs: Vec<i64> = claims.iter().map(|claim| claim.seq.cast_signed()).collect();
        let maxima: Vec<i32> = claims.iter().map(|claim| max_of(claim)).collect();
        let answered = self
            .link
            .attempt(
                "select * from taskwright.claim_together($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
                 $11, $12, $13, $14, $15, $16, $17)",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&namespace, Type::INT4),
                    (&wish.queues, Type::TEXT_ARRAY),
                    (&wish.tasks, Type::TEXT_ARRAY),
                    (&workers, Type::UUID_ARRAY),
                    (&self.epoch, Type::INT4),
                    (&first.in_process, Type::BOOL),
                    (&seqs, Type::INT8_ARRAY),
                    (&maxima, Type::INT4_ARRAY),
                    (&micros(LEASE), Type::INT8),
                    (&micros(HEARTBEAT_EVERY), Type::INT8),
                    (&begin.lanes, Type::INT4_ARRAY),
                    (&begin.floors, Type::INT8_ARRAY),
                    (&wish.matching, Type::INT4_ARRAY),
                    (&wish.known, Type::INT4),
                    (&wish.profile, Type::TEXT),
                    (&wish.costs, Type::INT4_ARRAY),
                ],
            )
            .await?;
        let Ok(rows) = answered else { return Ok(None) };
        if is_refused(&rows)?.is_some() {
            return Ok(None);
        }
        let lanes = self.lanes_of(&begin, &rows).await?;
        let mut given: Vec<Vec<ClaimedJob>> = claims.iter().map(|_| Vec::new()).collect();
        for row in &rows {
            let worker: Uuid = get(row, "worker")?;
            let place = workers.binary_search(&worker);
            let Some(jobs) = place.ok().and_then(|place| given.get_mut(place)) else { continue };
            jobs.push(claimed(row, &lanes)?);
        }
        for (claim, jobs) in claims.iter().zip(&mut given) {
            sort_by_age(jobs);
            self.announce_claimed(claim, jobs);
        }
        Ok(Some(given))
    }

    /// The lanes of jobs that were given by a claim that began there.
    pub(crate) async fn lanes_of(
        &self,
        begin: &Begin,
        rows: &[Row],
    ) -> Result<HashMap<i32, Arc<Lane>>> {
        let mut numbers = rows.iter().map(|row| get(row, "lane")).collect::<Result<Vec<i32>>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        self.floors.ended(begin, &numbers);
        self.lanes.named(&self.link, &numbers).await
    }

    pub(crate) fn announce_claimed(&self, claim: &Claim, jobs: &[ClaimedJob]) {
        if self.hints.is_heard() {
            let event = |job: &ClaimedJob| Event {
                namespace: claim.namespace.clone(),
                queue: job.queue.clone(),
                task: job.task.clone(),
                id: job.id,
                state: StateName::Running,
                attempt: job.token.attempt,
            };
            self.hints.publish(jobs.iter().map(event).collect());
        }
    }
}

/// The statement of a claim.
pub(crate) const CLAIM: &str = "select * from taskwright.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
     $14, $15, $16, $17)";

/// What a row instead of jobs says by its `seq`: something is limited; …
const LIMITED: i64 = -2;
/// … or a lane that the worker serves has a requirement that is too new to be known here; …
const UNKNOWN: i64 = -3;
/// … or the first job takes more slots than the claim has; −1: the number is too low.
const TOO_LARGE: i64 = -4;

/// A claim as the database is told.
pub(crate) struct Wish<'b> {
    now: Option<i64>,
    namespace: i32,
    pub queues: Vec<String>,
    pub tasks: Option<Vec<String>>,
    worker: Uuid,
    epoch: i32,
    in_process: bool,
    seq: i64,
    max: i32,
    lease: i64,
    grace: i64,
    begin: &'b Begin,
    /// The requirements that its labels meet, and the highest that was looked at.
    pub matching: Vec<i32>,
    pub known: i32,
    /// How many slots jobs take that require `matching`; `None`: all of them one.
    costs: Option<Vec<i32>>,
    /// What it serves, as it is kept for those who look.
    pub profile: String,
}

impl<'b> Wish<'b> {
    pub fn of(store: &PostgresStore, namespace: i32, claim: &Claim, begin: &'b Begin) -> Self {
        let texts = |names: &[Name]| names.iter().map(|name| name.as_str().to_owned()).collect();
        let Matching { numbers, costs, known, .. } =
            store.requirements.matching(&claim.profile.labels);
        Wish {
            now: store.clock.shown(),
            namespace,
            queues: texts(&claim.profile.queues),
            tasks: claim.profile.tasks.as_ref().map(|tasks| texts(tasks)),
            worker: Uuid::from_u128(claim.worker.as_u128()),
            epoch: store.epoch,
            in_process: claim.in_process,
            seq: claim.seq.cast_signed(),
            max: max_of(claim),
            lease: micros(LEASE),
            grace: micros(HEARTBEAT_EVERY),
            begin,
            matching: numbers.to_vec(),
            known,
            costs: costs.map(|costs| costs.to_vec()),
            profile: profile_text(&claim.profile),
        }
    }

    /// The arguments of [`CLAIM`], in order.
    pub fn arguments(&self) -> [Argument<'_>; 17] {
        [
            (&self.now, Type::INT8),
            (&self.namespace, Type::INT4),
            (&self.queues, Type::TEXT_ARRAY),
            (&self.tasks, Type::TEXT_ARRAY),
            (&self.worker, Type::UUID),
            (&self.epoch, Type::INT4),
            (&self.in_process, Type::BOOL),
            (&self.seq, Type::INT8),
            (&self.max, Type::INT4),
            (&self.lease, Type::INT8),
            (&self.grace, Type::INT8),
            (&self.begin.lanes, Type::INT4_ARRAY),
            (&self.begin.floors, Type::INT8_ARRAY),
            (&self.matching, Type::INT4_ARRAY),
            (&self.known, Type::INT4),
            (&self.profile, Type::TEXT),
            (&self.costs, Type::INT4_ARRAY),
        ]
    }
}

pub(crate) fn max_of(claim: &Claim) -> i32 {
    i32::try_from(claim.max).unwrap_or(i32::MAX)
}

/// Why there are no jobs, where the first row says so, and the number of the worker's last claim.
fn is_refused(rows: &[Row]) -> Result<Option<(i64, i64)>> {
    match rows.first() {
        Some(row) if get::<i64>(row, "seq")? < 0 => Ok(Some((get(row, "seq")?, get(row, "rank")?))),
        _ => Ok(None),
    }
}

pub(crate) fn too_low(claim: &Claim, last: i64) -> Error {
    let message = format!(
        "claim {} of worker {} comes after claim {last}; number claims upwards from 1",
        claim.seq, claim.worker
    );
    Error::new(ErrorKind::Invalid, message)
}

/// The jobs that were given, in order.
pub(crate) fn in_order(rows: &[Row], lanes: &HashMap<i32, Arc<Lane>>) -> Result<Vec<ClaimedJob>> {
    let jobs = rows.iter().map(|row| claimed(row, lanes));
    let mut jobs = jobs.collect::<Result<Vec<_>>>()?;
    sort_by_age(&mut jobs);
    Ok(jobs)
}

/// By priority and age: what turn a job had counts no longer.
fn sort_by_age(jobs: &mut [ClaimedJob]) {
    let age = |job: &ClaimedJob| rank::fifo(job.run_at, job.priority, AGING_DEFAULT);
    jobs.sort_unstable_by_key(|job| (age(job), job.seq));
}

fn claimed(row: &Row, lanes: &HashMap<i32, Arc<Lane>>) -> Result<ClaimedJob> {
    let number: i32 = get(row, "lane")?;
    let lane = lanes.get(&number).ok_or_else(|| crate::link::no_answer("lane"))?;
    let seq = get::<i64>(row, "seq")?.unsigned_abs();
    let count = |column| Ok(get::<Option<i32>>(row, column)?.unwrap_or(0).unsigned_abs());
    let instant = |column| Ok(Timestamp::from_micros(get(row, column)?));
    Ok(ClaimedJob {
        id: taskwright_core::JobId::from_u128(get::<Uuid>(row, "id")?.as_u128()),
        seq,
        queue: lane.queue.clone(),
        task: lane.task.clone(),
        args: Json::from_trusted(get::<String>(row, "args")?),
        token: Token { epoch: count("epoch")?, attempt: count("attempt")?, nonce: seq },
        failures: count("failures")?,
        max_attempts: count("max_attempts")?,
        timeout_ms: get::<Option<i64>>(row, "timeout_ms")?.map(i64::unsigned_abs),
        priority: i8::try_from(get::<i16>(row, "priority")?).unwrap_or(0),
        created_at: instant("created_at")?,
        run_at: instant("run_at")?,
        started_at: instant("started_at")?,
        checkpoint: get::<Option<String>>(row, "checkpoint")?.map(Json::from_trusted),
        extras: extras_from(get(row, "extras")?)?,
    })
}
