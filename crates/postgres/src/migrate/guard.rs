//! Only one process migrates a schema at a time: a row with a lease says which.
//!
//! A step in a transaction holds the row locked until it ends, so nobody takes over in the middle of
//! it, however long it takes. In between, and while a step runs in no transaction, the lease counts,
//! by the database's clock.

use std::time::{Duration, Instant};

use taskwright_store::{Error, ErrorKind, Result};
use tokio::time::sleep;
use tokio_postgres::types::Type;

use crate::connect::Pool;
use crate::link::{Link, micros, no_answer};
use crate::row::get;

/// The code of the error that somebody else migrates by now, or has done the step.
const OVERTAKEN: &str = "TW012";

/// The right to migrate, had or wanted.
pub(crate) struct Guard {
    /// Connections of its own: the lease is renewed while all others are busy.
    link: Link,
    holder: String,
    lease: Duration,
}

/// Who has the right instead.
pub(crate) struct Holder {
    name: String,
    since: Option<i32>,
}

impl Guard {
    pub(crate) fn new(pool: &Pool, schema: &str, lease: Duration) -> Result<Self> {
        let own = Pool::new(pool.target().clone())?;
        let mut bytes = [0; 4];
        let _ = getrandom::fill(&mut bytes);
        let random = u32::from_le_bytes(bytes);
        let holder = format!("process {} ({random:08x})", std::process::id());
        Ok(Guard { link: Link::new(own, schema), holder, lease })
    }

    /// Takes the right to migrate to `version`, or renews it; else says who has it.
    pub(crate) async fn take(&self, version: i32) -> Result<Option<Holder>> {
        let rows = self
            .link
            .query(
                "with free as ( \
                     select 1 from taskwright.migration \
                     where holder is null or holder = $1 or lease_until < clock_timestamp() \
                     for update skip locked \
                 ), taken as ( \
                     update taskwright.migration m set holder = $1, version = $3, \
                         held_by = current_user || coalesce(' at ' || host(inet_client_addr()), ''), \
                         lease_until = clock_timestamp() + $2 * interval '1 microsecond' \
                     from free returning 1 \
                 ) select exists (select from taken) as is_ours, \
                          coalesce(holder || ' of ' || held_by, 'somebody') as holder, version \
                 from taskwright.migration",
                &[
                    (&self.holder, Type::TEXT),
                    (&micros(self.lease), Type::INT8),
                    (&version, Type::INT4),
                ],
            )
            .await?;
        let row = rows.first().ok_or_else(|| no_answer("who migrates"))?;
        if get(row, "is_ours")? {
            return Ok(None);
        }
        Ok(Some(Holder { name: get(row, "holder")?, since: get(row, "version")? }))
    }

    /// Renews the lease again and again; ends only when somebody else has it.
    pub(crate) async fn keep(&self, version: i32) -> Error {
        let mut renewed = Instant::now();
        loop {
            sleep(self.lease / 3).await;
            match self.take(version).await {
                Ok(None) => renewed = Instant::now(),
                Ok(Some(holder)) => return holder.has_it(version),
                // While the lease lasts, nobody else has it.
                Err(_) if renewed.elapsed() < self.lease => {}
                Err(error) => return error,
            }
        }
    }

    /// Lets others migrate. Where that does not go, they wait until the lease is over.
    pub(crate) async fn release(&self) {
        let _ = self
            .link
            .query(
                "update taskwright.migration set holder = null, held_by = null, lease_until = null \
                 where holder = $1",
                &[(&self.holder, Type::TEXT)],
            )
            .await;
        self.link.pool.close();
    }

    /// Statements that a transaction begins with: it fails where another process has taken over, or
    /// has done the step, and nobody takes over before it has ended.
    pub(crate) fn fence(&self, version: i32, step: i32) -> String {
        let Guard { holder, .. } = self;
        format!(
            "do $fence$ begin \
                 perform from taskwright.migration where holder = '{holder}' for update; \
                 if not found or exists (select from taskwright.schema_step s \
                                         where s.version = {version} and s.step = {step}) then \
                     raise exception 'another process has taken over the migration' \
                         using errcode = '{OVERTAKEN}'; \
                 end if; end $fence$;\n"
        )
    }

    /// A statement that a transaction ends with.
    pub(crate) fn renew(&self) -> String {
        let lease = micros(self.lease);
        format!(
            "update taskwright.migration set lease_until = clock_timestamp() + {lease} * interval '1 microsecond';\n"
        )
    }
}

impl Holder {
    /// What to tell somebody who has waited.
    pub(crate) fn has_it(&self, version: i32) -> Error {
        let towards = self.since.unwrap_or(version);
        let message = format!(
            "{} is migrating the schema to version {towards}: wait for it, or end it; its lease is over seconds later",
            self.name
        );
        Error::new(ErrorKind::Busy, message).retry_after(Duration::from_secs(1))
    }

    /// Who it is, in words.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
