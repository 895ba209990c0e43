//! A store and the model, side by side.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{
    Extras, JobId, Load, Name, NewJob, RetryPolicy, StateName, Timestamp, Token,
};

use super::answers::*;
use super::make::*;
use super::ops::*;
use crate::clock::{Clock, ManualClock};
use crate::conformance::Harness;
use crate::contract::Store;
use crate::error::{Error, ErrorKind};
use crate::fault::{Fault, FaultStore};
use crate::model::NaiveStore;
use crate::request::*;
use crate::retention::Retention;

/// Short enough for a random life to see the end of it.
const RETENTION: Retention = Retention {
    age: Duration::from_secs(700),
    dead_age: Duration::from_secs(3_000),
    count: u64::MAX,
    bytes: u64::MAX,
};

/// Sweeps do all there is to do.
const SWEEP_LIMIT: usize = 100_000;

pub type Checked = Result<(), String>;

pub struct World<'h> {
    pub(super) harness: &'h dyn Harness,
    pub(super) clock: Arc<ManualClock>,
    pub(super) model: NaiveStore,
    pub(super) store: FaultStore,
    pub(super) translation: Translation,
    /// Every job that was ever inserted, or meant to be.
    pub(super) jobs: Vec<NewJob>,
    /// How many ticks there were: each has a revision of its own.
    pub(super) ticks: u64,
    /// By namespace and worker.
    pub(super) hands: BTreeMap<(Name, usize), Hand>,
    pub(super) was_reopened: bool,
}

/// What the test knows of a worker.
#[derive(Clone, Default)]
pub struct Hand {
    last_claim: u64,
    /// The last claim that gave jobs, and those.
    last_giving: u64,
    pub last_given: Vec<(JobId, Token)>,
    /// Whether the store must know `last_giving`: it may forget it with the worker, or in a
    /// restart once nothing of it runs.
    pub is_remembered: bool,
}

/// Tells where the two differ, leaving out the lines before and after.
pub fn same<T: PartialEq + Debug>(what: &str, model: T, store: T) -> Checked {
    if model == store {
        return Ok(());
    }
    let (model, store) = (format!("{model:#?}"), format!("{store:#?}"));
    let (model, store): (Vec<_>, Vec<_>) = (model.lines().collect(), store.lines().collect());
    let before = model.iter().zip(&store).take_while(|(m, s)| m == s).count();
    let after = model.iter().rev().zip(store.iter().rev()).take_while(|(m, s)| m == s).count();
    let after = after.min(model.len().min(store.len()) - before);
    let part = |lines: &[&str]| lines[before.saturating_sub(1)..lines.len() - after].join("\n");
    Err(format!("{what}\n--- model\n{}\n--- store\n{}", part(&model), part(&store)))
}

fn kind(error: &Error) -> ErrorKind {
    error.kind
}

impl<'h> World<'h> {
    pub async fn new(harness: &'h dyn Harness) -> Self {
        let clock = harness.clock();
        World {
            harness,
            model: NaiveStore::with_retention(Arc::clone(&clock) as Arc<dyn Clock>, RETENTION),
            store: FaultStore::scripted(harness.open(RETENTION).await),
            clock,
            translation: Translation::default(),
            jobs: Vec::new(),
            ticks: 0,
            hands: BTreeMap::new(),
            was_reopened: false,
        }
    }

    /// Does all that and compares all answers.
    pub async fn live(&mut self, ops: &[Op]) -> Checked {
        for (step, op) in ops.iter().enumerate() {
            let at = |difference| format!("step {step}: {difference}");
            self.step(op).await.map_err(at)?;
            self.compare_counts().await.map_err(at)?;
        }
        self.compare_everything().await.map_err(|difference| format!("at the end: {difference}"))
    }

    async fn step(&mut self, op: &Op) -> Checked {
        match op {
            Op::Insert { jobs, partial, fault } => self.insert(jobs, *partial, *fault).await,
            Op::Claim { worker, serves, max, number, fault } => {
                self.claim(*worker, serves, *max, *number, *fault).await
            }
            Op::Report { reports, fault } => self.report(reports, *fault).await,
            Op::Heartbeat { worker, beat, fault } => self.heartbeat(*worker, beat, *fault).await,
            Op::Sweep { fault } => self.sweep(*fault).await,
            Op::Control { command, fault } => self.control(command, *fault).await,
            Op::Tick { tick, fault } => self.tick(tick, *fault).await,
            Op::Look { filter } => self.look(filter).await,
            Op::Skip(time) => {
                self.clock.advance(*time);
                self.compare_time().await
            }
            Op::TurnBack(time) => {
                self.clock.turn_back(*time);
                self.compare_time().await
            }
            Op::Serve(seconds) => {
                for _ in 0..*seconds {
                    self.clock.advance(Duration::from_secs(1));
                    self.sweep(CallFault::None).await?;
                }
                Ok(())
            }
            Op::Reopen => self.reopen().await,
        }
    }

    /// The store's answer, asked again where the first call or its reply is lost; and whether it
    /// may have done twice what was asked.
    pub(super) async fn ask<T>(
        &self,
        fault: CallFault,
        call: impl AsyncFn(&FaultStore) -> Result<T, Error>,
    ) -> (Result<T, Error>, bool) {
        let first = match fault {
            CallFault::None => Fault::None,
            CallFault::Unsent => Fault::Unsent,
            CallFault::ReplyLost => Fault::ReplyLost,
        };
        self.store.next_fault(first);
        match call(&self.store).await {
            Err(error) if error.kind == ErrorKind::Unavailable => {
                (call(&self.store).await, fault == CallFault::ReplyLost)
            }
            answer => (answer, false),
        }
    }

    async fn insert(&mut self, picks: &[JobPick], partial: bool, fault: CallFault) -> Checked {
        let jobs: Vec<_> = picks.iter().map(|pick| self.new_job(pick)).collect();
        let insert = Insert { jobs, partial };
        let expected = self.model.insert(insert.clone()).await.map_err(|e| e.to_string())?;
        let (answers, repeated) = self.ask(fault, async |s| s.insert(insert.clone()).await).await;
        let answers = answers.map_err(|error| format!("insert: {error}"))?;
        self.compare_inserted(expected, answers, repeated)
    }

    pub(super) fn compare_inserted(
        &mut self,
        expected: Vec<Inserted>,
        answers: Vec<Inserted>,
        repeated: bool,
    ) -> Checked {
        same("number of answers to an insert", expected.len(), answers.len())?;
        for (expected, answer) in expected.into_iter().zip(answers) {
            let number = match answer {
                Inserted::New { seq } | Inserted::Existing { seq, .. } => Some(seq),
                _ => None,
            };
            if let (Inserted::New { seq }, Some(number)) = (&expected, number) {
                self.translation.admit(*seq, number)?;
            }
            let answer = self.translation.inserted(answer);
            let (expected, answer) = match repeated {
                true => (inserted_again(expected), without_state(answer)),
                false => (expected, answer),
            };
            same("insert", expected, answer)?;
        }
        Ok(())
    }

    pub(super) fn new_job(&mut self, pick: &JobPick) -> NewJob {
        let shape = match pick {
            JobPick::Known { which, other_body } if !self.jobs.is_empty() => {
                let known = which.get(&self.jobs).clone();
                let fingerprint = known.fingerprint + u64::from(*other_body);
                return NewJob { fingerprint, ..known };
            }
            JobPick::Known { .. } => return self.remembered(plain(self.jobs.len())),
            JobPick::New(shape) => shape,
        };
        let now = self.clock.now();
        let seconds = Duration::from_secs;
        let retry = [
            None,
            Some(RetryPolicy::Fixed { delay_ms: 0 }),
            Some(RetryPolicy::Fixed { delay_ms: 5_000 }),
            Some(RetryPolicy::List { delays_ms: vec![100, 30_000] }),
        ];
        let run_at = shape.run_in.map(|ahead| shifted(now, ahead));
        let (unique, on_conflict) = shape.unique.as_ref().map(unique_of).unzip();
        let extras = Extras {
            retry: retry[shape.retry % RETRIES].clone(),
            expires_at: shape.expires_in.map(|ahead| now.plus(seconds(ahead))),
            tags: if shape.tagged { vec!["tagged".into()] } else { Vec::new() },
            unique,
            group: shape.group.map(group),
            requires: requirement(shape),
            cost: shape.cost,
            limit_keys: limit_keys(shape.keys),
            ..Extras::default()
        };
        self.remembered(NewJob {
            namespace: namespace(shape.elsewhere),
            queue: queue(shape.queue),
            task: task(shape.task),
            priority: shape.priority,
            run_at,
            max_attempts: shape.max_attempts,
            timeout_ms: shape.timeout.map(|seconds| seconds * 1_000),
            extras,
            on_conflict: on_conflict.unwrap_or_default(),
            ..plain(self.jobs.len())
        })
    }

    fn remembered(&mut self, job: NewJob) -> NewJob {
        self.jobs.push(job.clone());
        job
    }

    async fn claim(
        &mut self,
        worker: usize,
        serves: &Serves,
        max: usize,
        number: ClaimNumber,
        fault: CallFault,
    ) -> Checked {
        let namespace = namespace(serves.elsewhere);
        let key = (namespace.clone(), worker);
        let hand = self.hands.entry(key.clone()).or_default();
        let seq = match number {
            ClaimNumber::Same if hand.is_remembered => hand.last_giving,
            ClaimNumber::Lower if hand.is_remembered => hand.last_giving - 1,
            _ => hand.last_claim + 1,
        };
        hand.last_claim = hand.last_claim.max(seq);
        let profile = Profile {
            queues: serves.queues.iter().map(|&number| queue(number)).collect(),
            tasks: serves.tasks.as_ref().map(|tasks| tasks.iter().map(|&n| task(n)).collect()),
            labels: labels(serves),
        };
        let claim = Claim {
            namespace,
            worker: worker_id(worker),
            seq,
            profile: Arc::new(profile),
            max,
            free: free(serves),
            wait: Duration::ZERO,
            in_process: worker == 0,
        };
        let expected = self.model.claim(claim.clone()).await;
        let (answer, _) = self.ask(fault, async |store| store.claim(claim.clone()).await).await;
        let (expected, answer) = match (expected, answer) {
            (Ok(expected), Ok(answer)) => (expected, answer),
            (expected, answer) => {
                let of = |result: Result<Vec<_>, Error>| result.map_err(|error| kind(&error));
                return same("claim", of(expected), of(answer));
            }
        };
        same("number of claimed jobs", ids_of(&expected), ids_of(&answer))?;
        for (model, store) in expected.iter().zip(&answer) {
            same("attempt", model.token.attempt, store.token.attempt)?;
            self.note_attempt(Attempt {
                namespace: claim.namespace.clone(),
                id: model.id,
                worker,
                in_model: model.token,
                in_store: store.token,
            });
        }
        if !expected.is_empty() {
            let given = expected.iter().map(|job| (job.id, job.token)).collect();
            let hand = self.hands.entry(key).or_default();
            if seq > hand.last_giving || !hand.is_remembered {
                hand.last_given = given;
            }
            hand.last_giving = seq;
            hand.is_remembered = true;
        }
        let answer: Vec<_> = answer.into_iter().map(|job| self.translation.claimed(job)).collect();
        same("claim", expected, answer)
    }

    fn note_attempt(&mut self, attempt: Attempt) {
        let known = &self.translation.attempts;
        if !known.iter().any(|a| a.id == attempt.id && a.in_store == attempt.in_store) {
            self.translation.attempts.push(attempt);
        }
    }

    async fn report(
        &mut self,
        picks: &[(proptest::sample::Index, OutcomePick)],
        fault: CallFault,
    ) -> Checked {
        if self.translation.attempts.is_empty() {
            return Ok(());
        }
        let mut to_model = Vec::new();
        let mut to_store = Vec::new();
        for (which, outcome) in picks {
            // The newest attempts are the likeliest to be current.
            let newest: Vec<_> = self.translation.attempts.iter().rev().take(12).collect();
            let attempt = *which.get(&newest);
            let report = |token| Report {
                namespace: attempt.namespace.clone(),
                id: attempt.id,
                token,
                outcome: outcome_of(outcome),
            };
            to_model.push(report(attempt.in_model));
            to_store.push(report(attempt.in_store));
        }
        let expected = self.model.report(to_model).await.map_err(|e| e.to_string())?;
        let (answers, repeated) = self.ask(fault, async |s| s.report(to_store.clone()).await).await;
        let answers = answers.map_err(|error| format!("report: {error}"))?;
        if !repeated {
            return same("report", expected, answers);
        }
        let fits = expected.len() == answers.len()
            && expected.iter().zip(&answers).all(|(e, a)| is_reported_again(e, a));
        if fits { Ok(()) } else { same("report, repeated", expected, answers) }
    }

    async fn heartbeat(&mut self, worker: usize, beat: &Beat, fault: CallFault) -> Checked {
        let namespace = namespace(beat.elsewhere);
        let hand = self.hands.entry((namespace.clone(), worker)).or_default();
        let settled = hand.last_claim.saturating_sub(beat.unsettled);
        let attempts = &self.translation.attempts;
        let own = attempts.iter().rev().filter(|a| a.worker == worker && a.namespace == namespace);
        let mut held: Vec<_> = own
            .take(32)
            .enumerate()
            .filter(|(bit, _)| beat.holds >> bit & 1 == 1)
            .map(|(_, attempt)| attempt)
            .collect();
        if !attempts.is_empty() {
            held.extend(beat.foreign.iter().map(|which| which.get(attempts)));
        }
        let progress: Vec<_> = match attempts.is_empty() {
            true => Vec::new(),
            false => beat.progress.iter().map(|(w, value)| (w.get(attempts), *value)).collect(),
        };
        let heartbeat = |token: fn(&Attempt) -> Token| Heartbeat {
            namespace: namespace.clone(),
            worker: worker_id(worker),
            settled,
            held: held.iter().map(|attempt| (attempt.id, token(attempt))).collect(),
            progress: progress.iter().map(|(a, value)| (a.id, token(a), number(*value))).collect(),
            info: WorkerInfo {
                name: "test:1".into(),
                slots: beat.slots,
                stopping: false,
                load: Load::default(),
            },
        };
        let to_model = heartbeat(|attempt| attempt.in_model);
        let to_store = heartbeat(|attempt| attempt.in_store);
        let expected = self.model.heartbeat(to_model).await.map_err(|e| e.to_string())?;
        let (answer, _) = self.ask(fault, async |s| s.heartbeat(to_store.clone()).await).await;
        let answer = answer.map_err(|error| format!("heartbeat: {error}"))?;
        same("heartbeat", in_any_order(expected), self.translation.reply(answer))
    }

    async fn sweep(&mut self, fault: CallFault) -> Checked {
        let expected = swept(&self.model).await.map_err(|error| error.to_string())?;
        let (first, repeated) = self.ask(fault, async |store| swept(store).await).await;
        let answer = first.map_err(|error| format!("sweep: {error}"))?;
        self.note_forgotten_workers().await?;
        if repeated { Ok(()) } else { same("sweep", expected, answer) }
    }

    pub async fn note_forgotten_workers(&mut self) -> Checked {
        for elsewhere in [false, true] {
            let namespace = namespace(elsewhere);
            let known = self.model.workers(&namespace).await.map_err(|e| e.to_string())?;
            let is_known = |worker| known.iter().any(|view| view.id == worker_id(worker));
            for ((of, worker), hand) in &mut self.hands {
                hand.is_remembered &= *of != namespace || is_known(*worker);
            }
        }
        Ok(())
    }

    async fn control(&mut self, pick: &CommandPick, fault: CallFault) -> Checked {
        let job = |which: &proptest::sample::Index| -> Option<(Name, JobId)> {
            (!self.jobs.is_empty()).then(|| {
                let job = which.get(&self.jobs);
                (job.namespace.clone(), job.id)
            })
        };
        let command = match pick {
            CommandPick::Cancel(which) => job(which).map(|(namespace, id)| Command::Cancel {
                namespace,
                id,
                reason: "asked to".into(),
            }),
            CommandPick::Redrive(which, attempts) => job(which)
                .map(|(namespace, id)| Command::Redrive { namespace, id, attempts: *attempts }),
            CommandPick::Adjust(which, priority, run_in) => job(which).map(|(namespace, id)| {
                let run_at = run_in.map(|ahead| shifted(self.clock.now(), ahead));
                Command::Adjust { namespace, id, priority: *priority, run_at }
            }),
            CommandPick::Delete(which) => {
                job(which).map(|(namespace, id)| Command::Delete { namespace, id })
            }
            CommandPick::SetPolicy(subject, policy) => Some(Command::SetPolicy {
                namespace: namespace(false),
                subject: subject_of(*subject),
                policy: policy.as_ref().map(policy_of),
            }),
            CommandPick::Pause(number) => {
                Some(Command::Pause { namespace: namespace(false), queue: queue(*number) })
            }
            CommandPick::Resume(number) => {
                Some(Command::Resume { namespace: namespace(false), queue: queue(*number) })
            }
        };
        let Some(command) = command else { return Ok(()) };
        let commands = vec![command];
        let expected = self.model.control("tester", commands.clone()).await;
        let expected = expected.map_err(|error| error.to_string())?;
        let call = async |store: &FaultStore| store.control("tester", commands.clone()).await;
        let (answer, repeated) = self.ask(fault, call).await;
        let answer = answer.map_err(|error| format!("control: {error}"))?;
        // A command that is repeated finds its own work done, and says so.
        if repeated { Ok(()) } else { same("control", expected, answer) }
    }

    async fn look(&self, pick: &FilterPick) -> Checked {
        let namespace = namespace(pick.elsewhere);
        let filter = Filter {
            namespace: namespace.clone(),
            queue: pick.queue.map(queue),
            task: pick.task.map(task),
            state: pick.state.map(|number| StateName::ALL[number]),
            tag: pick.tagged.then(|| "tagged".into()),
            before: None,
            limit: pick.limit,
        };
        self.compare_lists(filter).await?;
        self.compare_peeks(&namespace, &queue(pick.queue.unwrap_or(0)), pick.limit).await?;
        self.compare_workers(&namespace).await
    }
}

pub(super) fn shifted(now: Timestamp, seconds: i64) -> Timestamp {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now.minus(by) } else { now.plus(by) }
}

fn ids_of(claimed: &[ClaimedJob]) -> Vec<JobId> {
    claimed.iter().map(|job| job.id).collect()
}

/// Sweeps until there is nothing left to do.
pub async fn swept(store: &impl Store) -> Result<Swept, Error> {
    let mut total = Swept::default();
    loop {
        let swept = store.sweep(SWEEP_LIMIT).await?;
        total.due += swept.due;
        total.lapsed += swept.lapsed;
        total.timed_out += swept.timed_out;
        total.expired += swept.expired;
        total.promoted += swept.promoted;
        total.pruned += swept.pruned;
        (total.now, total.next_due) = (swept.now, swept.next_due);
        total.wake_at = swept.wake_at;
        if !swept.more {
            return Ok(total);
        }
    }
}
