//! Everything that can be looked at, in the store and in the model.

use std::sync::Arc;

use taskwright_core::{JobId, Name};

use super::answers::{telling, without_words};
use super::make::{namespace, queue};
use super::ops::QUEUES;
use super::world::{Checked, World, same, swept};
use crate::clock::Clock;
use crate::contract::Store;
use crate::fault::FaultStore;
use crate::moving::Record;
use crate::request::*;
use crate::view::WorkerView;

impl World<'_> {
    pub async fn compare_time(&self) -> Checked {
        let model = self.model.describe().await.map_err(|error| error.to_string())?;
        let store = self.store.describe().await.map_err(|error| format!("describe: {error}"))?;
        same("the store's time", model.now, store.now)
    }

    pub async fn compare_counts(&self) -> Checked {
        for namespace in [namespace(false), namespace(true)] {
            let model = self.model.counts(&namespace).await.map_err(|error| error.to_string())?;
            let store = self.store.counts(&namespace).await;
            let store = store.map_err(|error| format!("counts: {error}"))?;
            same("counts", telling(model), telling(store))?;
        }
        Ok(())
    }

    pub async fn compare_everything(&self) -> Checked {
        for namespace in [namespace(false), namespace(true)] {
            self.compare_jobs(&namespace).await?;
            self.compare_lists(Filter {
                namespace: namespace.clone(),
                queue: None,
                task: None,
                state: None,
                tag: None,
                before: None,
                limit: 7,
            })
            .await?;
            for number in 0..QUEUES {
                self.compare_peeks(&namespace, &queue(number), usize::MAX >> 1).await?;
            }
            self.compare_workers(&namespace).await?;
            self.compare_policies(&namespace).await?;
        }
        self.compare_documents().await?;
        self.compare_exports().await
    }

    /// Page by page, each side with its own cursor: what jobs hide is compared too.
    async fn compare_exports(&self) -> Checked {
        let (mut in_model, mut in_store) = (None, None);
        loop {
            let model = self.model.export(in_model, 7).await.map_err(|e| e.to_string())?;
            let store = self.store.export(in_store, 7).await;
            let store = store.map_err(|error| format!("export: {error}"))?;
            same("settings of an export", model.settings, store.settings)?;
            (in_model, in_store) = (model.next, store.next);
            let without_words =
                |record: Record| Record { job: without_words(record.job), ..record };
            let translated =
                |record: Record| Record { job: self.translation.job(record.job), ..record };
            let model: Vec<_> = model.records.into_iter().map(without_words).collect();
            let store: Vec<_> = store.records.into_iter().map(translated).collect();
            same("export", model, store)?;
            same("cursor of an export", in_model, in_store.map(|n| self.translation.number(n)))?;
            if in_model.is_none() {
                return Ok(());
            }
        }
    }

    async fn compare_policies(&self, namespace: &Name) -> Checked {
        let model = self.model.policies(namespace).await.map_err(|error| error.to_string())?;
        let store = self.store.policies(namespace).await;
        same("policies", model, store.map_err(|error| format!("policies: {error}"))?)
    }

    async fn compare_jobs(&self, namespace: &Name) -> Checked {
        let ids: Vec<JobId> = self.jobs.iter().map(|job| job.id).collect();
        let model = self.model.get(namespace, &ids).await.map_err(|error| error.to_string())?;
        let store = self.store.get(namespace, &ids).await;
        let store = store.map_err(|error| format!("get: {error}"))?;
        same("number of answers to a get", model.len(), store.len())?;
        for (model, store) in model.into_iter().zip(store) {
            let store = store.map(|job| self.translation.job(job));
            same("get", model.map(without_words), store)?;
        }
        Ok(())
    }

    /// Page by page, each side with its own cursor.
    pub async fn compare_lists(&self, filter: Filter) -> Checked {
        let (mut model_filter, mut store_filter) = (filter.clone(), filter);
        loop {
            let model = self.model.list(model_filter.clone()).await.map_err(|e| e.to_string())?;
            let store = self.store.list(store_filter.clone()).await;
            let store = store.map_err(|error| format!("list: {error}"))?;
            model_filter.before = model.next;
            store_filter.before = store.next;
            let jobs = model.jobs.into_iter().map(without_words).collect();
            same("list", Page { jobs, ..model }, self.translation.page(store))?;
            if model_filter.before.is_none() {
                return Ok(());
            }
        }
    }

    pub async fn compare_peeks(&self, namespace: &Name, queue: &Name, max: usize) -> Checked {
        let model = self.model.peek(namespace, queue, max).await.map_err(|e| e.to_string())?;
        let store = self.store.peek(namespace, queue, max).await;
        let store = store.map_err(|error| format!("peek: {error}"))?;
        let model = model.into_iter().map(without_words).collect::<Vec<_>>();
        same("peek", model, store.into_iter().map(|job| self.translation.job(job)).collect())
    }

    pub async fn compare_workers(&self, namespace: &Name) -> Checked {
        let model = self.model.workers(namespace).await.map_err(|error| error.to_string())?;
        let store = self.store.workers(namespace).await;
        let store = store.map_err(|error| format!("workers: {error}"))?;
        if !self.was_reopened {
            return same("workers", model, store);
        }
        // What a worker said of itself need not outlive the process; what it holds does.
        let holding = |views: Vec<WorkerView>| -> Vec<_> {
            let holding = views.into_iter().filter(|view| view.running > 0);
            holding.map(|view| (view.id, view.running)).collect()
        };
        same("workers that hold jobs", holding(model), holding(store))
    }

    pub async fn reopen(&mut self) -> Checked {
        let latest = self.model.describe().await.map_err(|error| error.to_string())?.now;
        // Time that nothing was written at may be forgotten.
        self.clock.set(self.clock.now().max(latest));
        let Some(store) = self.harness.reopen(Arc::clone(self.store.inner())).await else {
            return Ok(());
        };
        self.store = FaultStore::scripted(store);
        self.was_reopened = true;
        for ((namespace, _), hand) in &mut self.hands {
            let ids: Vec<_> = hand.last_given.iter().map(|(id, _)| *id).collect();
            let jobs = self.model.get(namespace, &ids).await.map_err(|error| error.to_string())?;
            let still_runs = |(job, (_, token)): (_, &(_, _))| {
                let job: &Option<taskwright_core::Job> = job;
                job.as_ref().is_some_and(|job| job.life.token() == Some(*token))
            };
            hand.is_remembered &= jobs.iter().zip(&hand.last_given).any(still_runs);
        }
        self.model.reopened();
        // Workers of the process are gone: at the opening or with the next sweep.
        swept(&self.model).await.map_err(|error| error.to_string())?;
        swept(&self.store).await.map_err(|error| format!("sweep: {error}"))?;
        self.note_forgotten_workers().await
    }
}
