//! The engine: every operation over a store.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use taskwright_core::limits::{WAIT_MAX, WAITING_FULL_AGAIN};
use taskwright_core::{Job, JobId, Name, Policy, Subject, Timestamp, Token, Verdict, WorkerId};
use taskwright_store::{
    Claim, ClaimedJob, Command, Controlled, Description, Events, Filter, Heartbeat, HeartbeatReply,
    Insert, Inserted, NodeView, Page, QueueCounts, Refusal, Report, Reported, Store, Swept,
    WorkerView,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::{Api, Enqueued, JobRequest, Start, Work, WorkReply};
use crate::costs::Costs;
use crate::costs::book::Book;
use crate::error::{Error, ErrorCode, Result};
use crate::ids::IdSource;
use crate::nudged::Nudged;
use crate::schedules::{Clerk, Scheduling};
use crate::sweeper::{self, Due, sweep};
use crate::validate;
use crate::waiters::Waiters;

/// How often somebody who waits looks for himself, whatever hints say (S8); jitter is added.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Every operation, over a store. It has a thread of its own, which sweeps and wakes those who
/// wait, whatever the caller's runtime does.
pub struct Engine {
    store: Arc<dyn Store>,
    ids: Arc<IdSource>,
    waiters: Arc<Waiters>,
    nudged: Arc<Nudged>,
    costs: Mutex<Book>,
    /// When the thread should sweep next.
    pub(crate) due: Arc<Due>,
    pub(crate) clerk: Arc<Clerk>,
    background: Background,
    started_at: Instant,
}

/// The engine's own thread and its runtime. Stops when dropped.
struct Background {
    runtime: Handle,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Whether time passes by itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Sweeping {
    Always,
    OnRequest,
}

impl Engine {
    /// An engine that sweeps the store every second, and when a job comes due. Fails where no thread can be started.
    pub fn start(store: Arc<dyn Store>) -> Result<Arc<Engine>> {
        Engine::with(store, Sweeping::Always)
    }

    /// An engine that sweeps only when [`Engine::sweep`] is called: for tests that own the time.
    pub fn start_unswept(store: Arc<dyn Store>) -> Result<Arc<Engine>> {
        Engine::with(store, Sweeping::OnRequest)
    }

    fn with(store: Arc<dyn Store>, sweeping: Sweeping) -> Result<Arc<Engine>> {
        let ids = Arc::new(IdSource::default());
        let due = Arc::new(Due::default());
        let clerk = Arc::new(Clerk::new(Arc::clone(&store), Arc::clone(&ids)));
        let (stop, stopped) = watch::channel(false);
        let background = {
            let (store, ids, due) = (Arc::clone(&store), Arc::clone(&ids), Arc::clone(&due));
            let clerk = Arc::clone(&clerk);
            Background::start(stop, async move {
                let mut until = stopped.clone();
                if sweeping == Sweeping::Always {
                    sweep(store, ids, due, clerk, stopped).await;
                }
                // Those who wait are still to be woken. An error means that the engine is gone.
                let _ = until.wait_for(|stop| *stop).await;
            })?
        };
        let nudged = Arc::new(Nudged::default());
        background.runtime.spawn(Arc::clone(&nudged).listen(store.nudges()));
        let (waiters, started_at) = (Arc::default(), Instant::now());
        let costs = Mutex::default();
        Ok(Arc::new(Engine {
            store,
            ids,
            waiters,
            nudged,
            costs,
            due,
            clerk,
            background,
            started_at,
        }))
    }

    /// Does what is due now, all of it.
    pub async fn sweep(&self) -> Result<Swept> {
        let mut total = Swept::default();
        loop {
            let swept = self.store.sweep(taskwright_core::limits::BATCH_MAX).await?;
            total.due += swept.due;
            total.lapsed += swept.lapsed;
            total.timed_out += swept.timed_out;
            total.expired += swept.expired;
            total.promoted += swept.promoted;
            total.pruned += swept.pruned;
            (total.now, total.next_due) = (swept.now, swept.next_due);
            total.wake_at = swept.wake_at;
            if !swept.more {
                break;
            }
        }
        if total.wake_at.is_some_and(|at| at <= total.now) {
            self.clerk.run(total.now).await?;
        }
        Ok(total)
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) async fn now(&self) -> Result<Timestamp> {
        Ok(self.store.now().await?)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.costs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a node calls itself, by its epoch.
    async fn name_of(&self, epoch: u32) -> Result<Arc<str>> {
        let node = self.nodes().await?.into_iter().find(|node| node.epoch == epoch);
        Ok(node.map_or_else(own_name, |node| node.name))
    }

    /// Jobs were given that may have used up a rate: asks for a sweep when there is room again, where
    /// that is before the next one.
    fn look_for_room(&self, given: &[ClaimedJob]) {
        let Some(job) = given.first() else { return };
        if let Some(at) = self.store.room_at().filter(|&at| at > job.started_at) {
            self.due.by(Instant::now() + at.since(job.started_at));
        }
    }

    /// Notes what attempts cost whose reports counted, now or when they came first.
    fn note_ends(&self, told: &[(Token, Option<Verdict>)], reported: &[Reported], at: Instant) {
        let at = at.saturating_duration_since(self.started_at);
        let mut book = self.book();
        for (&(token, verdict), answer) in told.iter().zip(reported) {
            let counted = matches!(answer, Reported::Applied { .. } | Reported::Already);
            if let Some(verdict) = verdict.filter(|_| counted) {
                book.ended(token, verdict, at);
            }
        }
    }

    async fn look(&self, namespace: &Name, id: JobId) -> Result<Option<Job>> {
        Ok(self.store.get(namespace, &[id]).await?.pop().flatten())
    }
}

impl Background {
    fn start(
        stop: watch::Sender<bool>,
        role: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Background> {
        let failed = |error: std::io::Error| {
            let message =
                format!("cannot start the engine's thread ({error}); end other processes");
            Error::new(ErrorCode::Unavailable, message)
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new()
            .name("taskwright-engine".to_owned())
            .spawn(move || runtime.block_on(role))
            .map_err(failed)?;
        Ok(Background { runtime: handle, stop, thread: Mutex::new(Some(thread)) })
    }

    /// Asks the thread to end, and gives it where it has not been taken.
    fn stop(&self) -> Option<JoinHandle<()>> {
        self.stop.send_replace(true);
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

#[async_trait]
impl Api for Engine {
    async fn enqueue(&self, mut jobs: Vec<JobRequest>, partial: bool) -> Result<Vec<Enqueued>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        validate::batch("the list of jobs", jobs.len())?;
        self.ids.fill(jobs.iter_mut().map(|job| &mut job.id))?;
        let needs_time = jobs.iter().any(|job| job.start != Start::Now);
        let now = if needs_time { self.now().await? } else { Timestamp::ZERO };
        let asked_at = Instant::now();
        let jobs = validate::new_jobs(jobs, now)?;
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let next_due = jobs.iter().filter_map(|job| job.run_at).filter(|&at| at > now).min();
        let inserted = self.store.insert(Insert { jobs, partial }).await?;
        if let Some(at) = next_due {
            self.due.by(asked_at + at.since(now));
        }
        let answered = inserted.into_iter().zip(ids).enumerate();
        answered.filter_map(|(item, (inserted, id))| answer(item, inserted, id, partial)).collect()
    }

    async fn claim(&self, mut claim: Claim) -> Result<Vec<ClaimedJob>> {
        validate::claim(&mut claim)?;
        let (namespace, worker) = (claim.namespace.clone(), claim.worker);
        let jobs = self.store.claim(claim).await?;
        if !jobs.is_empty() {
            self.book().started(&namespace, worker, &jobs, self.started_at.elapsed());
        }
        self.look_for_room(&jobs);
        Ok(jobs)
    }

    async fn report(&self, mut reports: Vec<Report>) -> Result<Vec<Reported>> {
        if reports.is_empty() {
            return Ok(Vec::new());
        }
        validate::reports(&mut reports)?;
        let (asked_at, due_after) = (Instant::now(), sweeper::due_after(&reports));
        let told: Vec<_> = reports.iter().map(|r| (r.token, r.outcome.verdict())).collect();
        let reported = self.store.report(reports).await?;
        self.note_ends(&told, &reported, asked_at);
        if let Some(wait) = due_after {
            self.due.by(asked_at + wait);
        }
        Ok(reported)
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        validate::heartbeat(&heartbeat)?;
        self.nudged.beats(&heartbeat.namespace, heartbeat.worker);
        self.book().named(&heartbeat.namespace, heartbeat.worker, &heartbeat.info.name);
        Ok(self.store.heartbeat(heartbeat).await?)
    }

    async fn listen(&self, namespace: &Name, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.nudged.wait(namespace, worker, wait).await
    }

    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let run_at = |command: &Command| match command {
            Command::Adjust { run_at, .. } => *run_at,
            _ => None,
        };
        let next_due = commands.iter().filter_map(run_at).min();
        let now = if next_due.is_some() { self.now().await? } else { Timestamp::ZERO };
        let asked_at = Instant::now();
        validate::commands(actor, &commands, now)?;
        let controlled = self.store.control(actor, commands).await?;
        if let Some(at) = next_due {
            self.due.by(asked_at + at.since(now));
        }
        Ok(controlled)
    }

    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        validate::ids(ids)?;
        Ok(self.store.get(namespace, ids).await?)
    }

    async fn wait(&self, namespace: &Name, id: JobId, wait: Duration) -> Result<Option<Job>> {
        if wait.is_zero() {
            return self.look(namespace, id).await;
        }
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let waiter = self.waiters.enter(id, &self.store, &self.background.runtime)?;
        loop {
            let mut woken = pin!(waiter.woken());
            // From here on hints count, so that what happens while we look is not missed.
            woken.as_mut().enable();
            let job = self.look(namespace, id).await?;
            let waits_on = job.as_ref().is_some_and(|job| !job.state().is_final());
            if !waits_on || Instant::now() >= deadline {
                return Ok(job);
            }
            let jitter = Duration::from_micros(self.ids.number()? % 250_000);
            let look_at = deadline.min(Instant::now() + LOOK_EVERY + jitter);
            // Either way the next thing is to look.
            let _ = tokio::time::timeout_at(look_at, woken).await;
        }
    }

    async fn list(&self, mut filter: Filter) -> Result<Page> {
        validate::filter(&mut filter);
        Ok(self.store.list(filter).await?)
    }

    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>> {
        let max = max.clamp(1, taskwright_core::limits::PAGE_MAX);
        Ok(self.store.peek(namespace, queue, max).await?)
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        Ok(self.store.counts(namespace).await?)
    }

    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        Ok(self.store.policies(namespace).await?)
    }

    fn scheduling(&self) -> Result<&dyn Scheduling> {
        Ok(self)
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        Ok(self.store.workers(namespace).await?)
    }

    async fn costs(&self, namespace: &Name) -> Result<Costs> {
        let Description { epoch, now, .. } = self.store.describe().await?;
        let node = self.name_of(epoch).await?;
        let (costs, since) = self.book().costs(namespace);
        let counted = self.started_at.elapsed().saturating_sub(since);
        Ok(Costs { node, since: now.minus(counted), now, ..costs })
    }

    async fn nodes(&self) -> Result<Vec<NodeView>> {
        let nodes = self.store.nodes().await?;
        if !nodes.is_empty() {
            return Ok(nodes);
        }
        let Description { epoch, now, .. } = self.store.describe().await?;
        Ok(vec![NodeView {
            epoch,
            name: own_name(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: now.minus(self.started_at.elapsed()),
            seen_at: now,
        }])
    }

    fn outage(&self) -> Option<String> {
        self.store.outage()
    }

    async fn describe(&self) -> Result<Description> {
        Ok(self.store.describe().await?)
    }

    /// The parts are given to the store at the same moment, reports first, so that it can make
    /// them durable together.
    async fn work(&self, work: Work) -> Result<WorkReply> {
        let has_reports = !work.reports.is_empty();
        let claim = async {
            match work.claim {
                None => Ok(Vec::new()),
                Some(mut claim) => {
                    if has_reports {
                        claim.wait = Duration::ZERO;
                    }
                    self.claim(claim).await
                }
            }
        };
        let heartbeat = async {
            match work.heartbeat {
                None => Ok(None),
                Some(heartbeat) => self.heartbeat(heartbeat).await.map(Some),
            }
        };
        let (reported, heartbeat, claimed) =
            tokio::join!(biased; self.report(work.reports), heartbeat, claim);
        Ok(WorkReply { reported: reported?, heartbeat: heartbeat?, claimed: claimed? })
    }

    fn events(&self) -> Option<Events> {
        Some(self.store.events())
    }

    async fn close(&self) -> Result<()> {
        if let Some(thread) = self.background.stop() {
            // The thread ends within one sweep; waiting for it must not hold up a runtime thread.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        Ok(self.store.close().await?)
    }
}

fn own_name() -> Arc<str> {
    format!("pid:{}", std::process::id()).into()
}

/// What the caller hears of one job. `Skipped` is not an answer: the refused one speaks for it.
fn answer(item: usize, inserted: Inserted, id: JobId, partial: bool) -> Option<Result<Enqueued>> {
    match inserted {
        Inserted::New { .. } => Some(Ok(Enqueued::New { id })),
        Inserted::Existing { state, .. } => Some(Ok(Enqueued::Existing { id, state })),
        Inserted::Duplicate { id, state, replaced, .. } => {
            Some(Ok(Enqueued::Duplicate { id, state, replaced }))
        }
        Inserted::Refused(refusal) if partial => Some(Ok(Enqueued::Refused(refusal))),
        Inserted::Refused(refusal) => Some(Err(refused(refusal).at_item(item))),
        Inserted::Skipped => None,
    }
}

/// The error for a job that a store did not write.
pub(crate) fn refused(refusal: Refusal) -> Error {
    let code = match refusal {
        Refusal::IdConflict(_) | Refusal::UniqueTaken { .. } => ErrorCode::Conflict,
        Refusal::LanesFull { .. } => ErrorCode::OverLimit,
        Refusal::WaitingFull { .. } => ErrorCode::WaitingFull,
        Refusal::StoreFull { .. } => ErrorCode::StoreFull,
    };
    let retry_after = (code == ErrorCode::WaitingFull).then_some(WAITING_FULL_AGAIN);
    Error { retry_after, ..Error::new(code, refusal.to_string()) }
}

#[cfg(test)]
#[path = "tests/engine.rs"]
mod tests;
