//! `kill -9` of worker processes: others take over, and nothing that ran in them is left behind.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::random::Random;
use crate::server::{Client, Server};
use crate::support::{Sandbox, until};

/// Kills. They take less time than a lease, so that no job is lost often enough to be quarantined.
const ROUNDS: usize = 24;
/// New jobs for each worker.
const JOBS: usize = 12;

/// A job with a grandchild, which must not be left behind either.
const SCRIPT: &str = r#"
echo "$WORKER_MARK $TASKWRIGHT_JOB_ID $TASKWRIGHT_ATTEMPT" >> began
cat > /dev/null
sleep 0.04 & wait
echo '"done"'"#;

/// A worker process whose commands carry a mark in their environment.
struct Worker {
    child: Child,
    mark: String,
    output: String,
}

impl Worker {
    fn start(server: &Server, sandbox: &Sandbox, number: usize, seed: u64) -> Worker {
        let serve = ["worker", "--json", "--task", "t", "--queue", "q", "--slots", "4"];
        let mut command = server.command(sandbox, &[&serve[..], &["--exec", "./job.sh"]].concat());
        let (mark, output) = (format!("{seed:016x}-{number}"), format!("output-{number}"));
        let file = File::create(sandbox.path(&output)).unwrap();
        command.env("WORKER_MARK", &mark).stdout(file).stderr(Stdio::inherit());
        Worker { child: command.spawn().unwrap(), mark, output }
    }

    fn has_begun(&self, sandbox: &Sandbox) -> bool {
        sandbox.lines("began").iter().any(|line| line.starts_with(&self.mark))
    }

    /// Processes that carry the mark, the worker among them.
    fn processes(&self) -> Vec<String> {
        let wanted = format!("WORKER_MARK={}", self.mark);
        let is_ours = |process: &String| {
            // Who ends meanwhile is none.
            let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(is_ours)
            .collect()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        until("nothing of a killed worker is left", || self.processes().is_empty());
    }

    /// What it printed, its id first. The last line may be half written.
    fn printed(&self, sandbox: &Sandbox) -> Vec<Value> {
        let lines = sandbox.lines(&self.output);
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn enqueue(client: &mut Client) -> Vec<String> {
    let jobs = vec![json!({"task": "t", "queue": "q"}); JOBS];
    let reply = client.post("/v1/jobs", &json!({"jobs": jobs})).unwrap();
    let jobs = reply["jobs"].as_array().unwrap();
    jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn killed_workers_lose_no_job_and_leave_nothing_behind() {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    let sandbox = Sandbox::new();
    sandbox.script("job.sh", SCRIPT);
    let server = Server::start(&sandbox);
    let mut client = server.client();
    let mut ids = Vec::new();
    let mut workers = vec![Worker::start(&server, &sandbox, 0, seed)];
    for round in 0..ROUNDS {
        ids.extend(enqueue(&mut client));
        // The next one is there when this one is killed.
        workers.push(Worker::start(&server, &sandbox, round + 1, seed));
        let worker = &mut workers[round];
        until("the worker runs jobs", || worker.has_begun(&sandbox));
        std::thread::sleep(Duration::from_millis(random.below(60)));
        worker.kill();
    }
    // What the killed workers held comes back after their leases of 15 seconds.
    until("every job has ended", || client.get("/v1/queues/q/size").unwrap()["size"] == 0);
    check_jobs(&mut client, &ids, &workers, &sandbox);
    check_attempts(&sandbox);
    workers.last_mut().unwrap().kill();
}

fn check_jobs(client: &mut Client, ids: &[String], workers: &[Worker], sandbox: &Sandbox) {
    let (killed, last) = workers.split_at(ROUNDS);
    assert_eq!(last.len(), 1);
    let id_of = |worker: &Worker| worker.printed(sandbox)[0]["worker"].as_str().unwrap().to_owned();
    let killed: HashSet<_> = killed.iter().map(id_of).collect();
    let mut lost = 0;
    for id in ids {
        let job = client.get(&format!("/v1/jobs/{id}")).unwrap();
        assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!("done")), "{job}");
        assert_eq!(job["failures"], 0, "a lost attempt is not spent: {job}");
        let attempts = job["attempts"].as_array().cloned().unwrap_or_default();
        assert_eq!(job["attempt"], json!(attempts.len() + 1), "{job}");
        for attempt in attempts {
            assert_eq!(attempt["verdict"], "lost", "{job}");
            assert!(killed.contains(attempt["worker"].as_str().unwrap()), "{job}");
            lost += 1;
        }
    }
    let mut accepted: HashMap<String, usize> = HashMap::new();
    for line in workers.iter().flat_map(|worker| worker.printed(sandbox)) {
        if line["accepted"] == true {
            *accepted.entry(line["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(accepted.values().all(|times| *times == 1), "accepted twice: {accepted:?}");
    println!("{} jobs, {lost} attempts lost, {} ends told", ids.len(), accepted.len());
    assert!(lost > 0, "no worker was killed while it ran a job");
}

/// No attempt ran twice.
fn check_attempts(sandbox: &Sandbox) {
    let mut seen = HashSet::new();
    for line in sandbox.lines("began") {
        let attempt = line.split_once(' ').unwrap().1.to_owned();
        assert!(seen.insert(attempt), "it began twice: {line}");
    }
}
