use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{Extras, JobError, Json, NewJob, OnConflict, Timestamp, WorkerId};
use taskwright_engine::ids::IdSource;
use taskwright_store::{
    Claim, ClaimedJob, Clock, Command, DocumentId, DocumentKind, FaultRates, FaultStore, Filter,
    Insert, ManualClock, NaiveStore, Outcome, Profile, Record, Report, Retry, SystemClock, Tick,
    Wanted,
};
use tempfile::TempDir;

use super::*;

const JOBS: u64 = 10_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn id(number: u64) -> JobId {
    JobId::from_u128(number.into())
}

fn job(number: u64) -> NewJob {
    NewJob {
        namespace: name(if number.is_multiple_of(7) { "elsewhere" } else { "default" }),
        id: id(number),
        task: name("task"),
        queue: name(["a", "b", "c"][number as usize % 3]),
        args: Json::from_trusted(format!("[{number}]")),
        priority: (number % 21) as i8 - 10,
        run_at: None,
        max_attempts: 3,
        timeout_ms: None,
        fingerprint: number,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    }
}

async fn add(store: &dyn Store, numbers: impl Iterator<Item = u64>) {
    let jobs: Vec<_> = numbers.map(job).collect();
    for jobs in jobs.chunks(BATCH_MAX) {
        store.insert(Insert { jobs: jobs.to_vec(), partial: false }).await.unwrap();
    }
}

/// Claims at most so many jobs of a namespace.
async fn take(store: &dyn Store, namespace: &str, seq: u64, max: usize) -> Vec<ClaimedJob> {
    let queues = ["a", "b", "c"].map(name).to_vec();
    let claim = Claim {
        namespace: name(namespace),
        worker: WorkerId::from_u128(1),
        seq,
        profile: Arc::new(Profile { queues, tasks: None, labels: Default::default() }),
        max,
        free: Default::default(),
        wait: Duration::ZERO,
        in_process: false,
    };
    store.claim(claim).await.unwrap()
}

async fn report(store: &dyn Store, namespace: &str, job: &ClaimedJob, outcome: Outcome) {
    let report = Report { namespace: name(namespace), id: job.id, token: job.token, outcome };
    store.report(vec![report]).await.unwrap();
}

/// Lets jobs come into all states but running.
async fn live(store: &dyn Store) {
    add(store, 1..=JOBS).await;
    for namespace in ["default", "elsewhere"] {
        for seq in 1..=3 {
            let claimed = take(store, namespace, seq, BATCH_MAX).await;
            let reports = claimed.iter().enumerate().map(|(index, job)| Report {
                namespace: name(namespace),
                id: job.id,
                token: job.token,
                outcome: outcome(index),
            });
            store.report(reports.collect()).await.unwrap();
        }
    }
    let cancel = |number| Command::Cancel {
        namespace: name("default"),
        id: id(number),
        reason: "not needed".into(),
    };
    let numbers = (JOBS - 500..JOBS).filter(|number| number % 7 != 0);
    store.control("tester", numbers.map(cancel).collect()).await.unwrap();
    pause(store, "b").await;
}

fn outcome(index: usize) -> Outcome {
    let error = || JobError::new("error", &format!("it broke, number {index}"));
    match index % 6 {
        0 => Outcome::Completed { result: Some(Json::from_trusted(index.to_string())) },
        1 => Outcome::Completed { result: None },
        2 => Outcome::Failed { error: error(), retry: Retry::Never },
        3 => Outcome::Failed { error: error(), retry: Retry::After(Duration::from_secs(3_600)) },
        4 => Outcome::Snoozed { delay: Duration::from_secs(7_200) },
        _ => Outcome::Released,
    }
}

async fn pause(store: &dyn Store, queue: &str) {
    let command = Command::Pause { namespace: name("default"), queue: name(queue) };
    store.control("tester", vec![command]).await.unwrap();
}

async fn everything(store: &dyn Store) -> Vec<Record> {
    let (mut records, mut after) = (Vec::new(), None);
    loop {
        let page = store.export(after, BATCH_MAX).await.unwrap();
        records.extend(page.records);
        after = page.next;
        if after.is_none() {
            return records;
        }
    }
}

async fn paused(store: &dyn Store) -> Vec<String> {
    let queues = store.export(None, 1).await.unwrap().settings.unwrap().queues;
    let paused = queues.into_iter().filter(|queue| queue.paused && !source::is_mark(queue));
    paused.map(|queue| format!("{}/{}", queue.namespace, queue.queue)).collect()
}

struct Places {
    root: TempDir,
}

impl Places {
    fn new() -> Places {
        Places { root: tempfile::tempdir().unwrap() }
    }

    fn url(&self, place: &str) -> String {
        format!("file:{}", self.root.path().join(place).display())
    }

    async fn open(&self, place: &str) -> Arc<dyn Store> {
        backend::store(&self.url(place), false).await.unwrap()
    }

    fn moving(&self, from: &str, to: &str) -> Move {
        Move::new(&self.url(from), &self.url(to))
    }
}

async fn close(store: Arc<dyn Store>) {
    store.close().await.unwrap();
}

/// Ten thousand jobs in all states, and a move that is interrupted again and again.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_move_goes_on() {
    let places = Places::new();
    let from = places.open("from").await;
    live(&*from).await;
    let before = everything(&*from).await;
    close(from).await;

    let mut interrupted = 0_u64;
    let moved = loop {
        // Longer each time, by chance: so it is cut off in the middle, and ends.
        let chance = IdSource::default().number().unwrap() % 100;
        let patience = (100 + chance) * (2 + interrupted).pow(2) / 4;
        let run = places.moving("from", "to").run(|_| {});
        match tokio::time::timeout(Duration::from_millis(patience), run).await {
            // An opening that was dropped ends a moment later, on a thread of its own.
            Ok(Err(error)) if error.code == ErrorCode::Locked => tokio::task::yield_now().await,
            Ok(moved) => break moved.unwrap(),
            Err(_) => interrupted += 1,
        }
    };
    println!("interrupted {interrupted} times; {} jobs were there already", moved.known);
    assert!(interrupted > 0, "it was interrupted");
    assert!(moved.is_verified(), "{moved:?}");
    assert_eq!((moved.jobs(), moved.written + moved.known, moved.went_on), (JOBS, JOBS, 0));
    assert!(moved.counts.iter().all(|count| count.from == count.to), "{:?}", moved.counts);
    assert_eq!(moved.sum_from, moved.sum_to);

    let to = places.open("to").await;
    let after = everything(&*to).await;
    assert_eq!(after.len(), before.len());
    for (here, there) in before.iter().zip(&after) {
        let Record { job, .. } = here;
        let job = taskwright_core::Job { seq: there.job.seq, ..job.clone() };
        assert_eq!(Record { job, ..here.clone() }, *there);
    }
    assert_eq!(paused(&*to).await, ["default/b"]);
    close(to).await;
}

/// What was moved runs in the destination, and never again in the source.
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_source_runs_nothing() {
    let places = Places::new();
    let from = places.open("from").await;
    add(&*from, 1..=20).await;
    pause(&*from, "b").await;
    close(from).await;
    let moved = places.moving("from", "to").run(|_| {}).await.unwrap();
    assert!(moved.is_verified());
    assert_eq!((moved.written, moved.paused), (20, 1));

    let from = places.open("from").await;
    for namespace in ["default", "elsewhere"] {
        assert_eq!(take(&*from, namespace, 1, 100).await, []);
    }
    assert_eq!(paused(&*from).await.len(), 5);
    close(from).await;
    let to = places.open("to").await;
    assert_eq!(paused(&*to).await, ["default/b"]);
    let there: Vec<_> = take(&*to, "default", 1, 100).await.iter().map(|job| job.id).collect();
    assert!(!there.is_empty() && there.iter().all(|id| id.as_u128() % 3 != 1));
    close(to).await;

    let again = places.moving("from", "to").run(|_| {}).await.unwrap();
    assert!(again.is_verified(), "{again:?}");
    assert_eq!((again.known, again.written, again.went_on), (20, 0, there.len() as u64));
    let error = places.moving("from", "third").run(|_| {}).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.message.contains("moved before, to file:"), "{error}");
    let error = places.moving("to", "from").release_running(true).run(|_| {}).await.unwrap_err();
    assert!(error.message.contains("was itself moved"), "{error}");
    let to = places.open("to").await;
    assert_eq!(paused(&*to).await, ["default/b"], "a move that is refused changes nothing");
    close(to).await;
}

/// Schedules go along, and make jobs in the destination only.
#[tokio::test(flavor = "multi_thread")]
async fn schedules_move() {
    let places = Places::new();
    let document = |name: &str, body: Option<&str>| {
        let (namespace, kind) = (Name::default_name(), DocumentKind::Schedule);
        let id = DocumentId { namespace, kind, name: self::name(name) };
        let wake_at = Some(Timestamp::from_millis(1));
        let body = body.map(Json::from_trusted);
        let revision = u64::MAX;
        Tick { id, expected: None, revision, body, wake_at, jobs: Vec::new(), asked: None }
    };
    let from = places.open("from").await;
    let ticks = (0..150).map(|n| document(&format!("s{n}"), Some("1"))).collect();
    from.tick(ticks).await.unwrap();
    close(from).await;
    let to = places.open("to").await;
    let own = Tick { revision: 7, ..document("s3", Some("2")) };
    to.tick(vec![own]).await.unwrap();
    close(to).await;

    for _ in 0..2 {
        let moved = places.moving("from", "to").run(|_| {}).await.unwrap();
        assert_eq!((moved.schedules, moved.is_verified()), (150, true));
        let from = places.open("from").await;
        assert_eq!(from.documents(Wanted::Due, 100).await.unwrap(), []);
        assert_eq!(from.documents(Wanted::All(None), 100).await.unwrap().len(), 100);
        close(from).await;
        let to = places.open("to").await;
        assert_eq!(to.documents(Wanted::Due, 100).await.unwrap().len(), 100);
        let kept = to.documents(Wanted::One(document("s3", None).id), 1).await.unwrap();
        assert_eq!(kept[0].body.as_str(), "2", "what was there stays");
        close(to).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_leaves_the_source_as_it_is() {
    let places = Places::new();
    let from = places.open("from").await;
    add(&*from, 1..=20).await;
    pause(&*from, "b").await;
    close(from).await;
    for place in ["one", "two", "one"] {
        let moved = places.moving("from", place).copy(true).run(|_| {}).await.unwrap();
        assert!(moved.is_verified());
        assert_eq!(moved.written + moved.known, 20);
    }
    let from = places.open("from").await;
    assert_eq!(paused(&*from).await, ["default/b"]);
    assert!(!take(&*from, "default", 1, 100).await.is_empty());
    close(from).await;
}

/// Jobs are not taken from under their workers, unless that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_are_refused_or_released() {
    let places = Places::new();
    let from = places.open("from").await;
    add(&*from, 1..=20).await;
    let claimed = take(&*from, "default", 1, 3).await;
    close(from).await;

    let error = places.moving("from", "to").run(|_| {}).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.message.starts_with("jobs are running in the source (3)"), "{error}");
    assert!(!places.root.path().join("to").exists(), "nothing was begun");
    let from = places.open("from").await;
    assert_eq!(paused(&*from).await.len(), 0);
    close(from).await;

    let mut released = 0;
    let watch = |step| {
        if let Step::Released { jobs } = step {
            released = jobs;
        }
    };
    let moved = places.moving("from", "to").release_running(true).run(watch).await.unwrap();
    assert!(moved.is_verified(), "{moved:?}");
    assert_eq!(released, 3);
    let to = places.open("to").await;
    let again = take(&*to, "default", 1, 100).await;
    let again = again.iter().find(|job| job.id == claimed[0].id).unwrap();
    assert_eq!((again.token.attempt, again.failures), (2, 0));
    close(to).await;
}

/// What did not arrive is found, named and no success.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_different_is_found() {
    let places = Places::new();
    let from = places.open("from").await;
    add(&*from, 1..=20).await;
    let cancel =
        |number| Command::Cancel { namespace: name("default"), id: id(number), reason: "".into() };
    from.control("tester", vec![cancel(1), cancel(2)]).await.unwrap();
    close(from).await;
    let to = places.open("to").await;
    let other = NewJob { fingerprint: 99, args: Json::from_trusted("0"), ..job(5) };
    to.insert(Insert { jobs: vec![other, job(1_000)], partial: false }).await.unwrap();
    close(to).await;

    let mut found = 0;
    let watch = |step| {
        if let Step::Found { jobs } = step {
            found = jobs;
        }
    };
    let moved = places.moving("from", "to").run(watch).await.unwrap();
    assert_eq!(found, 2);
    assert!(!moved.is_verified());
    assert_eq!((moved.written, moved.different, moved.missing), (19, 1, 0));
    assert_eq!((moved.faults[0].id, &*moved.faults[0].what), (id(5), "is different: its args"));

    let to = places.open("to").await;
    let delete = Command::Delete { namespace: name("default"), id: id(1) };
    to.control("tester", vec![delete]).await.unwrap();
    let claimed = take(&*to, "elsewhere", 1, 1).await;
    report(&*to, "elsewhere", &claimed[0], Outcome::Completed { result: None }).await;
    close(to).await;
    let moved = places.moving("from", "to").run(|_| {}).await.unwrap();
    assert!(!moved.is_verified());
    assert_eq!((moved.known, moved.different, moved.missing, moved.went_on), (19, 1, 1, 1));
    assert_eq!(moved.faults[0].id, id(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_cannot_be_moved_are_refused() {
    let places = Places::new();
    let same = Move::new(&places.url("from"), &places.url("./from"));
    for (moving, code) in [
        (places.moving("from", "to"), ErrorCode::NotFound),
        (same, ErrorCode::Invalid),
        (Move::new("memory:", &places.url("to")), ErrorCode::Invalid),
        (Move::new("http://localhost:1", &places.url("to")), ErrorCode::Invalid),
        (Move::new("nonsense", &places.url("to")), ErrorCode::Invalid),
    ] {
        let error = moving.run(|_| {}).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    let from = places.open("from").await;
    add(&*from, 1..=3).await;
    let error = places.moving("from", "to").run(|_| {}).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Locked, "{error}");
    close(from).await;
    let to = places.open("to").await;
    let error = places.moving("from", "to").run(|_| {}).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Locked, "{error}");
    close(to).await;
}

/// Calls that fail now and then are made again; what they did is not done twice.
#[tokio::test(start_paused = true)]
async fn lost_calls_and_replies_do_no_harm() {
    for seed in 0..20 {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let stores: [Arc<dyn Store>; 2] =
            std::array::from_fn(|_| -> Arc<dyn Store> { Arc::new(NaiveStore::new(clock.clone())) });
        add(&*stores[0], 1..=1_200).await;
        let claimed = take(&*stores[0], "default", 1, 30).await;
        report(&*stores[0], "default", &claimed[0], Outcome::Completed { result: None }).await;
        let rates = FaultRates {
            seed,
            unsent: 150,
            reply_lost: 150,
            delayed: 100,
            delay_max: Duration::from_secs(1),
        };
        let faulty = stores.clone().map(|store| FaultStore::by_chance(store, rates));
        let plan = Plan {
            place: "file:/to".to_owned(),
            copies: false,
            releases: true,
            actor: "tester".to_owned(),
        };
        let (from, to) = (Patient::new(&faulty[0], "one"), Patient::new(&faulty[1], "other"));
        let moved = between(&from, &to, &plan, &mut |_| {}).await.unwrap();
        assert!(moved.is_verified(), "seed {seed}: {moved:?}");
        assert_eq!((moved.jobs(), moved.written + moved.known), (1_200, 1_200), "seed {seed}");
        let limit = BATCH_MAX;
        let filter = Filter {
            namespace: name("default"),
            queue: None,
            task: None,
            state: Some(StateName::Running),
            tag: None,
            before: None,
            limit,
        };
        assert_eq!(stores[0].list(filter).await.unwrap().jobs, []);
    }
}

/// The mark says where the jobs are, however long the name of that place.
#[test]
fn a_mark_is_a_name() {
    let long = format!("file:/Somewhere/{}/END", "é".repeat(300));
    let mark = source::mark_of(&long);
    assert!(mark.as_str().starts_with("moved-to:") && mark.as_str().contains("/end."), "{mark}");
    assert_ne!(mark, source::mark_of(&format!("{long}2")));
    assert!(source::mark_of("file:/srv/new").as_str().starts_with("moved-to:file:/srv/new."));
}
