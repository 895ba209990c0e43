//! Who may start now: limits on queues, tasks, groups and keys.
//!
//! Operators set a [`Policy`] for a [`Subject`]. A limit on a queue or task holds back whole lanes,
//! whose jobs stay ready. A limit on a group or key holds back single jobs: those without room wait
//! in the *line* of the key that stopped them.
//!
//! Rates follow the Generic Cell Rate Algorithm (ITU-T I.371) in its virtual scheduling form: a key
//! has one instant, its theoretical arrival time, and no bucket that somebody has to fill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::job::Extras;
use crate::lifecycle::StateName;
use crate::limits::RETRY_BUDGET_MAX;
use crate::name::Name;
use crate::time::Timestamp;
use crate::turns;

/// What a policy is set for, within a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Subject {
    /// All jobs of a queue together.
    Queue(Name),
    /// All jobs of a task together, over all queues.
    Task(Name),
    /// The jobs of one group of a queue; ending in `*`, of each group that begins so.
    Group { queue: Name, group: Arc<str> },
    /// The jobs with one limit key, over all queues; ending in `*`, of each key that begins so.
    Key(Arc<str>),
}

/// What an operator allows, and how groups share a queue. Without a field there is no such limit.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The most attempts that run at once, by live leases; 0 lets nothing start.
    pub concurrency: Option<u32>,
    /// How many attempts may start in which time.
    pub rate: Option<Rate>,
    /// Of a queue: its groups take turns ([`turns`]).
    pub fair: bool,
    /// Of a queue that is not fair: priorities are absolute there ([`Policies::level`]).
    pub strict: bool,
    /// Of a group, 1 to [`turns::WEIGHT_MAX`]: how many of its jobs start while one does of a group
    /// that has none said. It counts in fair queues.
    pub weight: Option<u32>,
    /// Of a queue: how fast its failed attempts may come back, its retry budget ([`Rate::retry`]).
    pub retries: Option<Rate>,
    /// Of a queue: the most jobs that may wait in it; beyond that no new ones are written.
    pub waiting: Option<u32>,
    /// Of a group or limit key: its jobs run one at a time, in the order of their `seq`.
    pub ordered: Option<Ordered>,
}

/// What a dead job does to those behind it in the order of its key.
///
/// The *head* of an ordered key is the job of smallest `seq` that has a place in its order
/// ([`Ordered::keeps_place`]). Only the head may start, and only while no job with the key runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// It keeps its place: nothing behind it starts until it is redriven or gone.
    Block,
    /// It gives way, as every job does that has ended.
    Skip,
}

impl Ordered {
    /// Whether a job in this state has a place in the order. One that has not ended always has,
    /// wherever it waits: a retry or a delay keeps it.
    pub const fn keeps_place(self, state: StateName) -> bool {
        match (state, self) {
            (StateName::Dead, Ordered::Block) => true,
            (state, _) => !state.is_final(),
        }
    }

    /// The word for what a dead job does.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ordered::Block => "block",
            Ordered::Skip => "skip",
        }
    }

    /// What has this word.
    pub fn from_word(word: &str) -> Option<Ordered> {
        [Ordered::Block, Ordered::Skip].into_iter().find(|ordered| ordered.as_str() == word)
    }

    /// Whether a dead job keeps its place.
    pub const fn is_blocked_by_dead(self) -> bool {
        matches!(self, Ordered::Block)
    }
}

/// At most `count` starts in each `period_ms`, evenly, but for `burst` at once.
///
/// In any time t the starts are at most `burst` + t × `count` / `period_ms`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Starts in a period, at least 1.
    pub count: u32,
    /// The period, in milliseconds, at least 1.
    pub period_ms: u64,
    /// How many may start at once where none has for long, at least 1.
    pub burst: u32,
}

impl Rate {
    /// `count` starts in each `period`, one at a time.
    pub fn new(count: u32, period: Duration) -> Self {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Rate { count, period_ms, burst: 1 }
    }

    /// The time that one start takes up, rounded up to a microsecond: never more than is allowed.
    fn interval(&self) -> Duration {
        let micros = u128::from(self.period_ms) * 1_000;
        let each = micros.div_ceil(u128::from(self.count.max(1)));
        Duration::from_micros(u64::try_from(each).unwrap_or(u64::MAX).max(1))
    }

    /// When the next start is allowed.
    fn free_at(&self, arrival: Timestamp) -> Timestamp {
        arrival.minus(self.interval().saturating_mul(self.burst.max(1) - 1))
    }

    /// How many starts are allowed at `now`, one after another.
    fn room(&self, arrival: Timestamp, now: Timestamp) -> u32 {
        let free_at = self.free_at(arrival);
        if free_at > now {
            return 0;
        }
        let interval = self.interval().as_micros();
        let more = now.since(free_at).as_micros() / interval;
        u32::try_from(more + 1).unwrap_or(u32::MAX).min(self.burst.max(1))
    }

    /// The arrival time after a start at `now`.
    fn taken(&self, arrival: Timestamp, now: Timestamp) -> Timestamp {
        arrival.max(now).plus(self.interval())
    }

    /// As the retry budget of a queue: an attempt that failed at `now` takes its place among the
    /// retries. The earliest instant at which it may come back, and the arrival time after it.
    ///
    /// In any time t the instants that are given are at most `burst` + t × `count` / `period_ms`, but
    /// that none is later than [`RETRY_BUDGET_MAX`] from `now`: what has no place until then comes
    /// back then, however many that are.
    pub fn retry(&self, arrival: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
        let last = now.plus(RETRY_BUDGET_MAX);
        let at = self.free_at(arrival).clamp(now, last);
        let bursts = self.interval().saturating_mul(self.burst.max(1) - 1);
        (at, self.taken(arrival, now).min(last.plus(bursts)))
    }
}

/// What a subject has used of its policy.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Live leases.
    pub running: u32,
    /// The theoretical arrival time of the next start, by the rate; in the past: nothing is used.
    pub arrival: Timestamp,
}

impl Default for Usage {
    fn default() -> Self {
        Usage { running: 0, arrival: Timestamp::ZERO }
    }
}

impl Usage {
    /// The usage after one more start at `now`, under this policy.
    pub fn started(self, policy: &Policy, now: Timestamp) -> Usage {
        let taken = |rate: &Rate| rate.taken(self.arrival, now);
        let arrival = policy.rate.as_ref().map_or(self.arrival, taken);
        Usage { running: self.running.saturating_add(1), arrival }
    }
}

impl Policy {
    /// How many more may start at `now`; `u32::MAX` where nothing limits them. Of an ordered key it
    /// says nothing about which job that may be ([`Ordered`]).
    pub fn room(&self, usage: Usage, now: Timestamp) -> u32 {
        let slots = self.slots(usage);
        let starts = self.rate.map_or(u32::MAX, |rate| rate.room(usage.arrival, now));
        slots.min(starts)
    }

    /// When time alone makes more room than there is at `now`; `None`: it never does.
    pub fn grows_at(&self, usage: Usage, now: Timestamp) -> Option<Timestamp> {
        let rate = self.rate?;
        let starts = rate.room(usage.arrival, now);
        let slots = self.slots(usage);
        let may_grow = starts < slots && starts < rate.burst.max(1);
        let more = rate.interval().saturating_mul(starts);
        may_grow.then(|| rate.free_at(usage.arrival).plus(more))
    }

    /// How many more may run at once: one after another where they are ordered.
    fn slots(&self, usage: Usage) -> u32 {
        let one = self.ordered.map(|_| 1);
        let most = self.concurrency.into_iter().chain(one).min();
        most.map_or(u32::MAX, |most| most.saturating_sub(usage.running))
    }

    /// How many jobs with the key that has this policy may be ready in a lane, as candidates.
    pub fn ready_room(&self, usage: Usage, now: Timestamp) -> u32 {
        let most = if self.takes_turns() { turns::READY_MAX } else { u32::MAX };
        self.room(usage, now).min(most)
    }

    /// Of the policy that counts for a group ([`Policies::of_key`]): whether its queue is fair.
    pub fn takes_turns(&self) -> bool {
        self.fair
    }

    /// Whether it says anything of what may start, or when.
    pub fn limits_starts(&self) -> bool {
        let Policy { concurrency, rate, fair, strict, weight, ordered, .. } = self;
        let is_limited = concurrency.is_some() || rate.is_some() || ordered.is_some();
        is_limited || *fair || *strict || weight.is_some()
    }

    /// Whether how many run decides whether one more may.
    pub fn counts_running(&self) -> bool {
        self.concurrency.is_some() || self.ordered.is_some()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Policy::default()
    }
}

/// A key of a job that a policy may limit: its group, or one of its limit keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum LineKey {
    /// The group of a queue.
    Group { queue: Name, group: Arc<str> },
    /// A limit key.
    Key(Arc<str>),
}

impl LineKey {
    /// The keys of a job of this queue, in the order in which they are asked: group, then limit
    /// keys, each once.
    pub fn of(queue: &Name, extras: &Extras) -> Vec<LineKey> {
        let group = extras.group.iter();
        let mut keys: Vec<LineKey> = group
            .map(|group| LineKey::Group { queue: queue.clone(), group: Arc::clone(group) })
            .collect();
        for key in &extras.limit_keys {
            let key = LineKey::Key(Arc::clone(key));
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// The number of its line, the same in every store: FNV-1a over namespace, kind and text.
    ///
    /// Two keys with the same number would share their limit; among a million keys the chance of
    /// any such pair is one in thirty million.
    pub fn number(&self, namespace: &Name) -> u64 {
        let mut digest = Fnv::new();
        digest.text(namespace.as_str());
        match self {
            LineKey::Group { queue, group } => {
                digest.text("group");
                digest.text(queue.as_str());
                digest.text(group);
            }
            LineKey::Key(key) => {
                digest.text("key");
                digest.text(key);
            }
        }
        digest.finish()
    }

    /// The number of the clock of a queue's turns ([`turns`]).
    pub fn clock(namespace: &Name, queue: &Name) -> u64 {
        LineKey::apart(namespace, queue, "turns")
    }

    /// The number under which the turns of those jobs of a fair queue are kept that have no group:
    /// together they are as one.
    pub fn ungrouped(namespace: &Name, queue: &Name) -> u64 {
        LineKey::apart(namespace, queue, "ungrouped")
    }

    /// The number under which the arrival time of a queue's retry budget is kept. Another budget has
    /// another one: so one that is changed begins anew, and does not wait for what the old one gave.
    pub fn budget(namespace: &Name, queue: &Name, budget: &Rate) -> u64 {
        let Rate { count, period_ms, burst } = budget;
        LineKey::apart(namespace, queue, &format!("retries {count} {period_ms} {burst}"))
    }

    /// A number of a queue that no group has.
    fn apart(namespace: &Name, queue: &Name, what: &str) -> u64 {
        let mut digest = Fnv::new();
        digest.text(namespace.as_str());
        digest.text(what);
        digest.text(queue.as_str());
        digest.finish()
    }

    fn subject(&self) -> Subject {
        match self {
            LineKey::Group { queue, group } => {
                Subject::Group { queue: queue.clone(), group: Arc::clone(group) }
            }
            LineKey::Key(key) => Subject::Key(Arc::clone(key)),
        }
    }

    fn text(&self) -> &str {
        match self {
            LineKey::Group { group, .. } => group,
            LineKey::Key(key) => key,
        }
    }

    fn pattern(&self, begin: &str) -> Subject {
        let text = Arc::from(format!("{begin}*"));
        match self {
            LineKey::Group { queue, .. } => Subject::Group { queue: queue.clone(), group: text },
            LineKey::Key(_) => Subject::Key(text),
        }
    }
}

struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    /// A text and its end, so that no two lists of texts are one.
    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(self) -> u64 {
        self.0
    }
}

/// The policies of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    by_subject: BTreeMap<Subject, Policy>,
}

impl Policies {
    /// Sets the policy of a subject; `None` or an empty one takes it away.
    pub fn set(&mut self, subject: Subject, policy: Option<Policy>) {
        match policy.filter(|policy| !policy.is_empty()) {
            Some(policy) => self.by_subject.insert(subject, policy),
            None => self.by_subject.remove(&subject),
        };
    }

    /// All of them, by subject.
    pub fn iter(&self) -> impl Iterator<Item = (&Subject, &Policy)> {
        self.by_subject.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_subject.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    /// Whether there is one for just this subject.
    pub fn contains(&self, subject: &Subject) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// The policy of a queue.
    pub fn of_queue(&self, queue: &Name) -> Option<&Policy> {
        self.any()?.get(&Subject::Queue(queue.clone()))
    }

    /// The policy of a task.
    pub fn of_task(&self, task: &Name) -> Option<&Policy> {
        self.any()?.get(&Subject::Task(task.clone()))
    }

    /// Whether the groups of a queue take turns.
    pub fn is_fair(&self, queue: &Name) -> bool {
        self.of_queue(queue).is_some_and(|policy| policy.fair)
    }

    /// Whether the priorities of a queue are absolute. Where its groups take turns they are not.
    pub fn is_strict(&self, queue: &Name) -> bool {
        self.of_queue(queue).is_some_and(|policy| policy.strict && !policy.fair)
    }

    /// The level of a job of this queue and priority. Of the jobs of a queue that may start, one of the
    /// highest level is next, and within a level that of the smallest rank. In a strict queue each
    /// priority is a level; in others all jobs are of one.
    ///
    /// Levels are apart as lanes are: the jobs of a key that are ready as candidates in one level take
    /// no place from those of another.
    pub fn level(&self, queue: &Name, priority: i8) -> i8 {
        if self.is_strict(queue) { priority } else { 0 }
    }

    /// The retry budget of a queue.
    pub fn budget_of(&self, queue: &Name) -> Option<Rate> {
        self.of_queue(queue)?.retries
    }

    /// The most jobs that may wait in a queue.
    pub fn waiting_of(&self, queue: &Name) -> Option<u32> {
        self.of_queue(queue)?.waiting
    }

    /// What counts for a group or limit key, if anything does: the policy of its own name, else the
    /// pattern that says most of it; and for a group, whether it takes turns, with which weight.
    pub fn of_key(&self, key: &LineKey) -> Option<Policy> {
        let own = self.named(key).copied();
        let policy = match key {
            LineKey::Group { queue, .. } if self.is_fair(queue) => {
                let own = own.unwrap_or_default();
                let weight = Some(own.weight.unwrap_or(1));
                Policy { fair: true, strict: false, weight, ..own }
            }
            _ => Policy { fair: false, strict: false, weight: None, ..own? },
        };
        policy.limits_starts().then_some(policy)
    }

    fn named(&self, key: &LineKey) -> Option<&Policy> {
        let policies = self.any()?;
        if let Some(policy) = policies.get(&key.subject()) {
            return Some(policy);
        }
        let text = key.text();
        let begins = (0..=text.len()).rev().filter(|&end| text.is_char_boundary(end));
        begins.map(|end| &text[..end]).find_map(|begin| policies.get(&key.pattern(begin)))
    }

    fn any(&self) -> Option<&BTreeMap<Subject, Policy>> {
        (!self.by_subject.is_empty()).then_some(&self.by_subject)
    }
}

#[cfg(test)]
#[path = "tests/admission.rs"]
mod tests;
