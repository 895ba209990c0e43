//! Taking in the jobs that applications enqueued in their own transactions.

use taskwright_core::{JobId, Json, NewJob, Timestamp};
use taskwright_store::{Insert, Inserted, Refusal, Result};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::{conflict_from, extras_from};
use crate::row::{get, name};
use crate::store::PostgresStore;

/// Jobs that are taken in at once.
const CHUNK: i64 = 1_000;
/// Chunks that one sweep takes in.
const CHUNKS_MAX: usize = 20;

impl PostgresStore {
    /// Takes in what waits, and answers how many. A job is written before its row at intake goes,
    /// and is known by its id: so a crash in between, or two nodes at once, do no harm.
    pub(crate) async fn admit(&self) -> Result<usize> {
        let (mut admitted, mut after) = (0, Some(i64::MIN));
        for _ in 0..CHUNKS_MAX {
            let Some(number) = after else { break };
            let (count, last) = self.admit_some(number).await?;
            admitted += count;
            after = last;
        }
        Ok(admitted)
    }

    /// Takes in a chunk of what has higher numbers; how many, and the last number if there are more.
    async fn admit_some(&self, after: i64) -> Result<(usize, Option<i64>)> {
        let rows = self
            .link
            .query(
                "select number, id, namespace, queue, task, args, priority, run_at, max_attempts, \
                 timeout_ms, fingerprint, extras, on_conflict from taskwright.intake \
                 where number > $2 order by number limit $1",
                &[(&CHUNK, Type::INT8), (&after, Type::INT8)],
            )
            .await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == CHUNK);
        let last = rows.last().filter(|_| is_full).map(|row| get(row, "number")).transpose()?;
        // What cannot be read a newer version may have written: it stays, and is in nobody's way.
        let (rows, jobs): (Vec<&Row>, Vec<NewJob>) =
            rows.iter().filter_map(|row| Some((row, job(row).ok()?))).unzip();
        if rows.is_empty() {
            return Ok((0, last));
        }
        let answers = self.insert_jobs(Insert { jobs, partial: true }).await?;
        let mut settled = Vec::with_capacity(rows.len());
        for (row, answer) in rows.into_iter().zip(answers) {
            match answer {
                // They wait until there is room.
                Inserted::Refused(
                    Refusal::LanesFull { .. }
                    | Refusal::WaitingFull { .. }
                    | Refusal::StoreFull { .. },
                )
                | Inserted::Skipped => {}
                Inserted::Refused(refusal) => {
                    self.note_refused(row, &refusal.to_string()).await?;
                    settled.push(get::<i64>(row, "number")?);
                }
                Inserted::Duplicate { id, replaced: false, .. } => {
                    let reason = format!("job {id} holds its unique key and was kept");
                    self.note_refused(row, &reason).await?;
                    settled.push(get::<i64>(row, "number")?);
                }
                Inserted::New { .. } | Inserted::Existing { .. } | Inserted::Duplicate { .. } => {
                    settled.push(get::<i64>(row, "number")?);
                }
            }
        }
        self.link
            .query(
                "delete from taskwright.intake where number = any($1)",
                &[(&settled, Type::INT8_ARRAY)],
            )
            .await?;
        Ok((settled.len(), last))
    }

    /// Nobody waits for the answer any more: it is kept where operators look.
    async fn note_refused(&self, row: &Row, reason: &str) -> Result<()> {
        let action = format!("refused to take in job {}: {reason}", get::<Uuid>(row, "id")?);
        self.link
            .query(
                "insert into taskwright.audit (at, actor, action) \
                 values (taskwright.time_of($1), 'intake', $2)",
                &[(&self.clock.shown(), Type::INT8), (&action, Type::TEXT)],
            )
            .await?;
        Ok(())
    }
}

fn job(row: &Row) -> Result<NewJob> {
    Ok(NewJob {
        namespace: name(get(row, "namespace")?)?,
        id: JobId::from_u128(get::<Uuid>(row, "id")?.as_u128()),
        task: name(get(row, "task")?)?,
        queue: name(get(row, "queue")?)?,
        args: Json::from_trusted(get::<String>(row, "args")?),
        priority: i8::try_from(get::<i32>(row, "priority")?).unwrap_or(0),
        run_at: get::<Option<i64>>(row, "run_at")?.map(Timestamp::from_micros),
        max_attempts: get::<i32>(row, "max_attempts")?.unsigned_abs(),
        timeout_ms: get::<Option<i64>>(row, "timeout_ms")?.map(i64::unsigned_abs),
        fingerprint: get::<i64>(row, "fingerprint")?.cast_unsigned(),
        on_conflict: conflict_from(get(row, "on_conflict")?)?,
        extras: extras_from(get(row, "extras")?)?,
    })
}
