//! Small reports of completed attempts, gathered.

use std::sync::Arc;

use taskwright_core::limits::BATCH_MAX;
use taskwright_store::{Outcome, Report, Reported, Result};

use super::{Gather, Kind, Waiting};
use crate::store::PostgresStore;

/// So many reports and more go by themselves.
const SMALL: usize = 100;

pub(crate) struct Reports;

impl Kind for Reports {
    type Call = Vec<Report>;
    type Answer = Vec<Reported>;

    fn gather(store: &PostgresStore) -> &Arc<Gather<Self>> {
        &store.reports
    }

    fn joins(taken: &[Waiting<Self>], call: &Vec<Report>) -> bool {
        let reports: usize = taken.iter().map(|taken| taken.call.len()).sum();
        reports + call.len() <= BATCH_MAX
    }

    async fn run(store: &PostgresStore, calls: Vec<Waiting<Self>>) {
        let together = calls.iter().flat_map(|waiting| waiting.call.iter().cloned()).collect();
        match store.report_all(together).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for waiting in calls {
                    let own = answers.by_ref().take(waiting.call.len()).collect();
                    waiting.answer(Ok(own));
                }
            }
            Err(error) if super::concerns_all(&error) => {
                calls.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
            }
            Err(_) => {
                for waiting in calls {
                    let answer = store.report_all(waiting.call.clone()).await;
                    waiting.answer(answer);
                }
            }
        }
    }
}

impl PostgresStore {
    pub(crate) async fn report_gathered(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        let is_completed = |report: &Report| matches!(report.outcome, Outcome::Completed { .. });
        if reports.len() >= SMALL || !reports.iter().all(is_completed) {
            return self.report_all(reports).await;
        }
        self.reports.turn(reports, |reports| self.report_all(reports)).await
    }
}
