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
/// - **L6** Only the store's own time counts, and it never goes back: it is the latest instant that
///   the clock has shown, over restarts too as far as anything was written then.
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
    /// refused with `IdConflict`. An id is known in its namespace while the record is kept and, if it
    /// was pruned or deleted, until `ID_WINDOW` after the job's end. The same holds between two
    /// items of one call.
    ///
    /// `seq` grows with each job, in input order. The job is ready at once, due now, or waits until
    /// `run_at` where that lies in the future of the store's time. A lane (queue × task) counts
    /// against `LANES_MAX` at least while it has jobs that have not ended.
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>>;

    /// Takes up to `max` ready jobs to run, smallest rank first, of the queues and tasks that the
    /// worker serves; ties go by `seq`. The rank is `rank::fifo` of the instant the job is due at,
    /// its priority and `AGING_DEFAULT`. Jobs of paused queues stay; so do jobs at or after their
    /// `expires_at`, first attempts or retries, until a sweep ends them (a redriven job no longer
    /// expires). Only an insert, a report, a sweep or a command makes a job ready: never a claim.
    ///
    /// **L5** Durable before args are handed out. **S3** A claimed job is in no other live claim.
    /// **L7** A worker is given a suspect only while it holds none, so at most one by a claim; jobs
    /// behind a suspect that it may not have are given.
    ///
    /// `seq` numbers the claims of one worker, from 1, growing. The same `seq` as the worker's last
    /// claim that gave jobs answers at once those of them that still run, in the same order and with
    /// the same tokens; a lower one, and 0, is an error (`Invalid`), because its jobs may have been
    /// given up. A claim that gave no jobs may be repeated or followed by the same number.
    ///
    /// Where nothing is ready it waits up to `wait` (at most `WAIT_MAX`; zero answers at once), then
    /// answers with no jobs. A claim makes the worker known and grants it a lease of `LEASE` of
    /// served time.
    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>>;

    /// Takes note of how attempts went.
    ///
    /// **L1** A report counts only with the current token. The last (token, verdict) is kept: the
    /// same report again answers `Already`; any other with a token that is not current answers
    /// `Stale`. **S3** Neither changes anything. Atomic per report.
    ///
    /// - `Failed` and `TimedOut` run again after the wait that `Retry` says: for `ByPolicy`
    ///   `RetryPolicy::delay(failures, retry::seed(id, attempt))`, the failure counted. `run_at`
    ///   becomes that instant; without a wait the job is ready at once. `Snoozed` likewise.
    /// - `Released` keeps the instant the job is due at, and so its place in the order.
    /// - `Cancelled` is a wish to cancel and then a release, in one: its verdict is `released`.
    /// - `Checkpoint` ends nothing: it answers `Applied` with `running` each time, or `Stale`.
    ///
    /// Every attempt that ends other than completed is kept in `attempts`, within the limits, with
    /// its error; `error` is the newest. An attempt's progress is gone with it, its checkpoint stays.
    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>>;

    /// Renews the lease of a worker and keeps its jobs' progress. Makes the worker known, where it
    /// was not or no longer.
    ///
    /// Running jobs of this worker that were given by claims up to `settled` and are not in `held`
    /// were never delivered: they are released unspent. So a worker keeps a job in `held` until its
    /// report is acknowledged, and counts a claim as settled when its reply arrived or it will
    /// never be repeated. What is in `held` but not current comes back as `lost`.
    ///
    /// Every reply names, of the running jobs of this worker, those that somebody asked to stop and
    /// those whose timeout is over since `started_at`, until the attempt has ended. For a job that
    /// is both, the wish to cancel is named.
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply>;

    /// Does what is due, in this order: ends the running attempts of workers whose lease is over
    /// (`JobError::lost`; they keep the instant they are due at), then attempts `HEARTBEAT_EVERY`
    /// beyond their timeout (`JobError::timed_out`), expires jobs that wait at or after their
    /// `expires_at`, makes due jobs ready, prunes ended ones by `Retention`, oldest end first. At
    /// most about `limit` jobs a call; `more` says that it stopped there. Any node may call it at
    /// any time. A worker without a lease and without running jobs is forgotten.
    ///
    /// **L6** Leases are served in the store's own time, of which one call adds the time since the
    /// last call or the opening, at most `SERVED_PER_SWEEP_MAX`. Opening a store grants every lease
    /// afresh, except that those of workers `in_process` are over.
    async fn sweep(&self, limit: usize) -> Result<Swept>;

    /// Carries out what operators ask, in order. Each command is kept in the audit record with `actor`.
    ///
    /// - `Cancel` ends a job that waits, and notes the wish for one that runs. The first reason stays.
    /// - `Redrive` makes an ended job ready, due now; `finished_at`, `result` and `cancel_reason` are
    ///   gone, attempts and errors stay. With `attempts` 0 it may fail as often again as it was
    ///   inserted with.
    /// - `Delete` removes ended jobs only.
    /// - `Pause` and `Resume` may be repeated, and name queues that have no jobs yet.
    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>>;

    /// Jobs by id, with args, result and attempts; `None` where there is none.
    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>>;

    /// One page of jobs by filter, newest `seq` first. **S6** Without args, results or attempts.
    /// `next` is there wherever there are more; a page after the last one is empty.
    async fn list(&self, filter: Filter) -> Result<Page>;

    /// The next jobs of a queue in the order in which they would be claimed by a worker that
    /// serves every task; without args, results or attempts. A pause does not matter here.
    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>>;

    /// The queues of a namespace with their counts, by name. Kept as counters, never scanned. A queue
    /// without jobs that is not paused may be left out.
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
