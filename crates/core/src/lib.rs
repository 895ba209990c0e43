//! The pure core of Taskwright: what a job is, what can happen to it, and in which order jobs run.
//!
//! Nothing here reads a file, a clock or a source of randomness: each function gets what it needs
//! and returns what follows. Stores keep these types, the engine applies these rules, and no other
//! crate decides a state (`lifecycle` does) or a maximum (`limits` does).

pub mod admission;
pub mod duration;
pub mod id;
pub mod job;
pub mod json;
pub mod lifecycle;
pub mod limits;
pub mod name;
pub mod placement;
pub mod rank;
pub mod retry;
pub mod schedule;
pub mod shard;
pub mod time;
pub mod turns;
pub mod unique;

pub use admission::{LineKey, Ordered, Policies, Policy, Rate, Subject, Usage};
pub use duration::{format_duration, parse_duration};
pub use id::{JobId, Token, WorkerId};
pub use job::{AttemptRecord, Extras, Job, JobError, NewJob};
pub use json::Json;
pub use lifecycle::{Cause, Event, Life, Place, Refused, State, StateName, Verdict};
pub use name::{InvalidName, Name};
pub use placement::{
    InvalidLabel, InvalidRequirement, InvalidResource, Labels, Load, LoadMeasure, Requirement,
    Resources,
};
pub use rank::Rank;
pub use retry::RetryPolicy;
pub use shard::Shard;
pub use time::Timestamp;
pub use unique::{OnConflict, Replace, Unique, Until};
