//! A schedule on the wire: as it is written, and as it is shown.

use std::time::Duration;

use serde::Deserialize;
use taskwright_core::schedule::{CatchUp, Overlap, PausedBy, Policy, SkipReason, Skipped, State};
use taskwright_core::{JobId, Name};
use taskwright_engine::{JobRequest, Recurrence, Result, ScheduleSpec, ScheduleView, Standing};

use crate::enqueue::{JobFields, job_request, write_job};
use crate::instant::Instant;
use crate::read::{At, Names, Object, Parsed, Text, invalid};
use crate::write;

/// Instants that `catch_up: all` makes where nothing else is said.
const CATCH_UP_DEFAULT: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleFields<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    cron: Option<Text<'a>>,
    every_ms: Option<u64>,
    anchor: Option<Parsed<Instant>>,
    at: Option<Vec<Parsed<Instant>>>,
    zone: Option<Text<'a>>,
    start: Option<Parsed<Instant>>,
    end: Option<Parsed<Instant>>,
    #[serde(default)]
    jitter_ms: u64,
    #[serde(default)]
    windows: Vec<Text<'a>>,
    #[serde(default)]
    exclude: Vec<Text<'a>>,
    #[serde(default)]
    overlap: OverlapWord,
    #[serde(default)]
    catch_up: CatchUpWord,
    catch_up_max: Option<u32>,
    catch_up_window_ms: Option<u64>,
    pause_after: Option<u32>,
    #[serde(borrow)]
    job: Object<JobFields<'a>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OverlapWord {
    #[default]
    Skip,
    Allow,
    QueueOne,
    CancelRunning,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CatchUpWord {
    #[default]
    Once,
    Skip,
    All,
}

impl ScheduleFields<'_> {
    /// The schedule in this namespace.
    pub fn spec(self, namespace: &Name) -> Result<ScheduleSpec> {
        let mut names = Names::default();
        let when = self.when()?;
        let policy = self.policy()?;
        let at = At { list: "job", item: 0 };
        let exclude = self.exclude.iter().map(|text| names.name(&text.0));
        let exclude = exclude.collect::<Result<_, _>>().map_err(|c| invalid("exclude", c))?;
        let name = names.name(&self.name.0).map_err(|cause| invalid("name", cause))?;
        let mut job = job_request(self.job.0, at, namespace, &Name::default_name(), &mut names)?;
        job.namespace = namespace.clone();
        Ok(ScheduleSpec {
            name,
            when,
            zone: self.zone.map_or_else(|| "UTC".to_owned(), |zone| zone.0.into_owned()),
            start: self.start.map(|at| at.0.0),
            end: self.end.map(|at| at.0.0),
            jitter: Duration::from_millis(self.jitter_ms),
            windows: self.windows.into_iter().map(|text| text.0.into_owned()).collect(),
            exclude,
            policy,
            job,
        })
    }

    fn when(&self) -> Result<Recurrence> {
        if self.anchor.is_some() && self.every_ms.is_none() {
            return Err(invalid("anchor", "it goes with every_ms only; leave it out"));
        }
        match (&self.cron, self.every_ms, &self.at) {
            (Some(cron), None, None) => Ok(Recurrence::Cron(cron.0.to_string())),
            (None, Some(ms), None) => Ok(Recurrence::Every {
                every: Duration::from_millis(ms),
                anchor: self.anchor.map(|at| at.0.0),
            }),
            (None, None, Some(list)) => Ok(Recurrence::At(list.iter().map(|at| at.0.0).collect())),
            _ => Err(invalid("cron", "give one of cron, every_ms and at, and no more")),
        }
    }

    fn policy(&self) -> Result<Policy> {
        if self.catch_up_max.is_some() && self.catch_up != CatchUpWord::All {
            return Err(invalid(
                "catch_up_max",
                "it goes with catch_up \"all\" only; leave it out",
            ));
        }
        Ok(Policy {
            overlap: match self.overlap {
                OverlapWord::Skip => Overlap::Skip,
                OverlapWord::Allow => Overlap::Allow,
                OverlapWord::QueueOne => Overlap::QueueOne,
                OverlapWord::CancelRunning => Overlap::CancelRunning,
            },
            catch_up: match self.catch_up {
                CatchUpWord::Once => CatchUp::Once,
                CatchUpWord::Skip => CatchUp::Skip,
                CatchUpWord::All => {
                    CatchUp::All { max: self.catch_up_max.unwrap_or(CATCH_UP_DEFAULT) }
                }
            },
            catch_up_window: self.catch_up_window_ms.map(Duration::from_millis),
            pause_after: self.pause_after,
        })
    }
}

pub(crate) fn write_spec(spec: &ScheduleSpec, object: &mut write::Object<'_>) {
    object.name("name", &spec.name);
    match &spec.when {
        Recurrence::Cron(text) => object.text("cron", text),
        Recurrence::Every { every, anchor } => {
            object.millis("every_ms", *every);
            if let Some(anchor) = anchor {
                object.instant("anchor", *anchor);
            }
        }
        Recurrence::At(instants) => object.instants("at", instants),
    }
    object.text("zone", &spec.zone);
    if let Some(start) = spec.start {
        object.instant("start", start);
    }
    if let Some(end) = spec.end {
        object.instant("end", end);
    }
    if !spec.jitter.is_zero() {
        object.millis("jitter_ms", spec.jitter);
    }
    if !spec.windows.is_empty() {
        object.texts("windows", &spec.windows);
    }
    if !spec.exclude.is_empty() {
        object.names("exclude", &spec.exclude);
    }
    write_policy(&spec.policy, object);
    // The request says in which namespace it is.
    let job = JobRequest { namespace: Name::default_name(), ..spec.job.clone() };
    object.object("job", |fields| write_job(&job, fields));
}

fn write_policy(policy: &Policy, object: &mut write::Object<'_>) {
    object.word(
        "overlap",
        match policy.overlap {
            Overlap::Skip => "skip",
            Overlap::Allow => "allow",
            Overlap::QueueOne => "queue_one",
            Overlap::CancelRunning => "cancel_running",
        },
    );
    match policy.catch_up {
        CatchUp::Once => object.word("catch_up", "once"),
        CatchUp::Skip => object.word("catch_up", "skip"),
        CatchUp::All { max } => {
            object.word("catch_up", "all");
            object.number("catch_up_max", u64::from(max));
        }
    }
    if let Some(window) = policy.catch_up_window {
        object.millis("catch_up_window_ms", window);
    }
    if let Some(pause_after) = policy.pause_after {
        object.number("pause_after", u64::from(pause_after));
    }
}

pub(crate) fn write_view(view: &ScheduleView, object: &mut write::Object<'_>) {
    object.object("schedule", |fields| write_spec(&view.spec, fields));
    if let Some(next_at) = view.next_at {
        object.instant("next_at", next_at);
    }
    let standing = &view.standing;
    object.instant("last_at", standing.state.last);
    if let Some(by) = standing.state.paused {
        object.word(
            "paused",
            match by {
                PausedBy::Operator => "operator",
                PausedBy::Failures => "failures",
            },
        );
    }
    object.number("failures", u64::from(standing.state.failures));
    if let Some(queued) = standing.state.queued {
        object.instant("queued_at", queued);
    }
    object.ids("live_jobs", &standing.live);
    if let Some(last_job) = standing.last_job {
        object.id("last_job", last_job);
    }
    object.number("made", standing.made);
    object.number("refused", standing.refused);
    object.number("skipped", standing.skipped);
    object.list("skips", &standing.skips, |skipped, object| {
        object.instant("first_at", skipped.first);
        object.instant("until_at", skipped.until);
        object.number("instants", skipped.instants as u64);
        object.word("reason", reason(skipped.reason));
    });
    if let Some(trouble) = &standing.trouble {
        object.text("trouble", trouble);
    }
}

fn reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Paused => "paused",
        SkipReason::Missed => "missed",
        SkipReason::TooOld => "too_old",
        SkipReason::MadeUpFor => "made_up_for",
        SkipReason::Overlap => "overlap",
    }
}

/// What a reply says of where a schedule stands; a newer server may say more.
#[derive(Deserialize)]
pub(crate) struct ViewFields<'a> {
    #[serde(borrow)]
    schedule: Object<ScheduleFields<'a>>,
    next_at: Option<Parsed<Instant>>,
    last_at: Parsed<Instant>,
    paused: Option<PausedWord>,
    failures: u32,
    queued_at: Option<Parsed<Instant>>,
    live_jobs: Vec<Parsed<JobId>>,
    last_job: Option<Parsed<JobId>>,
    made: u64,
    #[serde(default)]
    refused: u64,
    skipped: u64,
    skips: Vec<SkipFields>,
    trouble: Option<Text<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PausedWord {
    Operator,
    Failures,
}

#[derive(Deserialize)]
struct SkipFields {
    first_at: Parsed<Instant>,
    until_at: Parsed<Instant>,
    instants: usize,
    reason: ReasonWord,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReasonWord {
    Paused,
    Missed,
    TooOld,
    MadeUpFor,
    Overlap,
}

impl ViewFields<'_> {
    /// The schedule, of this namespace.
    pub fn view(self, namespace: &Name) -> Result<ScheduleView> {
        let spec = self.schedule.0.spec(namespace)?;
        let live: Vec<JobId> = self.live_jobs.iter().map(|id| id.0).collect();
        let standing = Standing {
            state: State {
                last: self.last_at.0.0,
                paused: self.paused.map(|by| match by {
                    PausedWord::Operator => PausedBy::Operator,
                    PausedWord::Failures => PausedBy::Failures,
                }),
                failures: self.failures,
                live: !live.is_empty(),
                queued: self.queued_at.map(|at| at.0.0),
            },
            live,
            last_job: self.last_job.map(|id| id.0),
            made: self.made,
            refused: self.refused,
            skipped: self.skipped,
            skips: self.skips.iter().map(SkipFields::skipped).collect(),
            trouble: self.trouble.map(|text| text.0.as_ref().into()),
        };
        Ok(ScheduleView { spec, standing, next_at: self.next_at.map(|at| at.0.0) })
    }
}

impl SkipFields {
    fn skipped(&self) -> Skipped {
        Skipped {
            first: self.first_at.0.0,
            until: self.until_at.0.0,
            instants: self.instants,
            reason: match self.reason {
                ReasonWord::Paused => SkipReason::Paused,
                ReasonWord::Missed => SkipReason::Missed,
                ReasonWord::TooOld => SkipReason::TooOld,
                ReasonWord::MadeUpFor => SkipReason::MadeUpFor,
                ReasonWord::Overlap => SkipReason::Overlap,
            },
        }
    }
}
