//! Moving everything from one store into another: jobs, live and ended, and what was set.
//!
//! ```no_run
//! use taskwright::moving::Move;
//!
//! # async fn example() -> taskwright::Result<()> {
//! let moved = Move::new("file:./old", "file:./new").run(|step| println!("{step:?}")).await?;
//! assert!(moved.is_verified());
//! # Ok(()) }
//! ```
//!
//! A move can be interrupted at any moment and begun again: a job that has arrived is not written
//! twice. Before the first job is copied, all queues of the source are paused and stay so, which
//! keeps its jobs from being run there as well; a copy leaves the source as it is. In the end every
//! job of the source is looked up in the destination and compared.

mod compare;
mod copy;
mod documents;
mod patient;
mod source;

use taskwright_core::limits::BATCH_MAX;
use taskwright_core::{JobId, Name, StateName};
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::Store;

use crate::backend;
use patient::Patient;
use source::Source;

/// Jobs on one page: small enough that progress is seen, large enough that syncs do not matter.
const PAGE_JOBS: usize = 500;
const _: () = assert!(PAGE_JOBS <= BATCH_MAX);
/// Jobs that are named where something is wrong with them; others are only counted.
const NAMED_MAX: usize = 20;

/// What is to be moved, from where to where.
#[derive(Clone, Debug)]
#[must_use = "a move does nothing until it is run"]
pub struct Move {
    from: String,
    to: String,
    copies: bool,
    releases: bool,
    actor: String,
}

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Step {
    /// The destination has so many jobs before anything is copied: of its own, or of a move that
    /// was interrupted.
    Found { jobs: u64 },
    /// So many running attempts of the source were given back.
    Released { jobs: u64 },
    /// So many of about so many jobs are in the destination.
    Copied { jobs: u64, of: u64 },
    /// So many of about so many jobs were compared.
    Compared { jobs: u64, of: u64 },
}

/// What a move did and what the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Jobs written by this run.
    pub written: u64,
    /// Jobs that were in the destination before this run: of a run that was interrupted.
    pub known: u64,
    /// Queues that are paused in the destination because they were in the source.
    pub paused: u64,
    /// Schedules and calendars of the source; the destination has all of them.
    pub schedules: u64,
    /// How many jobs of each queue are in which state, on both sides.
    pub counts: Vec<Count>,
    /// Sum over the digests of the jobs in the source that were compared, whatever their order.
    pub sum_from: u128,
    /// The same sum over what the destination has of them.
    pub sum_to: u128,
    /// Jobs that the destination has already run on, and which are therefore in no sum.
    pub went_on: u64,
    /// Jobs that the destination did not take, or does not have (any more).
    pub missing: u64,
    /// Jobs that are different in the destination.
    pub different: u64,
    /// The first of those that are missing or different, and what is wrong with each.
    pub faults: Vec<Fault>,
}

/// How many jobs of one queue are in one state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The tenant.
    pub namespace: Name,
    /// The queue.
    pub queue: Name,
    /// The state.
    pub state: StateName,
    /// Jobs in the source.
    pub from: u64,
    /// Jobs of the source that are so in the destination.
    pub to: u64,
}

/// A job that did not arrive as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The tenant.
    pub namespace: Name,
    /// The job.
    pub id: JobId,
    /// What is wrong, in words.
    pub what: String,
}

impl Moved {
    /// Whether every job of the source is in the destination, as it was or further on.
    pub fn is_verified(&self) -> bool {
        self.missing == 0 && self.different == 0 && self.sum_from == self.sum_to
    }

    /// Jobs of the source.
    pub fn jobs(&self) -> u64 {
        self.counts.iter().map(|count| count.from).sum()
    }

    fn note(&mut self, namespace: &Name, id: JobId, what: impl Into<String>) {
        if self.faults.len() < NAMED_MAX {
            self.faults.push(Fault { namespace: namespace.clone(), id, what: what.into() });
        }
    }
}

impl Move {
    /// A move from the store at one URL to the store at another: `file:PATH`.
    pub fn new(from: &str, to: &str) -> Self {
        Move {
            from: from.to_owned(),
            to: to.to_owned(),
            copies: false,
            releases: false,
            actor: "move".to_owned(),
        }
    }

    /// Whether the source is only copied: it is not paused, and its jobs would run in both.
    pub fn copy(mut self, copy: bool) -> Self {
        self.copies = copy;
        self
    }

    /// Whether attempts that run in the source are given back there first, unspent. Otherwise a
    /// source with running jobs is refused.
    pub fn release_running(mut self, release: bool) -> Self {
        self.releases = release;
        self
    }

    /// Who asks, for the audit records of both stores.
    pub fn actor(mut self, actor: &str) -> Self {
        actor.clone_into(&mut self.actor);
        self
    }

    /// Does it, and says how far it is. Begin it again where it was interrupted.
    ///
    /// # Errors
    /// One for each store as opening it says (`Locked` where a server has it open); `Invalid` where
    /// both are one place or a URL names a server; `NotFound` where there is nothing to move;
    /// `Conflict` where jobs run in the source, or it was moved to another place before. What the
    /// comparison finds is no error: ask [`Moved::is_verified`].
    pub async fn run(self, mut watch: impl FnMut(Step) + Send) -> Result<Moved> {
        if backend::spelled(&self.from)? == backend::spelled(&self.to)? {
            let message = format!("cannot move {} into itself; name another place", self.from);
            return Err(Error::new(ErrorCode::Invalid, message));
        }
        let from = backend::store(&self.from, true).await?;
        let moved = self.run_from(&*from, &mut watch).await;
        // The source has nothing to lose: what was written there was acknowledged.
        let _ = from.close().await;
        moved
    }

    async fn run_from(&self, from: &dyn Store, watch: &mut Watch<'_>) -> Result<Moved> {
        let from = Patient::new(from, "the source");
        let source = Source::look(&from).await?;
        source.refuse_running(&from, self.releases).await?;
        let to = backend::store(&self.to, false).await?;
        let plan = Plan {
            place: backend::spelled(&self.to)?,
            copies: self.copies,
            releases: self.releases,
            actor: self.actor.clone(),
        };
        let moved = between(&from, &Patient::new(&*to, "the destination"), &plan, watch).await;
        let closed = to.close().await;
        let moved = moved?;
        closed?;
        Ok(moved)
    }
}

type Watch<'a> = dyn FnMut(Step) + Send + 'a;

/// What to do with two stores that are open.
#[derive(Clone, Debug)]
struct Plan {
    /// The destination, always spelled the same.
    place: String,
    copies: bool,
    releases: bool,
    actor: String,
}

async fn between(
    from: &Patient<'_>,
    to: &Patient<'_>,
    plan: &Plan,
    watch: &mut Watch<'_>,
) -> Result<Moved> {
    let mut moved = Moved::default();
    let there = Source::look(to).await?;
    there.refuse_moved_destination()?;
    if there.jobs > 0 {
        watch(Step::Found { jobs: there.jobs });
    }
    let source = Source::look(from).await?;
    source.refuse_other_destination(plan)?;
    source.refuse_running(from, plan.releases).await?;
    if plan.copies || !source.is_marked() {
        moved.paused = source.pause_there(to, plan).await?;
    }
    if !plan.copies {
        source.mark(from, plan).await?;
    }
    moved.schedules = documents::copy(from, to, plan).await?;
    if !plan.copies {
        documents::stop(from, plan).await?;
    }
    if plan.releases {
        let jobs = source.release_running(from).await?;
        if jobs > 0 {
            watch(Step::Released { jobs });
        }
    }
    source.refuse_running(from, false).await?;
    copy::copy(from, to, source.jobs, &mut moved, watch).await?;
    compare::compare(from, to, source.jobs, &mut moved, watch).await?;
    Ok(moved)
}

#[cfg(test)]
#[path = "tests/moving.rs"]
mod tests;
