//! Taskwright's rules with IO: what enqueue, claim, report, heartbeat, sweep and control mean,
//! over any store.
//!
//! [`Api`] is every operation there is; the engine implements it over a store, and a client of a
//! server implements it over the wire, so that the same program runs on either.

pub mod api;
mod costs;
mod engine;
pub mod error;
mod fingerprint;
pub mod ids;
mod nudged;
pub mod place;
pub mod schedules;
mod sweeper;
mod validate;
mod waiters;
pub mod why;

pub use api::{Api, Enqueued, JobRequest, Start, Work, WorkReply};
pub use costs::{Cost, CostCell, CostSums, Costs, TaskCosts, Times, WorkerCosts};
pub use engine::Engine;
pub use error::{Error, ErrorCode, Result};
pub use fingerprint::fingerprint;
pub use place::{Exclusion, ExclusionRule, PlaceRequest, Placed, Placement};
pub use schedules::{
    Backfilled, Recurrence, ScheduleChange, ScheduleSpec, ScheduleView, Scheduling, Standing,
};
pub use why::{Ahead, Blocker, BlockerKind, Why};
