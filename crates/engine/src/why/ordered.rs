//! Who is ahead of a job in the order of its group or limit keys.

use taskwright_core::limits::PAGE_MAX;
use taskwright_core::{
    Job, LineKey, Ordered, Place, Policies, State, StateName, Timestamp, format_duration,
};
use taskwright_store::Filter;

use super::name_of;
use crate::api::Api;
use crate::error::Result;

/// Pages of older jobs that are looked through in each state.
const PAGES_MAX: usize = 10;

/// What keeps a job back in the order of a key.
pub(super) struct InOrder {
    key: LineKey,
    /// The first in the order, as far as was looked.
    head: Job,
    /// How many are ahead of the job, the head included.
    ahead: usize,
    /// Whether that is all of them.
    is_exact: bool,
}

/// The orders in which others are ahead of a job.
pub(super) async fn ahead_of(
    api: &(impl Api + ?Sized),
    job: &Job,
    policies: &Policies,
) -> Result<Vec<InOrder>> {
    let keys = LineKey::of(&job.queue, &job.extras);
    let order = |key: LineKey| Some((policies.of_key(&key)?.ordered?, key));
    let keys: Vec<(Ordered, LineKey)> = keys.into_iter().filter_map(order).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // A group is of one queue; a limit key is one over all queues.
    let are_groups = keys.iter().all(|(_, key)| matches!(key, LineKey::Group { .. }));
    let queue = are_groups.then(|| job.queue.clone());
    let (mut older, mut is_exact) = (Vec::new(), true);
    for state in [StateName::Running, StateName::Available, StateName::Blocked, StateName::Dead] {
        let mut before = Some(job.seq);
        for _ in 0..PAGES_MAX {
            let filter = Filter {
                namespace: job.namespace.clone(),
                queue: queue.clone(),
                task: None,
                state: Some(state),
                tag: None,
                before,
                limit: PAGE_MAX,
            };
            let page = api.list(filter).await?;
            older.extend(page.jobs);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        is_exact &= before.is_none();
    }
    let in_order = |(ordered, key): (Ordered, LineKey)| {
        let is_ahead = |other: &&Job| {
            ordered.keeps_place(other.life.state.name())
                && LineKey::of(&other.queue, &other.extras).contains(&key)
        };
        let ahead: Vec<&Job> = older.iter().filter(is_ahead).collect();
        let head = Job::clone(ahead.iter().min_by_key(|other| other.seq)?);
        Some(InOrder { head, ahead: ahead.len(), key, is_exact })
    };
    Ok(keys.into_iter().filter_map(in_order).collect())
}

impl InOrder {
    /// `it waits in the ordered group a behind job 0192… (running)`
    pub fn explained(&self, now: Timestamp) -> String {
        let how = match self.head.state() {
            State::Dead(_) => "dead: redrive it, or delete it to let the others go on".to_owned(),
            State::Available(Place::Until(at)) => {
                format!("due in {}", format_duration(at.since(now)))
            }
            State::Available(_) => "waiting".to_owned(),
            state => state.name().as_str().to_owned(),
        };
        let between = self.ahead - 1;
        let rest = match (between, self.is_exact) {
            (0, true) => String::new(),
            (1, true) => ", and 1 more".to_owned(),
            (more, true) => format!(", and {more} more"),
            (more, false) => format!(", and {more} more at least"),
        };
        format!(
            "it waits in the ordered {} behind job {} ({how}){rest}",
            name_of(&self.key),
            self.head.id
        )
    }
}
