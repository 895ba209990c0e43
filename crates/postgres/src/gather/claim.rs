//! Small claims of workers that serve the same, gathered.

use std::sync::Arc;

use taskwright_core::limits::BATCH_MAX;
use taskwright_store::{Claim, Result};

use super::{Gather, Kind, Waiting};
use crate::claim::Given;
use crate::store::PostgresStore;

/// Claims of so many jobs and more go by themselves.
const SMALL: usize = 100;

pub(crate) struct Claims;

/// A claim, and the number of its namespace.
#[derive(Clone)]
pub(crate) struct Asked {
    pub namespace: i32,
    pub claim: Claim,
}

impl Kind for Claims {
    type Call = Asked;
    type Answer = Given;

    fn gather(store: &PostgresStore) -> &Arc<Gather<Self>> {
        &store.claims
    }

    fn joins(taken: &[Waiting<Self>], call: &Asked) -> bool {
        let serves_the_same = taken.first().is_none_or(|first| {
            let (first, claim) = (&first.call, &call.claim);
            first.namespace == call.namespace
                && first.claim.in_process == claim.in_process
                && first.claim.profile == claim.profile
        });
        let jobs: usize = taken.iter().map(|taken| taken.call.claim.max).sum();
        // Two claims of one worker are one after the other: the second may repeat the first.
        let is_first = taken.iter().all(|taken| taken.call.claim.worker != call.claim.worker);
        serves_the_same && is_first && jobs + call.claim.max <= BATCH_MAX
    }

    async fn run(store: &PostgresStore, mut calls: Vec<Waiting<Self>>) {
        // The rows of workers are locked in one order, so that two turns cannot wait for each other.
        calls.sort_unstable_by_key(|waiting| waiting.call.claim.worker);
        let together: Vec<&Claim> = calls.iter().map(|waiting| &waiting.call.claim).collect();
        let namespace = calls.first().map_or(0, |first| first.call.namespace);
        match store.claim_together(namespace, &together).await {
            Ok(Some(given)) => {
                for (waiting, jobs) in calls.into_iter().zip(given) {
                    waiting.answer(Ok(Some(jobs)));
                }
            }
            Err(error) if super::concerns_all(&error) => {
                calls.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
            }
            Ok(None) | Err(_) => {
                for waiting in calls {
                    let Asked { namespace, claim } = &waiting.call;
                    let answer = store.claim_now(*namespace, claim).await;
                    waiting.answer(answer);
                }
            }
        }
    }
}

impl PostgresStore {
    pub(crate) async fn claim_gathered(&self, namespace: i32, claim: &Claim) -> Result<Given> {
        if claim.max >= SMALL {
            return self.claim_now(namespace, claim).await;
        }
        let asked = Asked { namespace, claim: claim.clone() };
        let alone =
            |asked: Asked| async move { self.claim_now(asked.namespace, &asked.claim).await };
        self.claims.turn(asked, alone).await
    }
}
