//! Lanes without live jobs are given back, so that there is room for others.

use std::sync::atomic::Ordering;

use taskwright_core::limits::LANES_MAX;
use taskwright_store::{ErrorKind, Result};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::row::get;
use crate::store::PostgresStore;

/// Sweeps give lanes back when there are so many pairs of queue and task with open lanes. Fewer are
/// in nobody's way, and most of them are used again.
const OPEN_MAX: i32 = (LANES_MAX / 4) as i32;
/// Lanes that one sweep looks at, whether they can be forgotten.
const LOOKED_AT: i32 = 2_000;

impl PostgresStore {
    /// Closes lanes where there are many, and forgets some that nothing is left of. Where writers are
    /// in the way, a later sweep does it.
    pub(crate) async fn give_back_lanes(&self) -> Result<()> {
        let from = self.tally.from();
        let after = self.lanes_looked_at.load(Ordering::Relaxed);
        let done = self
            .link
            .query(
                "select case when taskwright.open_pairs() > $1 then taskwright.close_lanes($2) end, \
                 taskwright.forget_lanes($3, $4, $2) as last",
                &[
                    (&OPEN_MAX, Type::INT4),
                    (&from, Type::INT8),
                    (&after, Type::INT4),
                    (&LOOKED_AT, Type::INT4),
                ],
            )
            .await;
        let rows = match done {
            Err(error) if error.kind == ErrorKind::Busy => return Ok(()),
            rows => rows?,
        };
        let last = |row: &Row| get::<Option<i32>>(row, "last");
        let last = rows.first().map(last).transpose()?.flatten();
        self.lanes_looked_at.store(last.unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }
}
