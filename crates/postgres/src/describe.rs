//! What the store is and what it promises, from the live settings of the database.

use std::sync::Arc;

use taskwright_core::Timestamp;
use taskwright_store::{Description, Durability, Result};
use tokio_postgres::types::Type;

use crate::link::no_answer;
use crate::row::get;
use crate::store::PostgresStore;

const LOOK: &str = "
    select taskwright.time_of($1) as now,
           current_setting('server_version') as version,
           current_setting('fsync') as fsync,
           current_setting('full_page_writes') as full_page_writes,
           current_setting('synchronous_commit') as synchronous_commit,
           current_setting('synchronous_standby_names') as standbys,
           current_setting('data_checksums') as checksums,
           (select count(*) from taskwright.node) as nodes";

impl PostgresStore {
    /// The store's time, without all the rest.
    pub(crate) async fn time(&self) -> Result<Timestamp> {
        let shown = self.clock.shown();
        let rows = self
            .link
            .query("select taskwright.time_of($1) as now", &[(&shown, Type::INT8)])
            .await?;
        let row = rows.first().ok_or_else(|| no_answer("its time"))?;
        Ok(Timestamp::from_micros(get(row, "now")?))
    }

    pub(crate) async fn description(&self) -> Result<Description> {
        let rows = self.link.query(LOOK, &[(&self.clock.shown(), Type::INT8)]).await?;
        let row = rows.first().ok_or_else(|| no_answer("its settings"))?;
        let setting = |column| get::<String>(row, column);
        let (fsync, commit) = (setting("fsync")?, setting("synchronous_commit")?);
        let standbys = setting("standbys")?;
        let mut facts: Vec<(Arc<str>, String)> = vec![
            ("PostgreSQL".into(), setting("version")?),
            ("fsync".into(), fsync.clone()),
            ("synchronous_commit".into(), commit.clone()),
            ("full_page_writes".into(), setting("full_page_writes")?),
            ("data_checksums".into(), setting("checksums")?),
            ("schema".into(), self.schema.clone()),
            ("nodes".into(), get::<i64>(row, "nodes")?.to_string()),
        ];
        if !standbys.is_empty() {
            facts.push(("synchronous standbys".into(), standbys.clone()));
        }
        facts.extend(self.health_facts().await?);
        Ok(Description {
            kind: "postgres",
            location: self.link.pool.target().to_string(),
            durability: durability(&fsync, &commit, &standbys),
            epoch: self.epoch.unsigned_abs(),
            now: Timestamp::from_micros(get(row, "now")?),
            facts,
        })
    }
}

/// What survives, by the settings that decide it.
fn durability(fsync: &str, commit: &str, standbys: &str) -> Durability {
    let is_replicated = !standbys.is_empty() && ["on", "remote_apply"].contains(&commit);
    match (fsync, commit) {
        ("off", _) | (_, "off") => Durability::Delayed,
        _ if is_replicated => Durability::Replicated,
        _ => Durability::Synced,
    }
}
