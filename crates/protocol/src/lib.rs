//! The wire: how requests, replies and errors of Taskwright's API look as JSON.
//!
//! This is the only crate that knows it. A server gives bodies to [`answer`]; a client makes a
//! [`RemoteApi`] of anything that can carry a body ([`Transport`]). Field names are those of the
//! rest of Taskwright; instants are RFC 3339, ids are UUIDs, tokens are strings. Requests with
//! unknown fields are refused; replies may grow, and readers ignore what they do not know. Args,
//! results and checkpoints travel unread.

mod claim;
mod control;
mod enqueue;
mod extras;
mod fresh;
mod heartbeat;
mod instant;
mod job;
pub mod line;
mod look;
mod operation;
pub mod problem;
pub mod query;
mod read;
mod remote;
mod report;
pub mod service;
mod status;
mod work;
mod write;

pub use enqueue::Reply;
pub use operation::{Operation, UnknownOperation};
pub use remote::{RemoteApi, Transport};
pub use service::answer;
