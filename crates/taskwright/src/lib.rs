//! Durable jobs: define a task, enqueue a job, have workers run it, get its result. Nothing that
//! was acknowledged is lost when anything is killed.
//!
//! ```
//! use taskwright::{Taskwright, task};
//!
//! #[task]
//! async fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let app = Taskwright::connect("memory:").await?; // or "file:./data", "postgres://…", "http://…"
//!     let worker = app.worker().serve(add).start()?;
//!
//!     let handle = app.enqueue(add::job(4, 4)).await?;
//!     assert_eq!(handle.result().await?, 8);
//!
//!     worker.stop().await?;
//!     app.close().await?;
//!     Ok(())
//! }
//! ```
//!
//! - [`task`] turns an async or a blocking function into a task; [`Context`] is what it may know of
//!   its attempt; [`TaskError`] is how it asks for something other than a retry.
//! - [`Job`] says how a job is to run, [`Handle`] tells what became of it.
//! - [`Job::unique`] keeps a job from being there twice; [`Limit`] is what may start at once, or in a
//!   time, of a queue, task, group or key.
//! - [`Worker`] runs jobs. [`Handler`] serves tasks that are no Rust functions.
//! - [`blocking`] is the same for programs without async code; [`testing`] runs the real engine with
//!   a clock of its own.

// The macro's output says `::taskwright`, also where it is used in this crate's own tests.
extern crate self as taskwright;

mod adjust;
mod app;
mod args;
mod backend;
pub mod blocking;
mod consumer;
mod context;
mod control;
mod failure;
mod handle;
mod handler;
#[cfg(feature = "http")]
mod http;
mod job;
mod limit;
pub mod moving;
mod operate;
mod options;
mod pool;
mod retrying;
mod schedule;
mod task;
pub mod testing;
mod unique;
mod worker;

pub use adjust::Adjust;
pub use app::Taskwright;
pub use backend::{fsck, shown};
pub use consumer::{Claimed, Consumer};
pub use context::{Context, StopReason};
pub use failure::{BoxError, TaskError};
pub use handle::{Handle, NoResult};
pub use handler::{Attempt, Handler};
pub use job::{IntoDuration, Job};
pub use limit::Limit;
pub use options::{Options, Syncing};
pub use schedule::Schedule;
pub use task::{Failure, Output, Task};
pub use taskwright_core::schedule::{CatchUp, Overlap, PausedBy, SkipReason, Skipped};
pub use taskwright_core::{
    AttemptRecord, Extras, Job as JobView, JobError, JobId, Json, Labels, Load, LoadMeasure, Name,
    OnConflict, Ordered, Policy, Rate, Replace, Requirement, Resources, RetryPolicy, Shard, State,
    StateName, Subject, Timestamp, Token, Unique, Until, WorkerId, format_duration, limits,
    parse_duration,
};
pub use taskwright_engine::{
    Ahead, Api, Backfilled, Blocker, BlockerKind, Cost, CostCell, CostSums, Costs, Enqueued, Error,
    ErrorCode, JobRequest, Recurrence, Result, ScheduleChange, ScheduleSpec, ScheduleView,
    Standing, Start, TaskCosts, Times, Why, WorkerCosts,
};
pub use taskwright_engine::{Exclusion, ExclusionRule, PlaceRequest, Placed, Placement};
pub use taskwright_local::Soundness;
pub use taskwright_macros::task;
#[cfg(feature = "postgres")]
pub use taskwright_postgres::migrate;
pub use taskwright_store::{
    ClaimedJob, Command, Controlled, Description, Durability, Event, Events, Filter, Heard,
    NodeView, Outcome, Page, Profile, QueueCounts, Reported, Retention, Retry, WorkerView,
};
pub use worker::{Completion, LoadMeter, RunningWorker, Stopper, Worker};

/// What the output of `#[task]` uses. No part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::args::{ArgsReader, ArgsWriter, Argument};
    pub use crate::task::{
        AnyReturned, Failure, Output, ResultType, Returned, TaskName, args_of, job_of, undecodable,
    };
}
