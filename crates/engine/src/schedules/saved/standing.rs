//! Where a schedule stands, as it is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use taskwright_core::schedule::{PausedBy, SkipReason, Skipped, State};
use taskwright_core::{JobId, Timestamp};

use super::corrupt;
use crate::error::Result;
use crate::schedules::spec::Standing;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StandingBody {
    last: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<PausedBody>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    is_live: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queued: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    live: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_job: Option<String>,
    made: u64,
    #[serde(default)]
    refused: u64,
    skipped: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skips: Vec<SkipBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PausedBody {
    Operator,
    Failures,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipBody {
    first: i64,
    until: i64,
    instants: usize,
    reason: ReasonBody,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReasonBody {
    Paused,
    Missed,
    TooOld,
    MadeUpFor,
    Overlap,
}

impl StandingBody {
    pub fn of(standing: &Standing) -> Self {
        let State { last, paused, failures, live, queued } = standing.state;
        StandingBody {
            last: last.as_micros(),
            paused: paused.map(|by| match by {
                PausedBy::Operator => PausedBody::Operator,
                PausedBy::Failures => PausedBody::Failures,
            }),
            failures,
            is_live: live,
            queued: queued.map(Timestamp::as_micros),
            live: standing.live.iter().map(ToString::to_string).collect(),
            last_job: standing.last_job.as_ref().map(ToString::to_string),
            made: standing.made,
            refused: standing.refused,
            skipped: standing.skipped,
            skips: standing.skips.iter().map(SkipBody::of).collect(),
            trouble: standing.trouble.clone(),
        }
    }

    pub fn standing(self) -> Result<Standing> {
        let at = Timestamp::from_micros;
        let id = |text: &String| text.parse::<JobId>().map_err(corrupt);
        Ok(Standing {
            state: State {
                last: at(self.last),
                paused: self.paused.map(|by| match by {
                    PausedBody::Operator => PausedBy::Operator,
                    PausedBody::Failures => PausedBy::Failures,
                }),
                failures: self.failures,
                live: self.is_live,
                queued: self.queued.map(at),
            },
            live: self.live.iter().map(id).collect::<Result<_>>()?,
            last_job: self.last_job.as_ref().map(id).transpose()?,
            made: self.made,
            refused: self.refused,
            skipped: self.skipped,
            skips: self.skips.into_iter().map(SkipBody::skipped).collect(),
            trouble: self.trouble,
        })
    }
}

impl SkipBody {
    fn of(skipped: &Skipped) -> Self {
        SkipBody {
            first: skipped.first.as_micros(),
            until: skipped.until.as_micros(),
            instants: skipped.instants,
            reason: match skipped.reason {
                SkipReason::Paused => ReasonBody::Paused,
                SkipReason::Missed => ReasonBody::Missed,
                SkipReason::TooOld => ReasonBody::TooOld,
                SkipReason::MadeUpFor => ReasonBody::MadeUpFor,
                SkipReason::Overlap => ReasonBody::Overlap,
            },
        }
    }

    fn skipped(self) -> Skipped {
        Skipped {
            first: Timestamp::from_micros(self.first),
            until: Timestamp::from_micros(self.until),
            instants: self.instants,
            reason: match self.reason {
                ReasonBody::Paused => SkipReason::Paused,
                ReasonBody::Missed => SkipReason::Missed,
                ReasonBody::TooOld => SkipReason::TooOld,
                ReasonBody::MadeUpFor => SkipReason::MadeUpFor,
                ReasonBody::Overlap => SkipReason::Overlap,
            },
        }
    }
}
