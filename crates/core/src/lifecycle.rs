//! What can happen to a job, written once.
//!
//! [`step`] is the only place where a state is decided. Stores keep a [`Life`] for each job, ask
//! `step` what an event makes of it and write down the answer. `docs/lifecycle.md` is printed from
//! this code.

use std::fmt;

use crate::id::Token;
use crate::limits::{LOSSES_MAX, LOSSES_SUSPECT, RELEASES_MAX, SNOOZES_MAX};
use crate::rank::Rank;
use crate::time::Timestamp;

/// The state of a job, with what belongs to it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for other jobs to end.
    Blocked,
    /// Waits to be claimed, in its place.
    Available(Place),
    /// Claimed; the token is the fence of the attempt.
    Running(Token),
    /// Ended well.
    Completed,
    /// Ended badly; kept until an operator redrives or deletes it.
    Dead(Cause),
    /// Ended because somebody asked for it.
    Cancelled,
    /// Ended because it had not started in time.
    Expired,
}

/// Where an available job waits. Only ready jobs can be claimed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the claimable index, at this rank.
    Ready(Rank),
    /// On the timer (scheduled, retrying or snoozed).
    Until(Timestamp),
    /// In the line of the key with this number, which has no room now.
    Line(u64),
    /// Written, not yet admitted.
    Intake,
}

/// Why a job is dead.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its failures reached `max_attempts`.
    Exhausted,
    /// It failed with a final error.
    Final,
    /// Too many of its attempts were lost together with their worker.
    Quarantined,
    /// It was released or snoozed too many times.
    Returned,
}

/// How an attempt ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The task returned a result.
    Completed,
    /// The task failed.
    Failed,
    /// The task asked to run again later, unspent.
    Snoozed,
    /// The worker gave the job back, unspent.
    Released,
    /// The worker's lease ended.
    Lapsed,
    /// The attempt ran longer than its timeout.
    TimedOut,
}

/// Something that happens to a job.
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A job at intake gets its first place.
    Admit { place: Place },
    /// The time that the job waited for has come.
    Due { rank: Rank },
    /// A key of the job has no room.
    Park { key: u64 },
    /// The key that held the job has room.
    Promote { rank: Rank },
    /// One of the jobs it waits for has ended.
    Unblock { place: Place },
    /// A worker takes the job.
    Claim { token: Token },
    /// The attempt succeeded.
    Completed { token: Token },
    /// The attempt failed; `next` is where a retry waits, `None` means the error is final.
    Failed { token: Token, next: Option<Place> },
    /// The attempt asks to run again later.
    Snoozed { token: Token, place: Place },
    /// The attempt is given back.
    Released { token: Token, place: Place },
    /// The lease of the attempt's worker ended.
    Lapsed { token: Token, place: Place },
    /// The attempt ran too long; `next` is where a retry waits.
    TimedOut { token: Token, next: Place },
    /// Somebody changed when a job that waits is due, or how urgent it is.
    Adjust { place: Place },
    /// Somebody asked for the job to stop.
    Cancel,
    /// The job has not started in time.
    Expire,
    /// An operator restarts an ended job with `attempts` more attempts.
    Redrive { attempts: u32, place: Place },
}

/// Why an event changed nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The token is not the current one: the attempt is no longer the caller's.
    Stale,
    /// The same report was applied before.
    Already(Verdict),
    /// The event has no meaning in this state.
    Impossible(StateName),
}

/// The life of a job: its state and the counts that decide what comes next.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// The state.
    pub state: State,
    /// Jobs that a blocked job still waits for.
    pub waits_for: u32,
    /// Claims so far. Only grows.
    pub attempt: u32,
    /// Attempts spent: failed or timed out.
    pub failures: u32,
    /// Attempts lost together with their worker.
    pub losses: u32,
    /// Attempts released unspent.
    pub released: u32,
    /// Attempts snoozed.
    pub snoozed: u32,
    /// Dead when `failures` reaches this.
    pub max_attempts: u32,
    /// Quarantined when `losses` reaches this.
    pub max_losses: u32,
    /// Whether somebody asked for the running attempt to stop.
    pub cancel_requested: bool,
    /// The attempt that ended last, and how.
    pub last: Option<(Token, Verdict)>,
}

impl Place {
    /// Whether it is on the timer.
    pub const fn is_until(self) -> bool {
        matches!(self, Place::Until(_))
    }
}

impl Life {
    /// A new job: blocked while it waits for other jobs, else available in `place`.
    pub fn new(max_attempts: u32, waits_for: u32, place: Place) -> Self {
        Life {
            state: if waits_for > 0 { State::Blocked } else { State::Available(place) },
            waits_for,
            attempt: 0,
            failures: 0,
            losses: 0,
            released: 0,
            snoozed: 0,
            max_attempts: max_attempts.max(1),
            max_losses: LOSSES_MAX,
            cancel_requested: false,
            last: None,
        }
    }

    /// The token of the running attempt.
    pub fn token(&self) -> Option<Token> {
        match self.state {
            State::Running(token) => Some(token),
            _ => None,
        }
    }

    /// The token that the next claim gives.
    pub fn next_token(&self, epoch: u32, nonce: u64) -> Token {
        Token { epoch, attempt: self.attempt.saturating_add(1), nonce }
    }

    /// Whether the job was lost with its worker so often that a worker holds one such job at a time.
    pub fn is_suspect(&self) -> bool {
        self.losses + LOSSES_MAX.saturating_sub(LOSSES_SUSPECT) >= self.max_losses
    }

    /// Whether an operator ever restarted the job after its end. Such a job no longer expires.
    pub fn was_redriven(&self) -> bool {
        self.max_losses > LOSSES_MAX
    }

    fn with(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    fn ended(mut self, token: Token, verdict: Verdict) -> Self {
        self.last = Some((token, verdict));
        self
    }

    /// Where an attempt that did not complete leads: a wish to cancel wins, then the end `over`, then `place`.
    fn returned(self, over: Option<Cause>, place: Place) -> Self {
        if self.cancel_requested {
            self.with(State::Cancelled)
        } else if let Some(cause) = over {
            self.with(State::Dead(cause))
        } else {
            self.with(State::Available(place))
        }
    }

    fn spent(mut self, next: Option<Place>) -> Self {
        self.failures += 1;
        match next {
            None => self.returned(Some(Cause::Final), Place::Intake),
            Some(place) => {
                let over = (self.failures >= self.max_attempts).then_some(Cause::Exhausted);
                self.returned(over, place)
            }
        }
    }
}

/// What `event` makes of `life`, or why it changes nothing.
///
/// A report (completed, failed, snoozed, released, lapsed, timed out) counts only with the token
/// of the running attempt. Final states absorb everything but a redrive.
pub fn step(life: &Life, event: &Event) -> Result<Life, Refused> {
    use Event as E;
    use State as S;

    let life = *life;
    match (life.state, *event) {
        (S::Blocked, E::Unblock { place }) => {
            let waits_for = life.waits_for.saturating_sub(1);
            let state = if waits_for == 0 { S::Available(place) } else { S::Blocked };
            Ok(Life { waits_for, state, ..life })
        }

        (S::Available(Place::Intake), E::Admit { place }) => Ok(life.with(S::Available(place))),
        (S::Available(Place::Until(_)), E::Due { rank })
        | (S::Available(Place::Line(_)), E::Promote { rank }) => {
            Ok(life.with(S::Available(Place::Ready(rank))))
        }
        (S::Available(Place::Ready(_) | Place::Until(_) | Place::Line(_)), E::Adjust { place }) => {
            Ok(life.with(S::Available(place)))
        }
        (S::Available(Place::Ready(_)), E::Park { key }) => {
            Ok(life.with(S::Available(Place::Line(key))))
        }
        (S::Available(Place::Ready(_)), E::Claim { token }) => {
            Ok(Life { attempt: token.attempt, ..life.with(S::Running(token)) })
        }

        (S::Running(current), E::Completed { token }) if token == current => {
            Ok(life.ended(token, Verdict::Completed).with(S::Completed))
        }
        (S::Running(current), E::Failed { token, next }) if token == current => {
            Ok(life.ended(token, Verdict::Failed).spent(next))
        }
        (S::Running(current), E::TimedOut { token, next }) if token == current => {
            Ok(life.ended(token, Verdict::TimedOut).spent(Some(next)))
        }
        (S::Running(current), E::Snoozed { token, place }) if token == current => {
            let snoozed = life.snoozed + 1;
            let over = (snoozed >= SNOOZES_MAX).then_some(Cause::Returned);
            Ok(Life { snoozed, ..life }.ended(token, Verdict::Snoozed).returned(over, place))
        }
        (S::Running(current), E::Released { token, place }) if token == current => {
            let released = life.released + 1;
            let over = (released >= RELEASES_MAX).then_some(Cause::Returned);
            Ok(Life { released, ..life }.ended(token, Verdict::Released).returned(over, place))
        }
        (S::Running(current), E::Lapsed { token, place }) if token == current => {
            let losses = life.losses + 1;
            let over = (losses >= life.max_losses).then_some(Cause::Quarantined);
            Ok(Life { losses, ..life }.ended(token, Verdict::Lapsed).returned(over, place))
        }

        (S::Blocked | S::Available(_), E::Cancel) => Ok(life.with(S::Cancelled)),
        (S::Running(_), E::Cancel) => Ok(Life { cancel_requested: true, ..life }),
        (S::Blocked | S::Available(_), E::Expire) => Ok(life.with(S::Expired)),

        (S::Completed | S::Dead(_) | S::Cancelled | S::Expired, E::Redrive { attempts, place }) => {
            Ok(Life {
                max_attempts: life.failures.saturating_add(attempts.max(1)),
                max_losses: life.max_losses.saturating_add(LOSSES_MAX),
                cancel_requested: false,
                waits_for: 0,
                ..life.with(S::Available(place))
            })
        }

        (_, event) => Err(refusal(&life, &event)),
    }
}

fn refusal(life: &Life, event: &Event) -> Refused {
    match (event.report(), life.last) {
        (Some((token, verdict)), Some(last)) if last == (token, verdict) => {
            Refused::Already(verdict)
        }
        (Some(_), _) => Refused::Stale,
        (None, _) => Refused::Impossible(life.state.name()),
    }
}

impl Event {
    /// The token and verdict of an event that ends an attempt.
    fn report(&self) -> Option<(Token, Verdict)> {
        match *self {
            Event::Completed { token } => Some((token, Verdict::Completed)),
            Event::Failed { token, .. } => Some((token, Verdict::Failed)),
            Event::Snoozed { token, .. } => Some((token, Verdict::Snoozed)),
            Event::Released { token, .. } => Some((token, Verdict::Released)),
            Event::Lapsed { token, .. } => Some((token, Verdict::Lapsed)),
            Event::TimedOut { token, .. } => Some((token, Verdict::TimedOut)),
            _ => None,
        }
    }
}

/// The bare name of a state, for filters, counters and messages.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateName {
    /// See [`State::Blocked`].
    Blocked,
    /// See [`State::Available`].
    Available,
    /// See [`State::Running`].
    Running,
    /// See [`State::Completed`].
    Completed,
    /// See [`State::Dead`].
    Dead,
    /// See [`State::Cancelled`].
    Cancelled,
    /// See [`State::Expired`].
    Expired,
}

impl StateName {
    /// All states, in the order of a life.
    pub const ALL: [StateName; 7] = [
        StateName::Blocked,
        StateName::Available,
        StateName::Running,
        StateName::Completed,
        StateName::Dead,
        StateName::Cancelled,
        StateName::Expired,
    ];

    /// The word for it, everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            StateName::Blocked => "blocked",
            StateName::Available => "available",
            StateName::Running => "running",
            StateName::Completed => "completed",
            StateName::Dead => "dead",
            StateName::Cancelled => "cancelled",
            StateName::Expired => "expired",
        }
    }

    /// Whether a job in this state has ended.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            StateName::Completed | StateName::Dead | StateName::Cancelled | StateName::Expired
        )
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not the name of a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a state; states are blocked, available, running, completed, dead, cancelled, expired"
)]
pub struct InvalidState(String);

impl std::str::FromStr for StateName {
    type Err = InvalidState;

    fn from_str(text: &str) -> Result<Self, InvalidState> {
        let named = StateName::ALL.into_iter().find(|name| name.as_str() == text);
        named.ok_or_else(|| InvalidState(text.to_owned()))
    }
}

impl State {
    /// The bare name of the state.
    pub const fn name(self) -> StateName {
        match self {
            State::Blocked => StateName::Blocked,
            State::Available(_) => StateName::Available,
            State::Running(_) => StateName::Running,
            State::Completed => StateName::Completed,
            State::Dead(_) => StateName::Dead,
            State::Cancelled => StateName::Cancelled,
            State::Expired => StateName::Expired,
        }
    }

    /// Whether the job has ended.
    pub const fn is_final(self) -> bool {
        self.name().is_final()
    }
}

impl Cause {
    /// The word for it, everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Exhausted => "exhausted",
            Cause::Final => "final",
            Cause::Quarantined => "quarantined",
            Cause::Returned => "returned",
        }
    }
}

impl Verdict {
    /// The word for it, everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Completed => "completed",
            Verdict::Failed => "failed",
            Verdict::Snoozed => "snoozed",
            Verdict::Released => "released",
            Verdict::Lapsed => "lost",
            Verdict::TimedOut => "timed_out",
        }
    }
}

#[cfg(test)]
#[path = "tests/lifecycle.rs"]
mod tests;
