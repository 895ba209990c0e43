//! This process among the others that have the store open.

use taskwright_core::Timestamp;
use taskwright_core::limits::LEASE;
use taskwright_store::{NodeView, Result};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::link::{Link, micros, no_answer};
use crate::row::get;
use crate::store::PostgresStore;

/// Nodes not heard of for so long are gone, in microseconds.
const GONE: i64 = 30_000_000;

/// Makes this process known, and answers its epoch, which is higher than that of every node before.
///
/// Where no other node is alive, the store was down: every lease is granted afresh, since nobody
/// could renew it.
pub(crate) async fn join(link: &Link, shown: Option<i64>, name: &str) -> Result<i32> {
    let rows = link
        .query(
            "with alive as ( \
                 select count(*) as nodes from taskwright.node \
                 where seen_at > taskwright.time_of($1) - $4 \
             ), me as ( \
                 insert into taskwright.node (epoch, name, version, started_at, seen_at) \
                 select nextval('taskwright.epoch_seq')::int, $2, $3, taskwright.time_of($1), \
                        taskwright.time_of($1) returning epoch \
             ), granted as ( \
                 update taskwright.worker w set lease_end = m.served + $5 \
                 from taskwright.meta m, alive \
                 where alive.nodes = 0 and w.lease_end > 0 returning 1 \
             ), clock as ( \
                 update taskwright.meta m set swept_at = greatest(m.swept_at, taskwright.time_of($1)) \
                 from alive where alive.nodes = 0 returning 1 \
             ) select epoch from me",
            &[
                (&shown, Type::INT8),
                (&name, Type::TEXT),
                (&env!("CARGO_PKG_VERSION"), Type::TEXT),
                (&GONE, Type::INT8),
                (&micros(LEASE), Type::INT8),
            ],
        )
        .await?;
    let row = rows.first().ok_or_else(|| no_answer("an epoch"))?;
    get(row, "epoch")
}

impl PostgresStore {
    /// Tells the others that this node lives, and learns whether there are others.
    pub(crate) async fn note_node(&self) -> Result<()> {
        let rows = self
            .link
            .query(
                "with me as (update taskwright.node set seen_at = taskwright.time_of($1) \
                             where epoch = $2), \
                      gone as (delete from taskwright.node \
                               where seen_at < taskwright.time_of($1) - 100 * $3 and epoch <> $2) \
                 select count(*) as others from taskwright.node \
                 where epoch <> $2 and seen_at > taskwright.time_of($1) - $3",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&self.epoch, Type::INT4),
                    (&GONE, Type::INT8),
                ],
            )
            .await?;
        let others: i64 = rows.first().map(|row| get(row, "others")).transpose()?.unwrap_or(0);
        self.hints.set_peers(others > 0);
        Ok(())
    }

    pub(crate) async fn list_nodes(&self) -> Result<Vec<NodeView>> {
        let rows = self
            .link
            .query(
                "select epoch, name, version, started_at, seen_at from taskwright.node order by epoch",
                &[],
            )
            .await?;
        let view = |row: &Row| {
            let instant = |column| Ok(Timestamp::from_micros(get(row, column)?));
            Ok(NodeView {
                epoch: get::<i32>(row, "epoch")?.unsigned_abs(),
                name: get::<String>(row, "name")?.into(),
                version: get::<String>(row, "version")?.into(),
                started_at: instant("started_at")?,
                seen_at: instant("seen_at")?,
            })
        };
        rows.iter().map(view).collect()
    }

    /// Takes this node out, and ends the leases of workers that lived in its process.
    pub(crate) async fn leave(&self) -> Result<()> {
        self.link
            .query(
                "with left_over as (update taskwright.worker set lease_end = 0 \
                                    where epoch = $1 and in_process), \
                      water as (update taskwright.meta set high_water = \
                                greatest(high_water, taskwright.time_of($2))) \
                 delete from taskwright.node where epoch = $1",
                &[(&self.epoch, Type::INT4), (&self.clock.shown(), Type::INT8)],
            )
            .await?;
        Ok(())
    }
}
