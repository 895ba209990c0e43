//! Reaching PostgreSQL, through everything that may be in the way: restarts, failovers, cut and
//! frozen networks, transaction poolers.
//!
//! ```text
//! target ─→ open      one host after another, back-off, one attempt at a time
//!             └→ pool     at most N connections, idle ones checked before use
//!                  └→ run     `with` and `transact`: deadlines, repetition, errors of a store
//!          listener   one connection of its own that hears hints
//! ```
//!
//! No session state is relied on: every statement is unnamed and typed, settings are made with
//! `SET LOCAL`, and nothing is locked beyond a transaction. So a transaction pooler may stand
//! between, without a switch.

mod backoff;
mod connection;
mod fault;
mod health;
mod home;
mod listener;
mod open;
mod pool;
mod run;
mod target;
mod tls;
mod url;

pub use connection::{Connection, Parameter};
pub use fault::Fault;
pub use health::Health;
pub use listener::{Hint, Listener};
pub use pool::Pool;
pub use run::Repeat;
pub use target::{SslMode, Target};
