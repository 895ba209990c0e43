//! Schedules: jobs that are made again and again, at the times that a rule says.

use std::fmt::Display;
use std::time::Duration;

use taskwright_core::schedule::{CatchUp, Overlap};
use taskwright_core::{JobId, Name, Timestamp};
use taskwright_engine::{
    Backfilled, Error, ErrorCode, Recurrence, Result, ScheduleChange, ScheduleSpec, ScheduleView,
    Scheduling,
};

use crate::app::Taskwright;
use crate::job::{IntoDuration, Job};

/// A schedule to set: its name, when it is due, and the job it makes each time.
///
/// Several programs may set the same schedule at their start: what is the same already stays as it
/// is, and however many nodes run, each instant makes one job. What is wrong with it (an
/// expression, a zone) is said when it is set. `docs/schedules.md` says all that it can do.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use taskwright::{Job, Schedule, Taskwright};
///
/// let app = Taskwright::connect("memory:").await?;
/// let report: Job<()> = Job::new("report", &serde_json::json!({"day": "yesterday"}));
/// let nightly = Schedule::cron("nightly", "30 2 * * mon-fri", report).zone("Europe/Berlin");
/// for instant in app.preview(nightly.clone(), 3).await? {
///     println!("{instant}");
/// }
/// app.set_schedule(nightly).await?;
/// # assert_eq!(app.schedules().await?.len(), 1);
/// # Ok(()) }) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a schedule does nothing until it is set"]
pub struct Schedule {
    spec: ScheduleSpec,
    fault: Option<Error>,
}

impl Schedule {
    /// Due as a cron expression says, of 5 fields, or 6 with seconds first, or a word such as
    /// `@daily`; in UTC unless [`Schedule::zone`] says otherwise.
    pub fn cron<T>(name: &str, expression: &str, job: Job<T>) -> Self {
        Schedule::of(name, Recurrence::Cron(expression.to_owned()), job)
    }

    /// Due each so often (1 second to ten years), whatever clocks show.
    pub fn every<T>(name: &str, interval: impl IntoDuration, job: Job<T>) -> Self {
        let interval = interval.into_duration();
        let every = interval.as_ref().copied().unwrap_or(Duration::ZERO);
        let schedule = Schedule::of(name, Recurrence::Every { every, anchor: None }, job);
        match interval {
            Ok(_) => schedule,
            Err(fault) => schedule.faulty(fault),
        }
    }

    /// Due at these instants.
    pub fn at<T>(name: &str, instants: &[Timestamp], job: Job<T>) -> Self {
        Schedule::of(name, Recurrence::At(instants.to_vec()), job)
    }

    fn of<T>(name: &str, when: Recurrence, job: Job<T>) -> Self {
        let named = Name::new(name);
        let request = job.into_request();
        let fault = match (&named, &request) {
            (Err(fault), _) => Some(fault.to_string()),
            (_, Err(fault)) => Some(fault.to_string()),
            _ => None,
        };
        let nothing = || {
            taskwright_engine::JobRequest::new(Name::default_name(), taskwright_core::Json::null())
        };
        let name = named.unwrap_or_else(|_| Name::default_name());
        let spec = ScheduleSpec::new(name, when, request.unwrap_or_else(|_| nothing()));
        let schedule = Schedule { spec, fault: None };
        match fault {
            Some(fault) => schedule.faulty(fault),
            None => schedule,
        }
    }

    fn faulty(mut self, fault: impl Display) -> Self {
        let message = format!("cannot set the schedule {}: {fault}", self.spec.name);
        self.fault.get_or_insert_with(|| Error::new(ErrorCode::Invalid, message));
        self
    }

    /// The IANA name of the time zone whose wall clocks count, such as `Europe/Berlin`.
    pub fn zone(mut self, zone: &str) -> Self {
        self.spec.zone = zone.to_owned();
        self
    }

    /// No instant before this one.
    pub fn start(mut self, start: Timestamp) -> Self {
        self.spec.start = Some(start);
        self
    }

    /// No instant at this one or later.
    pub fn end(mut self, end: Timestamp) -> Self {
        self.spec.end = Some(end);
        self
    }

    /// Jobs start up to so much (at most a day) later than their instant, each by a chance of its
    /// own, the same on every node.
    pub fn jitter(mut self, jitter: impl IntoDuration) -> Self {
        match jitter.into_duration() {
            Ok(jitter) => {
                self.spec.jitter = jitter;
                self
            }
            Err(fault) => self.faulty(fault),
        }
    }

    /// Only instants in this window count, or in another one that is named so: `09:00-17:00`,
    /// `mon-fri 22:00-06:00`.
    pub fn window(mut self, window: &str) -> Self {
        self.spec.windows.push(window.to_owned());
        self
    }

    /// No instant on the days of this calendar; see [`Taskwright::set_calendar`].
    pub fn exclude(mut self, calendar: &str) -> Self {
        match Name::new(calendar) {
            Ok(name) => {
                self.spec.exclude.push(name);
                self
            }
            Err(fault) => self.faulty(fault),
        }
    }

    /// What happens to an instant while a job of the schedule has not ended; by default it is
    /// skipped.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.spec.policy.overlap = overlap;
        self
    }

    /// What happens to instants that no node ticked for a minute; by default one job makes up for
    /// all.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.spec.policy.catch_up = catch_up;
        self
    }

    /// Instants that are late by more than this are skipped, whatever is caught up.
    pub fn catch_up_window(mut self, window: impl IntoDuration) -> Self {
        match window.into_duration() {
            Ok(window) => {
                self.spec.policy.catch_up_window = Some(window);
                self
            }
            Err(fault) => self.faulty(fault),
        }
    }

    /// The schedule pauses itself after so many jobs that failed one after another.
    pub fn pause_after(mut self, failures: u32) -> Self {
        self.spec.policy.pause_after = Some(failures);
        self
    }

    fn into_spec(self, namespace: &Name) -> Result<ScheduleSpec> {
        let Schedule { mut spec, fault } = self;
        spec.job.namespace = namespace.clone();
        fault.map_or(Ok(spec), Err)
    }
}

impl From<ScheduleSpec> for Schedule {
    fn from(spec: ScheduleSpec) -> Self {
        Schedule { spec, fault: None }
    }
}

impl Taskwright {
    fn scheduling(&self) -> Result<&dyn Scheduling> {
        self.shared.api.scheduling()
    }

    /// Makes a schedule, or changes the one of its name to this. It keeps its pause, its counts and
    /// its live jobs; where it was just so, nothing changes.
    pub async fn set_schedule(&self, schedule: impl Into<Schedule>) -> Result<ScheduleChange> {
        let spec = schedule.into().into_spec(&self.shared.namespace)?;
        let (api, actor) = (self.scheduling()?, &self.shared.actor);
        self.retrying(|| api.set_schedule(actor, spec.clone())).await
    }

    /// Removes a schedule; the jobs it made stay. `false`: there was none.
    pub async fn remove_schedule(&self, name: &str) -> Result<bool> {
        let name = schedule_name(name)?;
        self.scheduling()?.remove_schedule(&self.shared.actor, &self.shared.namespace, &name).await
    }

    /// Every schedule of the namespace, by name, and where it stands.
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>> {
        const PAGE: usize = taskwright_core::limits::DOCUMENTS_PAGE_MAX;
        let mut found: Vec<ScheduleView> = Vec::new();
        loop {
            let after = found.last().map(|view| view.spec.name.clone());
            let (api, namespace) = (self.scheduling()?, &self.shared.namespace);
            let page = self.retrying(|| api.schedules(namespace, after.clone(), PAGE)).await?;
            let is_last = page.len() < PAGE;
            found.extend(page);
            if is_last {
                return Ok(found);
            }
        }
    }

    /// One schedule, where there is one of this name.
    pub async fn schedule(&self, name: &str) -> Result<Option<ScheduleView>> {
        let name = schedule_name(name)?;
        let (api, namespace) = (self.scheduling()?, &self.shared.namespace);
        self.retrying(|| api.schedule(namespace, &name)).await
    }

    /// Makes no more jobs of a schedule until it is resumed; what is due meanwhile is skipped.
    pub async fn pause_schedule(&self, name: &str) -> Result<()> {
        let name = schedule_name(name)?;
        self.scheduling()?.pause_schedule(&self.shared.actor, &self.shared.namespace, &name).await
    }

    /// Lets a paused schedule go on from now.
    pub async fn resume_schedule(&self, name: &str) -> Result<()> {
        let name = schedule_name(name)?;
        self.scheduling()?.resume_schedule(&self.shared.actor, &self.shared.namespace, &name).await
    }

    /// Makes a job of a schedule now, which belongs to no instant, and gives its id.
    pub async fn trigger(&self, name: &str) -> Result<JobId> {
        let name = schedule_name(name)?;
        self.scheduling()?.trigger(&self.shared.namespace, &name).await
    }

    /// Makes the jobs of the instants after `from` up to `to`, which is over, whatever the policies
    /// say, and at most 1,000: go on from [`Backfilled::until`]. What was made is not made again.
    pub async fn backfill(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<Backfilled> {
        let name = schedule_name(name)?;
        let max = taskwright_core::limits::BATCH_MAX;
        self.scheduling()?.backfill(&self.shared.namespace, &name, from, to, max).await
    }

    /// The next instants of a schedule that need not be set, at most 1,000.
    pub async fn preview(
        &self,
        schedule: impl Into<Schedule>,
        count: usize,
    ) -> Result<Vec<Timestamp>> {
        let spec = schedule.into().into_spec(&self.shared.namespace)?;
        let api = self.scheduling()?;
        self.retrying(|| api.preview(&spec, None, count)).await
    }

    /// The names of the calendars that schedules can exclude.
    pub async fn calendars(&self) -> Result<Vec<Name>> {
        let api = self.scheduling()?;
        self.retrying(|| api.calendars(&self.shared.namespace)).await
    }

    /// Loads a calendar: one date a line (`2026-12-25`), or iCalendar. Schedules that exclude it
    /// follow at once.
    pub async fn set_calendar(&self, name: &str, text: &str) -> Result<()> {
        let name = calendar_name(name)?;
        let (api, shared) = (self.scheduling()?, &self.shared);
        self.retrying(|| api.set_calendar(&shared.actor, &shared.namespace, &name, Some(text)))
            .await
    }

    /// Takes a calendar away; refused while a schedule excludes it.
    pub async fn remove_calendar(&self, name: &str) -> Result<()> {
        let name = calendar_name(name)?;
        let shared = &self.shared;
        self.scheduling()?.set_calendar(&shared.actor, &shared.namespace, &name, None).await
    }
}

fn schedule_name(name: &str) -> Result<Name> {
    named("schedule", name)
}

fn calendar_name(name: &str) -> Result<Name> {
    named("calendar", name)
}

fn named(what: &str, name: &str) -> Result<Name> {
    Name::new(name).map_err(|fault| {
        Error::new(ErrorCode::Invalid, format!("{name:?} is no name of a {what}: {fault}"))
    })
}
