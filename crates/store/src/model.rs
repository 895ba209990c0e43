//! The naive model: a store that is a list and linear scans, the judge of every other store.
//!
//! Written to be obviously right and nothing else: no index, no counter, nothing kept that can be
//! computed.
//! Tests compare real stores with it.

mod change;
mod claim;
mod documents;
mod limits;
mod look;
mod moving;
mod state;
mod time_served;
mod turns;
mod unique;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use taskwright_core::limits::{PROMOTIONS_MAX, WAIT_MAX};
use taskwright_core::{JobId, Name, Policy, Subject};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::contract::Store;
use crate::document::{Document, Tick, Ticked, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Events, Nudges, Publisher};
use crate::moving::{Exported, Imported, Record, check_batch};
use crate::request::*;
use crate::retention::Retention;
use crate::view::*;

pub use state::Audited;
use state::State;

/// The store that is obviously right. Everything is in memory and gone with it.
pub struct NaiveStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told whenever a job may have become ready, and at the close.
    stirred: Notify,
}

impl NaiveStore {
    /// An empty store with the default retention.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        NaiveStore::with_retention(clock, Retention::default())
    }

    /// An empty store that keeps ended jobs within these bounds.
    pub fn with_retention(clock: Arc<dyn Clock>, retention: Retention) -> Self {
        let state = Mutex::new(State::new(clock.now(), retention));
        NaiveStore { clock, state, stirred: Notify::new() }
    }

    /// Does what opening a durable store again does: a new epoch, every lease granted afresh, and
    /// those of workers in its process over.
    pub fn reopened(&self) {
        let mut state = self.locked();
        state.observe(self.clock.now());
        state.reopened();
    }

    /// What operators asked for, in order.
    pub fn audit_record(&self) -> Vec<Audited> {
        self.locked().audit.clone()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one call on the state, at the store's own time, and then tells those who wait.
    fn call<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T> {
        let mut state = self.locked();
        if state.publisher.is_none() {
            return Err(closed());
        }
        state.observe(self.clock.now());
        let answer = act(&mut state);
        state.settle(PROMOTIONS_MAX);
        state.announce();
        drop(state);
        self.stirred.notify_waiters();
        Ok(answer)
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed; open it again")
}

#[async_trait]
impl Store for NaiveStore {
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>> {
        self.call(|state| state.insert(insert))
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>> {
        let deadline = Instant::now() + claim.wait.min(WAIT_MAX);
        loop {
            let stirred = self.stirred.notified();
            tokio::pin!(stirred);
            stirred.as_mut().enable();
            if let Some(jobs) = self.attempt_claim(&claim)? {
                return Ok(jobs);
            }
            if tokio::time::timeout_at(deadline, stirred).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        self.call(|state| reports.into_iter().map(|report| state.report(report)).collect())
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        self.call(|state| state.heartbeat(heartbeat))
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.call(|state| state.sweep(limit))
    }

    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>> {
        self.call(|state| {
            commands.into_iter().map(|command| state.control(actor, command)).collect()
        })
    }

    async fn tick(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>> {
        self.call(|state| ticks.into_iter().map(|tick| state.tick(tick)).collect())
    }

    async fn documents(&self, wanted: Wanted, limit: usize) -> Result<Vec<Document>> {
        self.call(|state| state.documents(&wanted, limit))
    }

    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        self.call(|state| ids.iter().map(|&id| state.get(namespace, id)).collect())
    }

    async fn list(&self, filter: Filter) -> Result<Page> {
        self.call(|state| state.list(&filter))
    }

    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>> {
        self.call(|state| state.peek(namespace, queue, max))
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        self.call(|state| state.counts(namespace))
    }

    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        self.call(|state| state.policies_of(namespace))
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        self.call(|state| state.workers(namespace))
    }

    async fn export(&self, after: Option<u64>, limit: usize) -> Result<Exported> {
        self.call(|state| state.export(after, limit))
    }

    async fn import(&self, records: Vec<Record>) -> Result<Vec<Imported>> {
        check_batch(&records)?;
        self.call(|state| records.into_iter().map(|record| state.import(record)).collect())
    }

    fn events(&self) -> Events {
        // Without a publisher the store is closed, and so is the stream of a publisher just dropped.
        self.locked()
            .publisher
            .as_ref()
            .map_or_else(|| Publisher::default().subscribe(), Publisher::subscribe)
    }

    fn nudges(&self) -> Nudges {
        let state = self.locked();
        state.publisher.as_ref().map_or_else(Nudges::none, Publisher::subscribe_to_nudges)
    }

    async fn describe(&self) -> Result<Description> {
        self.call(|state| Description {
            kind: "naive",
            location: "memory of this process".to_owned(),
            durability: Durability::Memory,
            epoch: state.epoch,
            now: state.now,
            facts: Vec::new(),
        })
    }

    async fn close(&self) -> Result<()> {
        self.locked().publisher = None;
        self.stirred.notify_waiters();
        Ok(())
    }
}

impl NaiveStore {
    /// What the claim gets now; `None`: nothing is ready, and the caller may wait.
    fn attempt_claim(&self, claim: &Claim) -> Result<Option<Vec<ClaimedJob>>> {
        let mut state = self.locked();
        if state.publisher.is_none() {
            return Err(closed());
        }
        state.observe(self.clock.now());
        let answer = state.claim(claim);
        state.announce();
        answer
    }
}
