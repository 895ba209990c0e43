use std::time::Duration;

use taskwright_core::schedule::{CatchUp, Overlap, PausedBy, Policy, SkipReason, Skipped, State};
use taskwright_core::{JobId, OnConflict, Replace, RetryPolicy, Timestamp, Unique, Until};

use super::*;
use crate::api::{JobRequest, Start};
use crate::schedules::Recurrence;

fn job() -> JobRequest {
    // Every field by name: a new one has to be kept, too.
    JobRequest {
        id: None,
        namespace: Name::new("shop").unwrap(),
        task: Name::new("report").unwrap(),
        queue: Name::new("slow").unwrap(),
        args: Json::from_trusted("{\"größe\":[1.50,\"\\n\"]}"),
        priority: -3,
        start: Start::Now,
        max_attempts: Some(3),
        timeout: Some(Duration::from_micros(1_500_001)),
        retry: Some(RetryPolicy::List { delays_ms: vec![1, 60_000] }),
        expires_at: None,
        tags: vec!["a".into(), "b".into()],
        group: Some("tenant 7".into()),
        limit_keys: vec!["api:stripe".into()],
        unique: Some(Unique { key: "one".into(), until: Until::Elapsed { ms: 5 } }),
        on_conflict: OnConflict::Replace(Replace {
            args: true,
            run_at: true,
            at_most_ms: Some(9),
            ..Replace::default()
        }),
        requires: "gpu>=24,region in (eu us)".parse().unwrap(),
        cost: Some(4),
        trace: None,
        shard: None,
    }
}

fn saved(when: Recurrence, overlap: Overlap, catch_up: CatchUp) -> Saved {
    let at = Timestamp::from_micros;
    let spec = ScheduleSpec {
        name: Name::new("nightly").unwrap(),
        when,
        zone: "Europe/Berlin".to_owned(),
        start: Some(at(1)),
        end: Some(at(i64::MAX)),
        jitter: Duration::from_micros(7),
        windows: vec!["mon-fri 09:00-17:00".to_owned()],
        exclude: vec![Name::new("holidays").unwrap()],
        policy: Policy {
            overlap,
            catch_up,
            catch_up_window: Some(Duration::from_secs(9)),
            pause_after: Some(4),
        },
        job: job(),
    };
    let reasons = [
        SkipReason::Paused,
        SkipReason::Missed,
        SkipReason::TooOld,
        SkipReason::MadeUpFor,
        SkipReason::Overlap,
    ];
    let skip = |reason| Skipped { first: at(1), until: at(2), instants: 3, reason };
    let standing = Standing {
        state: State {
            last: at(-5),
            paused: Some(PausedBy::Failures),
            failures: 2,
            live: true,
            queued: Some(at(8)),
        },
        live: vec![JobId::from_u128(1), JobId::from_u128(u128::MAX)],
        last_job: Some(JobId::from_u128(9)),
        made: u64::MAX,
        refused: 5,
        skipped: 12,
        skips: reasons.into_iter().map(skip).collect(),
        trouble: Some("it broke".into()),
    };
    Saved { spec, standing }
}

#[test]
fn what_is_written_is_read_again() {
    let at = Timestamp::from_micros;
    let every = |anchor| Recurrence::Every { every: Duration::from_micros(90_000_001), anchor };
    for (when, overlap, catch_up) in [
        (Recurrence::Cron("30 2 * * *".to_owned()), Overlap::Skip, CatchUp::Once),
        (every(None), Overlap::Allow, CatchUp::Skip),
        (every(Some(at(3))), Overlap::QueueOne, CatchUp::All { max: 7 }),
        (Recurrence::At(vec![at(1), at(2)]), Overlap::CancelRunning, CatchUp::Once),
    ] {
        let saved = saved(when, overlap, catch_up);
        let body = saved.write().unwrap();
        let read = Saved::read(&Name::new("shop").unwrap(), &body).unwrap();
        assert_eq!(format!("{read:?}"), format!("{saved:?}"));
        assert_eq!(read.write().unwrap(), body);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let namespace = Name::default_name();
    let code = |body: &str| Saved::read(&namespace, &Json::from_trusted(body)).unwrap_err().code;
    assert_eq!(code("{\"format\":2}"), ErrorCode::TooNew);
    assert_eq!(code("{\"format\":1}"), ErrorCode::Corrupt);
    assert_eq!(code("[]"), ErrorCode::Corrupt);
    let saved = saved(Recurrence::Cron("@daily".to_owned()), Overlap::Skip, CatchUp::Once);
    let body = saved.write().unwrap().as_str().replace("\"zone\"", "\"zona\"");
    assert_eq!(code(&body), ErrorCode::Corrupt, "an unknown field is never read past");
}
