//! A store that fails now and then, to show that its callers can bear it.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use taskwright_core::{JobId, Name, Policy, Subject, Timestamp};

use crate::contract::Store;
use crate::document::{Document, Tick, Ticked, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Events, Nudges};
use crate::moving::{Exported, Imported, Record};
use crate::request::*;
use crate::view::*;

/// What goes wrong with one call.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The call never reaches the store.
    Unsent,
    /// The store does it, and the reply is lost.
    ReplyLost,
    /// The call reaches the store late.
    Delayed(Duration),
}

/// How often what goes wrong, out of 1,000 calls, and by which chance.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FaultRates {
    /// The same seed gives the same faults in the same order.
    pub seed: u64,
    /// Calls that never reach the store.
    pub unsent: u16,
    /// Calls whose reply is lost.
    pub reply_lost: u16,
    /// Calls that come late.
    pub delayed: u16,
    /// The longest delay.
    pub delay_max: Duration,
}

enum Plan {
    Script(VecDeque<Fault>),
    Chance { rates: FaultRates, calls: u64 },
}

/// Wraps a store, and lets some calls fail with [`ErrorKind::Unavailable`]: before they reach the
/// store, or after it has done what was asked. Hints and the close always work.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
}

impl FaultStore {
    /// A store in which nothing goes wrong but what [`FaultStore::next_fault`] asks for.
    pub fn scripted(inner: Arc<dyn Store>) -> Self {
        FaultStore { inner, plan: Mutex::new(Plan::Script(VecDeque::new())) }
    }

    /// A store in which things go wrong by chance.
    pub fn by_chance(inner: Arc<dyn Store>, rates: FaultRates) -> Self {
        FaultStore { inner, plan: Mutex::new(Plan::Chance { rates, calls: 0 }) }
    }

    /// What goes wrong with the next call, or the first one after those already asked for. A store
    /// that fails by chance fails only as asked from now on.
    pub fn next_fault(&self, fault: Fault) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *plan {
            Plan::Script(faults) => faults.push_back(fault),
            chance @ Plan::Chance { .. } => *chance = Plan::Script(VecDeque::from([fault])),
        }
    }

    /// The store behind the faults.
    pub fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn fault(&self) -> Fault {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *plan {
            Plan::Script(faults) => faults.pop_front().unwrap_or_default(),
            Plan::Chance { rates, calls } => {
                *calls += 1;
                by_chance(rates, *calls)
            }
        }
    }

    async fn through<T>(&self, what: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fault() {
            Fault::None => call.await,
            Fault::Unsent => Err(unavailable(what, "it was not sent")),
            Fault::ReplyLost => {
                let _ = call.await;
                Err(unavailable(what, "its reply was lost"))
            }
            Fault::Delayed(wait) => {
                tokio::time::sleep(wait).await;
                call.await
            }
        }
    }
}

fn unavailable(what: &str, why: &str) -> Error {
    let message = format!("{what} did not succeed ({why}, on purpose); try it again");
    Error::new(ErrorKind::Unavailable, message)
}

fn by_chance(rates: &FaultRates, call: u64) -> Fault {
    // The job id is only a number to mix here: `seed` spreads it evenly.
    let chance = taskwright_core::retry::seed(JobId::from_u128(rates.seed.into()), 0);
    let chance =
        taskwright_core::retry::seed(JobId::from_u128(chance.wrapping_add(call).into()), 0);
    let draw = (chance % 1_000) as u16;
    let delay = rates.delay_max.mul_f64((chance >> 32) as f64 / f64::from(u32::MAX));
    let lost_below = rates.unsent.saturating_add(rates.reply_lost);
    match draw {
        draw if draw < rates.unsent => Fault::Unsent,
        draw if draw < lost_below => Fault::ReplyLost,
        draw if draw < lost_below.saturating_add(rates.delayed) => Fault::Delayed(delay),
        _ => Fault::None,
    }
}

#[async_trait]
impl Store for FaultStore {
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>> {
        self.through("the insert", self.inner.insert(insert)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>> {
        self.through("the claim", self.inner.claim(claim)).await
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        self.through("the report", self.inner.report(reports)).await
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        self.through("the heartbeat", self.inner.heartbeat(heartbeat)).await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.through("the sweep", self.inner.sweep(limit)).await
    }

    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>> {
        self.through("the command", self.inner.control(actor, commands)).await
    }

    async fn tick(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>> {
        self.through("the tick", self.inner.tick(ticks)).await
    }

    async fn documents(&self, wanted: Wanted, limit: usize) -> Result<Vec<Document>> {
        self.through("the documents", self.inner.documents(wanted, limit)).await
    }

    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        self.through("the get", self.inner.get(namespace, ids)).await
    }

    async fn list(&self, filter: Filter) -> Result<Page> {
        self.through("the list", self.inner.list(filter)).await
    }

    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>> {
        self.through("the peek", self.inner.peek(namespace, queue, max)).await
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        self.through("the counts", self.inner.counts(namespace)).await
    }

    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        self.through("the policies", self.inner.policies(namespace)).await
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        self.through("the list of workers", self.inner.workers(namespace)).await
    }

    async fn export(&self, after: Option<u64>, limit: usize) -> Result<Exported> {
        self.through("the export", self.inner.export(after, limit)).await
    }

    async fn import(&self, records: Vec<Record>) -> Result<Vec<Imported>> {
        self.through("the import", self.inner.import(records)).await
    }

    fn events(&self) -> Events {
        self.inner.events()
    }

    fn room_at(&self) -> Option<Timestamp> {
        self.inner.room_at()
    }

    fn nudges(&self) -> Nudges {
        self.inner.nudges()
    }

    async fn now(&self) -> Result<Timestamp> {
        self.through("the time", self.inner.now()).await
    }

    async fn nodes(&self) -> Result<Vec<NodeView>> {
        self.through("the list of nodes", self.inner.nodes()).await
    }

    fn outage(&self) -> Option<String> {
        self.inner.outage()
    }

    async fn describe(&self) -> Result<Description> {
        self.through("the description", self.inner.describe()).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
