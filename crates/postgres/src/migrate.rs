//! The schema, and bringing it to the version of this program while others work with it.
//!
//! A migration is a list of steps. A step is done and recorded in one transaction, or, where it
//! cannot be in one, may be done again: so an interrupted migration goes on with the step at which it
//! was interrupted, by whomever. Nothing waits long for a lock: whoever queues for one holds up all
//! that come behind, so a step rather gives up and tries again.

mod books;
mod guard;
mod list;
mod plan;
mod run;

use std::time::Duration;

use taskwright_store::{Error, ErrorKind, Result};

use crate::connect::{Pool, Target};
use crate::link::Link;

use books::Found;
use guard::Guard;
pub(crate) use list::NEWEST;
pub use list::{Migration, Step, migrations};
pub use plan::{Plan, Planned, Progress};

/// The oldest version of the schema that this program works with.
const OLDEST: i32 = if NEWEST > 1 { NEWEST - 1 } else { 1 };
/// How long a starter waits for another one, and for locks.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nobody else migrates after the last sign of life of who does.
const LEASE: Duration = Duration::from_secs(15);

/// Brings a schema to a version.
pub struct Migrator {
    link: Link,
    schema: String,
    migrations: Vec<Migration>,
    patience: Duration,
    lease: Duration,
}

impl Migrator {
    /// For the schema that `url` names.
    ///
    /// # Errors
    /// `Invalid` for a URL that makes no sense, `Unusable` where certificates cannot be read.
    pub fn new(url: &str) -> Result<Self> {
        let target = Target::parse(url)?;
        let schema = target.schema().to_owned();
        Ok(Migrator::over(Pool::new(target)?, &schema))
    }

    fn over(pool: Pool, schema: &str) -> Self {
        Migrator {
            link: Link::new(pool, schema),
            schema: schema.to_owned(),
            migrations: migrations(),
            patience: PATIENCE,
            lease: LEASE,
        }
    }

    /// Other migrations than those of this program, in the order of their versions, from 1.
    pub fn with(mut self, migrations: Vec<Migration>) -> Self {
        self.migrations = migrations;
        self
    }

    /// How long to wait for another process that migrates, and for locks that others hold, without
    /// any progress; a minute unless told.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// After how long without a sign of life others may go on where this one was; 15 seconds unless
    /// told.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// What would be done to bring the schema to version `to`; `None`: the newest. Changes nothing.
    ///
    /// # Errors
    /// `TooNew` where the schema is of a newer version than is known, `Invalid` where there is no
    /// version `to` or it is older than the schema, and those of a call to the database.
    pub async fn plan(&self, to: Option<i32>) -> Result<Plan> {
        let found = books::look(&self.link, &self.schema).await?;
        self.plan_from(&found, to)
    }

    /// Brings the schema to version `to`; `None`: the newest. Where another process does so, waits for
    /// it. Tells `progress` of each step, and answers the plan that was carried out.
    ///
    /// # Errors
    /// Those of [`Migrator::plan`], `Unusable` where the user may not do so, `Busy` where somebody
    /// else migrates or holds locks for longer than the patience. What was done stays done: the next
    /// run goes on behind it.
    pub async fn run(
        &self,
        to: Option<i32>,
        progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Plan> {
        let found = books::look(&self.link, &self.schema).await?;
        let plan = self.plan_from(&found, to)?;
        if plan.steps.is_empty() {
            return Ok(plan);
        }
        if !found.may_migrate {
            return Err(self.not_allowed(&found));
        }
        let guard = Guard::new(&self.link.pool, &self.schema, self.lease)?;
        let done = self.carry_out(&guard, plan.to, progress).await;
        guard.release().await;
        done.map(|()| plan)
    }

    /// Where jobs are kept; with nothing of a password.
    pub fn place(&self) -> String {
        self.link.pool.target().to_string()
    }

    fn plan_from(&self, found: &Found, to: Option<i32>) -> Result<Plan> {
        let newest = self.migrations.last().map_or(0, |migration| migration.version);
        let to = to.unwrap_or_else(|| newest.max(found.version));
        if found.min_reader > newest {
            return Err(self.too_new(found, newest));
        }
        if to < found.version || (to > newest && to != found.version) {
            let message = format!(
                "cannot bring the schema {:?} from version {} to {to}: name one from there to {newest}; schemas never go back",
                self.schema, found.version
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let ahead = |migration: &&Migration| (found.version + 1..=to).contains(&migration.version);
        let mut steps = Vec::new();
        if !found.has_books && to > found.version {
            steps.push(Planned {
                version: 0,
                number: 1,
                name: "versions",
                sql: self.books_script(),
                record: String::new(),
                is_transaction: true,
                step: None,
                min_reader: 0,
            });
        }
        for migration in self.migrations.iter().filter(ahead) {
            for (number, step) in (1..).zip(&migration.steps) {
                if found.done.contains(&(migration.version, number)) {
                    continue;
                }
                steps.push(Planned {
                    version: migration.version,
                    number,
                    name: step.name,
                    sql: self.link.sql(step.sql).into_owned(),
                    record: self.record_script(migration, number, step),
                    is_transaction: step.is_transaction(),
                    step: Some(*step),
                    min_reader: migration.min_reader,
                });
            }
        }
        Ok(Plan { from: found.version, to, steps })
    }

    fn too_new(&self, found: &Found, known: i32) -> Error {
        let Found { version, min_reader, .. } = found;
        let message = format!(
            "the schema {:?} has version {version} and can only be used by programs that know version {min_reader}, but this one knows up to {known}: use a newer Taskwright",
            self.schema
        );
        Error::new(ErrorKind::TooNew, message)
    }

    fn not_allowed(&self, found: &Found) -> Error {
        let (user, schema) = (&found.user, &self.schema);
        let message = match (&found.owner, found.has_books) {
            (Some(owner), true) => format!(
                "the schema {schema:?} has version {} and has to be migrated, which the user {user:?} may not do: run `taskwright migrate --store URL` with the role {owner:?}, which owns it",
                found.version
            ),
            (Some(owner), false) => format!(
                "the schema {schema:?} is empty, and the user {user:?} may not create tables in it: run `taskwright migrate --store URL` with the role {owner:?}, which owns it, then `select {}.grant_app('{user}')`",
                schema
            ),
            (None, _) => format!(
                "there is no schema {schema:?}, and the user {user:?} may not create one: run `taskwright migrate --store URL` with a role that may (GRANT CREATE ON DATABASE), then `select {}.grant_app('{user}')`",
                schema
            ),
        };
        Error::new(ErrorKind::Unusable, message)
    }
}

/// Makes or migrates the schema where that must and may be done, and refuses one that this program
/// cannot work with: it can with its own version, the one before, and newer ones that allow it.
pub(crate) async fn to_newest(link: &Link, schema: &str) -> Result<()> {
    let found = books::look(link, schema).await?;
    let migrator = Migrator::over(link.pool.clone(), schema);
    let is_usable = found.version >= OLDEST;
    if found.min_reader > NEWEST {
        return Err(migrator.too_new(&found, NEWEST));
    }
    if found.version >= NEWEST || (is_usable && !found.may_migrate) {
        return Ok(());
    }
    match migrator.run(None, &mut |_| ()).await {
        // Somebody is in the way; the next to start tries again.
        Err(error) if is_usable && error.is_retryable() => Ok(()),
        done => done.map(drop),
    }
}

/// The version of the schema; 0: there is none.
pub(crate) async fn version(link: &Link, schema: &str) -> Result<i32> {
    Ok(books::look(link, schema).await?.version)
}
