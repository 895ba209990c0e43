//! Heartbeats.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taskwright_core::limits::LEASE;
use taskwright_core::{JobId, Load, LoadMeasure, Timestamp, Token};
use taskwright_store::{CancelOrder, Heartbeat, HeartbeatReply, Result, WorkerInfo};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::change::Selection;
use crate::codec::notes_from;
use crate::link::micros;
use crate::record::overdue_order;
use crate::row::get;
use crate::store::PostgresStore;

/// What a row of the answer says.
const UNDELIVERED: i16 = 0;
const LOST: i16 = 1;

/// What a worker says of itself, as text.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct InfoText {
    name: Arc<str>,
    slots: u32,
    stopping: bool,
    measured: MeasureText,
    max: MeasureText,
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<u32>,
}

/// What it measured, or its maxima.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct MeasureText {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_micros: Option<u64>,
}

impl MeasureText {
    fn of(measure: &LoadMeasure) -> MeasureText {
        let micros = |lag: Duration| u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        MeasureText {
            cpu_percent: measure.cpu_percent,
            memory_percent: measure.memory_percent,
            lag_micros: measure.lag.map(micros),
        }
    }

    fn into_measure(self) -> LoadMeasure {
        LoadMeasure {
            cpu_percent: self.cpu_percent,
            memory_percent: self.memory_percent,
            lag: self.lag_micros.map(Duration::from_micros),
        }
    }
}

pub(crate) fn info_from(text: Option<&str>) -> WorkerInfo {
    // Only people read it: what a newer version added does not matter.
    let text: InfoText = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let InfoText { name, slots, stopping, measured, max, takes } = text;
    let load = Load { measured: measured.into_measure(), max: max.into_measure(), takes };
    WorkerInfo { name, slots, stopping, load }
}

fn info_text(info: &WorkerInfo) -> String {
    let text = InfoText {
        name: info.name.clone(),
        slots: info.slots,
        stopping: info.stopping,
        measured: MeasureText::of(&info.load.measured),
        max: MeasureText::of(&info.load.max),
        takes: info.load.takes,
    };
    serde_json::to_string(&text).unwrap_or_default()
}

impl PostgresStore {
    pub(crate) async fn beat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        let namespace = self.lanes.namespace(&self.link, &heartbeat.namespace).await?;
        self.keep_progress(namespace, &heartbeat).await?;
        let rows = self.renew(namespace, &heartbeat).await?;
        let undelivered = tokens(&rows, UNDELIVERED)?;
        if !undelivered.is_empty() {
            self.release(namespace, &undelivered).await?;
        }
        let released: HashSet<JobId> = undelivered.into_iter().map(|(id, _)| id).collect();
        let mut reply = HeartbeatReply { lost: tokens(&rows, LOST)?, cancel: Vec::new() };
        for row in &rows {
            if get::<i16>(row, "what")? > LOST && !released.contains(&token(row)?.0) {
                reply.cancel.push(cancel_order(row)?);
            }
        }
        Ok(reply)
    }

    async fn renew(&self, namespace: i32, heartbeat: &Heartbeat) -> Result<Vec<Row>> {
        let Heartbeat { worker, settled, held, info, .. } = heartbeat;
        let seqs: Vec<i64> = held.iter().map(|(_, token)| token.nonce.cast_signed()).collect();
        let ids: Vec<Uuid> = held.iter().map(|(id, _)| Uuid::from_u128(id.as_u128())).collect();
        let epochs: Vec<i32> = held.iter().map(|(_, token)| token.epoch.cast_signed()).collect();
        let attempts: Vec<i32> =
            held.iter().map(|(_, token)| token.attempt.cast_signed()).collect();
        self.link
            .query(
                "select * from taskwright.heartbeat($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&namespace, Type::INT4),
                    (&Uuid::from_u128(worker.as_u128()), Type::UUID),
                    (&self.epoch, Type::INT4),
                    (&info_text(info), Type::TEXT),
                    (&micros(LEASE), Type::INT8),
                    (&settled.cast_signed(), Type::INT8),
                    (&seqs, Type::INT8_ARRAY),
                    (&ids, Type::UUID_ARRAY),
                    (&epochs, Type::INT4_ARRAY),
                    (&attempts, Type::INT4_ARRAY),
                ],
            )
            .await
    }

    /// Gives back what the worker was never told of.
    async fn release(&self, namespace: i32, tokens: &[(JobId, Token)]) -> Result<()> {
        let ids: Vec<JobId> = tokens.iter().map(|(id, _)| *id).collect();
        self.change_jobs(Selection::Ids { namespace, ids: &ids }, |held| {
            let now = held.now;
            for (id, token) in tokens {
                if let Some(record) = held.jobs.get_mut(id) {
                    // Whoever reported in the meantime was first.
                    let _ = record.release(*token, now);
                }
            }
        })
        .await
    }

    /// A job that somebody is just changing keeps the progress that it had: it may be in the
    /// transaction of an application, and the lease has to be renewed meanwhile.
    async fn keep_progress(&self, namespace: i32, heartbeat: &Heartbeat) -> Result<()> {
        if heartbeat.progress.is_empty() {
            return Ok(());
        }
        let progress = &heartbeat.progress;
        let seqs: Vec<i64> = progress.iter().map(|(_, t, _)| t.nonce.cast_signed()).collect();
        let ids: Vec<Uuid> =
            progress.iter().map(|(id, ..)| Uuid::from_u128(id.as_u128())).collect();
        let epochs: Vec<i32> = progress.iter().map(|(_, t, _)| t.epoch.cast_signed()).collect();
        let attempts: Vec<i32> = progress.iter().map(|(_, t, _)| t.attempt.cast_signed()).collect();
        let values: Vec<&str> = progress.iter().map(|(_, _, value)| value.as_str()).collect();
        self.link
            .query(
                "with p as materialized ( \
                     select distinct on (seq, epoch, attempt) * from unnest($3::bigint[], \
                     $4::uuid[], $5::int[], $6::int[], $7::text[]) with ordinality \
                     as p(seq, id, epoch, attempt, value, ord) \
                     order by seq, epoch, attempt, ord desc \
                 ), free as materialized ( \
                     select j.seq, p.value from p join taskwright.job j on j.seq = p.seq \
                     where j.id = p.id and j.epoch = p.epoch and j.attempt = p.attempt \
                       and j.state = 5 and j.worker = $2 and j.namespace = $1 \
                     order by j.seq for update of j skip locked \
                 ) update taskwright.job j set progress = free.value from free \
                 where j.seq = free.seq",
                &[
                    (&namespace, Type::INT4),
                    (&Uuid::from_u128(heartbeat.worker.as_u128()), Type::UUID),
                    (&seqs, Type::INT8_ARRAY),
                    (&ids, Type::UUID_ARRAY),
                    (&epochs, Type::INT4_ARRAY),
                    (&attempts, Type::INT4_ARRAY),
                    (&values, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }
}

fn token(row: &Row) -> Result<(JobId, Token)> {
    let id = JobId::from_u128(get::<Uuid>(row, "id")?.as_u128());
    let token = Token {
        epoch: get::<i32>(row, "epoch")?.unsigned_abs(),
        attempt: get::<i32>(row, "attempt")?.unsigned_abs(),
        nonce: get::<i64>(row, "seq")?.unsigned_abs(),
    };
    Ok((id, token))
}

fn tokens(rows: &[Row], what: i16) -> Result<Vec<(JobId, Token)>> {
    let mut found = Vec::new();
    for row in rows {
        if get::<i16>(row, "what")? == what {
            found.push(token(row)?);
        }
    }
    Ok(found)
}

fn cancel_order(row: &Row) -> Result<CancelOrder> {
    let (id, token) = token(row)?;
    if get::<Option<bool>>(row, "cancel_requested")?.unwrap_or(false) {
        let notes = notes_from(get(row, "notes")?)?;
        let reason = notes.cancel_reason.unwrap_or_else(|| "".into());
        return Ok(CancelOrder { id, token, reason, timed_out: false });
    }
    let instant = |column| Ok(Timestamp::from_micros(get::<i64>(row, column)?));
    let (started_at, now): (Timestamp, Timestamp) = (instant("started_at")?, instant("now")?);
    Ok(overdue_order(id, token, now.since(started_at)))
}
