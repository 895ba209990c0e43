//! Plays workloads against Taskwright's own scheduling code: what if there were more workers, other
//! limits, other priorities?
//!
//! ```text
//! file → workload → plan → play ─→ ledger   the live state of the memory and file stores, as it is
//!                            ↑  └→ outcome  waiting times, fairness, utilisation
//!                       virtual clock
//! ```
//!
//! One loop, no threads, no clock, no randomness but that of the seed: the same workload gives the
//! same outcome, and variants of it see the same arrivals and running times.

mod arrival;
mod chance;
mod error;
mod fleet;
mod measure;
mod outcome;
mod plan;
mod play;
mod tally;
mod target;
mod usage;
mod variant;
pub mod workload;

pub use error::{Error, Result};
pub use outcome::{
    BacklogSample, ClassOutcome, Fairness, GroupOutcome, LimitOutcome, Outcome, Waits,
    WorkerOutcome,
};
pub use target::{Sizing, Target, Tried, size};
pub use variant::read;
pub use workload::Workload;

/// Plays a workload to its end.
///
/// # Errors
/// Where the workload makes no sense, with the part that does not; or where the scheduling code
/// refuses what is asked of it.
pub fn simulate(workload: &Workload) -> Result<Outcome> {
    play::play(&plan::Plan::new(workload)?)
}
