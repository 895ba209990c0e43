//! The numbers that namespaces and lanes have in the database, remembered. A number never names
//! anything else; but a lane without live jobs may be given back to others and its number be gone,
//! which the database says (`GIVEN_BACK`) when somebody writes to it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use taskwright_core::limits::LANES_MAX;
use taskwright_core::{Name, Requirement};
use taskwright_store::Result;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::link::Link;
use crate::requirements::requirement;
use crate::row::{get, name};

/// New jobs wait in lanes of this kind.
pub(crate) const FRESH: i16 = 0;
/// Jobs that came back or came due, whose rank may be old.
pub(crate) const RETURNED: i16 = 1;
/// Jobs that were lost so often that a worker holds one at a time.
pub(crate) const SUSPECT: i16 = 2;

/// What the database raises where jobs were to be written to a lane that was given back.
pub(crate) const GIVEN_BACK: &str = "TW004";

/// Most lanes that are remembered; then all are forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// Asks for the lanes with some numbers.
pub(crate) const NAMED: &str = "select l.number, l.namespace, l.queue, l.task, l.priority, l.kind, \
        coalesce(r.text, '') as requires \
    from taskwright.lane l left join taskwright.requirement r on r.number = l.requirement \
    where l.number = any($1)";

/// Where jobs wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub namespace: i32,
    pub queue: Name,
    pub task: Name,
    pub requires: Requirement,
    pub priority: i16,
    pub kind: i16,
}

#[derive(Default)]
struct Known {
    namespaces: HashMap<Name, i32>,
    namespace_names: HashMap<i32, Name>,
    numbers: HashMap<Arc<Lane>, i32>,
    lanes: HashMap<i32, Arc<Lane>>,
}

/// What this node knows of namespaces and lanes.
#[derive(Default)]
pub(crate) struct Lanes(RwLock<Known>);

impl Lanes {
    /// The number of a namespace, which is given one where it is new.
    pub async fn namespace(&self, link: &Link, namespace: &Name) -> Result<i32> {
        if let Some(number) = self.read(|known| known.namespaces.get(namespace).copied()) {
            return Ok(number);
        }
        let names = vec![namespace.as_str().to_owned()];
        let rows = link
            .query(
                "select name, number from taskwright.namespaces($1)",
                &[(&names, Type::TEXT_ARRAY)],
            )
            .await?;
        let number: i32 = match rows.first() {
            Some(row) => get(row, "number")?,
            None => return Err(crate::link::no_answer("namespaces")),
        };
        self.write(|known| {
            known.namespaces.insert(namespace.clone(), number);
            known.namespace_names.insert(number, namespace.clone());
        });
        Ok(number)
    }

    /// The name of a namespace.
    pub async fn namespace_name(&self, link: &Link, number: i32) -> Result<Name> {
        if let Some(name) = self.read(|known| known.namespace_names.get(&number).cloned()) {
            return Ok(name);
        }
        let rows = link
            .query(
                "select name from taskwright.namespace where number = $1",
                &[(&number, Type::INT4)],
            )
            .await?;
        let row = rows.first().ok_or_else(|| crate::link::no_answer("the name of a namespace"))?;
        let namespace = name(get(row, "name")?)?;
        self.write(|known| known.namespace_names.insert(number, namespace.clone()));
        Ok(namespace)
    }

    /// The numbers of lanes; `None` for those that there is no room for. `tally_from` is the number
    /// from which on there may be notes of writers.
    pub async fn numbers(
        &self,
        link: &Link,
        lanes: &[Lane],
        tally_from: i64,
    ) -> Result<Vec<Option<i32>>> {
        let mut numbers = self.known(lanes);
        let missing = lanes.iter().zip(&numbers).filter(|(_, number)| number.is_none());
        let mut missing: Vec<&Lane> = missing.map(|(lane, _)| lane).collect();
        if missing.is_empty() {
            return Ok(numbers);
        }
        let mut seen = HashSet::new();
        missing.retain(|lane| seen.insert(*lane));
        let given = self.intern(link, &missing, tally_from).await?;
        for (lane, number) in lanes.iter().zip(&mut numbers) {
            *number = number.or_else(|| given.get(lane).copied());
        }
        Ok(numbers)
    }

    /// Some lanes may have been given back: they have to be asked for again.
    pub fn forget(&self, lanes: &[Lane]) {
        self.write(|known| {
            for lane in lanes {
                if let Some(number) = known.numbers.remove(lane) {
                    known.lanes.remove(&number);
                }
            }
        });
    }

    /// The numbers of lanes that this node knows.
    pub fn known(&self, lanes: &[Lane]) -> Vec<Option<i32>> {
        self.read(|known| lanes.iter().map(|lane| known.numbers.get(lane).copied()).collect())
    }

    async fn intern<'l>(
        &self,
        link: &Link,
        lanes: &[&'l Lane],
        tally_from: i64,
    ) -> Result<HashMap<&'l Lane, i32>> {
        let namespaces: Vec<i32> = lanes.iter().map(|lane| lane.namespace).collect();
        let queues: Vec<&str> = lanes.iter().map(|lane| lane.queue.as_str()).collect();
        let tasks: Vec<&str> = lanes.iter().map(|lane| lane.task.as_str()).collect();
        let required: Vec<String> = lanes.iter().map(|lane| lane.requires.to_string()).collect();
        let priorities: Vec<i16> = lanes.iter().map(|lane| lane.priority).collect();
        let kinds: Vec<i16> = lanes.iter().map(|lane| lane.kind).collect();
        let max = i32::try_from(LANES_MAX).unwrap_or(i32::MAX);
        let rows = link
            .query(
                "select ord, number from taskwright.lanes($1, $2, $3, $4, $5, $6, $7, $8)",
                &[
                    (&namespaces, Type::INT4_ARRAY),
                    (&queues, Type::TEXT_ARRAY),
                    (&tasks, Type::TEXT_ARRAY),
                    (&required, Type::TEXT_ARRAY),
                    (&priorities, Type::INT2_ARRAY),
                    (&kinds, Type::INT2_ARRAY),
                    (&max, Type::INT4),
                    (&tally_from, Type::INT8),
                ],
            )
            .await?;
        let mut given = HashMap::with_capacity(rows.len());
        for row in &rows {
            let ord: i64 = get(row, "ord")?;
            let number: i32 = get(row, "number")?;
            let index = usize::try_from(ord - 1).unwrap_or(usize::MAX);
            if let Some(lane) = lanes.get(index) {
                self.remember(number, (*lane).clone());
                given.insert(*lane, number);
            }
        }
        Ok(given)
    }

    /// The lanes with these numbers, in no order; those that are new to this node are looked up.
    pub async fn named(&self, link: &Link, numbers: &[i32]) -> Result<HashMap<i32, Arc<Lane>>> {
        let (mut found, missing) = self.known_by_number(numbers);
        if !missing.is_empty() {
            let rows = link.query(NAMED, &[(&missing, Type::INT4_ARRAY)]).await?;
            found.extend(self.learn(&rows)?);
        }
        Ok(found)
    }

    /// Those of the lanes with these numbers that this node knows, and the numbers of the others.
    pub fn known_by_number(&self, numbers: &[i32]) -> (HashMap<i32, Arc<Lane>>, Vec<i32>) {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        self.read(|known| {
            for number in numbers {
                match known.lanes.get(number) {
                    Some(lane) => drop(found.insert(*number, Arc::clone(lane))),
                    None => missing.push(*number),
                }
            }
        });
        (found, missing)
    }

    /// The lanes in rows of [`NAMED`], which this node knows from now on.
    pub fn learn(&self, rows: &[Row]) -> Result<HashMap<i32, Arc<Lane>>> {
        let mut found = HashMap::new();
        for row in rows {
            let lane = Lane {
                namespace: get(row, "namespace")?,
                queue: name(get(row, "queue")?)?,
                task: name(get(row, "task")?)?,
                requires: requirement(get(row, "requires")?)?,
                priority: get(row, "priority")?,
                kind: get(row, "kind")?,
            };
            let number = get(row, "number")?;
            found.insert(number, self.remember(number, lane));
        }
        Ok(found)
    }

    fn remember(&self, number: i32, lane: Lane) -> Arc<Lane> {
        let lane = Arc::new(lane);
        self.write(|known| {
            if known.lanes.len() >= REMEMBERED_MAX {
                known.numbers.clear();
                known.lanes.clear();
            }
            known.numbers.insert(Arc::clone(&lane), number);
            known.lanes.insert(number, Arc::clone(&lane));
        });
        lane
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
