use taskwright_core::{Json, StateName, WorkerId};
use taskwright_store::{
    Clock, Document, ErrorKind, ManualClock, NaiveStore, Outcome, Profile, Tick, Ticked, Wanted,
};

use super::*;

struct Bench {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
}

fn bench() -> Bench {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
    let store = Arc::new(NaiveStore::new(clock.clone()));
    Bench { engine: Engine::start_unswept(store).unwrap(), clock }
}

fn request(id: u128) -> JobRequest {
    let task = Name::new("add").unwrap();
    let args = Json::from_trusted("[1]");
    JobRequest { id: Some(JobId::from_u128(id)), ..JobRequest::new(task, args) }
}

fn claim(seq: u64) -> Claim {
    Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(1),
        seq,
        profile: Arc::new(Profile {
            queues: vec![Name::default_name()],
            tasks: None,
            labels: Default::default(),
        }),
        max: 10,
        free: Default::default(),
        wait: Duration::ZERO,
        in_process: true,
    }
}

fn completed(job: &ClaimedJob) -> Report {
    Report {
        namespace: Name::default_name(),
        id: job.id,
        token: job.token,
        outcome: Outcome::Completed { result: None },
    }
}

#[tokio::test]
async fn a_job_without_an_id_gets_one() {
    let Bench { engine, .. } = bench();
    let request = JobRequest { id: None, ..request(1) };
    let enqueued = engine.enqueue(vec![request.clone(), request], false).await.unwrap();
    assert!(enqueued[0].id().is_some());
    assert_ne!(enqueued[0].id(), enqueued[1].id());
}

#[tokio::test]
async fn a_conflict_names_its_item_and_nothing_is_written() {
    let Bench { engine, .. } = bench();
    engine.enqueue(vec![request(1)], false).await.unwrap();
    let other = JobRequest { args: Json::from_trusted("[2]"), ..request(1) };
    let error = engine.enqueue(vec![request(2), other.clone()], false).await.unwrap_err();
    assert_eq!((error.code, error.item), (ErrorCode::Conflict, Some(1)));
    let counts = engine.counts(&Name::default_name()).await.unwrap();
    assert_eq!(counts[0].live(), 1);

    let partial = engine.enqueue(vec![request(2), other, request(1)], true).await.unwrap();
    assert!(matches!(partial[0], Enqueued::New { .. }));
    assert!(matches!(partial[1], Enqueued::Refused(Refusal::IdConflict(_))));
    assert!(matches!(partial[2], Enqueued::Existing { state: StateName::Available, .. }));
}

#[tokio::test]
async fn a_delay_is_counted_from_the_time_of_the_store() {
    let Bench { engine, clock } = bench();
    let later = JobRequest { start: Start::After(Duration::from_secs(60)), ..request(1) };
    engine.enqueue(vec![later], false).await.unwrap();
    let job = engine.look(&Name::default_name(), JobId::from_u128(1)).await.unwrap().unwrap();
    assert_eq!(job.run_at, Timestamp::from_millis(1_060_000));
    assert!(engine.claim(claim(1)).await.unwrap().is_empty());
    clock.advance(Duration::from_secs(60));
    assert_eq!(engine.sweep().await.unwrap().due, 1);
    assert_eq!(engine.claim(claim(1)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn waiting_ends_with_the_job() {
    let Bench { engine, .. } = bench();
    engine.enqueue(vec![request(1)], false).await.unwrap();
    let waiting = {
        let engine = Arc::clone(&engine);
        let id = JobId::from_u128(1);
        tokio::spawn(async move { engine.wait(&Name::default_name(), id, WAIT_MAX).await })
    };
    while !engine.waiters.has_any() {
        tokio::task::yield_now().await;
    }
    let jobs = engine.claim(claim(1)).await.unwrap();
    engine.report(vec![completed(&jobs[0])]).await.unwrap();
    let job = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(job.state().name(), StateName::Completed);
}

#[tokio::test]
async fn waiting_for_nothing_answers_at_once() {
    let Bench { engine, .. } = bench();
    let id = JobId::from_u128(9);
    assert_eq!(engine.wait(&Name::default_name(), id, WAIT_MAX).await.unwrap(), None);
    engine.enqueue(vec![request(1)], false).await.unwrap();
    let brief = Duration::from_millis(1);
    let job = engine.wait(&Name::default_name(), JobId::from_u128(1), brief).await.unwrap();
    assert_eq!(job.unwrap().state().name(), StateName::Available);
}

#[tokio::test(start_paused = true)]
async fn the_costs_of_what_passed_through_are_counted() {
    let Bench { engine, clock } = bench();
    let here = Name::default_name();
    assert_eq!(engine.costs(&here).await.unwrap().total.waiting.count, 0);
    engine.enqueue(vec![request(1), request(2)], false).await.unwrap();
    clock.advance(Duration::from_secs(7));
    let jobs = engine.claim(claim(1)).await.unwrap();
    assert_eq!(engine.claim(claim(1)).await.unwrap().len(), 2, "repeated, and counted once");
    tokio::time::advance(Duration::from_secs(3)).await;
    let stale = Report {
        token: taskwright_core::Token { nonce: 0, ..jobs[1].token },
        ..completed(&jobs[1])
    };
    let failed = Outcome::Failed {
        error: taskwright_core::JobError::new("error", "no"),
        retry: taskwright_store::Retry::Never,
    };
    let failed = Report { outcome: failed, ..completed(&jobs[1]) };
    engine.report(vec![completed(&jobs[0]), stale]).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    engine.report(vec![completed(&jobs[0]), failed]).await.unwrap();

    let costs = engine.costs(&here).await.unwrap();
    assert_eq!(*costs.node, *format!("pid:{}", std::process::id()));
    assert_eq!((costs.now, costs.since), (clock.now(), clock.now().minus(Duration::from_secs(4))));
    assert_eq!(costs.cells.len(), 1);
    let cost = costs.cells[0].cost;
    assert_eq!((cost.started, cost.waiting), (2, Duration::from_secs(14)));
    assert_eq!((cost.ended, cost.running), (2, Duration::from_secs(3 + 4)));
    let add = costs.of_task(&Name::new("add").unwrap()).unwrap();
    assert_eq!((add.completed, add.failed, add.given_back), (1, 1, 0));
    assert_eq!(costs.workers[0].worker, Some(WorkerId::from_u128(1)));
}

/// A store that gives no hints.
struct Silent(NaiveStore);

#[tokio::test]
async fn s8_without_hints_waiting_still_ends() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
    let engine = Engine::start_unswept(Arc::new(Silent(NaiveStore::new(clock)))).unwrap();
    engine.enqueue(vec![request(1)], false).await.unwrap();
    let jobs = engine.claim(claim(1)).await.unwrap();
    let id = JobId::from_u128(1);
    let namespace = Name::default_name();
    let (job, _) = tokio::join!(engine.wait(&namespace, id, WAIT_MAX), async {
        while !engine.waiters.has_any() {
            tokio::task::yield_now().await;
        }
        engine.report(vec![completed(&jobs[0])]).await
    });
    assert_eq!(job.unwrap().unwrap().state().name(), StateName::Completed);
}

#[tokio::test]
async fn reports_and_a_claim_go_in_one_call() {
    let Bench { engine, .. } = bench();
    engine.enqueue(vec![request(1)], false).await.unwrap();
    let jobs = engine.claim(claim(1)).await.unwrap();
    engine.enqueue(vec![request(2)], false).await.unwrap();
    let mut next = claim(2);
    next.wait = WAIT_MAX;
    let work = Work { reports: vec![completed(&jobs[0])], heartbeat: None, claim: Some(next) };
    let reply = engine.work(work).await.unwrap();
    assert_eq!(reply.reported, [Reported::Applied { state: StateName::Completed }]);
    assert_eq!(reply.claimed[0].id, JobId::from_u128(2));

    // With reports beside it a claim does not wait.
    let mut next = claim(3);
    next.wait = WAIT_MAX;
    let work = Work { reports: vec![completed(&jobs[0])], heartbeat: None, claim: Some(next) };
    let reply = engine.work(work).await.unwrap();
    assert_eq!(reply.reported, [Reported::Already]);
    assert!(reply.claimed.is_empty());
}

#[tokio::test]
async fn an_engine_sweeps_by_itself_until_it_is_closed() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    let store = Arc::new(NaiveStore::new(clock.clone()));
    let engine = Engine::start(store).unwrap();
    let later = JobRequest { start: Start::After(Duration::from_secs(60)), ..request(1) };
    engine.enqueue(vec![later], false).await.unwrap();
    clock.advance(Duration::from_secs(61));
    let mut ready = claim(1);
    ready.wait = WAIT_MAX;
    assert_eq!(engine.claim(ready).await.unwrap().len(), 1);
    engine.close().await.unwrap();
    assert_eq!(engine.describe().await.unwrap_err().code, ErrorCode::Closed);
}

#[test]
fn every_kind_of_store_error_has_its_code() {
    let code = |kind| Error::from(taskwright_store::Error::new(kind, "x")).code;
    assert_eq!(code(ErrorKind::Full), ErrorCode::StoreFull);
    assert_eq!(code(ErrorKind::Busy), ErrorCode::Busy);
    assert_eq!(code(ErrorKind::Corrupt), ErrorCode::Corrupt);
}

#[async_trait]
impl Store for Silent {
    async fn insert(&self, insert: Insert) -> taskwright_store::Result<Vec<Inserted>> {
        self.0.insert(insert).await
    }
    async fn claim(&self, claim: Claim) -> taskwright_store::Result<Vec<ClaimedJob>> {
        self.0.claim(claim).await
    }
    async fn report(&self, reports: Vec<Report>) -> taskwright_store::Result<Vec<Reported>> {
        self.0.report(reports).await
    }
    async fn heartbeat(&self, heartbeat: Heartbeat) -> taskwright_store::Result<HeartbeatReply> {
        self.0.heartbeat(heartbeat).await
    }
    async fn sweep(&self, limit: usize) -> taskwright_store::Result<Swept> {
        self.0.sweep(limit).await
    }
    async fn control(
        &self,
        actor: &str,
        commands: Vec<Command>,
    ) -> taskwright_store::Result<Vec<Controlled>> {
        self.0.control(actor, commands).await
    }
    async fn tick(&self, ticks: Vec<Tick>) -> taskwright_store::Result<Vec<Ticked>> {
        self.0.tick(ticks).await
    }
    async fn documents(
        &self,
        wanted: Wanted,
        limit: usize,
    ) -> taskwright_store::Result<Vec<Document>> {
        self.0.documents(wanted, limit).await
    }
    async fn get(
        &self,
        namespace: &Name,
        ids: &[JobId],
    ) -> taskwright_store::Result<Vec<Option<Job>>> {
        self.0.get(namespace, ids).await
    }
    async fn list(&self, filter: Filter) -> taskwright_store::Result<Page> {
        self.0.list(filter).await
    }
    async fn peek(
        &self,
        namespace: &Name,
        queue: &Name,
        max: usize,
    ) -> taskwright_store::Result<Vec<Job>> {
        self.0.peek(namespace, queue, max).await
    }
    async fn counts(&self, namespace: &Name) -> taskwright_store::Result<Vec<QueueCounts>> {
        self.0.counts(namespace).await
    }
    async fn policies(
        &self,
        namespace: &Name,
    ) -> taskwright_store::Result<Vec<(taskwright_core::Subject, taskwright_core::Policy)>> {
        self.0.policies(namespace).await
    }
    async fn workers(&self, namespace: &Name) -> taskwright_store::Result<Vec<WorkerView>> {
        self.0.workers(namespace).await
    }
    /// Hints of a store that has none.
    fn events(&self) -> Events {
        let publisher = Box::leak(Box::new(taskwright_store::Publisher::default()));
        publisher.subscribe()
    }
    async fn describe(&self) -> taskwright_store::Result<Description> {
        self.0.describe().await
    }
    async fn close(&self) -> taskwright_store::Result<()> {
        self.0.close().await
    }
}

/// With sweeps once a second, some of these would start most of a second late.
#[tokio::test]
async fn jobs_start_when_they_are_due() {
    let store = Arc::new(NaiveStore::new(Arc::new(taskwright_store::SystemClock)));
    let engine = Engine::start(store).unwrap();
    for number in 1..=9_u64 {
        let start = Start::After(Duration::from_millis(100 * number));
        let job = JobRequest { start, ..request(number.into()) };
        engine.enqueue(vec![job], false).await.unwrap();
    }
    for number in 1..=9 {
        let claim = Claim { max: 1, wait: Duration::from_secs(30), ..claim(number) };
        let claimed = engine.claim(claim).await.unwrap();
        let late = claimed[0].started_at.since(claimed[0].run_at);
        assert!(late < Duration::from_millis(500), "{late:?} late");
    }
}

#[tokio::test]
async fn a_snoozed_job_starts_when_it_is_due() {
    let store = Arc::new(NaiveStore::new(Arc::new(taskwright_store::SystemClock)));
    let engine = Engine::start(store).unwrap();
    engine.enqueue(vec![request(1)], false).await.unwrap();
    for number in 1..=9 {
        let claim = Claim { max: 1, wait: Duration::from_secs(30), ..claim(number) };
        let claimed = engine.claim(claim).await.unwrap();
        let late = claimed[0].started_at.since(claimed[0].run_at);
        assert!(late < Duration::from_millis(500), "{late:?} late");
        let delay = Duration::from_millis(60);
        let snoozed = Report { outcome: Outcome::Snoozed { delay }, ..completed(&claimed[0]) };
        engine.report(vec![snoozed]).await.unwrap();
    }
}

#[tokio::test]
async fn the_worker_of_a_job_that_was_asked_to_stop_is_told_to_send_a_heartbeat() {
    let Bench { engine, .. } = bench();
    engine.enqueue(vec![request(1)], false).await.unwrap();
    let claim = claim(1);
    let claimed = engine.claim(claim.clone()).await.unwrap();
    let (namespace, worker) = (claim.namespace, claim.worker);
    assert!(!engine.listen(&namespace, worker, Duration::ZERO).await.unwrap());
    let cancel =
        Command::Cancel { namespace: namespace.clone(), id: claimed[0].id, reason: "".into() };
    let (nudged, controlled) = tokio::join!(
        engine.listen(&namespace, worker, Duration::from_secs(60)),
        engine.control("tester", vec![cancel]),
    );
    controlled.unwrap();
    assert!(nudged.unwrap());
}
