//! Random operations, described so that any part of them can be left out and the rest still means
//! something: jobs and attempts are picked by an index among those that are known.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

/// One step of a random life of a store.
#[derive(Clone, Debug)]
pub enum Op {
    Insert {
        jobs: Vec<JobPick>,
        partial: bool,
        fault: CallFault,
    },
    Claim {
        worker: usize,
        serves: Serves,
        max: usize,
        number: ClaimNumber,
        fault: CallFault,
    },
    Report {
        reports: Vec<(Index, OutcomePick)>,
        fault: CallFault,
    },
    Heartbeat {
        worker: usize,
        beat: Beat,
        fault: CallFault,
    },
    Sweep {
        fault: CallFault,
    },
    Control {
        command: CommandPick,
        fault: CallFault,
    },
    Tick {
        tick: TickPick,
        fault: CallFault,
    },
    Look {
        filter: FilterPick,
    },
    /// The clock jumps ahead.
    Skip(Duration),
    /// The clock goes back.
    TurnBack(Duration),
    /// So many seconds pass, with a sweep in each.
    Serve(u8),
    Reopen,
}

/// What happens to a call on its way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CallFault {
    None,
    Unsent,
    ReplyLost,
}

#[derive(Clone, Debug)]
pub enum JobPick {
    New(JobShape),
    Known { which: Index, other_body: bool },
}

#[derive(Clone, Debug)]
pub struct JobShape {
    pub elsewhere: bool,
    pub queue: usize,
    pub task: usize,
    pub priority: i8,
    pub run_in: Option<i64>,
    pub max_attempts: u32,
    pub timeout: Option<u64>,
    pub retry: usize,
    pub expires_in: Option<u64>,
    pub tagged: bool,
    pub unique: Option<UniquePick>,
    pub group: Option<usize>,
    /// Which of the limit keys it has, bit by bit.
    pub keys: u8,
    /// Which of the requirements it has.
    pub requires: usize,
    /// How many slots it takes; 0 and not 1.
    pub cost: u32,
    /// Which of the sets of amounts it takes.
    pub takes: usize,
}

#[derive(Copy, Clone, Debug)]
pub struct UniquePick {
    pub key: usize,
    /// 0: claimed, 1 and 2: finished, else so many seconds.
    pub until: u64,
    pub on_conflict: usize,
    pub scheduled_only: bool,
}

#[derive(Clone, Debug)]
pub struct Serves {
    pub elsewhere: bool,
    pub queues: Vec<usize>,
    pub tasks: Option<Vec<usize>>,
    /// Which of the sets of labels the worker has.
    pub labels: usize,
    /// How many slots it says that it has; 0: it says nothing.
    pub slots: usize,
    /// Which of the sets of resources the worker has.
    pub resources: usize,
    /// So much of each of them is taken.
    pub taken: u64,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ClaimNumber {
    Next,
    Same,
    Lower,
}

#[derive(Clone, Debug)]
pub enum OutcomePick {
    Completed(Option<u8>),
    Failed(Option<u64>),
    FailedByPolicy,
    FailedForGood,
    TimedOut,
    Snoozed(u64),
    Released,
    Cancelled,
    Checkpoint(u8),
}

#[derive(Clone, Debug)]
pub struct Beat {
    pub elsewhere: bool,
    /// Which of its newest attempts the worker holds, bit by bit.
    pub holds: u32,
    /// How many of its newest claims may still arrive.
    pub unsettled: u64,
    /// Attempts it has no business with.
    pub foreign: Vec<Index>,
    pub progress: Vec<(Index, u8)>,
    pub slots: u32,
}

#[derive(Clone, Debug)]
pub enum CommandPick {
    Cancel(Index),
    Redrive(Index, u32),
    Adjust(Index, Option<i8>, Option<i64>),
    Delete(Index),
    SetPolicy(usize, Option<PolicyPick>),
    Pause(usize),
    Resume(usize),
}

#[derive(Copy, Clone, Debug, Default)]
pub struct PolicyPick {
    pub concurrency: Option<u32>,
    /// Starts, seconds, burst.
    pub rate: Option<(u32, u64, u32)>,
    pub fair: bool,
    pub strict: bool,
    pub weight: Option<u32>,
    /// Retries, seconds, burst.
    pub retries: Option<(u32, u64, u32)>,
    pub waiting: Option<u32>,
    /// Whether it is ordered; then whether the dead give way.
    pub ordered: Option<bool>,
}

#[derive(Clone, Debug)]
pub struct TickPick {
    pub elsewhere: bool,
    pub name: usize,
    pub is_calendar: bool,
    /// Whether the newest revision is expected; else none, or an older one.
    pub is_current: bool,
    pub expects_none: bool,
    pub removes: bool,
    pub wakes_in: Option<i64>,
    pub jobs: Vec<JobPick>,
}

#[derive(Clone, Debug)]
pub struct FilterPick {
    pub elsewhere: bool,
    pub queue: Option<usize>,
    pub task: Option<usize>,
    pub state: Option<usize>,
    pub tagged: bool,
    pub limit: usize,
}

pub const QUEUES: usize = 3;
pub const TASKS: usize = 2;
pub const WORKERS: usize = 4;
pub const RETRIES: usize = 4;
pub const GROUPS: usize = 2;
pub const KEYS: usize = 3;
pub const DOCUMENTS: usize = 3;
/// What jobs can require.
pub const REQUIREMENTS: usize = 5;
/// Sets of labels that workers can have.
pub const LABELLINGS: usize = 4;
/// Sets of amounts that jobs can take.
pub const TAKES: usize = 5;
/// Sets of resources that workers can have.
pub const RESOURCES: usize = 4;
/// Things a policy can be set for.
pub const SUBJECTS: usize = 8;

pub fn operations() -> impl Strategy<Value = Vec<Op>> {
    let order = prop::option::weighted(0.25, order());
    (order, prop::collection::vec(operation(), 1..90))
        .prop_map(|(order, rest)| order.into_iter().chain(rest).collect())
}

/// A group or key is ordered from the first on: set at random, few jobs would meet it.
fn order() -> impl Strategy<Value = Op> {
    (2..SUBJECTS, any::<bool>()).prop_map(|(subject, skips)| {
        let policy = PolicyPick { ordered: Some(skips), ..PolicyPick::default() };
        let command = CommandPick::SetPolicy(subject, Some(policy));
        Op::Control { command, fault: CallFault::None }
    })
}

fn operation() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => insert(),
        8 => claim(),
        8 => report(),
        4 => heartbeat(),
        3 => fault().prop_map(|fault| Op::Sweep { fault }),
        3 => (command(), fault()).prop_map(|(command, fault)| Op::Control { command, fault }),
        2 => (tick(), fault()).prop_map(|(tick, fault)| Op::Tick { tick, fault }),
        2 => filter().prop_map(|filter| Op::Look { filter }),
        3 => skip().prop_map(Op::Skip),
        1 => (1_u64..7_200).prop_map(|seconds| Op::TurnBack(Duration::from_secs(seconds))),
        2 => (1_u8..20).prop_map(Op::Serve),
        1 => Just(Op::Reopen),
    ]
}

fn fault() -> impl Strategy<Value = CallFault> {
    prop_oneof![
        8 => Just(CallFault::None),
        1 => Just(CallFault::Unsent),
        1 => Just(CallFault::ReplyLost),
    ]
}

/// Mostly moments, sometimes the times that matter to waits, windows and retention.
fn skip() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (1_u64..2_000_000).prop_map(Duration::from_micros),
        4 => (1_u64..120).prop_map(Duration::from_secs),
        1 => (600_u64..2_000).prop_map(Duration::from_secs),
        1 => (3_600_u64..90_000).prop_map(Duration::from_secs),
    ]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.1)
}

fn job_pick() -> impl Strategy<Value = JobPick> {
    prop_oneof![
        5 => shape().prop_map(JobPick::New),
        1 => (any::<Index>(), prop::bool::weighted(0.3))
            .prop_map(|(which, other_body)| JobPick::Known { which, other_body }),
    ]
}

fn tick() -> impl Strategy<Value = TickPick> {
    let which = (rarely(), 0..DOCUMENTS, rarely());
    let changes = (prop::bool::weighted(0.8), any::<bool>(), prop::bool::weighted(0.2));
    let rest = (prop::option::of(-60_i64..200), prop::collection::vec(job_pick(), 0..3));
    (which, changes, rest).prop_map(|(which, changes, (wakes_in, jobs))| TickPick {
        elsewhere: which.0,
        name: which.1,
        is_calendar: which.2,
        is_current: changes.0,
        expects_none: changes.1,
        removes: changes.2,
        wakes_in,
        jobs,
    })
}

fn insert() -> impl Strategy<Value = Op> {
    (prop::collection::vec(job_pick(), 1..6), any::<bool>(), fault())
        .prop_map(|(jobs, partial, fault)| Op::Insert { jobs, partial, fault })
}

fn shape() -> impl Strategy<Value = JobShape> {
    let requires = prop_oneof![3 => Just(0), 2 => 0..REQUIREMENTS];
    let cost = prop_oneof![3 => Just(0_u32), 1 => 2..5_u32];
    let takes = prop_oneof![3 => Just(0), 1 => 0..TAKES];
    let lane = (rarely(), 0..QUEUES, 0..TASKS, requires, cost, takes);
    let times = (
        prop::option::weighted(0.3, -100_i64..300),
        prop::option::weighted(0.3, 1_u64..30),
        prop::option::weighted(0.2, 1_u64..200),
    );
    let rest =
        (prop_oneof![4 => Just(0_i8), 1 => -10_i8..=10], 1_u32..4, 0..RETRIES, any::<bool>());
    let keys = (prop::option::weighted(0.4, 0..GROUPS), prop_oneof![2 => Just(0_u8), 1 => 0..8_u8]);
    (lane, times, rest, keys, prop::option::weighted(0.3, unique())).prop_map(
        |(lane, times, rest, keys, unique)| {
            let (priority, max_attempts, retry, tagged) = rest;
            JobShape {
                elsewhere: lane.0,
                queue: lane.1,
                task: lane.2,
                priority,
                run_in: times.0,
                max_attempts,
                timeout: times.1,
                retry,
                expires_in: times.2,
                tagged,
                unique,
                group: keys.0,
                keys: keys.1,
                requires: lane.3,
                cost: lane.4,
                takes: lane.5,
            }
        },
    )
}

fn unique() -> impl Strategy<Value = UniquePick> {
    (0_usize..3, 0_u64..90, 0_usize..5, any::<bool>()).prop_map(
        |(key, until, on_conflict, scheduled_only)| UniquePick {
            key,
            until: if until < 60 { until % 3 } else { until },
            on_conflict,
            scheduled_only,
        },
    )
}

fn claim() -> impl Strategy<Value = Op> {
    let tasks = prop::option::weighted(0.4, prop::collection::vec(0..TASKS, 0..3));
    let slots = prop_oneof![1 => Just(0_usize), 3 => 1_usize..6];
    let queues = prop::collection::vec(0..QUEUES, 1..4);
    let has = (0..LABELLINGS, slots, 0..RESOURCES, 0_u64..4);
    let serves = (rarely(), queues, tasks, has).prop_map(|(elsewhere, queues, tasks, has)| {
        let (labels, slots, resources, taken) = has;
        Serves { elsewhere, queues, tasks, labels, slots, resources, taken }
    });
    let number = prop_oneof![
        6 => Just(ClaimNumber::Next),
        2 => Just(ClaimNumber::Same),
        1 => Just(ClaimNumber::Lower),
    ];
    (0..WORKERS, serves, 1_usize..6, number, fault()).prop_map(
        |(worker, serves, max, number, fault)| Op::Claim { worker, serves, max, number, fault },
    )
}

fn report() -> impl Strategy<Value = Op> {
    let outcome = prop_oneof![
        4 => any::<Option<u8>>().prop_map(OutcomePick::Completed),
        2 => prop::option::of(1_u64..60).prop_map(OutcomePick::Failed),
        2 => Just(OutcomePick::FailedByPolicy),
        1 => Just(OutcomePick::FailedForGood),
        1 => Just(OutcomePick::TimedOut),
        1 => prop_oneof![Just(0), 1_u64..60].prop_map(OutcomePick::Snoozed),
        2 => Just(OutcomePick::Released),
        1 => Just(OutcomePick::Cancelled),
        1 => any::<u8>().prop_map(OutcomePick::Checkpoint),
    ];
    (prop::collection::vec((any::<Index>(), outcome), 1..5), fault())
        .prop_map(|(reports, fault)| Op::Report { reports, fault })
}

fn heartbeat() -> impl Strategy<Value = Op> {
    let holds = prop_oneof![2 => Just(u32::MAX), 1 => any::<u32>()];
    let foreign = prop::collection::vec(any::<Index>(), 0..2);
    let progress = prop::collection::vec((any::<Index>(), any::<u8>()), 0..3);
    let beat = (rarely(), holds, 0_u64..3, foreign, progress, 0_u32..9).prop_map(
        |(elsewhere, holds, unsettled, foreign, progress, slots)| Beat {
            elsewhere,
            holds,
            unsettled,
            foreign,
            progress,
            slots,
        },
    );
    (0..WORKERS, beat, fault()).prop_map(|(worker, beat, fault)| Op::Heartbeat {
        worker,
        beat,
        fault,
    })
}

fn command() -> impl Strategy<Value = CommandPick> {
    prop_oneof![
        4 => any::<Index>().prop_map(CommandPick::Cancel),
        3 => (any::<Index>(), 0_u32..4).prop_map(|(job, n)| CommandPick::Redrive(job, n)),
        3 => (any::<Index>(), prop::option::of(-10_i8..=10), prop::option::of(-50_i64..200))
            .prop_map(|(job, priority, run_in)| CommandPick::Adjust(job, priority, run_in)),
        2 => any::<Index>().prop_map(CommandPick::Delete),
        6 => (subject(), prop::option::weighted(0.8, policy()))
            .prop_map(|(subject, policy)| CommandPick::SetPolicy(subject, policy)),
        1 => (0..QUEUES).prop_map(CommandPick::Pause),
        2 => (0..QUEUES).prop_map(CommandPick::Resume),
    ]
}

/// Often a queue, which has more to say than others.
fn subject() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0), 2 => 0..SUBJECTS]
}

fn policy() -> impl Strategy<Value = PolicyPick> {
    let rate = (1_u32..5, 1_u64..90, 1_u32..4);
    let limits = (prop::option::weighted(0.5, 0_u32..4), prop::option::weighted(0.4, rate));
    // Some put retries off for longer than a budget may.
    let periods = prop_oneof![4 => 1_u64..90, 1 => 20_000_u64..90_000];
    let retries = prop::option::weighted(0.4, (1_u32..5, periods, 1_u32..4));
    let ordered = prop::option::weighted(0.4, any::<bool>());
    let bounds = (retries, prop::option::weighted(0.3, 0_u32..8), ordered);
    // Turns count where both are said.
    let orders = prop_oneof![(Just(true), any::<bool>()), (Just(false), any::<bool>())];
    (limits, orders, prop::option::of(1_u32..4), bounds).prop_map(
        |((concurrency, rate), (fair, strict), weight, (retries, waiting, ordered))| PolicyPick {
            concurrency,
            rate,
            fair,
            strict,
            weight,
            retries,
            waiting,
            ordered,
        },
    )
}

fn filter() -> impl Strategy<Value = FilterPick> {
    let options = (
        prop::option::of(0..QUEUES),
        prop::option::weighted(0.3, 0..TASKS),
        prop::option::weighted(0.4, 0_usize..7),
    );
    (rarely(), options, rarely(), 1_usize..10).prop_map(
        |(elsewhere, (queue, task, state), tagged, limit)| FilterPick {
            elsewhere,
            queue,
            task,
            state,
            tagged,
            limit,
        },
    )
}
