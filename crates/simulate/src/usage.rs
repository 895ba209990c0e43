//! What runs of what is limited, counted apart from the code that limits it.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use taskwright_core::{Policy, Subject};

use crate::outcome::LimitOutcome;
use crate::plan::{Class, Plan, Pool};

/// A limit, and the group or key of it: 0 where it is of one thing only.
pub type Hold = (u32, u32);

/// How many run of what each limit is for.
pub struct Usage {
    limits: Vec<Limit>,
    classes: Vec<ClassHolds>,
    running: FxHashMap<Hold, u32>,
}

struct Limit {
    subject: Subject,
    policy: Policy,
    most: u32,
    attempts: u64,
}

/// What the jobs of a class count against.
struct ClassHolds {
    always: Vec<Hold>,
    /// By the place of the key.
    group: Vec<Option<Hold>>,
    limit_keys: Vec<Vec<Option<Hold>>>,
}

impl Usage {
    /// Nothing runs yet.
    pub fn new(plan: &Plan) -> Usage {
        let mut limits: Vec<Limit> = Vec::new();
        for (subject, policy) in &plan.policies {
            limits.retain(|limit| limit.subject != *subject);
            if !policy.is_empty() {
                let (subject, policy) = (subject.clone(), *policy);
                limits.push(Limit { subject, policy, most: 0, attempts: 0 });
            }
        }
        let mut numbers = FxHashMap::default();
        let classes = plan.classes.iter().map(|class| holds(class, &limits, &mut numbers));
        Usage { classes: classes.collect(), limits, running: FxHashMap::default() }
    }

    /// A job starts, with its group and limit keys by their places: what it counts against.
    pub fn start(&mut self, class: usize, group: Option<usize>, keys: &[usize]) -> Box<[Hold]> {
        if self.limits.is_empty() {
            return Box::default();
        }
        let of_class = &self.classes[class];
        let of_group = group.and_then(|place| of_class.group.get(place).copied().flatten());
        let of_keys = of_class.limit_keys.iter().zip(keys).filter_map(|(keys, &place)| keys[place]);
        let mut holds: Vec<Hold> =
            of_class.always.iter().copied().chain(of_group).chain(of_keys).collect();
        holds.sort_unstable();
        holds.dedup();
        for hold in &holds {
            let running = self.running.entry(*hold).or_insert(0);
            *running += 1;
            let limit = &mut self.limits[hold.0 as usize];
            limit.most = limit.most.max(*running);
            limit.attempts += 1;
        }
        holds.into()
    }

    /// It ended.
    pub fn end(&mut self, holds: &[Hold]) {
        for hold in holds {
            if let Some(running) = self.running.get_mut(hold) {
                *running -= 1;
            }
        }
    }

    /// What came of each limit.
    pub fn outcome(self) -> Vec<LimitOutcome> {
        let outcome = |limit: Limit| LimitOutcome {
            of: match &limit.subject {
                Subject::Queue(queue) => format!("queue {queue}"),
                Subject::Task(task) => format!("task {task}"),
                Subject::Group { queue, group } => format!("group {group} of queue {queue}"),
                Subject::Key(key) => format!("key {key}"),
            },
            concurrency: limit.policy.concurrency,
            most_running: limit.most,
            attempts: limit.attempts,
        };
        self.limits.into_iter().map(outcome).collect()
    }
}

fn holds(
    class: &Class,
    limits: &[Limit],
    numbers: &mut FxHashMap<(u32, Arc<str>), u32>,
) -> ClassHolds {
    let lanes = [Subject::Queue(class.queue.clone()), Subject::Task(class.task.clone())];
    let is_lane = |limit: &Limit| lanes.contains(&limit.subject);
    let always = limits.iter().enumerate().filter(|(_, limit)| is_lane(limit));
    let always = always.map(|(index, _)| (index as u32, 0)).collect();
    let mut of_pool = |pool: &Pool, pattern: &dyn Fn(&Subject) -> Option<Arc<str>>| {
        let governing = |text: &Arc<str>| {
            let said = limits.iter().enumerate().filter_map(|(index, limit)| {
                Some((says(&pattern(&limit.subject)?, text)?, index as u32))
            });
            let (_, index) = said.max()?;
            let next = numbers.len() as u32;
            Some((index, *numbers.entry((index, Arc::clone(text))).or_insert(next)))
        };
        pool.texts.iter().map(governing).collect::<Vec<_>>()
    };
    let of_group = |subject: &Subject| match subject {
        Subject::Group { queue, group } if *queue == class.queue => Some(Arc::clone(group)),
        _ => None,
    };
    let of_key = |subject: &Subject| match subject {
        Subject::Key(key) => Some(Arc::clone(key)),
        _ => None,
    };
    ClassHolds {
        always,
        group: class.group.as_ref().map(|pool| of_pool(pool, &of_group)).unwrap_or_default(),
        limit_keys: class.limit_keys.iter().map(|pool| of_pool(pool, &of_key)).collect(),
    }
}

/// How much a limit's name says of a key: most its own name, else the longest beginning.
fn says(pattern: &str, key: &str) -> Option<usize> {
    if pattern == key {
        return Some(usize::MAX);
    }
    let begin = pattern.strip_suffix('*')?;
    key.starts_with(begin).then_some(begin.len())
}
