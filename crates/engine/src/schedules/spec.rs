//! A schedule as people write it, and as they see it.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{self, check};
use taskwright_core::schedule::{
    Calendar, Cron, Policy, Rule, RuleSpec, Skipped, State, When, Window,
};
use taskwright_core::{JobId, Name, Timestamp};

use super::TAG_PREFIX;
use crate::api::{JobRequest, Start};
use crate::error::{Error, ErrorCode, Result};
use crate::validate;

/// What a schedule repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recurrence {
    /// A cron expression, on the wall clocks of the schedule's zone.
    Cron(String),
    /// A job each so often (1 second to ten years), whatever clocks show.
    Every {
        /// The interval.
        every: Duration,
        /// It is due at this instant, and at whole intervals before and after; default: the start.
        anchor: Option<Timestamp>,
    },
    /// A job at each of these instants.
    At(Vec<Timestamp>),
}

/// A schedule as somebody writes it. `docs/schedules.md` says what each field means.
#[derive(Clone, Debug)]
pub struct ScheduleSpec {
    /// Its name, in the namespace of its job.
    pub name: Name,
    /// What is repeated.
    pub when: Recurrence,
    /// The IANA name of the time zone whose wall clocks count.
    pub zone: String,
    /// No job is made for an instant before this one.
    pub start: Option<Timestamp>,
    /// No job is made for this instant or later ones.
    pub end: Option<Timestamp>,
    /// Jobs start up to so much later than their instant.
    pub jitter: Duration,
    /// Only instants in one of these windows count, `mon-fri 09:00-17:00`; all do where there is none.
    pub windows: Vec<String>,
    /// Calendars on whose days no instant counts.
    pub exclude: Vec<Name>,
    /// What happens when instants overlap or were missed, and when jobs fail.
    pub policy: Policy,
    /// The job that is made each time. It has no id and starts at its instant.
    pub job: JobRequest,
}

/// Where a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which instants are accounted for, and whether it is paused.
    pub state: State,
    /// Its jobs that are not known to have ended, oldest first.
    pub live: Vec<JobId>,
    /// The newest job it made.
    pub last_job: Option<JobId>,
    /// How many instants made a job.
    pub made: u64,
    /// How many made none because the store did not take it: its unique key was held, or there was no
    /// room.
    pub refused: u64,
    /// How many were skipped, as far as they were counted.
    pub skipped: u64,
    /// The newest of those.
    pub skips: Vec<Skipped>,
    /// Why a job could not be made, or why the schedule cannot go on, in a sentence.
    pub trouble: Option<Arc<str>>,
}

impl Standing {
    /// Of a schedule that is made now.
    pub(crate) fn new(now: Timestamp) -> Self {
        Standing {
            state: State::new(now),
            live: Vec::new(),
            last_job: None,
            made: 0,
            refused: 0,
            skipped: 0,
            skips: Vec::new(),
            trouble: None,
        }
    }
}

/// A schedule as people see it.
#[derive(Clone, Debug)]
pub struct ScheduleView {
    /// What it is.
    pub spec: ScheduleSpec,
    /// Where it stands.
    pub standing: Standing,
    /// When a node looks at it next, most often the next instant; `None`: paused, or over.
    pub next_at: Option<Timestamp>,
}

/// What setting a schedule did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ScheduleChange {
    /// There was none of this name.
    Created,
    /// It is another one now.
    Changed,
    /// It was just so.
    Unchanged,
}

/// What a backfill did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Backfilled {
    /// Jobs that were made.
    pub made: usize,
    /// Jobs that were there already.
    pub existing: usize,
    /// Instants up to and with this one are done; `None`: all were.
    pub until: Option<Timestamp>,
}

impl ScheduleSpec {
    /// A schedule in UTC without start, end, jitter, windows and calendars, with default policies.
    pub fn new(name: Name, when: Recurrence, job: JobRequest) -> Self {
        ScheduleSpec {
            name,
            when,
            zone: "UTC".to_owned(),
            start: None,
            end: None,
            jitter: Duration::ZERO,
            windows: Vec::new(),
            exclude: Vec::new(),
            policy: Policy::default(),
            job,
        }
    }

    /// The tag that its jobs have, by which they are listed.
    pub fn tag(&self) -> Arc<str> {
        format!("{TAG_PREFIX}{}", self.name).into()
    }

    /// The rule, checked; `calendars` holds at least those that it names.
    pub(crate) fn rule(&self, calendars: &[Calendar]) -> Result<Rule> {
        let when = match &self.when {
            Recurrence::Cron(text) => {
                When::Cron(Cron::parse(text).map_err(|fault| self.fault(fault))?)
            }
            Recurrence::Every { every, anchor } => When::Every { every: *every, anchor: *anchor },
            Recurrence::At(instants) => When::At(instants.clone()),
        };
        let windows = self.windows.iter().map(|text| text.parse::<Window>());
        let spec = RuleSpec {
            when,
            zone: self.zone.clone(),
            start: self.start,
            end: self.end,
            jitter: self.jitter,
            windows: windows.collect::<Result<_, _>>().map_err(|fault| self.fault(fault))?,
            excluded: self.exclude.clone(),
        };
        Rule::new(spec, calendars).map_err(|fault| self.fault(fault))
    }

    /// Refuses a schedule that could never make its jobs.
    pub(crate) fn check(&self) -> Result<()> {
        self.policy.check().map_err(|fault| self.fault(fault))?;
        let longest = limits::TAG_BYTES_MAX - TAG_PREFIX.len();
        check("its name", self.name.as_str().len(), longest, "bytes")
            .map_err(|fault| self.fault(fault))?;
        check("the list of its job's tags", self.job.tags.len(), limits::TAGS_MAX - 1, "tags")
            .map_err(|fault| self.fault(fault))?;
        let job = &self.job;
        if job.id.is_some() || job.start != Start::Now || job.expires_at.is_some() {
            return Err(self.fault("its job has an id, a delay or run_at, or expires_at, which each job of a schedule gets for itself; leave them out"));
        }
        if job.shard.is_some() {
            return Err(self.fault("its job is a shard, and a schedule makes one job for an instant; leave the shards out"));
        }
        let probe = JobRequest { id: Some(JobId::from_u128(0)), ..job.clone() };
        validate::new_jobs(vec![probe], Timestamp::ZERO).map(|_| ()).map_err(|error| Error {
            message: self.words(error.message),
            item: None,
            ..error
        })
    }

    fn words(&self, fault: impl Display) -> String {
        format!("cannot set the schedule {}: {fault}", self.name)
    }

    pub(crate) fn fault(&self, fault: impl Display) -> Error {
        Error::new(ErrorCode::Invalid, self.words(fault))
    }
}
