//! Unique keys where many nodes and tasks want the same ones: at most one job holds a key at any
//! look, and it is free once nobody does. And what has no key pays nothing for those that have one.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

#[path = "unique/contended.rs"]
mod contended;
#[path = "unique/enqueued.rs"]
mod enqueued;
#[path = "unique/free.rs"]
mod free;
