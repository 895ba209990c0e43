//! Schedules over any store: kept as documents, decided by `core::schedule`, ticked by whichever
//! node looks first.

mod calendars;
mod clerk;
mod desk;
mod saved;
mod scheduling;
mod spec;

pub use scheduling::Scheduling;
pub use spec::{Backfilled, Recurrence, ScheduleChange, ScheduleSpec, ScheduleView, Standing};

pub(crate) use clerk::Clerk;

/// What the tag of a schedule's jobs begins with; its name follows.
pub const TAG_PREFIX: &str = "schedule:";
