//! Limits: jobs with keys, policies that come and go, and what must be true of lines.

use std::collections::BTreeMap;

use taskwright_core::{Job, LineKey, Place, Policy, Rate, State, Subject};
use taskwright_store::{ClaimedJob, Command, Controlled};

use super::Random;
use super::history::{Broken, History, ensure};
use super::world::namespace;
use crate::ledger::Ledger;

const KEYS: usize = 3;

fn key(number: usize) -> std::sync::Arc<str> {
    format!("limited {number}").into()
}

/// Limit keys for some new jobs.
pub fn limit_keys(random: &mut Random) -> Vec<std::sync::Arc<str>> {
    if random.one_in(2) {
        return Vec::new();
    }
    (0..KEYS).filter(|_| random.one_in(2)).map(key).collect()
}

/// What an operator sets for a key.
#[derive(Copy, Clone, Debug)]
pub struct Limit {
    key: usize,
    policy: Option<Policy>,
}

impl Limit {
    /// Some policy for some key; never one that lets nothing start for ever.
    pub fn any(random: &mut Random) -> Self {
        let concurrency = random.one_in(2).then(|| 1 + random.below(3) as u32);
        let rate = random.one_in(3).then(|| Rate {
            count: 1 + random.below(4) as u32,
            period_ms: 1 + random.uneven() % 20_000,
            burst: 1 + random.below(3) as u32,
        });
        let policy = Policy { concurrency, rate, ..Policy::default() };
        Limit { key: random.below(KEYS), policy: (!policy.is_empty()).then_some(policy) }
    }

    /// The command that sets it.
    pub fn command(self) -> Command {
        let subject = Subject::Key(key(self.key));
        Command::SetPolicy { namespace: namespace(), subject, policy: self.policy }
    }
}

/// The policy of each key that clients know to hold; of the others nobody knows.
#[derive(Default)]
pub struct KnownLimits {
    unknown: [bool; KEYS],
    concurrency: [Option<u32>; KEYS],
}

impl History {
    pub fn limited(&mut self, limit: Limit, answer: &Controlled) -> Result<(), Broken> {
        ensure!(*answer == Controlled::Done { state: None }, "a policy was answered {answer:?}");
        self.limits.unknown[limit.key] = false;
        self.limits.concurrency[limit.key] = limit.policy.and_then(|policy| policy.concurrency);
        Ok(())
    }

    /// A policy got no answer.
    pub fn limit_unanswered(&mut self, limit: Limit) {
        self.limits.unknown[limit.key] = true;
    }

    /// A job that was just claimed found room: fewer others with each of its keys run than may.
    pub fn found_room(&self, index: usize, job: &ClaimedJob) -> Result<(), Broken> {
        for (number, most) in self.limits.concurrency.iter().enumerate() {
            let has_key = |keys: &[std::sync::Arc<str>]| keys.contains(&key(number));
            let (false, Some(most)) = (self.limits.unknown[number], most) else { continue };
            if !has_key(&job.extras.limit_keys) {
                continue;
            }
            let others = self.jobs.iter().enumerate().filter(|(other, known)| {
                let runs = known.holder.is_some() && !known.is_shaky;
                *other != index && runs && has_key(&known.new.extras.limit_keys)
            });
            let running = others.count() as u32;
            ensure!(
                running < *most,
                "job {index} was claimed beside {running} others with key {number}, which lets {most} run"
            );
        }
        Ok(())
    }
}

/// Compares the lines of a ledger with the jobs that it has; and no key that has room may have a
/// line, but by a rate, which waits for a sweep.
pub fn check_lines(ledger: &Ledger, jobs: &[Job]) -> Result<(), Broken> {
    let mut in_lines = BTreeMap::new();
    let mut running = BTreeMap::new();
    for job in jobs {
        for key in LineKey::of(&job.queue, &job.extras) {
            let number = key.number(&job.namespace);
            *running.entry(number).or_insert(0_u32) += u32::from(job.life.token().is_some());
            let stands = job.life.state == State::Available(Place::Line(number));
            *in_lines.entry(number).or_insert(0_usize) += usize::from(stands);
        }
    }
    let told = ledger.lines();
    for line in &told {
        let (number, there) = (line.number, in_lines.get(&line.number).copied().unwrap_or(0));
        ensure!(line.waiting == there, "line {number} has {} jobs, not {there}", line.waiting);
        let there = running.get(&number).copied().unwrap_or(0);
        ensure!(line.running == there, "key {number} runs {} jobs, not {there}", line.running);
        ensure!(!line.is_open, "key {number} has room and a line of {}", line.waiting);
    }
    for (number, waiting) in in_lines.into_iter().filter(|(_, waiting)| *waiting > 0) {
        let is_known = told.iter().any(|line| line.number == number);
        ensure!(is_known, "{waiting} jobs stand in line {number}, which nobody serves");
    }
    Ok(())
}
