//! The wire: how requests, replies and errors of Taskwright's API look as JSON.
//!
//! This is the only crate that knows it. A server gives bodies to [`answer`]; a client makes a
//! [`RemoteApi`] of anything that can carry a body ([`Transport`]). Field names are those of the
//! rest of Taskwright; instants are RFC 3339, ids are UUIDs, tokens are strings. Requests with
//! unknown fields are refused; replies may grow, and readers ignore what they do not know. Args,
//! results and checkpoints travel unread.

mod claim;
mod control;
mod costs;
mod enqueue;
mod extras;
mod fresh;
mod heartbeat;
mod instant;
mod job;
mod labels;
pub mod line;
mod listen;
mod load;
mod look;
mod operation;
mod place;
mod policy;
pub mod problem;
pub mod query;
mod read;
mod remote;
mod remote_schedules;
mod report;
mod schedule;
mod schedules;
pub mod service;
mod status;
mod unique;
mod why;
mod work;
mod write;

use taskwright_core::limits::{BATCH_BYTES_MAX, BATCH_MAX, ERROR_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// Longest request, in bytes: the args or results of one call, and as much again for the rest.
pub const REQUEST_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;
/// Longest reply, in bytes: a whole batch of jobs with the longest args, results and errors.
pub const REPLY_BYTES_MAX: usize = BATCH_MAX * (3 * PAYLOAD_BYTES_MAX + 32 * ERROR_BYTES_MAX);

/// The OpenAPI description of the HTTP API.
pub const OPENAPI: &str = include_str!("../openapi.json");

pub use enqueue::Reply;
pub use operation::{Operation, UnknownOperation};
pub use remote::{RemoteApi, Transport};
pub use schedules::{read_schedule, write_schedule, write_schedule_view};
pub use service::answer;
pub use why::write_why;

#[cfg(test)]
#[path = "tests/wire.rs"]
mod wire_tests;

#[cfg(test)]
#[path = "tests/openapi.rs"]
mod openapi_tests;
