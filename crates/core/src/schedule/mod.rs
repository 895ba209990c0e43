//! Schedules: when they are due, and what they do then. Pure arithmetic of time.
//!
//! A [`Rule`] says at which instants a schedule is due: a [`Cron`] expression, an interval or a
//! list, on the wall clocks of a [`Zone`], in [`Window`]s, not on the days of [`Calendar`]s. A
//! [`Policy`] says what happens when instants overlap or were missed. [`decide`] puts both together
//! with the schedule's [`State`]: which instants make a job now, and which are skipped.
//!
//! `docs/schedules.md` describes all of it for users.

mod calendar;
mod civil;
mod cron;
mod days;
mod decide;
mod field;
mod icalendar;
mod job_id;
mod policy;
mod recurrence;
mod rule;
mod window;
mod zone;

pub use calendar::{Calendar, InvalidCalendar};
pub use civil::{Date, InvalidDate};
pub use cron::{Cron, InvalidCron};
pub use decide::{Decision, Schedule, SkipReason, Skipped, Tick, backfill, decide, resume};
pub use job_id::job_id;
pub use policy::{CatchUp, InvalidPolicy, Overlap, PausedBy, Policy, State};
pub use rule::{InvalidRule, Rule, RuleSpec, When};
pub use window::{InvalidWindow, Window};
pub use zone::{UnknownZone, Zone};
