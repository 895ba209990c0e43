//! What several tests of the PostgreSQL store stand on.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

pub mod client;
pub mod harness;
pub mod jobs;
pub mod random;
