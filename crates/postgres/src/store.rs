//! The store: its parts, and the contract in terms of them.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use taskwright_core::{Job, JobId, Name, Policy, Subject, Timestamp};
use taskwright_store::*;
use tokio::task::JoinHandle;

use crate::clock::StoreClock;
use crate::connect::{Health, Pool, Target};
use crate::floors::Floors;
use crate::gather::Gather;
use crate::gather::claim::Claims;
use crate::gather::insert::Inserts;
use crate::gather::report::Reports;
use crate::hints::Hints;
use crate::lanes::Lanes;
use crate::limits::{Limits, serve};
use crate::link::Link;
use crate::requirements::Requirements;
use crate::sweep::Pace;
use crate::tally::TallyMark;
use crate::{background, migrate, node};

/// How to open a PostgreSQL store.
#[derive(Clone, Default)]
pub struct PostgresOptions {
    /// How long ended jobs are kept.
    pub retention: Retention,
    /// A name for people to know this process by, often `host:pid`.
    pub node_name: String,
    /// The clock of a test; `None`: the database's clock, so that nodes whose clocks differ behave
    /// as one.
    pub clock: Option<Arc<dyn Clock>>,
}

/// Jobs in a PostgreSQL database, shared by any number of processes.
pub struct PostgresStore {
    pub(crate) link: Link,
    pub(crate) clock: StoreClock,
    pub(crate) retention: Retention,
    pub(crate) schema: String,
    pub(crate) epoch: i32,
    pub(crate) lanes: Lanes,
    pub(crate) requirements: Requirements,
    pub(crate) floors: Floors,
    pub(crate) hints: Arc<Hints>,
    pub(crate) inserts: Arc<Gather<Inserts>>,
    pub(crate) claims: Arc<Gather<Claims>>,
    pub(crate) reports: Arc<Gather<Reports>>,
    pub(crate) has_more: AtomicBool,
    pub(crate) sweeps: AtomicU64,
    pub(crate) lanes_looked_at: AtomicI32,
    pub(crate) pace: Mutex<Pace>,
    pub(crate) tally: TallyMark,
    pub(crate) limits: Arc<Limits>,
    is_closed: AtomicBool,
    loops: Mutex<Vec<JoinHandle<()>>>,
}

impl PostgresStore {
    /// Opens the store that `url` names; the schema is made or migrated where it must be.
    ///
    /// # Errors
    /// `Invalid` for a URL that makes no sense, `Unavailable` where the database cannot be reached,
    /// `Unusable` where it does not let us in, `TooNew` where the schema is of a newer version.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Arc<Self>> {
        let target = Target::parse(url)?;
        let schema = target.schema().to_owned();
        let link = Link::new(Pool::new(target)?, &schema);
        migrate::to_newest(&link, &schema).await?;
        let clock = StoreClock::of(options.clock);
        let epoch = node::join(&link, clock.shown(), &options.node_name).await?;
        let store = Arc::new(PostgresStore {
            link,
            clock,
            retention: options.retention,
            schema,
            epoch,
            lanes: Lanes::default(),
            requirements: Requirements::default(),
            floors: Floors::default(),
            hints: Hints::new(),
            inserts: Arc::default(),
            claims: Arc::default(),
            reports: Arc::default(),
            has_more: AtomicBool::new(false),
            sweeps: AtomicU64::new(0),
            lanes_looked_at: AtomicI32::new(0),
            pace: Mutex::default(),
            tally: TallyMark::default(),
            limits: Arc::default(),
            is_closed: AtomicBool::new(false),
            loops: Mutex::default(),
        });
        *store.loops() = background::start(&store);
        Ok(store)
    }

    /// Whether there is a store where `url` says. Nothing is made.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn is_there(url: &str) -> Result<bool> {
        let target = Target::parse(url)?;
        let schema = target.schema().to_owned();
        let link = Link::new(Pool::new(target)?, &schema);
        let version = migrate::version(&link, &schema).await;
        link.pool.close();
        Ok(version? > 0)
    }

    fn loops(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Closed, "the store is closed; open it again"));
        }
        Ok(())
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        for task in self.loops().drain(..) {
            task.abort();
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>> {
        self.check_open()?;
        let concerned = serve::of_jobs(&insert.jobs);
        let answers = Box::pin(self.insert_gathered(insert)).await?;
        self.serve_after(concerned).await;
        Ok(answers)
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>> {
        self.check_open()?;
        Box::pin(self.claim_or_wait(claim)).await
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        self.check_open()?;
        let concerned = reports.iter().map(|report| report.namespace.clone()).collect();
        let answers = Box::pin(self.report_gathered(reports)).await?;
        self.serve_after_ends(concerned).await;
        Ok(answers)
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        self.check_open()?;
        let concerned = [heartbeat.namespace.clone()].into();
        let reply = Box::pin(self.beat(heartbeat)).await?;
        self.serve_after(concerned).await;
        Ok(reply)
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.check_open()?;
        Box::pin(self.sweep_once(limit)).await
    }

    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>> {
        self.check_open()?;
        let concerned = serve::of_commands(&commands);
        let answers = Box::pin(self.control_all(actor, commands)).await?;
        self.serve_after_ends(concerned).await;
        Ok(answers)
    }

    async fn tick(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>> {
        self.check_open()?;
        let concerned = serve::of_jobs(ticks.iter().flat_map(|tick| &tick.jobs));
        let answers = Box::pin(self.tick_all(ticks)).await?;
        self.serve_after(concerned).await;
        Ok(answers)
    }

    async fn documents(&self, wanted: Wanted, limit: usize) -> Result<Vec<Document>> {
        self.check_open()?;
        self.find_documents(wanted, limit).await
    }

    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        self.check_open()?;
        Box::pin(self.get_jobs(namespace, ids)).await
    }

    async fn list(&self, filter: Filter) -> Result<Page> {
        self.check_open()?;
        self.list_jobs(filter).await
    }

    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>> {
        self.check_open()?;
        self.peek_jobs(namespace, queue, max).await
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        self.check_open()?;
        self.count_jobs(namespace).await
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        self.check_open()?;
        self.list_workers(namespace).await
    }

    async fn export(&self, after: Option<u64>, limit: usize) -> Result<Exported> {
        self.check_open()?;
        Box::pin(self.export_page(after, limit)).await
    }

    async fn import(&self, records: Vec<Record>) -> Result<Vec<Imported>> {
        self.check_open()?;
        let concerned = records.iter().map(|record| record.job.namespace.clone()).collect();
        let answers = Box::pin(self.import_all(records)).await?;
        self.serve_after(concerned).await;
        Ok(answers)
    }

    fn events(&self) -> Events {
        self.hints.subscribe()
    }

    fn nudges(&self) -> Nudges {
        self.hints.subscribe_to_nudges()
    }

    async fn now(&self) -> Result<Timestamp> {
        self.check_open()?;
        self.time().await
    }

    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        self.check_open()?;
        self.list_policies(namespace).await
    }

    async fn nodes(&self) -> Result<Vec<NodeView>> {
        self.check_open()?;
        self.list_nodes().await
    }

    fn outage(&self) -> Option<String> {
        match &*self.link.pool.health().borrow() {
            Health::Unreachable { why, .. } => Some(why.clone()),
            Health::Untried | Health::Connected => None,
        }
    }

    async fn describe(&self) -> Result<Description> {
        self.check_open()?;
        self.description().await
    }

    async fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.hints.close();
        for task in self.loops().drain(..) {
            task.abort();
        }
        let left = self.leave().await;
        self.link.pool.close();
        left
    }
}
