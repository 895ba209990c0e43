//! Nodes and workers that are killed, a server that crashes, connections that are cut and frozen,
//! all under load: nothing that was acknowledged is lost, nothing is accepted twice, no job has two
//! live leases, and the counters are right.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

#[path = "chaos/check.rs"]
mod check;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/history.rs"]
mod history;
#[path = "chaos/judge.rs"]
mod judge;
#[path = "chaos/process.rs"]
mod process;
#[path = "chaos/rounds.rs"]
mod rounds;
