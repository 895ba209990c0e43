//! Clients and workers that go on whatever becomes of the server, and note what they see.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use taskwright::{JobId, StateName, Token, WorkerId};

use crate::history::Fact;
use crate::random::Random;
use crate::server::Client;
use crate::support::DEADLINE;

/// The queue of the load.
pub const QUEUE: &str = "load";
/// Producers pause while so many jobs wait.
const BACKLOG_MAX: usize = 800;
/// The most that a worker holds.
const HELD_MAX: usize = 60;

/// What the threads of the load share.
#[derive(Default)]
pub struct Load {
    address: Mutex<Option<SocketAddr>>,
    moved: Condvar,
    facts: Mutex<Vec<Fact>>,
    /// Whether producers should end.
    pub is_draining: AtomicBool,
    /// Whether workers should end.
    pub is_over: AtomicBool,
    pub stored: AtomicUsize,
    pub completed: AtomicUsize,
    /// Calls of which nobody knows what became.
    pub cut: AtomicUsize,
}

impl Load {
    /// Tells everybody where the server is now.
    pub fn move_to(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = Some(address);
        self.moved.notify_all();
    }

    pub fn note(&self, fact: Fact) {
        self.facts.lock().unwrap().push(fact);
    }

    pub fn facts(&self) -> std::sync::MutexGuard<'_, Vec<Fact>> {
        self.facts.lock().unwrap()
    }

    fn backlog(&self) -> usize {
        let completed = self.completed.load(Ordering::Relaxed);
        self.stored.load(Ordering::Relaxed).saturating_sub(completed)
    }

    /// Asks the server, wherever it is. `None`: nobody knows what became of it.
    fn ask(&self, client: &mut Option<Client>, path: &str, body: &Value) -> Option<Value> {
        let place = self.address.lock().unwrap();
        let here = |client: &Client| *place == Some(client.address);
        if !client.as_ref().is_some_and(here) {
            *client = place.map(Client::of);
        }
        drop(place);
        let answer = match client {
            Some(client) => client.post(path, body),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    self.note(Fact::Odd(error.to_string()));
                }
                self.cut.fetch_add(1, Ordering::Relaxed);
                self.wait_for_move(client.take().map(|client| client.address));
                None
            }
        }
    }

    /// Waits for a server elsewhere, a little: it may also be the same.
    fn wait_for_move(&self, from: Option<SocketAddr>) {
        let place = self.address.lock().unwrap();
        let is_same = |place: &mut Option<SocketAddr>| *place == from;
        drop(self.moved.wait_timeout_while(place, Duration::from_millis(20), is_same).unwrap());
    }

    /// Enqueues jobs, up to `batch_max` at once, until the load drains.
    pub fn produce(&self, mut random: Random, batch_max: u64) {
        let mut client = None;
        while !self.is_draining.load(Ordering::Relaxed) {
            if self.backlog() > BACKLOG_MAX {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let ids: Vec<_> = (0..=random.below(batch_max)).map(|_| random.job_id()).collect();
            self.enqueue(&mut client, &mut random, ids);
        }
    }

    /// Enqueues these jobs, again and again until it is done; sometimes it gives up.
    fn enqueue(&self, client: &mut Option<Client>, random: &mut Random, ids: Vec<JobId>) {
        let job = |id: &JobId| json!({"id": id.to_string(), "task": "work", "queue": QUEUE, "args": args_of(*id)});
        let body = json!({"jobs": ids.iter().map(job).collect::<Vec<_>>()});
        let mut is_repeated = false;
        self.note(Fact::Asked(ids.clone()));
        loop {
            if let Some(answer) = self.ask(client, "/v1/jobs", &body) {
                let items = answer["jobs"].as_array().cloned().unwrap_or_default();
                let is_new = |item: &Value| item["new"] == true;
                let is_one = items.iter().all(is_new) || !items.iter().any(is_new);
                if items.len() != ids.len() || !is_one || (!is_repeated && !is_new(&items[0])) {
                    self.note(Fact::Odd(format!("an enqueue of {ids:?} was answered {answer}")));
                }
                self.stored.fetch_add(ids.len(), Ordering::Relaxed);
                return self.note(Fact::Stored(ids));
            }
            is_repeated = true;
            if random.one_in(4) {
                return;
            }
        }
    }

    /// Works off jobs until the load is over.
    pub fn work(&self, mut random: Random) {
        let mut worker = Worker {
            id: random.worker_id(),
            client: None,
            settled: 0,
            seq: 1,
            held: Vec::new(),
            reports: Vec::new(),
        };
        while !self.is_over.load(Ordering::Relaxed) {
            worker.turn(self, &mut random);
        }
    }

    /// Looks at jobs and notes what is seen. Those that have ended.
    pub fn look(&self, client: &mut Client, ids: &[JobId]) -> Vec<JobId> {
        let mut ended = Vec::new();
        for ids in ids.chunks(1_000) {
            let known = self.facts().len();
            let texts: Vec<_> = ids.iter().map(JobId::to_string).collect();
            let answer = client.post("/v1/get", &json!({"ids": texts})).unwrap();
            let jobs = answer["jobs"].as_array().unwrap();
            assert_eq!(jobs.len(), ids.len());
            for (id, job) in ids.iter().zip(jobs) {
                let state: Option<StateName> =
                    job["state"].as_str().map(|state| state.parse().unwrap());
                let result = job["result"].as_str().map(|token| token.parse().unwrap());
                if state.is_some_and(StateName::is_final) {
                    ended.push(*id);
                }
                self.note(Fact::Seen { known, id: *id, state, result });
            }
        }
        ended
    }

    /// Waits until the queue is empty.
    pub fn wait_until_done(&self, client: &mut Client) {
        let begin = std::time::Instant::now();
        loop {
            let size = client.get(&format!("/v1/queues/{QUEUE}/size")).unwrap();
            if size["size"] == 0 {
                return;
            }
            assert!(begin.elapsed() < DEADLINE, "the queue does not drain: {size}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn args_of(id: JobId) -> Value {
    json!({"of": id.to_string()})
}

/// A worker of the load.
struct Worker {
    id: WorkerId,
    client: Option<Client>,
    settled: u64,
    seq: u64,
    held: Vec<(JobId, Token)>,
    reports: Vec<(JobId, Token, &'static str)>,
}

impl Worker {
    /// One call that reports, renews and claims, and is repeated until it is answered.
    fn turn(&mut self, load: &Load, random: &mut Random) {
        for (id, token) in self.held.split_off(self.held.len() / 4) {
            let outcome = match random.below(12) {
                0 => "failed",
                1 => "released",
                _ => "completed",
            };
            self.reports.push((id, token, outcome));
        }
        let max = HELD_MAX.saturating_sub(self.held.len()).min(1 + random.below(40) as usize);
        let mut claim = json!({"seq": self.seq, "queues": [QUEUE], "max": max, "wait_ms": 50});
        let answer = loop {
            for (id, token, outcome) in self.reports.iter().copied() {
                load.note(Fact::Reporting { id, token, outcome });
            }
            let body = json!({
                "worker": self.id.to_string(),
                "reports": self.reports.iter().map(report).collect::<Vec<_>>(),
                "heartbeat": {"settled": self.settled, "held": self.held.iter().map(attempt).collect::<Vec<_>>()},
                "claim": claim,
            });
            if let Some(answer) = load.ask(&mut self.client, "/v1/work", &body) {
                break answer;
            }
            if load.is_over.load(Ordering::Relaxed) {
                return;
            }
            if random.one_in(8) {
                // It gives the claim up: what that took is given back by the next heartbeat.
                self.settled = self.seq;
                self.seq += 1;
                claim["seq"] = json!(self.seq);
            }
        };
        self.reported(load, &answer);
        self.given(load, &answer);
    }

    fn reported(&mut self, load: &Load, answer: &Value) {
        let answers = answer["reports"].as_array().cloned().unwrap_or_default();
        if answers.len() != self.reports.len() {
            load.note(Fact::Odd(format!("{} reports: {answer}", self.reports.len())));
        }
        for ((id, token, outcome), answer) in self.reports.drain(..).zip(answers) {
            let answer = answer["status"].as_str().unwrap_or("nothing").to_owned();
            if outcome == "completed" {
                load.completed.fetch_add(1, Ordering::Relaxed);
            }
            load.note(Fact::Reported { id, token, outcome, answer });
        }
        for lost in answer["heartbeat"]["lost"].as_array().into_iter().flatten() {
            let (id, token) = key(lost);
            load.note(Fact::Lost { worker: self.id, id, token });
        }
    }

    fn given(&mut self, load: &Load, answer: &Value) {
        let jobs = answer["jobs"].as_array().cloned().unwrap_or_default();
        if !jobs.is_empty() {
            self.settled = self.seq;
            self.seq += 1;
        }
        for job in jobs {
            let (id, token) = key(&job);
            load.note(Fact::Given { worker: self.id, id, token });
            if job["args"] != args_of(id) {
                load.note(Fact::Odd(format!("job {id} came with the args {}", job["args"])));
            }
            self.held.push((id, token));
        }
    }
}

fn key(fields: &Value) -> (JobId, Token) {
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    (text("id").parse().unwrap(), text("token").parse().unwrap())
}

fn attempt((id, token): &(JobId, Token)) -> Value {
    json!({"id": id.to_string(), "token": token.to_string()})
}

fn report((id, token, outcome): &(JobId, Token, &'static str)) -> Value {
    let mut report = json!({"id": id.to_string(), "token": token.to_string(), "outcome": outcome});
    match *outcome {
        "completed" => report["result"] = json!(token.to_string()),
        "failed" => {
            report["error"] = json!({"message": "as the test wants it"});
            report["retry_after_ms"] = json!(0);
        }
        _ => {}
    }
    report
}
