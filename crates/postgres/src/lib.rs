//! Taskwright's PostgreSQL store: many machines, one truth.
//!
//! Nodes are stateless and equal: all that is remembered is in the database, and its clock counts.
//! The statements of every day are functions of the schema (`migrations/`), one round trip each;
//! they move data. What may happen to a job is decided by `taskwright_core`, in Rust: rows are
//! locked, changed and written back (`change`).

mod alike;
mod background;
mod change;
mod claim;
mod clock;
mod codec;
pub mod connect;
mod control;
mod describe;
mod floors;
mod fresh;
mod gather;
mod give_back;
mod health;
mod heartbeat;
mod hints;
mod insert;
mod intake;
mod keys;
mod lanes;
mod limits;
mod link;
mod look;
mod look_up;
pub mod migrate;
mod moving;
mod node;
mod prune;
mod record;
mod report;
mod requirements;
mod row;
mod store;
mod sweep;
mod tally;
mod ticks;
pub mod transaction;
mod unique;

pub use store::{PostgresOptions, PostgresStore};
