//! A store that is asked again while its errors may pass. Every call of a move may be repeated.

use std::time::Duration;

use taskwright_core::{Job, JobId, Name};
use taskwright_engine::ids::IdSource;
use taskwright_engine::{Error, Result};
use taskwright_store::{
    Command, Document, Exported, Filter, Imported, Page, QueueCounts, Record, Report, Reported,
    Store, Tick, Ticked, Wanted,
};

use super::PAGE_JOBS;
use crate::retrying::retrying;

/// The longest one call may take.
const EACH: Duration = Duration::from_secs(60);
/// How long a call is repeated.
const TOTAL: Duration = Duration::from_secs(180);

/// One of the two stores of a move.
pub(super) struct Patient<'a> {
    store: &'a dyn Store,
    /// What it is called in errors.
    name: &'static str,
    ids: IdSource,
}

impl<'a> Patient<'a> {
    pub fn new(store: &'a dyn Store, name: &'static str) -> Self {
        Patient { store, name, ids: IdSource::default() }
    }

    pub async fn export(&self, after: Option<u64>) -> Result<Exported> {
        self.ask(|| self.store.export(after, PAGE_JOBS)).await
    }

    pub async fn import(&self, records: &[Record]) -> Result<Vec<Imported>> {
        self.ask(|| self.store.import(records.to_vec())).await
    }

    pub async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        self.ask(|| self.store.get(namespace, ids)).await
    }

    pub async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        self.ask(|| self.store.counts(namespace)).await
    }

    pub async fn list(&self, filter: &Filter) -> Result<Page> {
        self.ask(|| self.store.list(filter.clone())).await
    }

    pub async fn report(&self, reports: &[Report]) -> Result<Vec<Reported>> {
        self.ask(|| self.store.report(reports.to_vec())).await
    }

    pub async fn control(&self, actor: &str, commands: &[Command]) -> Result<()> {
        self.ask(|| self.store.control(actor, commands.to_vec())).await.map(|_| ())
    }

    pub async fn documents(&self, wanted: Wanted, limit: usize) -> Result<Vec<Document>> {
        self.ask(|| self.store.documents(wanted.clone(), limit)).await
    }

    pub async fn tick(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>> {
        self.ask(|| self.store.tick(ticks.clone())).await
    }

    async fn ask<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = taskwright_store::Result<T>>,
    {
        let call = || {
            let answer = call();
            async move { answer.await.map_err(Error::from) }
        };
        retrying(&self.ids, EACH, TOTAL, call).await.map_err(|error| {
            let message = format!("{} of the move failed: {}", self.name, error.message);
            Error { message, ..error }
        })
    }
}
