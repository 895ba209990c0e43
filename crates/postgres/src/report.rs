//! Reports. Completions, which are most of them, take one statement; every other outcome is
//! decided in Rust: the rows are locked, changed and written back.

use std::collections::{BTreeMap, HashMap};

use taskwright_core::{JobId, Name, Refused, StateName, Token};
use taskwright_store::{Event, Outcome, Report, Reported, Result};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::change::Selection;
use crate::row::get;
use crate::store::PostgresStore;

impl PostgresStore {
    pub(crate) async fn report_all(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        let mut answers = vec![None; reports.len()];
        let mut by_namespace: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
        for (place, report) in reports.iter().enumerate() {
            by_namespace.entry(report.namespace.clone()).or_default().push(place);
        }
        for (namespace, places) in by_namespace {
            let number = self.lanes.namespace(&self.link, &namespace).await?;
            let first_of_its_job = first_of_each(&reports, &places);
            let completed = |place: &usize| {
                first_of_its_job.contains(place)
                    && matches!(reports[*place].outcome, Outcome::Completed { .. })
            };
            let fast: Vec<usize> = places.iter().copied().filter(completed).collect();
            self.complete(number, &namespace, &reports, fast, &mut answers).await?;
            let slow: Vec<usize> =
                places.into_iter().filter(|place| answers[*place].is_none()).collect();
            if !slow.is_empty() {
                let applied = self.apply(number, &reports, &slow).await?;
                for (place, answer) in slow.into_iter().zip(applied) {
                    answers[place] = Some(answer);
                }
            }
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Reported::Unknown)).collect())
    }

    /// Ends the attempts that completed, and answers those whose token was the current one.
    async fn complete(
        &self,
        number: i32,
        namespace: &Name,
        reports: &[Report],
        mut places: Vec<usize>,
        answers: &mut [Option<Reported>],
    ) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        // Rows are locked in one order, so that two calls cannot wait for each other.
        places.sort_unstable_by_key(|&place| reports[place].token.nonce);
        let tokens = || places.iter().map(|&place| reports[place].token);
        let seqs: Vec<i64> = tokens().map(|token| token.nonce.cast_signed()).collect();
        let epochs: Vec<i32> = tokens().map(|token| token.epoch.cast_signed()).collect();
        let attempts: Vec<i32> = tokens().map(|token| token.attempt.cast_signed()).collect();
        let ids: Vec<Uuid> =
            places.iter().map(|&place| Uuid::from_u128(reports[place].id.as_u128())).collect();
        let results: Vec<Option<&str>> = places
            .iter()
            .map(|&place| match &reports[place].outcome {
                Outcome::Completed { result: Some(result) } => Some(result.as_str()),
                _ => None,
            })
            .collect();
        let rows = self
            .link
            .query(
                "select seq, lane from taskwright.complete($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&number, Type::INT4),
                    (&seqs, Type::INT8_ARRAY),
                    (&ids, Type::UUID_ARRAY),
                    (&epochs, Type::INT4_ARRAY),
                    (&attempts, Type::INT4_ARRAY),
                    (&results, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        let by_seq: HashMap<i64, usize> = seqs.into_iter().zip(places.iter().copied()).collect();
        let mut events = Vec::new();
        for row in &rows {
            let Some(&place) = by_seq.get(&get::<i64>(row, "seq")?) else { continue };
            answers[place] = Some(Reported::Applied { state: StateName::Completed });
            events.push((get::<i32>(row, "lane")?, place));
        }
        if self.hints.is_heard() {
            let numbers: Vec<i32> = events.iter().map(|(lane, _)| *lane).collect();
            let lanes = self.lanes.named(&self.link, &numbers).await?;
            let event = |(lane, place): &(i32, usize)| {
                let lane = lanes.get(lane)?;
                Some(Event {
                    namespace: namespace.clone(),
                    queue: lane.queue.clone(),
                    task: lane.task.clone(),
                    id: reports[*place].id,
                    state: StateName::Completed,
                    attempt: reports[*place].token.attempt,
                })
            };
            self.hints.publish(events.iter().filter_map(event).collect());
        }
        Ok(())
    }

    /// Applies the reports at these places, in order.
    async fn apply(
        &self,
        namespace: i32,
        reports: &[Report],
        places: &[usize],
    ) -> Result<Vec<Reported>> {
        let ids: Vec<JobId> = places.iter().map(|&place| reports[place].id).collect();
        self.change_jobs(Selection::Ids { namespace, ids: &ids }, |held| {
            let report_one = |&place: &usize| {
                let Report { id, token, outcome, .. } = &reports[place];
                let now = held.now;
                let Some(record) = held.jobs.get_mut(id) else { return Reported::Unknown };
                match record.report(*token, outcome.clone(), &mut held.budgets, now) {
                    Ok(state) => Reported::Applied { state },
                    Err(Refused::Already(_)) => Reported::Already,
                    Err(Refused::Stale | Refused::Impossible(_)) => Reported::Stale,
                }
            };
            places.iter().map(report_one).collect()
        })
        .await
    }
}

/// The places of the reports that are the first of their job.
fn first_of_each(reports: &[Report], places: &[usize]) -> std::collections::HashSet<usize> {
    let mut seen: HashMap<(JobId, Token), usize> = HashMap::new();
    let mut ids = std::collections::HashSet::new();
    for &place in places {
        let Report { id, token, .. } = reports[place];
        if ids.insert(id) {
            seen.insert((id, token), place);
        }
    }
    seen.into_values().collect()
}
