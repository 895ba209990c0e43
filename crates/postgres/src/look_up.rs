//! What stands in the way of new jobs: who has their ids, and who holds their unique keys.

use taskwright_core::limits::ID_WINDOW;
use taskwright_core::{JobId, StateName, Timestamp};
use taskwright_store::Result;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::insert::Known;
use crate::keys::key_text;
use crate::link::{micros, no_answer};
use crate::row::{get, state_numbered};
use crate::store::PostgresStore;

/// The job that holds a key.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Holder {
    pub seq: u64,
    pub id: JobId,
    pub state: StateName,
    attempt: i32,
}

impl Holder {
    /// Whether it may still be changed; only a look at its locked row tells.
    pub fn may_wait(&self) -> bool {
        self.attempt == 0 && matches!(self.state, StateName::Available | StateName::Blocked)
    }
}

/// What stands in the way of a new job.
#[derive(Copy, Clone)]
pub(crate) struct Looked {
    pub known: Option<Known>,
    pub holder: Option<Holder>,
}

/// A job of which one wants to know what stands in its way: its namespace, id, fingerprint and key.
pub(crate) type Asked<'j> = (i32, JobId, u64, Option<&'j str>);

impl PostgresStore {
    /// The store's time, and what stands in the way of some jobs.
    pub(crate) async fn look_up(&self, asked: &[Asked<'_>]) -> Result<(Timestamp, Vec<Looked>)> {
        let namespaces: Vec<i32> = asked.iter().map(|(namespace, ..)| *namespace).collect();
        let ids: Vec<Uuid> =
            asked.iter().map(|(_, id, ..)| Uuid::from_u128(id.as_u128())).collect();
        let fingerprints: Vec<i64> =
            asked.iter().map(|(.., print, _)| print.cast_signed()).collect();
        let keys: Vec<_> = asked.iter().map(|(.., key)| key.map(key_text)).collect();
        let rows = self
            .link
            .query(
                "select * from taskwright.look_up($1, $2, $3, $4, $5, $6)",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&micros(ID_WINDOW), Type::INT8),
                    (&namespaces, Type::INT4_ARRAY),
                    (&ids, Type::UUID_ARRAY),
                    (&fingerprints, Type::INT8_ARRAY),
                    (&keys, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        let now = rows.first().map(|row| get(row, "now")).transpose()?.unwrap_or(0);
        let looked = rows.iter().map(looked).collect::<Result<Vec<_>>>()?;
        if looked.len() != asked.len() {
            return Err(no_answer("what is known of some jobs"));
        }
        Ok((Timestamp::from_micros(now), looked))
    }
}

fn looked(row: &Row) -> Result<Looked> {
    let state = |column| {
        let number = get::<Option<i16>>(row, column)?;
        state_numbered(number.unwrap_or(1))
    };
    let known = match get::<Option<i64>>(row, "seq")? {
        None => None,
        Some(seq) => Some(Known {
            seq: seq.unsigned_abs(),
            is_conflict: get(row, "conflict")?,
            state: state("state")?,
        }),
    };
    let holder = match get::<Option<i64>>(row, "holder_seq")? {
        None => None,
        Some(seq) => Some(Holder {
            seq: seq.unsigned_abs(),
            id: JobId::from_u128(get::<Uuid>(row, "holder")?.as_u128()),
            state: state("holder_state")?,
            attempt: get::<Option<i32>>(row, "holder_attempt")?.unwrap_or(0),
        }),
    };
    Ok(Looked { known, holder })
}
