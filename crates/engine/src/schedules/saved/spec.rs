//! A schedule as somebody wrote it, as it is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use taskwright_core::schedule::{CatchUp, Overlap, Policy};
use taskwright_core::{Name, Timestamp};

use super::job::JobBody;
use super::{micros, name};
use crate::error::Result;
use crate::schedules::spec::{Recurrence, ScheduleSpec};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpecBody {
    name: String,
    when: WhenBody,
    zone: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
    #[serde(default)]
    jitter_us: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    windows: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    overlap: OverlapBody,
    catch_up: CatchUpBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    catch_up_window_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause_after: Option<u32>,
    job: JobBody,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WhenBody {
    Cron(String),
    Every { us: u64, anchor: Option<i64> },
    At(Vec<i64>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OverlapBody {
    Allow,
    Skip,
    QueueOne,
    CancelRunning,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CatchUpBody {
    Skip,
    Once,
    All(u32),
}

impl SpecBody {
    pub fn of(spec: &ScheduleSpec) -> Result<Self> {
        let policy = &spec.policy;
        Ok(SpecBody {
            name: spec.name.to_string(),
            when: match &spec.when {
                Recurrence::Cron(text) => WhenBody::Cron(text.clone()),
                Recurrence::Every { every, anchor } => {
                    WhenBody::Every { us: micros(*every), anchor: anchor.map(|at| at.as_micros()) }
                }
                Recurrence::At(list) => {
                    WhenBody::At(list.iter().map(|at| at.as_micros()).collect())
                }
            },
            zone: spec.zone.clone(),
            start: spec.start.map(Timestamp::as_micros),
            end: spec.end.map(Timestamp::as_micros),
            jitter_us: micros(spec.jitter),
            windows: spec.windows.clone(),
            exclude: spec.exclude.iter().map(ToString::to_string).collect(),
            overlap: match policy.overlap {
                Overlap::Allow => OverlapBody::Allow,
                Overlap::Skip => OverlapBody::Skip,
                Overlap::QueueOne => OverlapBody::QueueOne,
                Overlap::CancelRunning => OverlapBody::CancelRunning,
            },
            catch_up: match policy.catch_up {
                CatchUp::Skip => CatchUpBody::Skip,
                CatchUp::Once => CatchUpBody::Once,
                CatchUp::All { max } => CatchUpBody::All(max),
            },
            catch_up_window_us: policy.catch_up_window.map(micros),
            pause_after: policy.pause_after,
            job: JobBody::of(&spec.job)?,
        })
    }

    pub fn spec(self, namespace: &Name) -> Result<ScheduleSpec> {
        let at = Timestamp::from_micros;
        Ok(ScheduleSpec {
            name: name(&self.name)?,
            when: match self.when {
                WhenBody::Cron(text) => Recurrence::Cron(text),
                WhenBody::Every { us, anchor } => {
                    Recurrence::Every { every: Duration::from_micros(us), anchor: anchor.map(at) }
                }
                WhenBody::At(list) => Recurrence::At(list.into_iter().map(at).collect()),
            },
            zone: self.zone,
            start: self.start.map(at),
            end: self.end.map(at),
            jitter: Duration::from_micros(self.jitter_us),
            windows: self.windows,
            exclude: self.exclude.iter().map(|text| name(text)).collect::<Result<_>>()?,
            policy: Policy {
                overlap: match self.overlap {
                    OverlapBody::Allow => Overlap::Allow,
                    OverlapBody::Skip => Overlap::Skip,
                    OverlapBody::QueueOne => Overlap::QueueOne,
                    OverlapBody::CancelRunning => Overlap::CancelRunning,
                },
                catch_up: match self.catch_up {
                    CatchUpBody::Skip => CatchUp::Skip,
                    CatchUpBody::Once => CatchUp::Once,
                    CatchUpBody::All(max) => CatchUp::All { max },
                },
                catch_up_window: self.catch_up_window_us.map(Duration::from_micros),
                pause_after: self.pause_after,
            },
            job: self.job.request(namespace)?,
        })
    }
}
