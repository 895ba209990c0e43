//! What jobs require of their workers, by the numbers that the database gave it, remembered.
//!
//! The database knows which requirement belongs to which lane and not what it means: whether labels
//! meet one is decided here, and a claim says which numbers match. A number that is too new to be
//! known here stops the claim, which then begins again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use taskwright_core::{Labels, Requirement};
use taskwright_store::Result;
use tokio_postgres::types::Type;

use crate::codec::unknown;
use crate::link::Link;
use crate::row::get;

/// Most requirements that are remembered, also those that no lane has any more; then all are read
/// again.
const REMEMBERED_MAX: usize = 20_000;
/// Most labels whose matches are remembered; then all are forgotten.
const LABELS_MAX: usize = 1_024;

#[derive(Default)]
struct Known {
    by_number: BTreeMap<i32, Requirement>,
    matching: HashMap<Labels, Matching>,
}

/// The requirements that this node knows.
#[derive(Default)]
pub(crate) struct Requirements(RwLock<Known>);

/// Which requirements some labels meet.
#[derive(Clone)]
pub(crate) struct Matching {
    /// The numbers of those that they meet.
    pub numbers: Arc<[i32]>,
    /// How many slots jobs take that require these; `None`: all of them one.
    pub costs: Option<Arc<[i32]>>,
    /// Whether jobs that require one of these take more than slots.
    pub take_resources: bool,
    /// The highest number that was looked at.
    pub known: i32,
}

impl Requirements {
    /// Which of the known requirements these labels meet.
    pub fn matching(&self, labels: &Labels) -> Matching {
        let remembered = |known: &Known| {
            known.matching.get(labels).filter(|matching| matching.known == last(known)).cloned()
        };
        if let Some(matching) = remembered(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return matching;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let met = known.by_number.iter().filter(|(_, requirement)| requirement.matches(labels));
        let take_resources = met.clone().any(|(_, requirement)| requirement.takes_resources());
        let cost = |requirement: &Requirement| requirement.slots().cast_signed();
        let (numbers, costs): (Vec<i32>, Vec<i32>) =
            met.map(|(number, requirement)| (*number, cost(requirement))).unzip();
        let is_costly = costs.iter().any(|cost| *cost > 1);
        let matching = Matching {
            numbers: numbers.into(),
            costs: is_costly.then(|| costs.into()),
            take_resources,
            known: last(&known),
        };
        if known.matching.len() >= LABELS_MAX {
            known.matching.clear();
        }
        known.matching.insert(labels.clone(), matching.clone());
        matching
    }

    /// Reads those that are new since; where too many are remembered, all there are.
    pub async fn refresh(&self, link: &Link) -> Result<()> {
        let after = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if known.by_number.len() < REMEMBERED_MAX { last(&known) } else { 0 }
        };
        let rows = link
            .query(
                "select number, text from taskwright.requirement where number > $1",
                &[(&after, Type::INT4)],
            )
            .await?;
        let mut read = BTreeMap::new();
        for row in &rows {
            read.insert(get(row, "number")?, requirement(get(row, "text")?)?);
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if after == 0 {
            // Others may have read newer ones meanwhile: none up to the last may be missing.
            let newest = read.last_key_value().map_or(0, |(number, _)| *number);
            known.by_number.retain(|number, _| *number > newest);
        }
        known.by_number.append(&mut read);
        known.matching.clear();
        Ok(())
    }
}

/// The highest number that is known; 0: none.
fn last(known: &Known) -> i32 {
    known.by_number.last_key_value().map_or(0, |(number, _)| *number)
}

/// The requirement that a text of the database says.
pub(crate) fn requirement(text: &str) -> Result<Requirement> {
    text.parse().map_err(|_| unknown("requirement", text))
}
