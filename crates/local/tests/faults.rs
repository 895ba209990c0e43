//! Stores in trouble: a full disk, a sync that fails, a table from yesterday, a directory that is
//! not theirs, workers that are gone. Nothing that was acknowledged is lost, and nothing is served
//! that is not true.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "faults/full_disk.rs"]
mod full_disk;
#[path = "faults/leases.rs"]
mod leases;
#[path = "faults/old_table.rs"]
mod old_table;
#[path = "faults/refusals.rs"]
mod refusals;
#[path = "faults/scene.rs"]
mod scene;
#[path = "faults/stopped.rs"]
mod stopped;
