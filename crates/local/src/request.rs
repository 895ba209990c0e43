//! What callers ask of the writer, and how they are answered.

use std::time::Instant;

use taskwright_core::{Job, JobId, Json, Name, NewJob, Policy, Subject, Timestamp};
use taskwright_store::{
    Claim, ClaimedJob, Command, Controlled, Document, Heartbeat, HeartbeatReply, Imported, Insert,
    Inserted, QueueCounts, Record, Report, Reported, Result, Settings, Swept, Tick, Ticked, Wanted,
    WorkerView,
};
use tokio::sync::oneshot;

use crate::change::Position;
use crate::ledger::Found;
use crate::table::Pruned;

/// Where an answer goes. A caller that no longer waits is no error.
pub type Reply<T> = oneshot::Sender<Result<T>>;

/// One thing asked of the writer.
pub enum Request {
    /// See `Store::insert`.
    Insert(Insert, Reply<Vec<Inserted>>),
    /// See `Store::claim`; waits until the instant.
    Claim(Claim, Instant, Reply<Vec<ClaimedJob>>),
    /// See `Store::report`.
    Report(Vec<Report>, Reply<Vec<Reported>>),
    /// See `Store::heartbeat`.
    Heartbeat(Heartbeat, Reply<HeartbeatReply>),
    /// See `Store::sweep`; pruning comes after it, as of this time.
    Sweep(usize, Reply<(Swept, Timestamp)>),
    /// See `Store::control`.
    Control(String, Vec<Command>, Reply<Vec<Controlled>>),
    /// Jobs, and the position at which the table shows those that are not in memory.
    Get(Name, Vec<JobId>, Reply<(Position, Vec<Found>)>),
    /// See `Store::peek`.
    Peek(Name, Name, usize, Reply<Vec<Job>>),
    /// See `Store::counts`.
    Counts(Name, Reply<Vec<QueueCounts>>),
    /// See `Store::workers`.
    Workers(Name, Reply<Vec<WorkerView>>),
    /// See `Store::policies`.
    Policies(Name, Reply<Vec<(Subject, Policy)>>),
    /// See `Store::tick`.
    Tick(Vec<Tick>, Reply<Vec<Ticked>>),
    /// See `Store::documents`.
    Documents(Wanted, usize, Reply<Vec<Document>>),
    /// See `Store::import`.
    Import(Vec<Record>, Reply<Vec<Imported>>),
    /// The settings, and the position at which the table shows all jobs.
    Settings(Reply<(Position, Settings)>),
    /// Everything asked before is durable at this position, and this is the time.
    Settle(Reply<Settled>),
    /// The table has pruned ended jobs.
    Pruned(Pruned, Reply<()>),
}

/// How the store stands.
#[derive(Copy, Clone, Debug)]
pub struct Settled {
    /// The position of the last group.
    pub position: Position,
    /// The store's time.
    pub now: Timestamp,
    /// Jobs in memory.
    pub jobs: usize,
    /// Bytes of their args.
    pub args_bytes: usize,
}

impl Request {
    /// Whether it goes before others: workers must not lose their leases, nor slots stay taken,
    /// because many jobs come in.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Request::Report(..) | Request::Heartbeat(..))
    }

    /// Whether it brings new work, which can be refused when there is no room.
    pub fn is_new_work(&self) -> bool {
        matches!(self, Request::Insert(..) | Request::Import(..) | Request::Tick(..))
    }

    /// About how many bytes it adds to the journal, rather too many.
    pub fn journal_bytes(&self) -> u64 {
        let bytes = match self {
            Request::Insert(insert, _) => insert.jobs.iter().map(bytes_of).sum(),
            Request::Tick(ticks, _) => ticks.iter().map(bytes_of_tick).sum(),
            Request::Import(records, _) => records.iter().map(Record::bytes).sum(),
            Request::Claim(claim, ..) => 256 + 96 * claim.max,
            Request::Report(reports, _) => {
                reports.iter().map(|report| 256 + report.outcome.bytes()).sum()
            }
            Request::Heartbeat(heartbeat, _) => {
                let progress: usize = heartbeat.progress.iter().map(|(.., text)| text.len()).sum();
                256 + 128 * (heartbeat.progress.len() + heartbeat.held.len()) + progress
            }
            Request::Sweep(limit, _) => 256 + 384 * limit,
            Request::Control(actor, commands, _) => commands.len() * (1_024 + actor.len()),
            _ => 0,
        };
        bytes as u64
    }

    /// Answers with an error.
    pub fn refuse(self, error: taskwright_store::Error) {
        fn answer<T>(reply: Reply<T>, error: taskwright_store::Error) {
            let _ = reply.send(Err(error));
        }
        match self {
            Request::Insert(_, reply) => answer(reply, error),
            Request::Claim(.., reply) => answer(reply, error),
            Request::Report(_, reply) => answer(reply, error),
            Request::Heartbeat(_, reply) => answer(reply, error),
            Request::Sweep(_, reply) => answer(reply, error),
            Request::Control(.., reply) => answer(reply, error),
            Request::Get(.., reply) => answer(reply, error),
            Request::Peek(.., reply) => answer(reply, error),
            Request::Counts(_, reply) => answer(reply, error),
            Request::Workers(_, reply) => answer(reply, error),
            Request::Policies(_, reply) => answer(reply, error),
            Request::Tick(_, reply) => answer(reply, error),
            Request::Documents(.., reply) => answer(reply, error),
            Request::Import(_, reply) => answer(reply, error),
            Request::Settings(reply) => answer(reply, error),
            Request::Settle(reply) => answer(reply, error),
            Request::Pruned(_, reply) => answer(reply, error),
        }
    }
}

fn bytes_of(job: &NewJob) -> usize {
    320 + job.args.len() + job.extras.bytes()
}

/// About how many bytes a tick adds to the journal, rather too many.
pub fn bytes_of_tick(tick: &Tick) -> usize {
    let body = tick.body.as_ref().map_or(0, Json::len);
    let asked = tick.asked.as_ref().map_or(0, |asked| asked.actor.len() + asked.action.len());
    512 + body + asked + tick.jobs.iter().map(bytes_of).sum::<usize>()
}
