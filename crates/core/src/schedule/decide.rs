//! What a schedule does now.

use std::time::Duration;

use super::job_id::job_id;
use super::policy::{CatchUp, Overlap, Policy, State};
use super::rule::Rule;
use crate::id::JobId;
use crate::limits::{SKIPS_COUNTED_MAX, TICK_LATE_AFTER, TICKS_MAX};
use crate::name::Name;
use crate::time::Timestamp;

/// A schedule: what is decided about.
#[derive(Copy, Clone, Debug)]
pub struct Schedule<'a> {
    /// The namespace of its jobs.
    pub namespace: &'a Name,
    /// Its name.
    pub name: &'a Name,
    /// When it is due.
    pub rule: &'a Rule,
    /// What it does then.
    pub policy: &'a Policy,
}

/// An instant that makes a job.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The instant.
    pub instant: Timestamp,
    /// The id of its job.
    pub job: JobId,
    /// When the job starts: the instant, with jitter.
    pub run_at: Timestamp,
    /// Whether it was missed and is caught up.
    pub is_late: bool,
    /// Whether the schedule's job before it is to be cancelled.
    pub cancels_last: bool,
}

/// Why an instant makes no job.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The schedule was paused.
    Paused,
    /// It was missed, and the policy does not catch up.
    Missed,
    /// It was missed for longer than the policy's catch-up window.
    TooOld,
    /// It was missed, and a later one makes up for it.
    MadeUpFor,
    /// A job of the schedule was live.
    Overlap,
}

/// Instants one after another that make no job, for the same reason.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The first of them.
    pub first: Timestamp,
    /// No instant after this one is among them; the last one, or a bound where they were not all
    /// counted.
    pub until: Timestamp,
    /// How many they are; of more than [`SKIPS_COUNTED_MAX`], that number plus 1.
    pub instants: usize,
    /// Why.
    pub reason: SkipReason,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What makes a job, in order; at most [`TICKS_MAX`] and a queued one.
    pub ticks: Vec<Tick>,
    /// What does not, in order.
    pub skipped: Vec<Skipped>,
    /// When to decide again: not later than now, where there was too much for one call; `None`
    /// where only a change of the schedule or the end of its job can bring something to do.
    pub wake: Option<Timestamp>,
    /// The state after.
    pub state: State,
}

/// What a schedule does now: which instants since its state's last one make a job, and which are
/// skipped. Each instant is accounted for once, so that repeated calls, on any node, make the same
/// jobs. Ticks, skips and the state after belong into one commit.
pub fn decide(schedule: &Schedule<'_>, state: &State, now: Timestamp) -> Decision {
    let mut round = Round::new(schedule, state, now);
    if state.paused.is_some() {
        round.skip_until(now, SkipReason::Paused);
        return round.decision(None);
    }
    round.start_queued();
    let due = round.due();
    let is_cut = due.len() >= TICKS_MAX;
    round.make(&due);
    let from = if is_cut { round.state.last } else { round.state.last.max(now) };
    let wake = schedule.rule.next_after(from);
    round.decision(wake)
}

/// What a schedule does when somebody resumes it: what was due during the pause is skipped, and
/// failures are counted anew.
pub fn resume(schedule: &Schedule<'_>, state: &State, now: Timestamp) -> Decision {
    let mut round = Round::new(schedule, state, now);
    if state.paused.is_some() {
        round.skip_until(now, SkipReason::Paused);
    }
    let resumed = State { paused: None, failures: 0, ..round.state };
    let after = decide(schedule, &resumed, now);
    let mut skipped = round.skipped;
    skipped.extend(after.skipped);
    Decision { skipped, ..after }
}

/// The jobs of the instants that are due later than `from` and not later than `to`, whether or not
/// they were made or skipped before: the first `max` of them, at most [`TICKS_MAX`]. For more, go on
/// from the last instant. They have the ids that the schedule itself gives, so that what is there
/// already is not made again; no policy applies.
pub fn backfill(schedule: &Schedule<'_>, from: Timestamp, to: Timestamp, max: usize) -> Vec<Tick> {
    let instants = schedule.rule.between(from, to, max.min(TICKS_MAX));
    let tick = |instant| Tick {
        instant,
        job: job_id(schedule.namespace, schedule.name, instant),
        run_at: instant,
        is_late: true,
        cancels_last: false,
    };
    instants.into_iter().map(tick).collect()
}

/// One decision while it is made.
struct Round<'a> {
    schedule: &'a Schedule<'a>,
    now: Timestamp,
    state: State,
    ticks: Vec<Tick>,
    skipped: Vec<Skipped>,
}

/// An instant that may make a job.
#[derive(Copy, Clone)]
struct Due {
    instant: Timestamp,
    is_late: bool,
}

impl<'a> Round<'a> {
    fn new(schedule: &'a Schedule<'a>, state: &State, now: Timestamp) -> Self {
        Round { schedule, now, state: *state, ticks: Vec::new(), skipped: Vec::new() }
    }

    fn decision(self, wake: Option<Timestamp>) -> Decision {
        Decision { ticks: self.ticks, skipped: self.skipped, wake, state: self.state }
    }

    fn start_queued(&mut self) {
        if self.state.live {
            return;
        }
        if let Some(instant) = self.state.queued.take() {
            self.tick(instant, false);
        }
    }

    /// The instants that may make a job; what is too old or made up for is skipped.
    fn due(&mut self) -> Vec<Due> {
        let rule = self.schedule.rule;
        let late_until = self.now.minus(TICK_LATE_AFTER + Duration::from_micros(1));
        let mut due = self.late(late_until);
        let from = self.state.last.max(late_until);
        let room = TICKS_MAX.saturating_sub(due.len());
        let in_time = rule.between(from, self.now, room);
        due.extend(in_time.into_iter().map(|instant| Due { instant, is_late: false }));
        due
    }

    /// The instants up to `until` that are caught up.
    fn late(&mut self, until: Timestamp) -> Vec<Due> {
        if let Some(window) = self.schedule.policy.catch_up_window {
            let too_old = self.now.minus(window.saturating_add(Duration::from_micros(1)));
            self.skip_until(too_old.min(until), SkipReason::TooOld);
        }
        let rule = self.schedule.rule;
        let (max, reason) = match self.schedule.policy.catch_up {
            CatchUp::Skip => (0, SkipReason::Missed),
            CatchUp::Once => {
                let from = self.state.last.max(until);
                let is_made_up_for = !rule.between(from, self.now, 1).is_empty();
                (usize::from(!is_made_up_for), SkipReason::MadeUpFor)
            }
            CatchUp::All { max } => {
                let max = usize::try_from(max).unwrap_or(TICKS_MAX).min(TICKS_MAX);
                (max, SkipReason::Missed)
            }
        };
        let caught_up =
            if max == 0 { Vec::new() } else { rule.newest(self.state.last, until, max) };
        let skip_until =
            caught_up.first().map_or(until, |first| first.minus(Duration::from_micros(1)));
        self.skip_until(skip_until, reason);
        caught_up.into_iter().map(|instant| Due { instant, is_late: true }).collect()
    }

    fn make(&mut self, due: &[Due]) {
        for (index, due_now) in due.iter().enumerate() {
            let is_newest = index + 1 == due.len();
            match self.schedule.policy.overlap {
                Overlap::CancelRunning if !is_newest => {
                    self.skip(due_now.instant, SkipReason::Overlap);
                }
                Overlap::Skip if self.state.live => {
                    self.skip(due_now.instant, SkipReason::Overlap);
                }
                Overlap::QueueOne if self.state.live && self.state.queued.is_some() => {
                    self.skip(due_now.instant, SkipReason::Overlap);
                }
                Overlap::QueueOne if self.state.live => {
                    self.state.queued = Some(due_now.instant);
                    self.state.last = due_now.instant;
                }
                _ => {
                    self.tick(due_now.instant, due_now.is_late);
                    self.state.last = due_now.instant;
                }
            }
        }
    }

    fn tick(&mut self, instant: Timestamp, is_late: bool) {
        let Schedule { namespace, name, rule, policy } = *self.schedule;
        let job = job_id(namespace, name, instant);
        let cancels_last = policy.overlap == Overlap::CancelRunning && self.state.live;
        let run_at = rule.run_at(job, instant);
        self.ticks.push(Tick { instant, job, run_at, is_late, cancels_last });
        self.state.live = true;
    }

    /// Skips all that is due later than the last instant and not later than `until`.
    fn skip_until(&mut self, until: Timestamp, reason: SkipReason) {
        let due = self.schedule.rule.between(self.state.last, until, SKIPS_COUNTED_MAX + 1);
        if let (Some(&first), Some(&last)) = (due.first(), due.last()) {
            let is_counted = due.len() <= SKIPS_COUNTED_MAX;
            let until = if is_counted { last } else { until };
            self.skipped.push(Skipped { first, until, instants: due.len(), reason });
            self.state.last = until;
        }
    }

    fn skip(&mut self, instant: Timestamp, reason: SkipReason) {
        self.state.last = instant;
        match self.skipped.last_mut() {
            Some(before) if before.reason == reason => {
                before.until = instant;
                before.instants += 1;
            }
            _ => self.skipped.push(Skipped { first: instant, until: instant, instants: 1, reason }),
        }
    }
}

#[cfg(test)]
#[path = "tests/decide.rs"]
mod tests;
