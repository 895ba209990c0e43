//! The contract of a store.

use async_trait::async_trait;
use taskwright_core::{JobId, Name, Policy, Subject, Timestamp};

use crate::document::{Document, Tick, Ticked, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Events, Nudges};
use crate::moving::{Exported, Imported, Record};
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
    /// A job whose unique key another job of the namespace holds (`Unique::is_held`) is not written.
    /// With `OnConflict::Refuse` it is refused with `UniqueTaken`, else it answers `Duplicate`; with
    /// `Replace`, where that applies to the holder, the holder gets the fields and, with another
    /// `run_at`, the place that belongs to it. Items of one call see what the ones before them did.
    /// A known id is `Existing` before its key matters. A repetition (S4) may find the key free.
    ///
    /// **W1** A new job to a queue whose policy lets only so many wait (`Policy::waiting`) is refused
    /// with `WaitingFull` where no fewer jobs of the queue are available, in whatever place; known ids
    /// and duplicates are not. Nothing but an insert is refused for it: no tick, import or command.
    ///
    /// `seq` grows with each job, in input order. The job is ready at once, due now, or waits until
    /// `run_at` where that lies in the future of the store's time. A lane (queue × task ×
    /// requirement) counts against `LANES_MAX` at least while it has jobs that have not ended.
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>>;

    /// Takes ready jobs to run that fit what is free, smallest rank first, of the queues and tasks that the
    /// worker serves and whose requirement its labels meet (`Profile::matches`); ties go by `seq`.
    /// The others wait, whoever may come. The rank is `rank::fifo` of the instant the job is due at,
    /// its priority and `AGING_DEFAULT`. Jobs of paused queues stay; so do jobs at or after their
    /// `expires_at`, first attempts or retries, until a sweep ends them (a redriven job no longer
    /// expires). Only an insert, a report, a heartbeat, a sweep or a command makes a job ready, or a claim
    /// that moves another one out of its way.
    ///
    /// **C1** A job takes of its worker what `Requirement::cost` says of what it requires, slots and amounts
    /// of resources, and what one claim gives takes no more together than `max` slots and what is `free` of
    /// each resource (`Claim::room`). **C2** The first job that takes more than is left ends the claim: no
    /// job behind it is given, so that the worker gets it once enough is free; no token, turn or room is
    /// taken for it. If it is the very first, the claim answers at once with no jobs, however long it would
    /// wait. **C3** A worker that has less in all than a job takes is not held up by it: the job requires as
    /// much (`Extras::with_cost`, which also tells whoever runs it what it costs, and
    /// `Requirement::with_taken`).
    ///
    /// **A1** No policy is exceeded: at most as many attempts run (live leases, over all workers and
    /// nodes) and as many start in a time as the policies of its queue, its task and its
    /// `LineKey`s allow. Jobs of a queue or task without room stay where they are. A job one of
    /// whose keys has no room leaves the claimable index for the line of the first such key
    /// (**A4**); of these a claim looks at no more than `CLAIM_LOOKS_MAX`. The token of a rate is
    /// taken by the claim and not returned.
    ///
    /// **L5** Durable before args are handed out. **S3** A claimed job is in no other live claim.
    /// **L7** A worker is given a suspect only while it holds none, so at most one by a claim; jobs
    /// behind a suspect that it may not have are given.
    ///
    /// Within a fair queue (`Policies::is_fair`) groups take turns: who comes first is said by
    /// `core::turns`, with a turn for each job of a group from when it is promoted, and for the jobs
    /// without group together. Between queues the rank by age decides, that of the job whose turn it is.
    /// A ready job of such a group that has no turn is put in the line of its group, as one without room.
    ///
    /// **U1** Within a strict queue (`Policies::is_strict`) a job of the highest level is next, of those the
    /// one of smallest rank (`rank::first`); between queues rank decides, that of who is next in each. Who
    /// leaves the line of a key is said in the same way. There jobs of another level stand in no one's
    /// way: what says how many may be ready of a lane, or behind whom one stands in line, says it of a level.
    ///
    /// `seq` numbers the claims of one worker, from 1, growing. The same `seq` as the worker's last
    /// claim that gave jobs answers at once those of them that still run, in the same order and with
    /// the same tokens; a lower one, and 0, is an error (`Invalid`), because its jobs may have been
    /// given up. A claim that gave no jobs may be repeated or followed by the same number.
    ///
    /// Where nothing is ready it waits up to `wait` (at most `WAIT_MAX`; zero answers at once), then
    /// answers with no jobs. A claim makes the worker known, with what it serves, and grants it a
    /// lease of `LEASE` of served time.
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
    ///
    ///   **B1** Where its queue has a retry budget (`Policy::retries`), such a job takes its place in it,
    ///   in the order of the reports, and is due no earlier than `Rate::retry` says; a job that is not
    ///   available afterwards takes none.
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
    /// **A2** A job that is due and has a key (`LineKey`) with a policy stands in the line of the first
    /// such key, and is ready only while, in its lane, fewer jobs with the key are ready than the
    /// key has room for. So at rest no key with room has a line. Lines are served by rank, then
    /// `seq`, at the end of every call, for the keys of the jobs and policies that it changed, in
    /// the order of `LineKey::number`; those whose room grew by time alone, by a sweep, after due
    /// times. At most `PROMOTIONS_MAX` jobs a call (a sweep: its limit); the next calls go on.
    ///
    /// `now` is the store's time of the call, and `next_due` the earliest instant at which a job that
    /// then waits comes due or the room of a key with a line, or of a queue or task that holds back
    /// ready jobs, grows by time alone, so that a sweep at that instant makes it ready on time. It lies after
    /// `now`, unless the sweep stopped at its limit. Jobs that begin to wait during or after the call
    /// may be missing. `wake_at` is the earliest of all documents.
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
    ///   Where another job holds the unique key that it would hold again, it answers `Taken`.
    /// - `Adjust` changes jobs that are available: `run_at` (no earlier than now) and priority are as
    ///   asked, also for later attempts, and the place follows from them.
    /// - `SetPolicy` takes the place of the policy of just this subject. Of a group or key the policy
    ///   of its own name counts, else the longest pattern. With `POLICIES_MAX` policies in the
    ///   namespace another one answers `PoliciesFull`.
    /// - `Delete` removes ended jobs only.
    /// - `Pause` and `Resume` may be repeated, and name queues that have no jobs yet.
    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>>;

    /// Changes documents, in order, each with its jobs in one commit and each for itself.
    ///
    /// **S4** A tick counts only if the document has the `expected` revision, so of several nodes
    /// that decide the same at once one is `Done`. One whose `revision` is the document's own answers
    /// `Already`, and anything else `Conflict`: neither changes anything. The jobs are
    /// written as by a partial `insert`, after the change of the document, however many wait in their
    /// queues (W1).
    ///
    /// There are at most `DOCUMENTS_MAX` documents of a kind in a namespace; another one is `Full`.
    async fn tick(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>>;

    /// Up to `limit` (at most `DOCUMENTS_PAGE_MAX`) of the wanted documents, in the order that
    /// [`Wanted`] says.
    async fn documents(&self, wanted: Wanted, limit: usize) -> Result<Vec<Document>>;

    /// Jobs by id, with args, result and attempts; `None` where there is none.
    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>>;

    /// One page of jobs by filter, newest `seq` first. **S6** Without args, results or attempts.
    /// `next` is there wherever there are more; a page after the last one is empty.
    async fn list(&self, filter: Filter) -> Result<Page>;

    /// The next jobs of a queue in the order in which they would be claimed by a worker that
    /// serves every task and meets every requirement; without args, results or attempts. A pause does not matter here.
    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>>;

    /// The queues of a namespace with their counts, by name. Kept as counters, never scanned. A queue
    /// without jobs that is not paused may be left out.
    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>>;

    /// The policies of a namespace, by subject.
    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>>;

    /// The workers that the store knows, by id.
    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>>;

    /// One page of all jobs of every namespace, live and ended, by growing `seq`, for another store
    /// to import: at most `limit` (at most `BATCH_MAX`), and at most `BATCH_BYTES_MAX` by
    /// `Record::bytes` where it is more than one. It changes nothing.
    ///
    /// `after` is the `next` of the page before; the first page has none, and brings the settings.
    /// A page is as of its call (**S9**): jobs are shown as `get` shows them, running ones too. Jobs
    /// that were there when the first page was asked for and were not pruned or deleted meanwhile
    /// are on exactly one page each; jobs inserted meanwhile come behind them. `next` is there
    /// wherever there are more. Ids that are only remembered (pruned, deleted) are not exported.
    async fn export(&self, after: Option<u64>, limit: usize) -> Result<Exported> {
        let _ = (after, limit);
        Err(cannot_move("export"))
    }

    /// Writes jobs that come from another store, each for itself, durably before it returns. At most
    /// `BATCH_MAX`, and at most `BATCH_BYTES_MAX` by `Record::bytes` where it is more than one
    /// (`moving::check_batch`).
    ///
    /// **S4** A job whose id is known in its namespace (as for `insert`: also a remembered one, also
    /// earlier in the same call) answers `Existing` if its fingerprint is the same, and whatever
    /// became of it stays as it is: a repetition changes nothing. With another fingerprint it is
    /// refused with `IdConflict`; without room for its lane, with `LanesFull`; where another job holds
    /// the unique key that it would hold, with `UniqueTaken`.
    ///
    /// What is written is `Record::arriving` at the store's time: everything that the job shows
    /// stays the same, `created_at`, `run_at`, `started_at`, `finished_at`, worker, attempts, errors
    /// and counts too, but for `seq`, the place of a job that waits, and progress; a running job is
    /// released unspent. `seq` is new and grows in the order of the records. What is hidden comes
    /// along: the fingerprint, by which a repeated `insert` is recognised; `allowance`, which a
    /// redrive gives again; the newest report (`life.last`), which still answers `Already`. Numbers
    /// of attempts go on from the imported one.
    ///
    /// From then on they are jobs like others: hints and waiting claims are served, an ended job is
    /// pruned by this store's `Retention`, counted from its own `finished_at`, and one whose
    /// `expires_at` is over is expired by the next sweep. An import gives no worker a lease.
    async fn import(&self, records: Vec<Record>) -> Result<Vec<Imported>> {
        let _ = records;
        Err(cannot_move("import"))
    }

    /// Hints of what happens from now on. **S8** They may be coalesced or lost; whoever waits for
    /// one polls slowly as well.
    fn events(&self) -> Events;

    /// Workers that should send a heartbeat at once, from now on: an attempt of theirs was asked to
    /// stop by a `Cancel` that is durable. **S8** A nudge may come twice, for nothing, or not at
    /// all; then the worker hears it with its next heartbeat. A store without nudges is slow to
    /// cancel, and else as good.
    fn nudges(&self) -> Nudges {
        Nudges::none()
    }

    /// When there is more room by time alone than there is now, as far as the newest claim that took a
    /// token of a rate knew: sooner, perhaps, than the last sweep's `next_due` said. A hint. `None`:
    /// there is nothing to wait for, or the store serves lines by itself when the time has come.
    fn room_at(&self) -> Option<Timestamp> {
        None
    }

    /// The store's own time.
    async fn now(&self) -> Result<Timestamp> {
        Ok(self.describe().await?.now)
    }

    /// The processes that have this store open, by epoch; those that were killed stay for a while.
    /// None from a store that only one process can have open.
    async fn nodes(&self) -> Result<Vec<NodeView>> {
        Ok(Vec::new())
    }

    /// Why calls cannot be expected to succeed just now, in a sentence without secrets, as far as the
    /// store knows without asking anybody. It notices by itself when that is over. `None`: nothing is
    /// known to be wrong.
    fn outage(&self) -> Option<String> {
        None
    }

    /// What the store is and what it promises, from its live settings.
    async fn describe(&self) -> Result<Description>;

    /// Finishes what was begun, makes it durable and lets go. Later calls answer `Closed`.
    async fn close(&self) -> Result<()>;
}

/// For stores that only stand in for others.
fn cannot_move(what: &str) -> Error {
    let message = format!("this store cannot {what} jobs; use the store behind it");
    Error::new(ErrorKind::Invalid, message)
}
