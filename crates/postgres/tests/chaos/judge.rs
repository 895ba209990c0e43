//! What in a history contradicts the promises.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use taskwright_core::limits::{LEASE, SERVED_PER_SWEEP_MAX};
use taskwright_core::{JobId, StateName, Token, WorkerId};

use crate::history::Fact;

/// A lease lasts in the time that sweeps have served, so it may end earlier by what the last sweep
/// had not served yet.
const LEASE_LEAST: Duration = LEASE.saturating_sub(SERVED_PER_SWEEP_MAX);

/// What is known of a job.
#[derive(Default)]
struct Known {
    is_stored: bool,
    holder: Option<(WorkerId, Token)>,
    attempt: u32,
    sent: HashSet<Token>,
    applied: HashSet<Token>,
    completed: Option<Token>,
    /// The newest attempt that was told to be stale.
    stale: u32,
}

/// What the store shows of a job in the end.
#[derive(Clone, Debug)]
pub struct Shown {
    pub state: StateName,
    pub attempt: u32,
    pub result: Option<Token>,
}

/// What contradicts the promises; nothing where all is well.
pub fn contradictions(facts: &[(Duration, Fact)], shown: &BTreeMap<JobId, Shown>) -> Vec<String> {
    let mut jobs: HashMap<JobId, Known> = HashMap::new();
    let mut alive: HashMap<WorkerId, Duration> = HashMap::new();
    let mut found = Vec::new();
    for (at, fact) in facts {
        let (id, why) = match fact {
            Fact::Asked(ids) => {
                jobs.extend(ids.iter().map(|id| (*id, Known::default())));
                continue;
            }
            Fact::Stored(ids) => {
                ids.iter().for_each(|id| jobs.entry(*id).or_default().is_stored = true);
                continue;
            }
            Fact::Alive { worker, sent } => {
                let last = alive.entry(*worker).or_default();
                *last = (*last).max(*sent);
                continue;
            }
            Fact::Given { worker, id, token } => match jobs.get_mut(id) {
                Some(job) => (id, job.given(*worker, *token, *at, &alive)),
                None => (id, Some("given, though nobody enqueued it".to_owned())),
            },
            Fact::Reporting { id, token, outcome } => {
                let job = jobs.entry(*id).or_default();
                job.sent.insert(*token);
                if outcome != "completed" {
                    job.holder = None;
                }
                continue;
            }
            Fact::Reported { id, token, outcome, answer } => {
                (id, jobs.entry(*id).or_default().reported(*token, outcome, answer))
            }
        };
        found.extend(why.map(|why| format!("job {id}: {why}")));
    }
    for (id, job) in &jobs {
        let why = job.ended(shown.get(id));
        found.extend(why.map(|why| format!("job {id}: {why}")));
    }
    let unknown = shown.keys().filter(|id| !jobs.contains_key(id));
    found.extend(unknown.map(|id| format!("job {id}: is there, though nobody enqueued it")));
    found
}

impl Known {
    fn given(
        &mut self,
        worker: WorkerId,
        token: Token,
        at: Duration,
        alive: &HashMap<WorkerId, Duration>,
    ) -> Option<String> {
        if self.holder == Some((worker, token)) {
            return None; // a claim that was repeated
        }
        let last = self.attempt;
        self.attempt = last.max(token.attempt);
        if let Some(completed) = self.completed {
            return Some(format!("given as {token}, though completed by {completed}"));
        }
        let holder = self.holder.replace((worker, token));
        if token.attempt <= last {
            return Some(format!("attempt {} was given, and then {token}", last));
        }
        let (other, live) = holder?;
        let until = alive.get(&other)?.saturating_add(LEASE_LEAST);
        (at < until).then(|| {
            let early = until - at;
            format!("two live leases: {live} of {other} for {early:?}, and {token} of {worker}")
        })
    }

    fn reported(&mut self, token: Token, outcome: &str, answer: &str) -> Option<String> {
        match answer {
            "applied" if !self.applied.insert(token) => {
                return Some(format!("the report of {token} was applied twice"));
            }
            "applied" | "already" => {}
            "stale" => {
                self.stale = self.stale.max(token.attempt);
                return None;
            }
            _ => return Some(format!("the report ({outcome}) of {token} was answered {answer}")),
        }
        if outcome != "completed" {
            return None;
        }
        self.holder = None;
        match self.completed.replace(token) {
            Some(other) if other != token => {
                Some(format!("completed twice, by {other} and by {token}"))
            }
            _ if token.attempt < self.attempt => {
                Some(format!("completed by {token}, though attempt {} was given", self.attempt))
            }
            _ => None,
        }
    }

    fn ended(&self, shown: Option<&Shown>) -> Option<String> {
        let Some(shown) = shown else {
            return self.is_stored.then(|| "acknowledged, and lost".to_owned());
        };
        if !shown.state.is_final() {
            return Some(format!("still {} in the end", shown.state.as_str()));
        }
        if let Some(token) = self.completed {
            if shown.state != StateName::Completed {
                return Some(format!("{}, though {token} completed it", shown.state.as_str()));
            }
            if shown.result != Some(token) {
                return Some(format!(
                    "the result is of {:?}, and {token} was accepted",
                    shown.result
                ));
            }
        }
        if shown.state == StateName::Completed
            && !shown.result.is_some_and(|token| self.sent.contains(&token))
        {
            return Some(format!("completed with a result that nobody sent: {:?}", shown.result));
        }
        let was_overtaken = shown.attempt > self.stale || shown.state == StateName::Dead;
        (self.stale > 0 && !was_overtaken)
            .then(|| format!("attempt {} was stale, and no later one was given", self.stale))
    }
}

/// The judge itself must see what is wrong.
mod tests {
    use super::*;

    const ID: JobId = JobId::from_u128(1);

    fn token(attempt: u32) -> Token {
        Token { epoch: 1, attempt, nonce: 7 }
    }

    fn given(worker: u128, attempt: u32) -> Fact {
        Fact::Given { worker: WorkerId::from_u128(worker), id: ID, token: token(attempt) }
    }

    fn alive(worker: u128, seconds: u64) -> Fact {
        let sent = Duration::from_secs(seconds);
        Fact::Alive { worker: WorkerId::from_u128(worker), sent }
    }

    fn reported(attempt: u32, outcome: &str, answer: &str) -> [Fact; 2] {
        let (id, token, outcome) = (ID, token(attempt), outcome.to_owned());
        let answer = answer.to_owned();
        [
            Fact::Reporting { id, token, outcome: outcome.clone() },
            Fact::Reported { id, token, outcome, answer },
        ]
    }

    fn completed(attempt: u32) -> Option<Shown> {
        let result = Some(token(attempt));
        Some(Shown { state: StateName::Completed, attempt, result })
    }

    /// All facts are of second 10.
    #[track_caller]
    fn finds(what: &str, more: impl IntoIterator<Item = Fact>, shown: Option<Shown>) {
        let facts = [Fact::Asked(vec![ID]), Fact::Stored(vec![ID])].into_iter().chain(more);
        let facts: Vec<_> = facts.map(|fact| (Duration::from_secs(20), fact)).collect();
        let shown = shown.map(|shown| (ID, shown)).into_iter().collect();
        let found = contradictions(&facts, &shown);
        let is_found =
            if what.is_empty() { found.is_empty() } else { found.concat().contains(what) };
        assert!(is_found, "{what:?} is not what was found: {found:?}");
    }

    fn all(parts: impl IntoIterator<Item = Vec<Fact>>) -> Vec<Fact> {
        parts.into_iter().flatten().collect()
    }

    #[test]
    fn a_good_life_contradicts_nothing() {
        let done = |attempt| reported(attempt, "completed", "applied").to_vec();
        finds("", all([vec![given(1, 1), given(1, 1)], done(1)]), completed(1));
        let failed = reported(1, "failed", "applied").to_vec();
        finds("", all([vec![given(1, 1)], failed, vec![given(2, 2)], done(2)]), completed(2));
        // Its lease was over.
        let lapsed = vec![alive(1, 20 - LEASE.as_secs()), given(1, 1), given(2, 2)];
        let late = reported(1, "completed", "stale").to_vec();
        finds("", all([lapsed, late, done(2)]), completed(2));
    }

    #[test]
    fn every_contradiction_is_found() {
        let done = |attempt| reported(attempt, "completed", "applied").to_vec();
        let first = || vec![alive(1, 19), given(1, 1)];
        finds("acknowledged, and lost", [], None);
        finds("two live leases", all([first(), vec![given(2, 2)], done(2)]), completed(2));
        finds("and then", all([first(), vec![given(2, 1)], done(1)]), completed(1));
        finds("applied twice", all([first(), done(1), done(1)]), completed(1));
        finds("completed twice", all([first(), done(1), done(2)]), completed(2));
        finds("though completed", all([first(), done(1), vec![given(2, 2)]]), completed(1));
        let overtaken = vec![alive(1, 1), given(1, 1), given(2, 2)];
        finds("though attempt 2", all([overtaken, done(1)]), completed(1));
        let running = Shown { state: StateName::Running, attempt: 1, result: None };
        finds("still running", first(), Some(running));
        finds("nobody sent", first(), completed(1));
        let stale = reported(1, "completed", "stale").to_vec();
        finds("no later one", all([first(), stale]), completed(1));
        finds("answered unknown", reported(1, "completed", "unknown"), completed(1));
    }
}
