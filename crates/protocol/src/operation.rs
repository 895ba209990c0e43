//! The operations by name: one request and one reply each, on every transport.

use std::fmt;
use std::str::FromStr;

/// One operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Write jobs.
    Enqueue,
    /// Take jobs to run.
    Claim,
    /// Say how attempts went.
    Report,
    /// Renew a worker's lease.
    Heartbeat,
    /// Wait to be told to send a heartbeat at once.
    Listen,
    /// Report, heartbeat and claim in one.
    Work,
    /// Cancel, redrive, adjust, delete, set policies, pause, resume.
    Control,
    /// Jobs by id.
    Get,
    /// A job once it has ended.
    Wait,
    /// A page of jobs.
    List,
    /// The next jobs of a queue.
    Peek,
    /// Queues and their counts.
    Queues,
    /// Policies.
    Policies,
    /// Schedules.
    Schedules,
    /// Set, remove, pause, resume, trigger, backfill, preview a schedule; calendars.
    Schedule,
    /// Workers.
    Workers,
    /// The cost matrix.
    Costs,
    /// Which workers may run a job.
    Place,
    /// Processes that have the store open.
    Nodes,
    /// What the store is.
    Describe,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 20] = [
        Operation::Enqueue,
        Operation::Claim,
        Operation::Report,
        Operation::Heartbeat,
        Operation::Listen,
        Operation::Work,
        Operation::Control,
        Operation::Get,
        Operation::Wait,
        Operation::List,
        Operation::Peek,
        Operation::Queues,
        Operation::Policies,
        Operation::Schedules,
        Operation::Schedule,
        Operation::Workers,
        Operation::Costs,
        Operation::Place,
        Operation::Nodes,
        Operation::Describe,
    ];

    /// Its word: `op` on the control socket, and `POST /v1/` word on HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Enqueue => "enqueue",
            Operation::Claim => "claim",
            Operation::Report => "report",
            Operation::Heartbeat => "heartbeat",
            Operation::Listen => "listen",
            Operation::Work => "work",
            Operation::Control => "control",
            Operation::Get => "get",
            Operation::Wait => "wait",
            Operation::List => "list",
            Operation::Peek => "peek",
            Operation::Queues => "queues",
            Operation::Policies => "policies",
            Operation::Schedules => "schedules",
            Operation::Schedule => "schedule",
            Operation::Workers => "workers",
            Operation::Costs => "costs",
            Operation::Place => "place",
            Operation::Nodes => "nodes",
            Operation::Describe => "describe",
        }
    }

    /// Whether sending the request again does no more than sending it once (law S4). A command of an
    /// operator is repeated by the operator.
    pub const fn is_repeatable(self) -> bool {
        !matches!(self, Operation::Control | Operation::Schedule)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOperation(String);

impl fmt::Display for UnknownOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Operation::ALL.map(Operation::as_str).join(", ");
        write!(f, "{:?} is not an operation; operations are {known}", self.0)
    }
}

impl std::error::Error for UnknownOperation {}

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        let named = Operation::ALL.into_iter().find(|operation| operation.as_str() == text);
        named.ok_or_else(|| UnknownOperation(text.to_owned()))
    }
}
