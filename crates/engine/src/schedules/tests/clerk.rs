use std::sync::Arc;
use std::time::Duration;

use taskwright_core::schedule::{CatchUp, Overlap, PausedBy, Policy, job_id};
use taskwright_core::{Job, JobError, Json, Name, StateName, Timestamp, WorkerId};
use taskwright_store::{
    Claim, ClaimedJob, DocumentId, DocumentKind, FaultRates, FaultStore, Filter, ManualClock,
    NaiveStore, Outcome, Profile, Report, Retry, Store, Tick, Wanted,
};

use crate::Engine;
use crate::api::{Api, JobRequest};
use crate::error::ErrorCode;
use crate::schedules::{Recurrence, ScheduleChange, ScheduleSpec, ScheduleView, Scheduling};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

struct Bench {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    claims: std::cell::Cell<u64>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// 2026-03-02, a Monday, at 08:00 UTC and half a second.
fn monday() -> Timestamp {
    "2026-03-02T08:00:00.5Z".parse().unwrap()
}

fn bench() -> Bench {
    let clock = Arc::new(ManualClock::new(monday()));
    let store = Arc::new(NaiveStore::new(clock.clone()));
    let engine = Engine::start_unswept(store).unwrap();
    Bench { engine, clock, claims: std::cell::Cell::new(0) }
}

fn spec(cron: &str) -> ScheduleSpec {
    let job = JobRequest::new(name("report"), Json::from_trusted("{\"a\":[1]}"));
    ScheduleSpec::new(name("nightly"), Recurrence::Cron(cron.to_owned()), job)
}

fn with(policy: Policy) -> ScheduleSpec {
    ScheduleSpec { policy, ..spec("0 * * * *") }
}

impl Bench {
    async fn set(&self, spec: ScheduleSpec) -> ScheduleChange {
        self.engine.set_schedule("tester", spec).await.unwrap()
    }

    async fn view(&self) -> ScheduleView {
        let found = self.engine.schedule(&Name::default_name(), &name("nightly")).await.unwrap();
        found.unwrap()
    }

    /// Lets the time pass, with a sweep at the end.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.engine.sweep().await.unwrap();
    }

    async fn jobs(&self) -> Vec<Job> {
        let filter = Filter {
            namespace: Name::default_name(),
            queue: None,
            task: None,
            state: None,
            tag: Some("schedule:nightly".into()),
            before: None,
            limit: 1_000,
        };
        let mut jobs = self.engine.list(filter).await.unwrap().jobs;
        jobs.reverse();
        jobs
    }

    async fn run_at(&self) -> Vec<String> {
        self.jobs().await.iter().map(|job| job.run_at.to_string()).collect()
    }

    async fn claim(&self) -> ClaimedJob {
        self.claims.set(self.claims.get() + 1);
        let profile =
            Profile { queues: vec![Name::default_name()], tasks: None, labels: Default::default() };
        let claim = Claim {
            namespace: Name::default_name(),
            worker: WorkerId::from_u128(1),
            seq: self.claims.get(),
            profile: Arc::new(profile),
            max: 1,
            free: Default::default(),
            wait: Duration::ZERO,
            in_process: true,
        };
        self.engine.claim(claim).await.unwrap().pop().expect("a job is ready")
    }

    async fn end(&self, job: &ClaimedJob, outcome: Outcome) {
        let (namespace, id, token) = (Name::default_name(), job.id, job.token);
        self.engine.report(vec![Report { namespace, id, token, outcome }]).await.unwrap();
    }

    async fn complete(&self) {
        let job = self.claim().await;
        self.end(&job, Outcome::Completed { result: None }).await;
    }
}

#[tokio::test]
async fn a_job_is_made_at_each_instant() {
    let bench = bench();
    assert_eq!(bench.set(spec("0 * * * *")).await, ScheduleChange::Created);
    assert_eq!(bench.view().await.next_at.unwrap().to_string(), "2026-03-02T09:00:00Z");
    bench.pass(MINUTE).await;
    assert_eq!(bench.jobs().await.len(), 0, "nothing is due");
    bench.pass(HOUR).await;
    let jobs = bench.jobs().await;
    assert_eq!(jobs.len(), 1);
    let instant = "2026-03-02T09:00:00Z".parse().unwrap();
    assert_eq!(jobs[0].id, job_id(&Name::default_name(), &name("nightly"), instant));
    assert_eq!(jobs[0].task, name("report"));
    bench.complete().await;
    bench.pass(HOUR).await;
    assert_eq!(bench.jobs().await.len(), 2);
    let view = bench.view().await;
    assert_eq!((view.standing.made, view.standing.skipped), (2, 0));
    assert_eq!(view.standing.last_job, Some(bench.jobs().await[1].id));
    assert_eq!(view.next_at.unwrap().to_string(), "2026-03-02T11:00:00Z");
}

#[tokio::test]
async fn a_live_job_makes_the_next_instant_be_skipped() {
    let bench = bench();
    bench.set(spec("0 * * * *")).await;
    bench.pass(HOUR).await;
    bench.pass(HOUR).await;
    let view = bench.view().await;
    assert_eq!((view.standing.made, view.standing.skipped), (1, 1));
    assert_eq!(view.standing.skips[0].first.to_string(), "2026-03-02T10:00:00Z");
    bench.complete().await;
    bench.pass(HOUR).await;
    assert_eq!(bench.view().await.standing.made, 2);
}

#[tokio::test]
async fn a_queued_instant_starts_when_the_live_job_has_ended() {
    let bench = bench();
    bench.set(with(Policy { overlap: Overlap::QueueOne, ..Policy::default() })).await;
    bench.pass(HOUR).await;
    bench.pass(HOUR).await;
    assert_eq!(bench.jobs().await.len(), 1);
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.jobs().await.len(), 1, "the first one has not ended");
    bench.complete().await;
    bench.pass(Duration::from_secs(5)).await;
    let jobs = bench.jobs().await;
    assert_eq!(jobs.len(), 2, "no need to wait for the next instant");
    let queued = "2026-03-02T10:00:00Z".parse().unwrap();
    assert_eq!(jobs[1].id, job_id(&Name::default_name(), &name("nightly"), queued));
}

#[tokio::test]
async fn a_running_job_is_cancelled_for_the_next() {
    let bench = bench();
    bench.set(with(Policy { overlap: Overlap::CancelRunning, ..Policy::default() })).await;
    bench.pass(HOUR).await;
    let running = bench.claim().await;
    // Nobody keeps the lease, which the test does not need: the wish is what counts.
    bench.clock.advance(HOUR);
    bench.engine.sweep().await.unwrap();
    let jobs = bench.jobs().await;
    assert_eq!(jobs.len(), 2);
    let first = bench.engine.get(&Name::default_name(), &[running.id]).await.unwrap();
    let first = first[0].as_ref().unwrap();
    assert!(first.life.cancel_requested || first.state().name() == StateName::Cancelled);
}

#[tokio::test]
async fn what_was_missed_is_caught_up_as_the_policy_says() {
    for (catch_up, made) in [
        (CatchUp::Once, vec!["2026-03-02T18:00:00Z"]),
        (CatchUp::Skip, vec![]),
        (CatchUp::All { max: 2 }, vec!["2026-03-02T17:00:00Z", "2026-03-02T18:00:00Z"]),
    ] {
        let bench = bench();
        bench.set(with(Policy { overlap: Overlap::Allow, catch_up, ..Policy::default() })).await;
        bench.pass(10 * HOUR + 30 * MINUTE).await;
        let instants: Vec<_> = made
            .iter()
            .map(|at| job_id(&Name::default_name(), &name("nightly"), at.parse().unwrap()))
            .collect();
        let ids: Vec<_> = bench.jobs().await.iter().map(|job| job.id).collect();
        assert_eq!(ids, instants, "{catch_up:?}");
        let standing = bench.view().await.standing;
        assert_eq!(standing.made + standing.skipped, 10, "each instant is accounted for");
    }
}

#[tokio::test]
async fn many_missed_instants_are_made_in_batches() {
    let bench = bench();
    let policy = Policy {
        overlap: Overlap::Allow,
        catch_up: CatchUp::All { max: 1_000 },
        ..Policy::default()
    };
    let args = Json::from_trusted(format!("\"{}\"", "x".repeat(20_000)));
    let long = spec("* * * * *");
    let job = JobRequest { args, ..long.job.clone() };
    bench.set(ScheduleSpec { policy, job, ..long }).await;
    bench.pass(1_000 * MINUTE).await;
    assert_eq!(bench.view().await.standing.made, 1_000);
    assert_eq!(bench.jobs().await.len(), 1_000);
}

#[tokio::test]
async fn a_schedule_pauses_itself_after_failures() {
    let bench = bench();
    let policy = Policy { pause_after: Some(2), ..Policy::default() };
    bench.set(with(policy)).await;
    for _ in 0..2 {
        bench.pass(HOUR).await;
        let job = bench.claim().await;
        let error = JobError::new("error", "it broke");
        bench.end(&job, Outcome::Failed { error, retry: Retry::Never }).await;
    }
    bench.pass(HOUR).await;
    let view = bench.view().await;
    assert_eq!(view.standing.state.paused, Some(PausedBy::Failures));
    assert_eq!((view.standing.made, view.next_at), (2, None));

    let default = Name::default_name();
    bench.engine.resume_schedule("tester", &default, &name("nightly")).await.unwrap();
    bench.pass(HOUR).await;
    let view = bench.view().await;
    assert_eq!((view.standing.made, view.standing.state.failures), (3, 0));
}

#[tokio::test]
async fn a_paused_schedule_skips() {
    let bench = bench();
    let (default, nightly) = (Name::default_name(), name("nightly"));
    bench.set(spec("0 * * * *")).await;
    bench.engine.pause_schedule("tester", &default, &nightly).await.unwrap();
    bench.pass(5 * HOUR).await;
    assert_eq!(bench.jobs().await.len(), 0);
    bench.engine.resume_schedule("tester", &default, &nightly).await.unwrap();
    bench.engine.resume_schedule("tester", &default, &nightly).await.unwrap();
    bench.pass(HOUR).await;
    let standing = bench.view().await.standing;
    assert_eq!((standing.made, standing.skipped), (1, 5));
    let unknown = bench.engine.pause_schedule("tester", &default, &name("other")).await;
    assert_eq!(unknown.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn setting_the_same_again_changes_nothing() {
    let bench = bench();
    bench.set(spec("0 * * * *")).await;
    bench.pass(HOUR).await;
    assert_eq!(bench.set(spec("0 * * * *")).await, ScheduleChange::Unchanged);
    bench.clock.advance(HOUR);
    assert_eq!(bench.set(spec("30 * * * *")).await, ScheduleChange::Changed);
    bench.engine.sweep().await.unwrap();
    let view = bench.view().await;
    assert_eq!(view.standing.made, 1, "what the old rule had due is not made by the new one");
    assert_eq!(view.next_at.unwrap().to_string(), "2026-03-02T10:30:00Z");
    let default = Name::default_name();
    assert!(bench.engine.remove_schedule("tester", &default, &name("nightly")).await.unwrap());
    assert!(!bench.engine.remove_schedule("tester", &default, &name("nightly")).await.unwrap());
    bench.pass(HOUR).await;
    assert_eq!(bench.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_trigger_and_a_backfill_make_jobs() {
    let bench = bench();
    let (default, nightly) = (Name::default_name(), name("nightly"));
    bench.set(with(Policy { overlap: Overlap::Allow, ..Policy::default() })).await;
    let id = bench.engine.trigger(&default, &nightly).await.unwrap();
    assert_eq!(bench.jobs().await[0].id, id);

    bench.pass(HOUR).await;
    let (from, to) = (monday().minus(3 * HOUR), monday().plus(HOUR));
    let first = bench.engine.backfill(&default, &nightly, from, to, 3).await.unwrap();
    assert_eq!((first.made, first.existing), (3, 0));
    let rest = bench.engine.backfill(&default, &nightly, first.until.unwrap(), to, 3).await;
    let rest = rest.unwrap();
    assert_eq!((rest.made, rest.existing, rest.until), (0, 1, None), "09:00 was made when due");
    let early = bench.engine.backfill(&default, &nightly, from, to.plus(HOUR), 3).await;
    assert_eq!(early.unwrap_err().code, ErrorCode::Invalid);
    assert_eq!(bench.run_at().await.len(), 5);
}

#[tokio::test]
async fn calendars_leave_days_out() {
    let bench = bench();
    let (default, days) = (Name::default_name(), name("holidays"));
    let excluding = ScheduleSpec { exclude: vec![days.clone()], ..spec("0 9 * * *") };
    let refused = bench.engine.set_schedule("tester", excluding.clone()).await.unwrap_err();
    assert!(refused.message.contains("holidays"), "{refused}");
    let text = Some("2026-03-02\n2026-03-03");
    bench.engine.set_calendar("tester", &default, &days, text).await.unwrap();
    bench.set(excluding).await;
    assert_eq!(bench.view().await.next_at.unwrap().to_string(), "2026-03-04T09:00:00Z");
    assert_eq!(bench.engine.calendars(&default).await.unwrap(), vec![days.clone()]);
    let named = bench.engine.set_calendar("tester", &default, &days, None).await.unwrap_err();
    assert_eq!(named.code, ErrorCode::Conflict);

    bench.engine.set_calendar("tester", &default, &days, Some("2026-03-03")).await.unwrap();
    bench.engine.sweep().await.unwrap();
    let next = bench.view().await.next_at.unwrap();
    assert_eq!(next.to_string(), "2026-03-02T09:00:00Z", "other days, another instant");
    bench.engine.remove_schedule("tester", &default, &name("nightly")).await.unwrap();
    bench.engine.set_calendar("tester", &default, &days, None).await.unwrap();
    assert_eq!(bench.engine.calendars(&default).await.unwrap(), []);
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_changes() {
    let bench = bench();
    let mut windows = spec("0 9 * * *");
    windows.windows = vec!["never".to_owned()];
    let mut delayed = spec("0 9 * * *");
    delayed.job.start = crate::Start::After(MINUTE);
    let mut tagged = spec("0 9 * * *");
    tagged.job.tags = (0..8).map(|n| format!("tag{n}").into()).collect();
    let mut zone = spec("0 9 * * *");
    zone.zone = "Europe/Nowhere".to_owned();
    let paused = with(Policy { pause_after: Some(0), ..Policy::default() });
    for wrong in [spec("0 0 31 2 *"), spec("61 * * * *"), windows, delayed, tagged, zone, paused] {
        let refused = bench.engine.set_schedule("tester", wrong).await.unwrap_err();
        assert!(refused.message.starts_with("cannot set the schedule nightly: "), "{refused}");
    }
    let listed = bench.engine.schedules(&Name::default_name(), None, 10).await.unwrap();
    assert!(listed.is_empty());
}

/// One that cannot be read is set aside, so that it does not hold up the others.
#[tokio::test]
async fn a_broken_schedule_holds_up_no_other() {
    let bench = bench();
    bench.set(spec("0 * * * *")).await;
    let broken = |text: &str, body: &str| Tick {
        id: DocumentId {
            namespace: Name::default_name(),
            kind: DocumentKind::Schedule,
            name: name(text),
        },
        expected: None,
        revision: 7,
        body: Some(Json::from_trusted(body)),
        wake_at: Some(monday()),
        jobs: Vec::new(),
        asked: None,
    };
    let newer = "{\"format\":2,\"spec\":null}";
    let ticks = vec![broken("a", "{\"x\":1}"), broken("b", newer)];
    bench.engine.store().tick(ticks).await.unwrap();
    bench.pass(HOUR).await;
    assert_eq!(bench.jobs().await.len(), 1);
    let due = bench.engine.store().documents(Wanted::Due, 10).await.unwrap();
    assert_eq!(due.len(), 1, "a newer version may know what to do with b");
    assert_eq!(due[0].id.name, name("b"));
}

#[tokio::test]
async fn a_job_that_is_refused_is_told_of() {
    let bench = bench();
    let mut unique = with(Policy { overlap: Overlap::Allow, ..Policy::default() });
    let key =
        taskwright_core::Unique { key: "one".into(), until: taskwright_core::Until::Finished };
    unique.job.unique = Some(key);
    unique.job.on_conflict = taskwright_core::OnConflict::Refuse;
    bench.set(unique).await;
    bench.pass(HOUR).await;
    bench.pass(HOUR).await;
    assert_eq!(bench.jobs().await.len(), 1);
    let standing = bench.view().await.standing;
    let trouble = standing.trouble.unwrap();
    assert!(trouble.contains("unique key \"one\" is held"), "{trouble}");
    assert_eq!((standing.made, standing.refused, standing.skipped), (1, 1, 0));
    let first = bench.jobs().await[0].id;
    assert_eq!((standing.last_job, standing.live), (Some(first), vec![first]));
}

/// Where another job is kept in its place, the instant has made none either.
#[tokio::test]
async fn a_job_whose_key_is_held_is_not_counted_as_made() {
    let bench = bench();
    let mut unique = with(Policy { overlap: Overlap::Allow, ..Policy::default() });
    unique.job.unique = Some(taskwright_core::Unique {
        key: "one".into(),
        until: taskwright_core::Until::Finished,
    });
    bench.set(unique).await;
    bench.pass(HOUR).await;
    bench.pass(HOUR).await;
    let standing = bench.view().await.standing;
    assert_eq!((standing.made, standing.refused), (1, 1));
    let first = bench.jobs().await[0].id;
    let trouble = standing.trouble.unwrap();
    assert!(trouble.contains(&format!("job {first} holds its unique key")), "{trouble}");
    bench.complete().await;
    bench.pass(HOUR).await;
    let standing = bench.view().await.standing;
    assert_eq!((standing.made, standing.trouble), (2, None), "all is well again");
}

/// Five nodes tick the same schedules over a store whose calls and replies get lost: each instant
/// makes one job.
#[tokio::test]
async fn many_nodes_make_one_job_for_an_instant() {
    let clock = Arc::new(ManualClock::new(monday()));
    let store: Arc<dyn Store> = Arc::new(NaiveStore::new(clock.clone()));
    let node = |seed| {
        let rates = FaultRates {
            seed,
            unsent: 50,
            reply_lost: 50,
            delayed: 200,
            delay_max: Duration::from_millis(2),
        };
        let faulty = FaultStore::by_chance(Arc::clone(&store), rates);
        Engine::start_unswept(Arc::new(faulty)).unwrap()
    };
    let nodes: Vec<_> = (1..=5).map(node).collect();
    let whole = Engine::start_unswept(Arc::clone(&store)).unwrap();
    let mut spec = spec("* * * * *");
    spec.policy.overlap = Overlap::Allow;
    whole.set_schedule("tester", spec).await.unwrap();
    let standing = async || {
        let view = whole.schedule(&Name::default_name(), &name("nightly")).await.unwrap().unwrap();
        view.standing
    };
    for minute in 1..=60 {
        clock.advance(MINUTE);
        let sweeps = nodes.iter().map(|node| {
            let node = Arc::clone(node);
            tokio::spawn(async move { node.sweep().await.is_ok() })
        });
        let sweeps: Vec<_> = sweeps.collect();
        for sweep in sweeps {
            // An error of a lost call is no concern: the next sweep goes on.
            sweep.await.unwrap();
        }
        // All five may have lost theirs, also twice in a row, and what is two minutes late is skipped.
        if standing().await.made + 1 < minute {
            whole.sweep().await.unwrap();
        }
    }
    whole.sweep().await.unwrap();
    let standing = standing().await;
    let counts = whole.counts(&Name::default_name()).await.unwrap();
    assert_eq!(counts[0].live(), standing.made, "one job for each instant that made one");
    assert_eq!((standing.made, standing.skipped), (60, 0), "a minute late is in time");
}
