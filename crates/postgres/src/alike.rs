//! New jobs that differ in nothing but id and args, as most calls have them: less to send, to unpack
//! and to answer than for any others.

use taskwright_core::rank::AGING_DEFAULT;
use taskwright_core::{NewJob, Timestamp};
use taskwright_store::{Inserted, Result};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::extras_text;
use crate::insert::{Item, Written};
use crate::lanes::GIVEN_BACK;
use crate::limits::bounds::BOUND;
use crate::limits::is_keyed;
use crate::link::{micros, no_answer};
use crate::row::get;
use crate::store::PostgresStore;

/// Whether items have one lane and all else in common, too, but id and args; and no keys.
pub(crate) fn are_alike(items: &[&Item]) -> bool {
    let Some((first, others)) = items.split_first() else { return false };
    let is_like_first = |item: &&Item| {
        // Of one lane, so of one namespace and priority.
        item.lane == first.lane
            && item.job.run_at == first.job.run_at
            && item.job.max_attempts == first.job.max_attempts
            && item.job.timeout_ms == first.job.timeout_ms
            && item.job.extras == first.job.extras
    };
    first.lane.is_some()
        && first.job.extras.unique.is_none()
        && !is_keyed(&first.job.extras)
        && others.iter().all(is_like_first)
}

impl PostgresStore {
    /// Writes items that are alike; `Taken`: one of the ids is known.
    pub(crate) async fn write_alike(&self, items: &[&Item]) -> Result<Written> {
        let Some(first) = items.first() else { return Ok(Written::Answered(Vec::new())) };
        let NewJob { priority, run_at, max_attempts, timeout_ms, extras, .. } = &first.job;
        let jobs = || items.iter().map(|item| &item.job);
        let ids: Vec<Uuid> = jobs().map(|job| Uuid::from_u128(job.id.as_u128())).collect();
        let fingerprints: Vec<i64> = jobs().map(|job| job.fingerprint.cast_signed()).collect();
        let args: Vec<&str> = jobs().map(|job| job.args.as_str()).collect();
        let written = self
            .link
            .attempt(
                "select taskwright.insert_alike($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
                 $13) as seqs",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&micros(AGING_DEFAULT), Type::INT8),
                    (&first.namespace, Type::INT4),
                    (&first.lane.unwrap_or(0), Type::INT4),
                    (&i16::from(*priority), Type::INT2),
                    (&run_at.map(Timestamp::as_micros), Type::INT8),
                    (&max_attempts.cast_signed(), Type::INT4),
                    (&timeout_ms.map(u64::cast_signed), Type::INT8),
                    (&extras.expires_at.map(Timestamp::as_micros), Type::INT8),
                    (&extras_text(extras), Type::TEXT),
                    (&ids, Type::UUID_ARRAY),
                    (&fingerprints, Type::INT8_ARRAY),
                    (&args, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        let rows = match written {
            Ok(rows) => rows,
            Err(code) if code == GIVEN_BACK => return Ok(Written::GivenBack),
            Err(code) if code == BOUND => return Ok(Written::Bound),
            Err(code) => return Err(no_answer(&format!("an insert (SQLSTATE {code})"))),
        };
        let seqs = rows.first().map(|row| get::<Option<Vec<i64>>>(row, "seqs")).transpose()?;
        let Some(seqs) = seqs.flatten() else { return Ok(Written::Taken) };
        if seqs.len() != items.len() {
            return Err(no_answer("a number for each new job"));
        }
        let answer = |seq: i64| Inserted::New { seq: seq.unsigned_abs() };
        Ok(Written::Answered(seqs.into_iter().map(answer).collect()))
    }
}
