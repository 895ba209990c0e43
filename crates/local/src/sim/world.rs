//! Clients at work on a store whose machine fails, from a seed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::{JobError, JobId, Json, Name, NewJob, Timestamp, Token, WorkerId};
use taskwright_store::{
    Claim, ClaimedJob, Clock, Command, Controlled, ErrorKind, Heartbeat, HeartbeatReply, Insert,
    Inserted, Outcome, Profile, Report, Reported, Result, Retry, Swept, WorkerInfo,
};
use tokio::sync::oneshot;

use super::audit::recount;
use super::given::{check_keys, unique};
use super::history::{Broken, Commanded, History, Known};
use super::limited::{Limit, check_lines, limit_keys};
use super::store::{Bug, Machine, SimStore};
use super::told::{Told, said, told};
use super::{Faults, Random};
use crate::request::Request;

const QUEUES: usize = 2;
const WORKERS: usize = 3;
const SWEEP_LIMIT: usize = 20;
const ACTOR: &str = "simulation";

type Answer<T> = oneshot::Receiver<Result<T>>;

/// A request on its way, and what it asked for.
enum Asked {
    Insert(Vec<usize>, Answer<Vec<Inserted>>),
    Claim(usize, u64, Answer<Vec<ClaimedJob>>),
    Report(Vec<(usize, Token, Outcome)>, Answer<Vec<Reported>>),
    Heartbeat(usize, u64, Vec<(usize, Token)>, Answer<HeartbeatReply>),
    Sweep(Answer<(Swept, Timestamp)>),
    Command(Commanded, Answer<Vec<Controlled>>),
}

/// Lets clients and machine live as `seed` says, and tells in what the store broke its promises.
pub fn simulate(seed: u64, bug: Option<Bug>) -> Result<(), Broken> {
    let mut random = Random::new(seed);
    let machine = Machine::new(&mut random, bug).map_err(broken)?;
    let mut history = History::default();
    history.paused = (0..QUEUES).map(|number| (queue(number), Some(false))).collect();
    for worker in 0..WORKERS {
        history.worker(WorkerId::from_u128(worker as u128 + 1), worker == 0);
    }
    let mut world = World { random, machine, history };
    for _ in 0..=world.random.below(4) {
        world.live()?;
    }
    world.finish()
}

struct World {
    random: Random,
    machine: Machine,
    history: History,
}

fn broken(error: impl ToString) -> Broken {
    error.to_string()
}

pub(super) fn namespace() -> Name {
    Name::default_name()
}

fn queue(number: usize) -> Name {
    let names = ["a", "b"];
    Name::new(names[number]).unwrap_or_else(|_| Name::default_name())
}

impl World {
    /// One life of the process, from opening to a crash.
    fn live(&mut self) -> Result<(), Broken> {
        let stops = !self.random.one_in(5);
        let soon = |random: &mut Random| 1 + random.uneven() % 150;
        let faults = Faults {
            stop_at: stops.then(|| soon(&mut self.random)),
            fail_at: self.random.one_in(8).then(|| soon(&mut self.random)),
            capacity: self.random.one_in(6).then_some(60 * 1024),
            torn_bytes: self.random.one_in(2),
            ..Faults::default()
        };
        let is_faulty = stops || faults.fail_at.is_some() || faults.capacity.is_some();
        self.machine.set_faults(faults);
        match self.open() {
            Ok(store) => self.work(store)?,
            Err(error) if is_faulty && error.kind != ErrorKind::Corrupt => {}
            Err(error) => return Err(broken(error)),
        }
        self.machine.crash(&mut self.random).map_err(broken)?;
        let away = Duration::from_millis(self.random.uneven() % 100_000);
        match self.random.one_in(3) {
            true => self.machine.clock.turn_back(away),
            false => self.machine.clock.advance(away),
        }
        Ok(())
    }

    fn open(&mut self) -> Result<SimStore> {
        self.machine.open(&mut self.random)
    }

    fn work(&mut self, mut store: SimStore) -> Result<(), Broken> {
        self.look_around(&mut store)?;
        for _ in 0..self.random.below(25) {
            let pause = Duration::from_millis(self.random.uneven() % 4_000);
            self.machine.clock.advance(pause);
            if !self.ask_some(&mut store)? {
                return Ok(());
            }
            store.turn(&mut self.random).map_err(broken)?;
            if self.random.one_in(8) {
                self.audit(&store)?;
            }
        }
        Ok(())
    }

    /// Finds out how a store stands that was just opened.
    fn look_around(&mut self, store: &mut SimStore) -> Result<(), Broken> {
        self.history.opened(store.ledger().epoch(), store.ledger().now())?;
        self.audit(store)
    }

    /// Compares everything the store has with what clients know.
    fn audit(&mut self, store: &SimStore) -> Result<(), Broken> {
        let mut found = Vec::new();
        for index in 0..self.history.jobs.len() {
            let job = store.get(&namespace(), self.history.jobs[index].new.id).map_err(broken)?;
            self.history.audit(index, job.as_ref())?;
            found.extend(job);
        }
        check_keys(store.ledger(), &found)?;
        check_lines(store.ledger(), &found)?;
        let counts = store.ledger().counts(&namespace());
        counts.iter().try_for_each(|counts| recount(counts, &found))?;
        for (queue, paused) in &mut self.history.paused {
            let is_paused = counts.iter().any(|counts| counts.queue == *queue && counts.paused);
            if paused.is_some_and(|paused| paused != is_paused) {
                return Err(format!("queue {queue} is paused: {is_paused}"));
            }
            *paused = Some(is_paused);
        }
        Ok(())
    }

    /// Sends a few requests, as one group, and judges the answers. False: the store has stopped.
    fn ask_some(&mut self, store: &mut SimStore) -> Result<bool, Broken> {
        let mut batch: Vec<_> = (0..=self.random.below(3)).map(|_| self.make()).collect();
        // Reports and heartbeats are served first, and a claim may wait for what comes behind it.
        batch.sort_by_key(|(_, about)| match about {
            Asked::Report(..) | Asked::Heartbeat(..) => 0,
            Asked::Claim(..) => 2,
            _ => 1,
        });
        let (requests, asked): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        store.serve(requests);
        let mut goes_on = true;
        for about in asked {
            goes_on &= self.judge(about, store)?;
        }
        Ok(goes_on)
    }

    fn make(&mut self) -> (Request, Asked) {
        match self.random.below(20) {
            0..=4 => self.make_insert(),
            5..=8 => self.make_claim(),
            9..=13 => self.make_report(),
            14 | 15 => self.make_heartbeat(),
            16 | 17 => self.make_sweep(),
            _ => self.make_command(),
        }
    }

    fn make_sweep(&mut self) -> (Request, Asked) {
        let (reply, answer) = oneshot::channel();
        (Request::Sweep(SWEEP_LIMIT, reply), Asked::Sweep(answer))
    }

    fn make_insert(&mut self) -> (Request, Asked) {
        let mut indices = Vec::new();
        for _ in 0..=self.random.below(3) {
            let known = self.history.jobs.len();
            let again = known > 0 && self.random.one_in(4);
            let index = if again { self.random.below(known) } else { known };
            if index == known {
                let job = self.new_job(index);
                self.history.jobs.push(Known::new(job));
            }
            if !indices.contains(&index) {
                indices.push(index);
            }
        }
        let jobs = indices.iter().map(|index| self.history.jobs[*index].new.clone()).collect();
        let (reply, answer) = oneshot::channel();
        let insert = Insert { jobs, partial: self.random.one_in(2) };
        (Request::Insert(insert, reply), Asked::Insert(indices, answer))
    }

    fn new_job(&mut self, index: usize) -> NewJob {
        let now = self.machine.clock.now();
        let waits = self.random.one_in(3);
        let wait = Duration::from_millis(self.random.uneven() % 20_000);
        let (mut extras, on_conflict) = unique(&mut self.random);
        extras.limit_keys = limit_keys(&mut self.random);
        NewJob {
            namespace: namespace(),
            id: JobId::from_u128(1_000 + index as u128),
            task: queue(self.random.below(2)),
            queue: queue(self.random.below(QUEUES)),
            args: Json::from_trusted(format!("[{index}]")),
            priority: self.random.below(5) as i8 - 2,
            run_at: waits.then(|| now.plus(wait)),
            max_attempts: 1 + self.random.below(3) as u32,
            timeout_ms: None,
            fingerprint: index as u64,
            on_conflict,
            extras,
        }
    }

    fn make_claim(&mut self) -> (Request, Asked) {
        let number = self.random.below(WORKERS);
        let again = self.random.one_in(6);
        let worker = &mut self.history.workers[number];
        // The last claim again, as if its answer had not come.
        let seq = if again { worker.last_claim.max(1) } else { worker.next_claim };
        worker.last_claim = seq;
        let mut queues: Vec<_> = (0..QUEUES).map(queue).collect();
        queues.truncate(1 + self.random.below(QUEUES));
        let max = 1 + self.random.below(4);
        self.claim(number, seq, queues, max)
    }

    fn claim(&self, number: usize, seq: u64, queues: Vec<Name>, max: usize) -> (Request, Asked) {
        let worker = &self.history.workers[number];
        let claim = Claim {
            namespace: namespace(),
            worker: worker.id,
            seq,
            profile: Arc::new(Profile { queues, tasks: None, labels: Default::default() }),
            max,
            free: Default::default(),
            wait: Duration::ZERO,
            in_process: worker.in_process,
        };
        let (reply, answer) = oneshot::channel();
        (Request::Claim(claim, Instant::now(), reply), Asked::Claim(number, seq, answer))
    }

    fn make_report(&mut self) -> (Request, Asked) {
        let mut told = Vec::new();
        for (index, known) in self.history.jobs.iter().enumerate() {
            let tokens = known.tokens();
            let is_due = known.holder.is_some() && self.random.one_in(3);
            if let Some(current) = tokens.last()
                && (is_due || self.random.one_in(20))
            {
                // Workers come back late, and tell again what they told.
                let late = self.random.one_in(5);
                let token = if late { *self.random.pick(&tokens) } else { *current };
                told.push((index, token));
            }
        }
        told.truncate(3);
        let told: Vec<_> =
            told.into_iter().map(|(index, token)| (index, token, self.outcome(token))).collect();
        self.report(told)
    }

    fn report(&self, told: Vec<(usize, Token, Outcome)>) -> (Request, Asked) {
        let reports = told.iter().map(|(index, token, outcome)| Report {
            namespace: namespace(),
            id: self.history.jobs[*index].new.id,
            token: *token,
            outcome: outcome.clone(),
        });
        let (reply, answer) = oneshot::channel();
        (Request::Report(reports.collect(), reply), Asked::Report(told, answer))
    }

    fn outcome(&mut self, token: Token) -> Outcome {
        let wait = Duration::from_millis(self.random.uneven() % 10_000);
        match self.random.below(8) {
            0..=3 => {
                // The same attempt says the same each time.
                Outcome::Completed { result: Some(Json::from_trusted(format!("\"{token}\""))) }
            }
            4 | 5 => {
                let error = JobError::new("error", "it broke");
                let retries = [
                    Retry::ByPolicy,
                    Retry::After(wait),
                    Retry::After(Duration::ZERO),
                    Retry::Never,
                ];
                Outcome::Failed { error, retry: *self.random.pick(&retries) }
            }
            6 => Outcome::Snoozed { delay: wait },
            _ => Outcome::Released,
        }
    }

    fn make_heartbeat(&mut self) -> (Request, Asked) {
        let number = self.random.below(WORKERS);
        let mut held = Vec::new();
        for (index, known) in self.history.jobs.iter().enumerate() {
            if let Some(holder) = known.holder.filter(|holder| holder.worker == number)
                && !self.random.one_in(8)
            {
                held.push((index, holder.token));
            }
        }
        let worker = &self.history.workers[number];
        let settled = worker.next_claim.saturating_sub(1 + self.random.below(2) as u64);
        let heartbeat = Heartbeat {
            namespace: namespace(),
            worker: worker.id,
            settled,
            held: held
                .iter()
                .map(|(job, token)| (self.history.jobs[*job].new.id, *token))
                .collect(),
            progress: Vec::new(),
            info: WorkerInfo::default(),
        };
        let (reply, answer) = oneshot::channel();
        (Request::Heartbeat(heartbeat, reply), Asked::Heartbeat(number, settled, held, answer))
    }

    fn make_command(&mut self) -> (Request, Asked) {
        let jobs = self.history.jobs.len();
        let command = match self.random.below(6) {
            4 | 5 => Commanded::Limit(Limit::any(&mut self.random)),
            0 => Commanded::Pause(self.random.below(QUEUES), self.random.one_in(3)),
            _ if jobs == 0 => Commanded::Pause(0, false),
            1 => Commanded::Cancel(self.random.below(jobs)),
            2 => self.make_adjust(jobs),
            _ => Commanded::Redrive(self.random.below(jobs)),
        };
        self.command(command)
    }

    fn make_adjust(&mut self, jobs: usize) -> Commanded {
        let wait = Duration::from_millis(self.random.uneven() % 20_000);
        let run_at = self.machine.clock.now().plus(wait);
        let priority = self.random.below(9) as i8 - 4;
        let (has_priority, has_run_at) = (self.random.one_in(2), self.random.one_in(2));
        let job = self.random.below(jobs);
        Commanded::Adjust(job, has_priority.then_some(priority), has_run_at.then_some(run_at))
    }

    fn command(&mut self, commanded: Commanded) -> (Request, Asked) {
        let namespace = namespace();
        let id = |index: usize| self.history.jobs[index].new.id;
        let command = match commanded {
            Commanded::Pause(number, true) => Command::Pause { namespace, queue: queue(number) },
            Commanded::Pause(number, false) => Command::Resume { namespace, queue: queue(number) },
            Commanded::Adjust(job, priority, run_at) => {
                Command::Adjust { namespace, id: id(job), priority, run_at }
            }
            Commanded::Limit(limit) => limit.command(),
            Commanded::Redrive(job) => Command::Redrive { namespace, id: id(job), attempts: 0 },
            Commanded::Cancel(job) => {
                Command::Cancel { namespace, id: id(job), reason: "no longer needed".into() }
            }
        };
        let (reply, answer) = oneshot::channel();
        let request = Request::Control(ACTOR.to_owned(), vec![command], reply);
        (request, Asked::Command(commanded, answer))
    }

    fn claim_all(&mut self, number: usize) -> (Request, Asked) {
        let seq = self.history.workers[number].next_claim;
        self.claim(number, seq, (0..QUEUES).map(queue).collect(), 100)
    }

    fn complete_all(&mut self, number: usize) -> (Request, Asked) {
        let held = self.history.held_by(number);
        let complete = |(index, token): (usize, Token)| {
            let result = Some(Json::from_trusted(format!("\"{token}\"")));
            (index, token, Outcome::Completed { result })
        };
        self.report(held.into_iter().map(complete).collect())
    }

    /// Whether an answer can be true. False: there is none, and the store has stopped.
    fn judge(&mut self, asked: Asked, store: &SimStore) -> Result<bool, Broken> {
        let now = store.ledger().now();
        let history = &mut self.history;
        match asked {
            Asked::Insert(jobs, answer) => match told(answer)? {
                Told::Done(answers) => history.inserted(&jobs, &answers, now)?,
                Told::Refused => {}
                Told::Nothing => {
                    history.insert_unanswered(&jobs);
                    return Ok(false);
                }
            },
            Asked::Claim(worker, claim, answer) => match told(answer)? {
                Told::Done(mut jobs) => {
                    store.fill_args(&mut jobs).map_err(broken)?;
                    history.claimed(worker, claim, &jobs, now)?;
                }
                Told::Refused => {}
                Told::Nothing => return Ok(false),
            },
            Asked::Report(reports, answer) => match told(answer)? {
                Told::Done(answers) => {
                    for ((index, token, outcome), answer) in reports.into_iter().zip(&answers) {
                        history.reported(index, token, said(outcome), answer, now)?;
                    }
                }
                Told::Refused => {}
                Told::Nothing => {
                    for (index, token, outcome) in reports {
                        history.report_unanswered(index, token, said(outcome).0);
                    }
                    return Ok(false);
                }
            },
            Asked::Heartbeat(worker, settled, held, answer) => match told(answer)? {
                Told::Done(reply) => history.beaten(worker, settled, &held, &reply)?,
                Told::Refused => {}
                Told::Nothing => {
                    history.beat_unanswered(worker, &held);
                    return Ok(false);
                }
            },
            Asked::Sweep(answer) => match told(answer)? {
                Told::Done((swept, now)) => history.swept(&swept, now),
                Told::Refused => {}
                Told::Nothing => {
                    history.sweep_unanswered(now);
                    return Ok(false);
                }
            },
            Asked::Command(command, answer) => match told(answer)? {
                Told::Done(answers) => {
                    for answer in answers {
                        history.commanded(command, &answer)?;
                    }
                }
                Told::Refused => {}
                Told::Nothing => {
                    history.command_unanswered(command);
                    return Ok(false);
                }
            },
        }
        Ok(true)
    }

    /// Nothing fails any more: every job must end.
    fn finish(&mut self) -> Result<(), Broken> {
        const ROUNDS: usize = 60;
        self.machine.set_faults(Faults::default());
        let mut store = self.open().map_err(broken)?;
        self.look_around(&mut store)?;
        let last = self.history.workers.len();
        self.history.worker(WorkerId::from_u128(99), false);
        for number in 0..QUEUES {
            self.serve_one(&mut store, |world| world.command(Commanded::Pause(number, false)))?;
        }
        for _ in 0..ROUNDS {
            self.machine.clock.advance(Duration::from_secs(600));
            self.serve_one(&mut store, World::make_sweep)?;
            self.serve_one(&mut store, |world| world.claim_all(last))?;
            self.serve_one(&mut store, |world| world.complete_all(last))?;
        }
        self.audit(&store)?;
        let unfinished = self.history.unfinished();
        unfinished.map_or(Ok(()), |index| Err(format!("job {index} never ends")))
    }

    fn serve_one(
        &mut self,
        store: &mut SimStore,
        make: impl FnOnce(&mut World) -> (Request, Asked),
    ) -> Result<(), Broken> {
        let (request, asked) = make(self);
        store.serve(vec![request]);
        match self.judge(asked, store)? {
            true => Ok(()),
            false => Err("the store stopped without a fault".to_owned()),
        }
    }
}
