//! Doing the steps of a migration, one after the other.

use std::time::{Duration, Instant};

use taskwright_store::{Error, ErrorKind, Result};
use tokio::time::sleep;

use super::Migrator;
use super::books::{self, TABLES};
use super::guard::Guard;
use super::list::{Migration, Step};
use super::plan::{Planned, Progress};
use crate::connect::Repeat;

/// How long a step may wait for a lock: whoever wants the table meanwhile waits behind it.
const LOCK: Duration = Duration::from_millis(300);
/// How long to wait before the same is tried again, at first and in the end.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a step may take, in a transaction and in none.
const STEP: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(24 * 3_600));

/// How long there has been no progress.
struct Patience {
    until: Instant,
    failures: u32,
}

impl Migrator {
    /// Does what is left to do, until the schema has version `to`.
    pub(super) async fn carry_out(
        &self,
        guard: &Guard,
        to: i32,
        progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<()> {
        let mut patience = self.fresh_patience();
        loop {
            // Somebody else may have done some of it meanwhile.
            let found = books::look(&self.link, &self.schema).await?;
            if found.version >= to {
                return Ok(());
            }
            let plan = self.plan_from(&found, Some(to))?;
            let Some(next) = plan.steps.first() else { return Ok(()) };
            if next.step.is_some()
                && let Some(holder) = guard.take(to).await?
            {
                progress(Progress::Waiting { holder: holder.name() });
                self.pause(&mut patience, holder.has_it(to)).await?;
                continue;
            }
            if found.version > 0
                && let Some(nodes) = books::left_behind(&self.link, next.min_reader).await?
            {
                let error = in_use(&nodes, next);
                progress(Progress::Again(next, &error.message));
                self.pause(&mut patience, error).await?;
                continue;
            }
            progress(Progress::Began(next));
            let begun = Instant::now();
            match self.do_step(guard, next).await {
                Ok(()) => {
                    progress(Progress::Done(next, begun.elapsed()));
                    patience = self.fresh_patience();
                }
                Err(error) if error.is_retryable() => {
                    progress(Progress::Again(next, &error.message));
                    self.pause(&mut patience, told(next, error)).await?;
                }
                Err(error) => return Err(told(next, error)),
            }
        }
    }

    fn fresh_patience(&self) -> Patience {
        Patience { until: Instant::now() + self.patience, failures: 0 }
    }

    /// Waits a little longer each time, or gives up with `error`.
    async fn pause(&self, patience: &mut Patience, error: Error) -> Result<()> {
        let longest = PAUSE.0.saturating_mul(1 << patience.failures.min(10)).min(PAUSE.1);
        let pause = longest.mul_f64(self.link.chance());
        patience.failures += 1;
        if Instant::now() + pause >= patience.until {
            return Err(error);
        }
        sleep(pause).await;
        Ok(())
    }

    async fn do_step(&self, guard: &Guard, planned: &Planned) -> Result<()> {
        let Some(step) = &planned.step else {
            return self.transaction(&format!("{}{}", limits(), self.books_script())).await;
        };
        match step.clear {
            None => self.transaction(&self.script(guard, planned, step.sql)).await,
            Some(clear) => {
                tokio::select! {
                    done = self.alone(clear, step.sql) => done?,
                    lost = guard.keep(planned.version) => return Err(lost),
                }
                self.transaction(&self.script(guard, planned, "")).await
            }
        }
    }

    /// A script that ends with the record of its step.
    fn script(&self, guard: &Guard, planned: &Planned, sql: &str) -> String {
        let fence = guard.fence(planned.version, planned.number);
        format!("{}{fence}{sql}\n{}{}", limits(), planned.record, guard.renew())
    }

    /// What a step ends with. Nobody but those who were granted it may call a function that the step
    /// made, from the first moment on.
    pub(super) fn record_script(&self, migration: &Migration, number: i32, step: &Step) -> String {
        let Migration { version, min_reader, steps } = migration;
        let (schema, name) = (&self.schema, step.name);
        let mut script = format!(
            "revoke execute on all functions in schema \"{schema}\" from public;\n\
             insert into taskwright.schema_step (version, step, name) values ({version}, {number}, '{name}');\n"
        );
        if usize::try_from(number).is_ok_and(|number| number == steps.len()) {
            script += &format!(
                "insert into taskwright.schema_version (version, min_reader) values ({version}, {min_reader});\n\
                 select taskwright.grant_all();\n"
            );
        }
        self.link.sql(&script).into_owned()
    }

    /// What makes the schema and the tables of [`books`].
    pub(super) fn books_script(&self) -> String {
        let schema = &self.schema;
        format!(
            "select pg_advisory_xact_lock(hashtext('migrations of {schema}'));\n\
             do $$ begin if to_regnamespace('\"{schema}\"') is null then \
             create schema \"{schema}\"; end if; end $$;\n{}",
            self.link.sql(TABLES)
        )
    }

    /// Runs a script in one transaction: statements that are sent together are one.
    async fn transaction(&self, script: &str) -> Result<()> {
        self.send(script, STEP.0).await
    }

    async fn alone(&self, clear: &str, statement: &str) -> Result<()> {
        self.send(clear, STEP.1).await?;
        self.send(statement, STEP.1).await
    }

    async fn send(&self, sql: &str, limit: Duration) -> Result<()> {
        let sql = self.link.sql(sql);
        let sql = sql.as_ref();
        self.link
            .pool
            .with(Instant::now() + limit, Repeat::No, |connection| async move {
                connection.batch(sql).await
            })
            .await
    }
}

/// What every transaction of a migration begins with.
fn limits() -> String {
    format!(
        "set local lock_timeout = {}; set local statement_timeout = {};\n\
         set local client_min_messages = warning;\n",
        LOCK.as_millis(),
        STEP.0.as_millis()
    )
}

fn told(planned: &Planned, mut error: Error) -> Error {
    let Planned { version, number, name, .. } = planned;
    error.message = format!(
        "step {number} ({name}) of the migration to version {version} was not done: {}; `taskwright migrate` goes on with it",
        error.message
    );
    error
}

fn in_use(nodes: &str, planned: &Planned) -> Error {
    let Planned { version, min_reader, .. } = planned;
    let message = format!(
        "the schema cannot be migrated to version {version} while the nodes {nodes} use it, which do not know version {min_reader}: update or stop them first; after a crash, wait half a minute"
    );
    Error::new(ErrorKind::Busy, message)
}
