//! Taskwright's HTTP server: the operations of an [`Api`](taskwright_engine::Api) under `/v1`.
//!
//! Everything but `/v1/health` needs the token; by default only this machine is listened to. Handlers
//! hold no rules: they read with `taskwright-protocol`, ask the API and write.

mod body;
mod credential;
mod gate;
mod options;
mod patience;
mod reply;
mod routes;
mod schedules;
mod serve;

pub use credential::{Credential, CredentialError};
pub use options::{Limits, ServerOptions};
pub use serve::{ServeError, Server};
