//! Processes that end, stop or abort at any moment: nothing that was acknowledged is lost, nothing
//! is accepted twice, and who lost a job is told.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "crash/abort.rs"]
mod abort;
#[path = "crash/history.rs"]
mod history;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/lost_reply.rs"]
mod lost_reply;
#[path = "crash/random.rs"]
mod random;
#[path = "crash/server.rs"]
mod server;
#[path = "crash/server_killed.rs"]
mod server_killed;
#[path = "crash/stopped_worker.rs"]
mod stopped_worker;
#[path = "crash/workers_killed.rs"]
mod workers_killed;
