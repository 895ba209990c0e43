use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{Json, Load, Name, StateName, WorkerId};
use taskwright_engine::{Api, Engine, Enqueued, ErrorCode, JobRequest, Work};
use taskwright_store::{
    Claim, Command, Controlled, Filter, Heartbeat, NaiveStore, Outcome, Profile, Report, Reported,
    SystemClock, WorkerInfo,
};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{ControlGuard, reach, serve, socket_in};

const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    directory: TempDir,
    engine: Arc<Engine>,
    guard: ControlGuard,
}

fn start() -> Process {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(Arc::new(NaiveStore::new(Arc::new(SystemClock)))).unwrap();
    let guard = serve(engine.clone(), &socket_in(directory.path())).unwrap();
    Process { directory, engine, guard }
}

impl Process {
    fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn job(text: &str) -> JobRequest {
    JobRequest::new(name("add"), Json::from_trusted(text))
}

fn claim(seq: u64, wait: Duration) -> Claim {
    Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(7),
        seq,
        profile: Arc::new(Profile {
            queues: vec![Name::default_name()],
            tasks: None,
            labels: Default::default(),
        }),
        max: 10,
        free: Default::default(),
        wait,
        in_process: false,
    }
}

fn completed(job: &taskwright_store::ClaimedJob) -> Report {
    let result = Some(Json::from_trusted("[\n8 ]"));
    let outcome = Outcome::Completed { result };
    Report { namespace: Name::default_name(), id: job.id, token: job.token, outcome }
}

#[tokio::test]
async fn every_operation_works_as_in_the_process() {
    let process = start();
    let api = reach(&process.socket()).await.unwrap().unwrap();
    let default = Name::default_name();

    let enqueued = api.enqueue(vec![job("{\n\"a\": 1}"), job("2")], false).await.unwrap();
    assert!(enqueued.iter().all(|job| matches!(job, Enqueued::New { .. })));
    let id = enqueued[0].id().unwrap();
    assert_eq!(api.peek(&default, &default, 1).await.unwrap()[0].id, id);
    assert_eq!(api.counts(&default).await.unwrap(), process.engine.counts(&default).await.unwrap());

    let jobs = api.claim(claim(1, Duration::ZERO)).await.unwrap();
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0].args.as_str(), "{ \"a\": 1}", "a line break is white space like any other");
    assert_eq!(api.claim(claim(1, Duration::ZERO)).await.unwrap(), jobs, "a claim may be repeated");

    let heartbeat = Heartbeat {
        namespace: default.clone(),
        worker: WorkerId::from_u128(7),
        settled: 1,
        held: jobs.iter().map(|job| (job.id, job.token)).collect(),
        progress: vec![(id, jobs[0].token, Json::from_trusted("0.5"))],
        info: WorkerInfo { name: "hand".into(), slots: 2, stopping: false, load: Load::default() },
    };
    assert!(api.heartbeat(heartbeat.clone()).await.unwrap().lost.is_empty());
    assert_eq!(
        api.workers(&default).await.unwrap(),
        process.engine.workers(&default).await.unwrap()
    );
    assert_eq!(
        api.get(&default, &[id]).await.unwrap(),
        process.engine.get(&default, &[id]).await.unwrap()
    );

    let applied = vec![Reported::Applied { state: StateName::Completed }];
    assert_eq!(api.report(vec![completed(&jobs[0])]).await.unwrap(), applied);
    let held = vec![(jobs[1].id, jobs[1].token)];
    let work = Work {
        reports: vec![completed(&jobs[1])],
        heartbeat: Some(Heartbeat { held, progress: Vec::new(), ..heartbeat }),
        claim: Some(claim(2, PATIENCE)),
    };
    let reply = api.work(work).await.unwrap();
    assert_eq!((reply.reported, reply.claimed.len()), (applied, 0));
    assert!(reply.heartbeat.is_some());

    let ended = api.wait(&default, id, PATIENCE).await.unwrap().unwrap();
    assert_eq!(ended.result.unwrap().as_str(), "[ 8 ]");
    let filter = Filter {
        namespace: default.clone(),
        queue: None,
        task: None,
        state: Some(StateName::Completed),
        tag: None,
        before: None,
        limit: 10,
    };
    assert_eq!(api.list(filter.clone()).await.unwrap(), process.engine.list(filter).await.unwrap());
    let redrive = Command::Redrive { namespace: default, id, attempts: 0 };
    let redriven = api.control("somebody", vec![redrive]).await.unwrap();
    assert_eq!(redriven, [Controlled::Done { state: Some(StateName::Available) }]);
    assert_eq!(api.describe().await.unwrap().epoch, process.engine.describe().await.unwrap().epoch);
}

#[tokio::test]
async fn errors_keep_their_code_and_item() {
    let process = start();
    let api = reach(&process.socket()).await.unwrap().unwrap();
    let mut late = job("1");
    late.priority = 99;
    let error = api.enqueue(vec![job("1"), late], false).await.unwrap_err();
    assert_eq!((error.code, error.item), (ErrorCode::Invalid, Some(1)));
}

#[tokio::test]
async fn a_wait_does_not_hold_up_other_calls() {
    let process = start();
    let api = reach(&process.socket()).await.unwrap().unwrap();
    let waiting = api.claim(claim(1, PATIENCE));
    let feeding = async {
        assert!(api.counts(&Name::default_name()).await.unwrap().is_empty());
        api.enqueue(vec![job("1")], false).await.unwrap()
    };
    let (jobs, _) = tokio::join!(waiting, feeding);
    assert_eq!(jobs.unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_process_there_is_nobody() {
    let directory = tempfile::tempdir().unwrap();
    assert!(reach(&socket_in(directory.path())).await.unwrap().is_none());
}

#[tokio::test]
async fn the_socket_is_for_this_user_and_goes_with_its_guard() {
    let process = start();
    let mode = std::fs::metadata(process.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let socket = process.socket();
    drop(process.guard);
    assert!(!socket.exists());
    assert!(reach(&socket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let socket = socket_in(directory.path());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists() && reach(&socket).await.unwrap().is_none());

    let engine = Engine::start(Arc::new(NaiveStore::new(Arc::new(SystemClock)))).unwrap();
    let _guard = serve(engine.clone(), &socket).unwrap();
    assert!(reach(&socket).await.unwrap().is_some());
    let error = serve(engine, &socket).unwrap_err();
    assert_eq!(error.code, ErrorCode::Locked);
    assert!(error.message.contains("control.sock"), "{error}");
    assert!(reach(&socket).await.unwrap().is_some(), "the first one still answers");
}

#[tokio::test]
async fn a_process_that_was_started_again_is_reached_again() {
    let process = start();
    let api = reach(&process.socket()).await.unwrap().unwrap();
    api.counts(&Name::default_name()).await.unwrap();
    let socket = process.socket();
    drop(process.guard);
    let _guard = serve(process.engine, &socket).unwrap();
    api.counts(&Name::default_name()).await.unwrap();
}

#[tokio::test]
async fn lines_are_answered_in_order_and_bad_ones_named() {
    let process = start();
    let mut stream = BufReader::new(UnixStream::connect(process.socket()).await.unwrap());
    let requests = concat!(
        "{\"op\":\"queues\",\"body\":{}}\n",
        "{\"op\":\"dance\"}\n",
        "{\"op\":\"enqueue\",\"body\":{\"jobs\":[{\"task\":\"A\"}]}}\n",
        "\n",
        "{\"op\":\"workers\"}\n",
    );
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut lines = stream.lines();
    for expected in [
        r#"{"ok":{"queues":[]}}"#,
        r#""code":"invalid","detail":"the line cannot be used at op: \"dance\""#,
        r#"jobs[0].task: \"A\""#,
        r#"the line is not JSON"#,
        r#"{"ok":{"workers":[]}}"#,
    ] {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        assert!(line.contains(expected), "{line}");
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused() {
    let process = start();
    let mut stream = BufReader::new(UnixStream::connect(process.socket()).await.unwrap());
    let long = vec![b' '; taskwright_protocol::REQUEST_BYTES_MAX + 1];
    // The process stops reading at the limit.
    drop(timeout(PATIENCE, stream.write_all(&long)).await.unwrap());
    let mut reply = String::new();
    timeout(PATIENCE, stream.read_line(&mut reply)).await.unwrap().unwrap();
    assert!(reply.contains("over_limit"), "{reply}");
}

#[tokio::test]
async fn a_path_that_cannot_be_a_socket_is_named() {
    let engine = Engine::start(Arc::new(NaiveStore::new(Arc::new(SystemClock)))).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("x".repeat(150)).join("control.sock");
    let error = serve(engine, &long).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unusable);
    assert!(error.message.contains("control.sock"), "{error}");
}
