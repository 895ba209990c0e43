//! Queues that let only so many jobs wait. How many do is looked up before a call is planned; the
//! statement that writes looks again, while no other node writes to the same queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use taskwright_core::{Name, NewJob};
use taskwright_store::{Refusal, Result};
use tokio_postgres::types::Type;

use super::PolicySet;
use crate::insert::Item;
use crate::link::no_answer;
use crate::row::get;
use crate::store::PostgresStore;

/// What the database raises where a queue lets only so many jobs wait, and nobody has looked.
pub(crate) const BOUND: &str = "TW007";

/// How often it is looked again since the policies were changed in between.
const ATTEMPTS_MAX: usize = 5;

/// How many more jobs may wait in the queues of a call.
#[derive(Clone, Default)]
pub(crate) struct Rooms {
    /// By namespace and queue: how many may wait, and for how many more there is room.
    rooms: HashMap<(i32, Name), (u32, i64)>,
    /// The versions of the policies that say so.
    versions: BTreeMap<i32, i64>,
}

/// The same, column by column, with how many more jobs there are to be.
#[derive(Default)]
pub(crate) struct Places {
    pub namespaces: Vec<i32>,
    pub queues: Vec<String>,
    pub more: Vec<i64>,
    pub most: Vec<i64>,
    pub versions: BTreeMap<i32, i64>,
}

impl Rooms {
    /// Why one more job may not wait in its queue; else its room is taken.
    pub fn take(&mut self, namespace: i32, queue: &Name) -> Option<Refusal> {
        if self.rooms.is_empty() {
            return None;
        }
        let (max, room) = self.rooms.get_mut(&(namespace, queue.clone()))?;
        if *room <= 0 {
            return Some(Refusal::WaitingFull { queue: queue.clone(), max: *max });
        }
        *room -= 1;
        None
    }

    /// The places that these new jobs need; `None` where no queue is bound.
    pub fn places(&self, items: &[Item]) -> Option<Places> {
        if self.rooms.is_empty() {
            return None;
        }
        let mut places = Places { versions: self.versions.clone(), ..Places::default() };
        for ((namespace, queue), (max, _)) in &self.rooms {
            let is_there = |item: &&Item| item.namespace == *namespace && item.job.queue == *queue;
            places.namespaces.push(*namespace);
            places.queues.push(queue.as_str().to_owned());
            places.more.push(i64::try_from(items.iter().filter(is_there).count()).unwrap_or(0));
            places.most.push(i64::from(*max));
        }
        Some(places)
    }
}

impl PostgresStore {
    /// Whether a queue of these jobs lets only so many wait, as far as this node knows.
    pub(crate) async fn is_any_bound(&self, jobs: &[NewJob]) -> Result<bool> {
        if !self.limits.has_bounds() {
            return Ok(false);
        }
        for job in jobs {
            let namespace = self.lanes.namespace(&self.link, &job.namespace).await?;
            let known = self.limits.known(namespace);
            if known.is_some_and(|set| set.policies.waiting_of(&job.queue).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// For how many more jobs there is room in the queues of these.
    pub(crate) async fn rooms(&self, jobs: &[NewJob], namespaces: &[i32]) -> Result<Rooms> {
        if !self.limits.has_bounds() {
            return Ok(Rooms::default());
        }
        for _ in 0..ATTEMPTS_MAX {
            let mut rooms = self.bounds_of(jobs, namespaces).await?;
            let changed = self.measure(&mut rooms).await?;
            if changed.is_empty() {
                return Ok(rooms);
            }
            for namespace in changed {
                self.read_policies(namespace).await?;
            }
        }
        Err(no_answer("policies that stay as they are"))
    }

    /// The bounds of the queues of these jobs, as far as this node knows.
    async fn bounds_of(&self, jobs: &[NewJob], namespaces: &[i32]) -> Result<Rooms> {
        let mut rooms = Rooms::default();
        let mut sets: HashMap<i32, Arc<PolicySet>> = HashMap::new();
        for (job, &namespace) in jobs.iter().zip(namespaces) {
            let set = match sets.get(&namespace) {
                Some(set) => Arc::clone(set),
                None => self.policy_set(namespace).await?,
            };
            if let Some(max) = set.policies.waiting_of(&job.queue) {
                rooms.rooms.insert((namespace, job.queue.clone()), (max, 0));
                rooms.versions.insert(namespace, set.version);
            }
            sets.insert(namespace, set);
        }
        Ok(rooms)
    }

    /// Looks up for how many more jobs there is room. Answers the namespaces whose policies are others
    /// by now.
    async fn measure(&self, rooms: &mut Rooms) -> Result<Vec<i32>> {
        let mut changed = Vec::new();
        if rooms.rooms.is_empty() {
            return Ok(changed);
        }
        let keys: Vec<(i32, Name)> = rooms.rooms.keys().cloned().collect();
        let numbers: Vec<i32> = keys.iter().map(|(namespace, _)| *namespace).collect();
        let queues: Vec<&str> = keys.iter().map(|(_, queue)| queue.as_str()).collect();
        let statement = "select w.amount, coalesce((select m.version from taskwright.limits m \
            where m.namespace = ($1::int[])[w.ord]), 0) as version \
            from taskwright.waiting_jobs($1, $2, $3) w order by w.ord";
        let rows = self
            .link
            .query(
                statement,
                &[
                    (&numbers, Type::INT4_ARRAY),
                    (&queues, Type::TEXT_ARRAY),
                    (&self.tally.from(), Type::INT8),
                ],
            )
            .await?;
        if rows.len() != keys.len() {
            return Err(no_answer("how many jobs wait in some queues"));
        }
        for (row, key) in rows.iter().zip(keys) {
            let (amount, version): (i64, i64) = (get(row, "amount")?, get(row, "version")?);
            if rooms.versions.get(&key.0) != Some(&version) {
                changed.push(key.0);
            }
            if let Some((max, room)) = rooms.rooms.get_mut(&key) {
                *room = i64::from(*max) - amount;
            }
        }
        changed.dedup();
        Ok(changed)
    }

    /// A queue of these jobs lets only so many wait, which this node did not know, or the policies have
    /// changed.
    pub(crate) async fn learn_bounds(&self, items: &[Item]) -> Result<()> {
        let mut namespaces: Vec<i32> = items.iter().map(|item| item.namespace).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            self.read_policies(namespace).await?;
        }
        Ok(())
    }
}
