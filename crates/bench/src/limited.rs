//! What limits and turns cost: jobs that each have a limit key, and jobs that besides have a group in a
//! fair queue, beside jobs that have neither.

use std::sync::Arc;

use taskwright_core::{Name, Policy, Subject};
use taskwright_engine::{Api, Engine, Result};
use taskwright_local::{LocalStore, MemoryOptions};
use taskwright_store::{Command, SystemClock};

use crate::life::{self, Caller};
use crate::measure::{Figure, Tally};
use crate::run::{BATCH, BATCH_CALLERS, Bench};

/// Jobs that are drained.
const JOBS: usize = 400_000;
/// Keys that they have, each with a limit that they never reach.
const KEYS: usize = 1_000;
const AT_ONCE: u32 = 1_000;

/// Which jobs are drained.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Jobs {
    Plain,
    Limited,
    Fair,
}

impl Bench {
    /// The rate at which jobs with a limit key each are claimed and completed, and of jobs that besides
    /// have a group in a fair queue; their floor is the rate of plain jobs, on another store of the kind.
    pub(crate) fn limited_drain(&self, kind: &str) -> Result<Vec<Figure>> {
        let plain = self.drained(kind, Jobs::Plain)?.rate();
        let figure = |name: &str, jobs| -> Result<Figure> {
            let name = format!("{kind}.inprocess.{name}.drain");
            Ok(Figure::rate(&name, &self.drained(kind, jobs)?).over(plain))
        };
        Ok(vec![figure("limited", Jobs::Limited)?, figure("fair", Jobs::Fair)?])
    }

    fn drained(&self, kind: &str, jobs: Jobs) -> Result<Tally> {
        if kind == "file" {
            let opened = self.open()?;
            return self.runtime.block_on(self.drain_limited(&opened.api, jobs));
        }
        let store = LocalStore::open_memory(MemoryOptions::default(), Arc::new(SystemClock))?;
        let api: Arc<dyn Api> = Engine::start(store)?;
        self.runtime.block_on(self.drain_limited(&api, jobs))
    }

    async fn drain_limited(&self, api: &Arc<dyn Api>, jobs: Jobs) -> Result<Tally> {
        preload(api, jobs, self.options.scaled(JOBS)).await?;
        life::drain(api, BATCH_CALLERS, BATCH).await
    }
}

/// Puts in so many jobs, and the policies that count for them.
pub(crate) async fn preload(api: &Arc<dyn Api>, jobs: Jobs, count: usize) -> Result<()> {
    let mut caller = Caller::new(api, 0);
    let at_once = Policy { concurrency: Some(AT_ONCE), ..Policy::default() };
    let fair = Policy { fair: true, ..Policy::default() };
    let mut policies = Vec::new();
    if jobs != Jobs::Plain {
        policies.push((Subject::Key("tenant:*".into()), at_once));
        caller = caller.with_limit_keys(KEYS);
    }
    if jobs == Jobs::Fair {
        policies.push((Subject::Queue(caller.queue()), fair));
        caller = caller.in_groups();
    }
    let set = |(subject, policy)| Command::SetPolicy {
        namespace: Name::default_name(),
        subject,
        policy: Some(policy),
    };
    api.control("bench", policies.into_iter().map(set).collect()).await?;
    life::preload_by(&caller, count).await
}
