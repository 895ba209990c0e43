//! Jobs in transactions of the application: they exist, and are completed, if and only if its own
//! rows are there; and such a transaction is in nobody's way.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

#[path = "transactional/alone.rs"]
mod alone;
#[path = "transactional/completed.rs"]
mod completed;
#[path = "transactional/enqueued.rs"]
mod enqueued;
#[path = "transactional/late.rs"]
mod late;
