//! Claims: taking jobs, and waiting for some.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{HEARTBEAT_EVERY, LEASE, WAIT_MAX};
use taskwright_core::{Json, StateName, Timestamp, Token};
use taskwright_store::{Claim, ClaimedJob, Error, ErrorKind, Event, Result};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::extras_from;
use crate::lanes::Lane;
use crate::link::micros;
use crate::row::get;
use crate::store::PostgresStore;

/// How often a claim that waits looks by itself, since hints may be lost, …
const POLL: Duration = Duration::from_secs(4);
/// … and where none are heard, as behind a transaction pooler.
const POLL_UNHEARD: Duration = Duration::from_secs(1);

impl PostgresStore {
    pub(crate) async fn claim_or_wait(&self, claim: Claim) -> Result<Vec<ClaimedJob>> {
        let deadline = Instant::now() + claim.wait.min(WAIT_MAX);
        let namespace = self.lanes.namespace(&self.link, &claim.namespace).await?;
        let mut waiter = (!claim.wait.is_zero()).then(|| self.hints.wait_for(&claim));
        loop {
            let jobs = self.claim_now(namespace, &claim).await?;
            if let Some(waiter) = &mut waiter {
                waiter.has_looked(!jobs.is_empty());
            }
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

    async fn claim_now(&self, namespace: i32, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.check_open()?;
        let texts = |names: &[taskwright_core::Name]| -> Vec<String> {
            names.iter().map(|name| name.as_str().to_owned()).collect()
        };
        let queues = texts(&claim.profile.queues);
        let tasks = claim.profile.tasks.as_ref().map(|tasks| texts(tasks));
        let max = i32::try_from(claim.max).unwrap_or(i32::MAX);
        let begin = self.floors.begin();
        let answered = self
            .link
            .attempt(
                "select * from taskwright.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&namespace, Type::INT4),
                    (&queues, Type::TEXT_ARRAY),
                    (&tasks, Type::TEXT_ARRAY),
                    (&Uuid::from_u128(claim.worker.as_u128()), Type::UUID),
                    (&self.epoch, Type::INT4),
                    (&claim.in_process, Type::BOOL),
                    (&claim.seq.cast_signed(), Type::INT8),
                    (&max, Type::INT4),
                    (&micros(LEASE), Type::INT8),
                    (&micros(HEARTBEAT_EVERY), Type::INT8),
                    (&begin.lanes, Type::INT4_ARRAY),
                    (&begin.floors, Type::INT8_ARRAY),
                ],
            )
            .await?;
        // The same claim was sent twice, and the other one was first.
        let Ok(rows) = answered else { return Box::pin(self.claim_now(namespace, claim)).await };
        if let Some(last) = too_low(&rows)? {
            let message = format!(
                "claim {} of worker {} comes after claim {last}; number claims upwards from 1",
                claim.seq, claim.worker
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut numbers = rows.iter().map(|row| get(row, "lane")).collect::<Result<Vec<i32>>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        self.floors.ended(&begin, &numbers);
        let lanes = self.lanes.named(&self.link, &numbers).await?;
        let jobs: Result<Vec<ClaimedJob>> = rows
            .iter()
            .map(|row| {
                let number: i32 = get(row, "lane")?;
                let lane = lanes.get(&number).ok_or_else(|| crate::link::no_answer("lane"))?;
                claimed(row, lane)
            })
            .collect();
        let jobs = jobs?;
        self.announce_claimed(claim, &jobs);
        Ok(jobs)
    }

    fn announce_claimed(&self, claim: &Claim, jobs: &[ClaimedJob]) {
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

/// The number of the worker's last claim, where this one comes too late.
fn too_low(rows: &[Row]) -> Result<Option<i64>> {
    match rows.first() {
        Some(row) if get::<i64>(row, "seq")? < 0 => Ok(Some(get(row, "rank")?)),
        _ => Ok(None),
    }
}

fn claimed(row: &Row, lane: &Arc<Lane>) -> Result<ClaimedJob> {
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
