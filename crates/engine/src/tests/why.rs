use std::sync::Arc;

use taskwright_core::{Json, Labels, Load, LoadMeasure, Ordered, Rate, WorkerId};
use taskwright_store::{
    Claim, ClaimedJob, Command, Heartbeat, ManualClock, NaiveStore, Outcome, Profile, Report,
    WorkerInfo,
};

use super::*;
use crate::{Engine, JobRequest, Start};

struct Bench {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn id(number: u128) -> JobId {
    JobId::from_u128(number)
}

fn job(number: u128) -> JobRequest {
    JobRequest { id: Some(id(number)), ..JobRequest::new(name("send"), Json::null()) }
}

fn bench() -> Bench {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
    let store = Arc::new(NaiveStore::new(clock.clone()));
    Bench { engine: Engine::start_unswept(store).unwrap(), clock }
}

impl Bench {
    async fn add(&self, job: JobRequest) {
        self.engine.enqueue(vec![job], false).await.unwrap();
    }

    async fn command(&self, command: Command) {
        self.engine.control("tester", vec![command]).await.unwrap();
    }

    /// A worker of two slots that serves the default queue claims so many jobs.
    async fn claim(&self, seq: u64, max: usize) -> Vec<ClaimedJob> {
        let worker = WorkerId::from_u128(1);
        let namespace = Name::default_name();
        let queues = vec![Name::default_name()];
        let profile = Arc::new(Profile { queues, tasks: None, labels: Labels::default() });
        let wait = Duration::ZERO;
        let (in_process, namespace) = (false, namespace);
        let claim = Claim {
            namespace: namespace.clone(),
            worker,
            seq,
            profile,
            max,
            free: Default::default(),
            wait,
            in_process,
        };
        let claimed = self.engine.claim(claim).await.unwrap();
        let info =
            WorkerInfo { name: "w".into(), slots: 2, stopping: false, load: Load::default() };
        let held = claimed.iter().map(|job| (job.id, job.token)).collect();
        let (settled, progress) = (0, Vec::new());
        let beat = Heartbeat { namespace, worker, settled, held, progress, info };
        self.engine.heartbeat(beat).await.unwrap();
        claimed
    }

    /// The worker says that it takes so many jobs at most, and why.
    async fn overload(&self, takes: u32, held: &[ClaimedJob]) {
        let (namespace, worker) = (Name::default_name(), WorkerId::from_u128(1));
        let measured = LoadMeasure { cpu_percent: Some(97), ..LoadMeasure::default() };
        let max = LoadMeasure { cpu_percent: Some(90), ..LoadMeasure::default() };
        let load = Load { measured, max, takes: Some(takes) };
        let info = WorkerInfo { name: "w".into(), slots: 2, stopping: false, load };
        let held = held.iter().map(|job| (job.id, job.token)).collect();
        let (settled, progress) = (0, Vec::new());
        let beat = Heartbeat { namespace, worker, settled, held, progress, info };
        self.engine.heartbeat(beat).await.unwrap();
    }

    async fn complete(&self, job: &ClaimedJob) {
        let outcome = Outcome::Completed { result: None };
        let report =
            Report { namespace: Name::default_name(), id: job.id, token: job.token, outcome };
        self.engine.report(vec![report]).await.unwrap();
    }

    async fn why(&self, number: u128) -> Why {
        self.engine.why(&Name::default_name(), id(number)).await.unwrap().unwrap()
    }

    async fn limit(&self, subject: Subject, policy: Policy) {
        let namespace = Name::default_name();
        self.command(Command::SetPolicy { namespace, subject, policy: Some(policy) }).await;
    }
}

fn kinds(why: &Why) -> Vec<BlockerKind> {
    why.blockers.iter().map(|blocker| blocker.kind).collect()
}

fn at_once(concurrency: u32) -> Policy {
    Policy { concurrency: Some(concurrency), ..Policy::default() }
}

#[tokio::test]
async fn a_job_that_nobody_serves_says_so() {
    let bench = bench();
    bench.add(job(1)).await;
    let why = bench.why(1).await;
    assert_eq!(kinds(&why), [BlockerKind::Placement]);
    assert_eq!(why.ahead, Some(Ahead { jobs: 0, is_exact: true }));
    assert_eq!((why.start, why.verdict.is_empty()), (None, false));
    let nobody = bench.engine.why(&Name::default_name(), id(9)).await.unwrap();
    assert_eq!(nobody, None);
}

#[tokio::test]
async fn every_blocker_is_told() {
    let bench = bench();
    let later = Start::After(Duration::from_secs(90));
    bench.add(JobRequest { start: later, ..job(1) }).await;
    let namespace = Name::default_name();
    bench.command(Command::Pause { namespace, queue: Name::default_name() }).await;
    bench.limit(Subject::Queue(Name::default_name()), at_once(0)).await;
    let rate = Some(Rate::new(10, Duration::from_secs(60)));
    bench.limit(Subject::Task(name("send")), Policy { rate, ..Policy::default() }).await;
    let why = bench.why(1).await;
    use BlockerKind::{Limit, Paused, Placement, Time};
    assert_eq!(kinds(&why), [Time, Paused, Limit, Limit, Placement]);
    assert!(why.verdict.starts_with("it is scheduled: due in 1m 30s"), "{}", why.verdict);
    assert_eq!(why.blockers[1].detail, "queue default is paused");
    assert_eq!(why.blockers[2].detail, "queue default runs 0, and at most 0 at once");
    assert!(why.blockers[3].detail.ends_with("10 starts in 1m"), "{:?}", why.blockers[3]);
}

#[tokio::test]
async fn who_holds_a_key_is_named() {
    let bench = bench();
    bench.limit(Subject::Key("api:*".into()), at_once(1)).await;
    for number in 1..=2 {
        let keyed = JobRequest { limit_keys: vec!["api:stripe".into()], ..job(number) };
        bench.add(keyed).await;
    }
    bench.claim(1, 2).await;
    let why = bench.why(2).await;
    assert_eq!(kinds(&why), [BlockerKind::Line]);
    let told = &why.verdict;
    assert!(told.contains("limit key api:stripe, which allows at most 1 at once"), "{told}");
    assert!(told.contains(&format!("held by job {}", id(1))), "{told}");
    let running = bench.why(1).await;
    assert!(running.verdict.starts_with("it runs on worker "), "{}", running.verdict);
    assert_eq!(running.blockers, []);
}

#[tokio::test]
async fn a_worker_over_its_load_is_told() {
    let bench = bench();
    for number in 1..=2 {
        bench.add(job(number)).await;
    }
    let held = bench.claim(1, 1).await;
    bench.overload(1, &held).await;
    let why = bench.why(2).await;
    assert_eq!(kinds(&why), [BlockerKind::Load]);
    let worker = WorkerId::from_u128(1);
    let told = format!(
        "those that match are over their load: worker {worker} takes up to 1 job: cpu 97 % is over 90 %"
    );
    assert_eq!(why.verdict, told);
    bench.complete(&held[0]).await;
    assert_eq!(kinds(&bench.why(2).await), [], "one that holds nothing takes one");
    bench.claim(2, 1).await;
}

#[tokio::test]
async fn a_start_is_estimated_from_what_was_seen() {
    let bench = bench();
    for number in 1..=6 {
        bench.add(job(number)).await;
    }
    let first = bench.claim(1, 1).await;
    assert_eq!(bench.why(6).await.start, None, "there are no data");
    bench.clock.advance(Duration::from_secs(10));
    bench.engine.sweep().await.unwrap();
    bench.complete(&first[0]).await;
    bench.claim(2, 2).await;
    let why = bench.why(6).await;
    assert_eq!(kinds(&why), [BlockerKind::Slots]);
    assert_eq!(why.verdict, "1 worker matches, and all of their 2 slots are taken");
    assert_eq!(why.ahead, Some(Ahead { jobs: 2, is_exact: true }));
    let now = bench.engine.describe().await.unwrap().now;
    let (soon, late) = why.start.unwrap();
    let (soon, late) = (soon.since(now), late.since(now));
    // Two jobs ahead, and one of those that run, of about 10 s on 2 slots. The engine measures
    // running times by a clock of its own, which did not move.
    assert!(soon <= late && late <= Duration::from_secs(20), "{soon:?} {late:?}");
}

/// In a fair queue what is ready does not start in the order in which it is shown.
#[tokio::test]
async fn nobody_is_counted_before_a_job_of_a_fair_queue() {
    let bench = bench();
    let fair = Policy { fair: true, ..Policy::default() };
    bench.limit(Subject::Queue(Name::default_name()), fair).await;
    for number in 1..=34 {
        bench.add(JobRequest { group: Some("a".into()), ..job(number) }).await;
    }
    bench.claim(1, 1).await;
    let with_turn = bench.why(2).await;
    assert_eq!((kinds(&with_turn), with_turn.ahead), (vec![], None));
    assert_eq!(with_turn.verdict, "nothing but the jobs before it keeps it from starting");
    let without = bench.why(34).await;
    assert_eq!(without.verdict, "it waits for the turn of group a: its queue is fair");
}

/// In a strict queue those are ahead that are more urgent, however old it is.
#[tokio::test]
async fn more_urgent_jobs_are_ahead_in_a_strict_queue() {
    let bench = bench();
    let strict = Policy { strict: true, ..Policy::default() };
    bench.limit(Subject::Queue(Name::default_name()), strict).await;
    bench.add(job(1)).await;
    bench.clock.advance(Duration::from_secs(3_600));
    bench.add(JobRequest { priority: 3, ..job(2) }).await;
    bench.add(JobRequest { priority: 5, ..job(3) }).await;
    bench.add(JobRequest { priority: 9, ..job(4) }).await;
    assert_eq!(bench.claim(1, 1).await[0].id, id(4));
    let ahead = |jobs| Some(Ahead { jobs, is_exact: true });
    let oldest = bench.why(1).await;
    assert_eq!((kinds(&oldest), oldest.ahead), (vec![], ahead(2)));
    assert!(oldest.verdict.ends_with("its queue is strict, and more urgent ones go first"));
    assert_eq!(bench.why(3).await.ahead, ahead(0));
    bench.limit(Subject::Queue(Name::default_name()), Policy::default()).await;
    assert_eq!(bench.why(1).await.ahead, ahead(0), "an hour is more than any head start");
}

/// In an ordered group it says who is ahead, and what to do about a dead one.
#[tokio::test]
async fn a_job_of_an_ordered_group_names_the_head() {
    let bench = bench();
    let policy = Policy { ordered: Some(Ordered::Block), ..Policy::default() };
    let group = Subject::Group { queue: Name::default_name(), group: "a*".into() };
    bench.limit(group, policy).await;
    for number in 1..=3 {
        let delayed = (number == 1).then(|| Start::After(Duration::from_secs(60)));
        let start = delayed.unwrap_or_default();
        bench.add(JobRequest { group: Some("a".into()), start, ..job(number) }).await;
    }
    assert!(bench.claim(1, 1).await.is_empty());
    let ahead =
        |state: &str| format!("it waits in the ordered group a behind job {} ({state})", id(1));
    let why = bench.why(3).await;
    assert_eq!(
        (kinds(&why), why.verdict),
        (vec![BlockerKind::Line], format!("{}, and 1 more", ahead("due in 1m")))
    );
    assert_eq!(bench.why(2).await.verdict, ahead("due in 1m"));
    assert!(bench.why(1).await.verdict.starts_with("it is scheduled"));
    bench.clock.advance(Duration::from_secs(60));
    bench.engine.sweep().await.unwrap();
    // The worker is gone by now, but nobody is ahead.
    assert_eq!(kinds(&bench.why(1).await), [BlockerKind::Placement]);
    let claimed = bench.claim(2, 2).await;
    assert_eq!(bench.why(2).await.blockers[0].detail, ahead("running"));
    let error = taskwright_core::JobError::new("error", "it broke");
    let outcome = Outcome::Failed { error, retry: taskwright_store::Retry::Never };
    let (namespace, job) = (Name::default_name(), &claimed[0]);
    bench
        .engine
        .report(vec![Report { namespace, id: job.id, token: job.token, outcome }])
        .await
        .unwrap();
    let dead = "dead: redrive it, or delete it to let the others go on";
    assert_eq!(bench.why(2).await.verdict, ahead(dead));
}
