//! Retry budgets: how fast the failed attempts of a queue come back, over all nodes. Only transactions
//! that end attempts of a queue with a budget wait for each other, after they have locked their jobs.

use std::collections::BTreeMap;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::{Job, LineKey, Name, Place, Rate, StateName, Timestamp, Token};
use taskwright_store::Result;
use tokio_postgres::types::Type;

use crate::change::Held;
use crate::connect::Fault;
use crate::link::Transaction;
use crate::row::get;
use crate::store::PostgresStore;

/// The retry budgets that a transaction has open, by namespace and queue.
#[derive(Default)]
pub(crate) struct Budgets(BTreeMap<(Name, Name), Budget>);

struct Budget {
    namespace: i32,
    number: u64,
    rate: Rate,
    arrival: Timestamp,
    is_taken: bool,
}

impl Budgets {
    /// When a job is due whose attempt failed and that was to come back at this instant: one that is
    /// retried takes its place in the retry budget of its queue.
    pub fn take(
        &mut self,
        job: &Job,
        token: Token,
        wanted: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        if self.0.is_empty() {
            return wanted;
        }
        let event = Event::Failed { token, next: Some(Place::Intake) };
        let is_retried =
            step(&job.life, &event).is_ok_and(|life| life.state.name() == StateName::Available);
        let budget = self.0.get_mut(&(job.namespace.clone(), job.queue.clone()));
        let Some(budget) = budget.filter(|_| is_retried) else { return wanted };
        let (at, after) = budget.rate.retry(budget.arrival, now);
        (budget.arrival, budget.is_taken) = (after, true);
        wanted.max(at)
    }
}

impl PostgresStore {
    /// Opens the budgets of the queues whose jobs run: nobody else takes a place in them until the
    /// transaction has ended.
    pub(crate) async fn open_budgets(
        &self,
        tx: &Transaction<'_>,
        held: &mut Held,
    ) -> Result<(), Fault> {
        let mut budgets = BTreeMap::new();
        for job in held.jobs.values().map(|record| &record.job) {
            let set = held.policies.get(&job.namespace).filter(|_| job.life.token().is_some());
            let Some(rate) = set.and_then(|set| set.policies.budget_of(&job.queue)) else {
                continue;
            };
            let number = LineKey::budget(&job.namespace, &job.queue, &rate);
            let namespace = self.lanes.namespace(&self.link, &job.namespace).await?;
            let arrival = Timestamp::ZERO;
            let budget = Budget { namespace, number, rate, arrival, is_taken: false };
            budgets.insert((job.namespace.clone(), job.queue.clone()), budget);
        }
        if budgets.is_empty() {
            return Ok(());
        }
        let namespaces: Vec<i32> = budgets.values().map(|budget| budget.namespace).collect();
        let numbers: Vec<i64> =
            budgets.values().map(|budget| budget.number.cast_signed()).collect();
        let rows = tx
            .query(
                "select number, at from taskwright.open_budgets($1, $2)",
                &[(&namespaces, Type::INT4_ARRAY), (&numbers, Type::INT8_ARRAY)],
            )
            .await?;
        for row in &rows {
            let number = get::<i64>(row, "number")?.cast_unsigned();
            let arrival = Timestamp::from_micros(get(row, "at")?);
            budgets
                .values_mut()
                .filter(|budget| budget.number == number)
                .for_each(|budget| budget.arrival = arrival);
        }
        held.budgets = Budgets(budgets);
        Ok(())
    }

    /// Notes what the open budgets have given.
    pub(crate) async fn note_budgets(
        &self,
        tx: &Transaction<'_>,
        held: &Held,
    ) -> Result<(), Fault> {
        let taken: Vec<&Budget> =
            held.budgets.0.values().filter(|budget| budget.is_taken).collect();
        if taken.is_empty() {
            return Ok(());
        }
        let namespaces: Vec<i32> = taken.iter().map(|budget| budget.namespace).collect();
        let numbers: Vec<i64> = taken.iter().map(|budget| budget.number.cast_signed()).collect();
        let at: Vec<i64> = taken.iter().map(|budget| budget.arrival.as_micros()).collect();
        let arguments = [
            (&namespaces as _, Type::INT4_ARRAY),
            (&numbers as _, Type::INT8_ARRAY),
            (&at as _, Type::INT8_ARRAY),
        ];
        tx.query("select taskwright.note_budgets($1, $2, $3)", &arguments).await.map(drop)
    }
}
