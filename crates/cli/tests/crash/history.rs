//! What a test knows to have happened, fact by fact, and what contradicts the promises.

use std::collections::{HashMap, HashSet};

use taskwright::{JobId, StateName, Token, WorkerId};

/// One thing that somebody saw, in the order in which it was noted: what is sent is noted before,
/// what arrives is noted after.
#[derive(Clone, Debug)]
pub enum Fact {
    /// These jobs are sent, all or none.
    Asked(Vec<JobId>),
    /// The server acknowledged them.
    Stored(Vec<JobId>),
    /// A worker was given a job.
    Given { worker: WorkerId, id: JobId, token: Token },
    /// A report is sent.
    Reporting { id: JobId, token: Token, outcome: &'static str },
    /// A report was answered.
    Reported { id: JobId, token: Token, outcome: &'static str, answer: String },
    /// A heartbeat says that a job is no longer the worker's.
    Lost { worker: WorkerId, id: JobId, token: Token },
    /// Somebody looked; `known` is how many facts there were before.
    Seen { known: usize, id: JobId, state: Option<StateName>, result: Option<Token> },
    /// Something was answered that has no place here.
    Odd(String),
}

#[derive(Default)]
struct Known {
    stored_at: Option<usize>,
    is_given: Option<(WorkerId, Token)>,
    attempt: u32,
    /// How often the report of an attempt was sent.
    sent: HashMap<Token, usize>,
    applied: HashSet<Token>,
    completed: Option<(Token, usize)>,
    /// An attempt whose repeated report came too late: there must have been a later attempt.
    overtaken: u32,
    is_there: Option<bool>,
}

/// What contradicts the promises; nothing where all is well.
pub fn contradictions(facts: &[Fact]) -> Vec<String> {
    let mut jobs: HashMap<JobId, Known> = HashMap::new();
    let mut found = Vec::new();
    for (at, fact) in facts.iter().enumerate() {
        match fact {
            Fact::Asked(ids) => {
                for id in ids {
                    jobs.entry(*id).or_default();
                }
            }
            Fact::Stored(ids) => {
                for id in ids {
                    jobs.entry(*id).or_default().stored_at.get_or_insert(at);
                }
            }
            Fact::Given { worker, id, token } => match jobs.get_mut(id) {
                Some(job) => found.extend(job.given(*worker, *token).map(|why| about(*id, why))),
                None => found.push(about(*id, "given, though nobody enqueued it".into())),
            },
            Fact::Reporting { id, token, outcome } => {
                let job = jobs.entry(*id).or_default();
                *job.sent.entry(*token).or_default() += 1;
                if *outcome != "completed" {
                    job.is_given = None;
                }
            }
            Fact::Reported { id, token, outcome, answer } => {
                let why = jobs.entry(*id).or_default().reported(*token, outcome, answer, at);
                found.extend(why.map(|why| about(*id, why)));
            }
            Fact::Lost { worker, id, token } => {
                found.push(about(*id, format!("{token} was taken from {worker}, who lives")));
            }
            Fact::Seen { known, id, state, result } => {
                let why = jobs.entry(*id).or_default().seen(*known, *state, *result);
                found.extend(why.map(|why| about(*id, why)));
            }
            Fact::Odd(what) => found.push(what.clone()),
        }
    }
    let ended_wrongly =
        jobs.iter().filter(|(_, job)| job.overtaken > 0 && job.overtaken >= job.attempt);
    found.extend(ended_wrongly.map(|(id, job)| {
        about(*id, format!("attempt {} was stale, and no later one was given", job.overtaken))
    }));
    found.extend(halves(facts, &jobs));
    found
}

fn about(id: JobId, why: String) -> String {
    format!("job {id}: {why}")
}

/// Enqueues of which only a part is there.
fn halves(facts: &[Fact], jobs: &HashMap<JobId, Known>) -> Vec<String> {
    let asked = facts.iter().filter_map(|fact| match fact {
        Fact::Asked(ids) => Some(ids),
        _ => None,
    });
    let is_half = |ids: &&Vec<JobId>| {
        let there = ids.iter().filter(|id| jobs[id].is_there == Some(true)).count();
        let looked = ids.iter().filter(|id| jobs[id].is_there.is_some()).count();
        looked == ids.len() && there != 0 && there != ids.len()
    };
    asked.filter(is_half).map(|ids| format!("a part of one enqueue: {ids:?}")).collect()
}

impl Known {
    fn given(&mut self, worker: WorkerId, token: Token) -> Option<String> {
        let holder = self.is_given.replace((worker, token));
        let last = self.attempt;
        self.attempt = last.max(token.attempt);
        if let Some((completed, _)) = self.completed {
            return Some(format!("given as {token}, though completed by {completed}"));
        }
        match holder {
            Some(same) if same == (worker, token) => None,
            Some((other, live)) => {
                Some(format!("two live leases: {live} of {other} and {token} of {worker}"))
            }
            None if token.attempt <= last => {
                Some(format!("attempt {} comes again, as {token}", token.attempt))
            }
            None => None,
        }
    }

    fn reported(&mut self, token: Token, outcome: &str, answer: &str, at: usize) -> Option<String> {
        let is_repeated = self.sent.get(&token).is_some_and(|sent| *sent > 1);
        let accepted = match answer {
            "applied" if !self.applied.insert(token) => {
                return Some(format!("the report of {token} was applied twice"));
            }
            "applied" => true,
            "already" if is_repeated => true,
            // It was applied, and so the job went on: only the last verdict is kept.
            "stale" if is_repeated && outcome != "completed" => {
                self.overtaken = self.overtaken.max(token.attempt);
                return None;
            }
            _ => return Some(format!("the report ({outcome}) of {token} was answered {answer}")),
        };
        if outcome == "completed" && accepted {
            self.is_given = None;
            match self.completed {
                Some((other, _)) if other != token => {
                    return Some(format!("completed twice, by {other} and {token}"));
                }
                Some(_) => {}
                None => self.completed = Some((token, at)),
            }
        }
        None
    }

    fn seen(
        &mut self,
        known: usize,
        state: Option<StateName>,
        result: Option<Token>,
    ) -> Option<String> {
        self.is_there = Some(state.is_some());
        let before = |at: usize| at < known;
        let Some(state) = state else {
            let was_stored = self.stored_at.is_some_and(before);
            return was_stored.then(|| "acknowledged, and lost".to_owned());
        };
        if let Some((token, at)) = self.completed.filter(|(_, at)| before(*at)) {
            if state != StateName::Completed {
                return Some(format!(
                    "{}, though {token} completed it (fact {at})",
                    state.as_str()
                ));
            }
            if result != Some(token) {
                return Some(format!("the result is of {result:?}, and {token} was accepted"));
            }
        }
        let is_sent = |token: Token| self.sent.contains_key(&token);
        if state == StateName::Completed && !result.is_some_and(is_sent) {
            return Some(format!("completed with a result that nobody sent: {result:?}"));
        }
        None
    }
}

/// The checker itself must see what is wrong.
mod tests {
    use super::*;

    const ID: JobId = JobId::from_u128(1);
    const OTHER: JobId = JobId::from_u128(2);

    fn token(attempt: u32) -> Token {
        Token { epoch: 1, attempt, nonce: 7 }
    }

    fn given(worker: u128, attempt: u32) -> Fact {
        Fact::Given { worker: WorkerId::from_u128(worker), id: ID, token: token(attempt) }
    }

    fn reported(attempt: u32, outcome: &'static str, answer: &str) -> [Fact; 2] {
        let (id, token) = (ID, token(attempt));
        let answer = answer.to_owned();
        [Fact::Reporting { id, token, outcome }, Fact::Reported { id, token, outcome, answer }]
    }

    fn seen(id: JobId, state: Option<StateName>) -> Fact {
        Fact::Seen { known: 100, id, state, result: Some(token(1)) }
    }

    #[track_caller]
    fn finds(what: &str, more: impl IntoIterator<Item = Fact>) {
        let mut facts = vec![Fact::Asked(vec![ID, OTHER]), Fact::Stored(vec![ID, OTHER])];
        facts.extend(more);
        let found = contradictions(&facts);
        let is_found =
            if what.is_empty() { found.is_empty() } else { found.concat().contains(what) };
        assert!(is_found, "{what:?} is not what was found: {found:?}");
    }

    #[test]
    fn a_good_life_contradicts_nothing() {
        let lives = [given(1, 1), given(1, 1)];
        let again = [reported(1, "completed", "applied"), reported(1, "completed", "already")];
        let end = [seen(ID, Some(StateName::Completed)), seen(OTHER, Some(StateName::Available))];
        finds("", lives.into_iter().chain(again.concat()).chain(end));
        let retried = [vec![given(1, 1)], reported(1, "failed", "applied").to_vec()].concat();
        finds("", retried.into_iter().chain([given(2, 2)]));
    }

    #[test]
    fn every_contradiction_is_found() {
        finds("acknowledged, and lost", [seen(ID, None)]);
        finds("two live leases", [given(1, 1), given(2, 2)]);
        finds(
            "comes again",
            [vec![given(1, 1)], reported(1, "failed", "applied").into(), vec![given(2, 1)]]
                .concat(),
        );
        let done = || reported(1, "completed", "applied").to_vec();
        finds("applied twice", [done(), done()].concat());
        finds("completed twice", [done(), reported(2, "completed", "applied").into()].concat());
        finds("though completed", [done(), vec![given(2, 2)]].concat());
        finds("though 1.1", [done(), vec![seen(ID, Some(StateName::Running))]].concat());
        finds("nobody sent", [seen(ID, Some(StateName::Completed))]);
        finds("answered stale", reported(1, "completed", "stale"));
        let repeated = [reported(1, "failed", "applied"), reported(1, "failed", "stale")].concat();
        finds("no later one", [vec![given(1, 1)], repeated].concat());
        finds("answered already", reported(1, "completed", "already"));
        let unanswered = Fact::Asked(vec![JobId::from_u128(3), JobId::from_u128(4)]);
        let half = [(3, Some(StateName::Available)), (4, None)];
        let half = half.map(|(id, state)| seen(JobId::from_u128(id), state));
        finds("a part of one enqueue", [unanswered].into_iter().chain(half));
    }
}
