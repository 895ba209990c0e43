//! Where jobs go that come or come back: with a limited key, to the line of the first one; from there
//! they are called. Their keys are noted in the same commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::{Extras, Job, LineKey, Name, NewJob, Place, Policies, State};
use taskwright_store::Result;
use tokio_postgres::types::Type;

use super::PolicySet;
use crate::change::Held;
use crate::connect::Fault;
use crate::insert::Item;
use crate::link::{Argument, Transaction};
use crate::record::Record;
use crate::row::get;
use crate::store::PostgresStore;

/// Whether a job has a group or limit keys.
pub(crate) fn is_keyed(extras: &Extras) -> bool {
    extras.group.is_some() || !extras.limit_keys.is_empty()
}

/// The numbers of the keys of a job, in their order.
pub(crate) fn key_numbers(namespace: &Name, queue: &Name, extras: &Extras) -> Vec<i64> {
    let keys = LineKey::of(queue, extras);
    keys.iter().map(|key| key.number(namespace).cast_signed()).collect()
}

/// Numbers as the text of an array; `None` where there are none. An array of arrays would have to
/// have rows of one length.
pub(crate) fn keys_text(numbers: &[i64]) -> Option<String> {
    if numbers.is_empty() {
        return None;
    }
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    Some(format!("{{{}}}", numbers.join(",")))
}

/// The key in whose line a job stands that comes due: the first one that is limited.
pub(crate) fn line_of(
    policies: &Policies,
    namespace: &Name,
    queue: &Name,
    extras: &Extras,
) -> Option<u64> {
    if policies.is_empty() || !is_keyed(extras) {
        return None;
    }
    let keys = LineKey::of(queue, extras);
    let limited = keys.iter().find(|key| policies.of_key(key).is_some());
    limited.map(|key| key.number(namespace))
}

/// The keys of new jobs, column by column, and the policies by which their lines were chosen.
#[derive(Default)]
pub(crate) struct Entering {
    pub keys: Vec<Option<String>>,
    pub lines: Vec<Option<i64>>,
    pub namespaces: Vec<i32>,
    pub versions: Vec<i64>,
}

impl PostgresStore {
    /// The keys of new jobs; `None` where no job has any.
    pub(crate) async fn entering(&self, items: &[&Item]) -> Result<Option<Entering>> {
        if !items.iter().any(|item| is_keyed(&item.job.extras)) {
            return Ok(None);
        }
        let mut entering = Entering::default();
        let mut sets: BTreeMap<i32, Arc<PolicySet>> = BTreeMap::new();
        for item in items {
            let NewJob { namespace, queue, extras, .. } = &item.job;
            entering.keys.push(keys_text(&key_numbers(namespace, queue, extras)));
            let mut line = None;
            if is_keyed(extras) {
                let set = self.policy_set(item.namespace).await?;
                line = line_of(&set.policies, namespace, queue, extras);
                sets.insert(item.namespace, set);
            }
            entering.lines.push(line.map(u64::cast_signed));
        }
        entering.namespaces = sets.keys().copied().collect();
        entering.versions = sets.values().map(|set| set.version).collect();
        Ok(Some(entering))
    }

    /// The policies have changed since `entering` looked.
    pub(crate) async fn read_policies_again(&self, items: &[&Item]) -> Result<()> {
        let keyed = items.iter().filter(|item| is_keyed(&item.job.extras));
        for namespace in keyed.map(|item| item.namespace).collect::<BTreeSet<_>>() {
            self.read_policies(namespace).await?;
        }
        Ok(())
    }

    /// The policies that count for these jobs, as they are in the transaction: for those with keys,
    /// or for all where there are retry budgets. Namespaces without policies are left out.
    pub(crate) async fn policies_for(
        &self,
        tx: &Transaction<'_>,
        jobs: impl Iterator<Item = &Job>,
        has_budgets: bool,
    ) -> Result<BTreeMap<Name, Arc<PolicySet>>, Fault> {
        let asked = jobs.filter(|job| has_budgets || is_keyed(&job.extras));
        let names: BTreeSet<Name> = asked.map(|job| job.namespace.clone()).collect();
        let mut numbers = BTreeMap::new();
        for name in names {
            numbers.insert(self.lanes.namespace(&self.link, &name).await?, name);
        }
        let mut sets = BTreeMap::new();
        if numbers.is_empty() {
            return Ok(sets);
        }
        let asked: Vec<i32> = numbers.keys().copied().collect();
        let statement = "select namespace, version from taskwright.limits \
            where namespace = any($1) and policies > 0";
        for row in &tx.query(statement, &[(&asked, Type::INT4_ARRAY)]).await? {
            let number: i32 = get(row, "namespace")?;
            let set = self.policies_at(tx, number, get(row, "version")?).await?;
            if let Some(name) = numbers.remove(&number) {
                sets.insert(name, set);
            }
        }
        Ok(sets)
    }

    /// Notes keys whose lines are to be served, in the transaction that changes their jobs.
    pub(crate) async fn note_lines(
        &self,
        tx: &Transaction<'_>,
        notes: BTreeMap<Name, BTreeSet<i64>>,
    ) -> Result<(), Fault> {
        for (namespace, numbers) in notes {
            let namespace = self.lanes.namespace(&self.link, &namespace).await?;
            let numbers: Vec<i64> = numbers.into_iter().collect();
            let arguments: [Argument<'_>; 2] =
                [(&namespace, Type::INT4), (&numbers, Type::INT8_ARRAY)];
            tx.query("select count(taskwright.note_lines($1, $2)::text)", &arguments).await?;
        }
        Ok(())
    }
}

impl Record {
    /// Sends a job that has just become ready to the line of its first limited key.
    pub fn line_up(&mut self, policies: &Policies) {
        let Record { job, .. } = self;
        if !matches!(job.life.state, State::Available(Place::Ready(_))) {
            return;
        }
        let Some(key) = line_of(policies, &job.namespace, &job.queue, &job.extras) else { return };
        // A ready job can always be parked.
        if let Ok(life) = step(&job.life, &Event::Park { key }) {
            job.life = life;
        }
    }
}

impl Held {
    /// Sends jobs that have just become ready to their lines.
    pub(crate) fn line_up(&mut self) {
        let Held { jobs, policies, .. } = self;
        for record in jobs.values_mut().filter(|record| record.touched) {
            if let Some(set) = policies.get(&record.job.namespace) {
                record.line_up(&set.policies);
            }
        }
    }

    /// The keys of the jobs to which something happened, where something is limited.
    pub(crate) fn notes(&self) -> BTreeMap<Name, BTreeSet<i64>> {
        let touched = self.jobs.values().filter(|record| record.touched).map(|record| &record.job);
        notes_of(touched.filter(|job| self.policies.contains_key(&job.namespace)))
    }
}

/// The keys of jobs, by namespace.
pub(crate) fn notes_of<'j>(jobs: impl Iterator<Item = &'j Job>) -> BTreeMap<Name, BTreeSet<i64>> {
    let mut notes: BTreeMap<Name, BTreeSet<i64>> = BTreeMap::new();
    for job in jobs.filter(|job| is_keyed(&job.extras)) {
        let numbers = key_numbers(&job.namespace, &job.queue, &job.extras);
        notes.entry(job.namespace.clone()).or_default().extend(numbers);
    }
    notes
}
