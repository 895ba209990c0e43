//! The contract of a store.

use async_trait::async_trait;
use taskwright_core::{JobId, Name};

use crate::error::Result;
use crate::events::Events;
use crate::request::*;
use crate::view::*;

/// A place that keeps jobs, and the laws it obeys.
///
/// For every method:
/// - Results keep the order of the input, one for each item.
/// - **S4** An error may mean "unknown": every write may be repeated, and the repetition answers as
///   the first call did (inserts by id, claims by `seq`, reports by token).
/// - **S9** A read sees every write that was acknowledged before it began. **S10** Nothing that is
///   not yet durable is shown to anybody.
/// - **L6** Only the store's own time counts, and it never goes back.
/// - Inputs are validated by the engine; the maxima of `core::limits` hold.
/// - Futures may be dropped at any time: what was begun is then done or not, never half done.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes jobs, durably before it returns.
    ///
    /// **S2** All or nothing: if one job is refused, none is written; it answers `Refused` with the
    /// reason for those that caused it and `Skipped` for the others. With `partial`, each for itself.
    ///
    /// **S4** A job whose id is known answers `Existing` if its fingerprint is the same, else it is
    /// refused with `IdConflict`. Ids are known while their record is kept and at least
    /// `ID_WINDOW` after it ended. The same holds between two items of one call.
    ///
    /// `seq` grows with each job, in input order. The job is ready at once, or waits until `run_at`
    /// where that lies in the future of the store's clock.
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>>;

    /// Takes up to `max` ready jobs to run, smallest rank first, of the queues and tasks that the
    /// worker serves; jobs of paused queues stay.
    ///
    /// **L5** Durable before args are handed out. **S3** A claimed job is in no other live claim.
    /// **L7** A worker is given a suspect only while it holds none.
    ///
    /// `seq` numbers the claims of one worker, from 1, growing. The same `seq` as the worker's last
    /// claim that gave jobs answers those of them that still run; a lower one is an error
    /// (`Invalid`), because its jobs may have been given up.
    ///
    /// Where nothing is ready it waits up to `wait`, then answers with no jobs. A claim makes the
    /// worker known and grants it a lease.
    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>>;

    /// Takes note of how attempts went.
    ///
    /// **L1** A report counts only with the current token. The last (token, verdict) is kept: the
    /// same report again answers `Already`; any other with a token that is not current answers
    /// `Stale`. **S3** Neither changes anything. Atomic per report.
    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>>;

    /// Renews the lease of a worker and keeps its jobs' progress.
    ///
    /// Running jobs of this worker that were given by claims up to `settled` and are not in `held`
    /// were never delivered: they are released unspent. So a worker keeps a job in `held` until its
    /// report is acknowledged, and counts a claim as settled when its reply arrived or it will
    /// never be repeated. What is in `held` but not current comes back as `lost`.
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply>;

    /// Does what is due: ends lapsed leases and attempts beyond their timeout (plus one renewal's
    /// grace), makes due jobs ready, expires jobs, prunes finished ones. At most about `limit`
    /// jobs a call; `more` says that it stopped there. Any node may call it at any time.
    ///
    /// **L6** Leases are served in the store's own time, of which one call adds at most
    /// `SERVED_PER_SWEEP_MAX`.
    async fn sweep(&self, limit: usize) -> Result<Swept>;

    /// Carries out what operators ask, in order. Each command is kept in the audit record with `actor`.
    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>>;

    /// Jobs by id, with args, result and attempts; `None` where there is none.
    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>>;

    /// One page of jobs by filter, newest `seq` first. **S6** Without args, results or attempts.
    async fn list(&self, filter: Filter) -> Result<Page>;

    /// The next jobs of a queue in the order in which they would be claimed by a worker that
    /// serves every task; without args.
    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>>;

    /// The queues of a namespace with their counts, by name. Kept as counters, never scanned.
    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>>;

    /// The workers that the store knows, by id.
    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>>;

    /// Hints of what happens from now on. **S8** They may be coalesced or lost; whoever waits for
    /// one polls slowly as well.
    fn events(&self) -> Events;

    /// What the store is and what it promises, from its live settings.
    async fn describe(&self) -> Result<Description>;

    /// Finishes what was begun, makes it durable and lets go. Later calls answer `Closed`.
    async fn close(&self) -> Result<()>;
}
