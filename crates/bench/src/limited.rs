//! What limits cost: jobs that each have a limit key, beside jobs that have none.

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

impl Bench {
    /// The rate at which jobs with a limit key each are claimed and completed; its floor is the rate
    /// of jobs without, on another store of the same kind.
    pub(crate) fn limited_drain(&self, kind: &str) -> Result<Vec<Figure>> {
        let plain = self.drained(kind, 0)?;
        let limited = self.drained(kind, KEYS)?;
        let name = format!("{kind}.inprocess.limited.drain");
        Ok(vec![Figure::rate(&name, &limited).over(plain.rate())])
    }

    fn drained(&self, kind: &str, keys: usize) -> Result<Tally> {
        if kind == "file" {
            let opened = self.open()?;
            return self.runtime.block_on(self.drain_limited(&opened.api, keys));
        }
        let store = LocalStore::open_memory(MemoryOptions::default(), Arc::new(SystemClock))?;
        let api: Arc<dyn Api> = Engine::start(store)?;
        self.runtime.block_on(self.drain_limited(&api, keys))
    }

    async fn drain_limited(&self, api: &Arc<dyn Api>, keys: usize) -> Result<Tally> {
        let policy = Command::SetPolicy {
            namespace: Name::default_name(),
            subject: Subject::Key("tenant:*".into()),
            policy: Some(Policy { concurrency: Some(AT_ONCE), ..Policy::default() }),
        };
        api.control("bench", vec![policy]).await?;
        let caller = Caller::new(api, 0).with_limit_keys(keys);
        life::preload_by(&caller, self.options.scaled(JOBS)).await?;
        life::drain(api, BATCH_CALLERS, BATCH).await
    }
}
