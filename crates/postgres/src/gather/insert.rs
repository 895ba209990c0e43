//! Small inserts, gathered.

use std::sync::Arc;

use taskwright_core::limits::BATCH_MAX;
use taskwright_store::{Insert, Inserted, Result};

use super::{Gather, Kind, Waiting};
use crate::store::PostgresStore;

/// Inserts of so many jobs and more go by themselves.
const SMALL: usize = 100;

pub(crate) struct Inserts;

impl Kind for Inserts {
    type Call = Insert;
    type Answer = Vec<Inserted>;

    fn gather(store: &PostgresStore) -> &Arc<Gather<Self>> {
        &store.inserts
    }

    fn joins(taken: &[Waiting<Self>], call: &Insert) -> bool {
        // Those with unique keys may have to wait for others.
        let is_alike = taken.first().is_none_or(|first| has_keys(&first.call) == has_keys(call));
        let jobs: usize = taken.iter().map(|taken| taken.call.jobs.len()).sum();
        is_alike && jobs + call.jobs.len() <= BATCH_MAX
    }

    async fn run(store: &PostgresStore, calls: Vec<Waiting<Self>>) {
        let together = Insert {
            jobs: calls.iter().flat_map(|waiting| waiting.call.jobs.iter().cloned()).collect(),
            partial: false,
        };
        let is_refused =
            |answer: &Inserted| matches!(answer, Inserted::Refused(_) | Inserted::Skipped);
        match store.insert_jobs(together).await {
            Ok(answers) if !answers.iter().any(is_refused) => {
                let mut answers = answers.into_iter();
                for waiting in calls {
                    let own = answers.by_ref().take(waiting.call.jobs.len()).collect();
                    waiting.answer(Ok(own));
                }
            }
            Ok(_) => {
                for waiting in calls {
                    let answer = store.insert_jobs(waiting.call.clone()).await;
                    waiting.answer(answer);
                }
            }
            Err(error) => calls.into_iter().for_each(|waiting| waiting.answer(Err(error.clone()))),
        }
    }
}

fn has_keys(insert: &Insert) -> bool {
    insert.jobs.iter().any(|job| job.extras.unique.is_some())
}

impl PostgresStore {
    pub(crate) async fn insert_gathered(&self, insert: Insert) -> Result<Vec<Inserted>> {
        if insert.jobs.len() >= SMALL {
            return self.insert_jobs(insert).await;
        }
        self.inserts.turn(insert, |insert| self.insert_jobs(insert)).await
    }
}
