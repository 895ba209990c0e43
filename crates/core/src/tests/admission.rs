use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

fn rate(count: u32, seconds: u64, burst: u32) -> Policy {
    let rate = Rate { burst, ..Rate::new(count, SECOND * seconds as u32) };
    Policy { rate: Some(rate), ..Policy::default() }
}

/// A generator of numbers that is the same on every run.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn concurrency_counts_what_runs() {
    let policy = Policy { concurrency: Some(2), ..Policy::default() };
    let rooms: Vec<u32> =
        (0..4).map(|running| policy.room(Usage { running, ..Usage::default() }, NOW)).collect();
    assert_eq!(rooms, [2, 1, 0, 0]);
    assert_eq!(policy.grows_at(Usage { running: 2, ..Usage::default() }, NOW), None);
    let nothing = Policy { concurrency: Some(0), ..Policy::default() };
    assert_eq!(nothing.room(Usage::default(), NOW), 0);
    assert_eq!(Policy::default().room(Usage { running: 9, arrival: NOW }, NOW), u32::MAX);
}

#[test]
fn a_rate_spreads_its_starts() {
    let policy = rate(10, 60, 1);
    let usage = Usage::default();
    assert_eq!(policy.room(usage, NOW), 1);
    let usage = usage.started(&policy, NOW);
    assert_eq!(policy.room(usage, NOW), 0);
    assert_eq!(policy.grows_at(usage, NOW), Some(NOW.plus(6 * SECOND)));
    assert_eq!(policy.room(usage, NOW.plus(6 * SECOND).minus(Duration::from_micros(1))), 0);
    assert_eq!(policy.room(usage, NOW.plus(6 * SECOND)), 1);
    assert_eq!(policy.room(usage, NOW.plus(3_600 * SECOND)), 1, "what was not used is gone");
}

#[test]
fn a_burst_is_allowed_at_once_and_comes_back_slowly() {
    let policy = rate(60, 60, 5);
    let mut usage = Usage::default();
    for left in (0..5).rev() {
        usage = usage.started(&policy, NOW);
        assert_eq!(policy.room(usage, NOW), left);
    }
    let rooms = (1..=7).map(|seconds| policy.room(usage, NOW.plus(SECOND * seconds)));
    assert_eq!(rooms.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 5, 5]);
    for seconds in 0..5 {
        let now = NOW.plus(SECOND * seconds);
        let grows_at = policy.grows_at(usage, now).expect("the burst is not full");
        assert_eq!(grows_at, NOW.plus(SECOND * (seconds + 1)));
        assert!(policy.room(usage, grows_at) > policy.room(usage, now));
    }
    assert_eq!(policy.grows_at(usage, NOW.plus(SECOND * 5)), None);
}

#[test]
fn a_rate_is_never_exceeded_in_any_window() {
    for seed in 0..30 {
        let mut number = numbers(seed);
        let (count, seconds, burst) = (1 + number(50), 1 + number(120), 1 + number(8));
        let policy = rate(count as u32, seconds, burst as u32);
        let (mut now, mut usage, mut starts) = (NOW, Usage::default(), Vec::new());
        for _ in 0..400 {
            now = now.plus(Duration::from_micros(number(seconds * 300_000)));
            for _ in 0..policy.room(usage, now) {
                usage = usage.started(&policy, now);
                starts.push(now);
            }
        }
        for (first, &from) in starts.iter().enumerate() {
            for (last, &to) in starts.iter().enumerate().skip(first) {
                let window = to.since(from).as_secs_f64();
                let allowed = burst as f64 + window * count as f64 / seconds as f64;
                let made = last - first + 1;
                assert!(
                    made as f64 <= allowed + 1e-6,
                    "seed {seed}: {made} of {allowed} in {window}"
                );
            }
        }
    }
}

#[test]
fn a_rate_is_used_up_where_there_is_enough_to_do() {
    let policy = rate(7, 1, 1);
    let (mut now, mut usage, mut starts) = (NOW, Usage::default(), 0);
    while now < NOW.plus(1_000 * SECOND) {
        usage = usage.started(&policy, now);
        starts += 1;
        now = policy.grows_at(usage, now).expect("a rate makes room by time alone");
        assert_eq!(policy.room(usage, now), 1);
    }
    assert!((6_999..=7_001).contains(&starts), "{starts}");
}

#[test]
fn a_time_frees_only_what_a_slot_does_not_hold() {
    let policy = Policy { concurrency: Some(1), ..rate(1, 10, 1) };
    let usage = Usage::default().started(&policy, NOW);
    assert_eq!(policy.grows_at(usage, NOW), None, "the attempt has to end first");
    let ended = Usage { running: 0, ..usage };
    assert_eq!(policy.grows_at(ended, NOW), Some(NOW.plus(10 * SECOND)));
    assert_eq!(policy.grows_at(ended, NOW.plus(10 * SECOND)), None, "there is room");
}

#[test]
fn the_policy_that_says_most_of_a_key_holds() {
    let limit = |concurrency| Some(Policy { concurrency: Some(concurrency), ..Policy::default() });
    let mut policies = Policies::default();
    policies.set(Subject::Key("*".into()), limit(1));
    policies.set(Subject::Key("tenant:*".into()), limit(2));
    policies.set(Subject::Key("tenant:ä*".into()), limit(3));
    policies.set(Subject::Key("tenant:7".into()), limit(4));
    let group =
        |queue: &str, group: &str| LineKey::Group { queue: name(queue), group: group.into() };
    policies.set(Subject::Group { queue: name("mail"), group: "*".into() }, limit(5));
    let of = |key: &LineKey| policies.of_key(key).and_then(|policy| policy.concurrency);
    let key = |text: &str| LineKey::Key(text.into());
    assert_eq!(of(&key("other")), Some(1));
    assert_eq!(of(&key("tenant:")), Some(2));
    assert_eq!(of(&key("tenant:70")), Some(2));
    assert_eq!(of(&key("tenant:äö")), Some(3));
    assert_eq!(of(&key("tenant:7")), Some(4));
    assert_eq!(of(&group("mail", "anybody")), Some(5));
    assert_eq!(of(&group("other", "anybody")), None);

    policies.set(Subject::Key("tenant:7".into()), None);
    assert_eq!(policies.of_key(&key("tenant:7")).and_then(|p| p.concurrency), Some(2));
    assert_eq!(policies.of_queue(&name("mail")), None);
    policies.set(Subject::Queue(name("mail")), limit(9));
    assert_eq!(policies.of_queue(&name("mail")).and_then(|p| p.concurrency), Some(9));
    assert_eq!(policies.len(), 5);
}

#[test]
fn lines_have_numbers_of_their_own() {
    let extras = Extras {
        group: Some("a".into()),
        limit_keys: vec!["b".into(), "a".into(), "b".into()],
        ..Extras::default()
    };
    let keys = LineKey::of(&name("mail"), &extras);
    assert_eq!(keys.len(), 3, "each once: {keys:?}");
    let mut all: Vec<u64> = keys.iter().map(|key| key.number(&name("default"))).collect();
    all.extend(keys.iter().map(|key| key.number(&name("elsewhere"))));
    all.extend(LineKey::of(&name("post"), &extras)[..1].iter().map(|k| k.number(&name("default"))));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 7);
    let known = LineKey::Key("tenant:7".into()).number(&name("default"));
    assert_eq!(known, LineKey::Key("tenant:7".into()).number(&name("default")));
}

#[test]
fn groups_of_a_fair_queue_take_turns_by_weight() {
    let mut policies = Policies::default();
    let group =
        |queue: &str, group: &str| LineKey::Group { queue: name(queue), group: group.into() };
    let subject =
        |queue: &str, group: &str| Subject::Group { queue: name(queue), group: group.into() };
    let weight = |weight| Policy { weight: Some(weight), ..Policy::default() };
    policies.set(subject("mail", "gold*"), Some(weight(3)));
    assert_eq!(policies.of_key(&group("mail", "gold 1")), None, "nobody takes turns yet");

    let fair = Policy { fair: true, ..Policy::default() };
    policies.set(Subject::Queue(name("mail")), Some(fair));
    assert!(policies.is_fair(&name("mail")) && !policies.is_fair(&name("other")));
    assert_eq!(
        policies.of_key(&group("mail", "anybody")),
        Some(Policy { fair: true, ..weight(1) })
    );
    assert_eq!(policies.of_key(&group("mail", "gold 1")), Some(Policy { fair: true, ..weight(3) }));
    assert_eq!(policies.of_key(&group("other", "gold 1")), None);
    let of_mail = policies.of_key(&group("mail", "gold 1")).unwrap();
    assert_eq!(of_mail.room(Usage::default(), NOW), u32::MAX);
    assert_eq!(of_mail.ready_room(Usage::default(), NOW), turns::READY_MAX);
}

#[test]
fn only_a_strict_queue_has_levels() {
    let mut policies = Policies::default();
    let (mail, other) = (name("mail"), name("other"));
    assert_eq!(policies.level(&mail, 7), 0);
    let strict = Policy { strict: true, ..Policy::default() };
    assert!(strict.limits_starts() && !strict.is_empty());
    policies.set(Subject::Queue(mail.clone()), Some(strict));
    assert_eq!([7, 0, -3].map(|priority| policies.level(&mail, priority)), [7, 0, -3]);
    assert_eq!(policies.level(&other, 7), 0);
    let group = LineKey::Group { queue: mail.clone(), group: "a".into() };
    assert_eq!(policies.of_key(&group), None, "it limits none of its groups");
    policies.set(Subject::Queue(mail.clone()), Some(Policy { fair: true, ..strict }));
    assert!(
        policies.is_fair(&mail) && !policies.is_strict(&mail),
        "turns count, where both are set"
    );
    assert_eq!(policies.level(&mail, 7), 0);
}

/// The instants of retries of attempts that fail at `NOW`, in seconds after it.
fn retried(budget: Rate, failures: usize) -> Vec<u64> {
    let mut arrival = Timestamp::ZERO;
    let mut next = || {
        let (at, after) = budget.retry(arrival, NOW);
        arrival = after;
        at.since(NOW).as_secs()
    };
    (0..failures).map(|_| next()).collect()
}

#[test]
fn a_budget_spreads_retries() {
    assert_eq!(retried(Rate::new(10, SECOND * 60), 4), [0, 6, 12, 18]);
    let budget = Rate { burst: 3, ..Rate::new(60, SECOND * 60) };
    assert_eq!(retried(budget, 6), [0, 0, 0, 1, 2, 3]);
}

#[test]
fn a_budget_puts_nothing_off_for_more_than_a_day() {
    let day = RETRY_BUDGET_MAX.as_secs();
    assert_eq!(retried(Rate::new(1, SECOND * 40_000), 5), [0, 40_000, 80_000, day, day]);
    assert_eq!(retried(Rate::new(1, SECOND * 1_000_000), 3), [0, day, day]);
    // What was put off for a day leaves no longer backlog than that.
    let budget = Rate { burst: 2, ..Rate::new(1, SECOND * 40_000) };
    let mut arrival = Timestamp::ZERO;
    for _ in 0..100 {
        arrival = budget.retry(arrival, NOW).1;
    }
    let later = NOW.plus(RETRY_BUDGET_MAX);
    assert_eq!(budget.retry(arrival, later).0, later);
}

#[test]
fn a_budget_is_never_exceeded() {
    let mut next = numbers(11);
    for _ in 0..200 {
        let burst = 1 + next(4) as u32;
        let budget =
            Rate { burst, ..Rate::new(1 + next(20) as u32, SECOND * (1 + next(30) as u32)) };
        let (mut arrival, mut now, mut given) = (Timestamp::ZERO, NOW, Vec::new());
        for _ in 0..200 {
            now = now.plus(Duration::from_millis(next(400)));
            let (at, after) = budget.retry(arrival, now);
            assert!(at >= now && given.last().is_none_or(|last| at >= *last), "in order");
            arrival = after;
            given.push(at);
        }
        let last = now.plus(RETRY_BUDGET_MAX);
        for (first, &from) in given.iter().enumerate() {
            for (count, &to) in given[first..].iter().enumerate().filter(|(_, to)| **to < last) {
                let time = to.since(from).as_micros();
                let by_rate =
                    time * u128::from(budget.count) / (u128::from(budget.period_ms) * 1_000);
                assert!(count as u128 <= u128::from(burst) + by_rate, "{count} in {time} µs");
            }
        }
    }
}

#[test]
fn another_budget_begins_anew() {
    let number = |budget| LineKey::budget(&Name::default_name(), &name("mail"), &budget);
    let minute = Rate::new(10, SECOND * 60);
    assert_eq!(number(minute), number(minute));
    assert_ne!(number(minute), number(Rate { burst: 2, ..minute }));
    assert_ne!(number(minute), number(Rate { count: 11, ..minute }));
}

#[test]
fn what_limits_no_starts_sends_nobody_into_a_line() {
    let waiting = Policy { waiting: Some(3), ..Policy::default() };
    let budget = Policy { retries: Some(Rate::new(1, SECOND)), ..Policy::default() };
    let mut policies = Policies::default();
    policies.set(Subject::Key("api".into()), Some(waiting));
    policies.set(Subject::Queue(name("mail")), Some(Policy { waiting: Some(3), ..budget }));
    assert_eq!(policies.of_key(&LineKey::Key("api".into())), None);
    assert!(!waiting.limits_starts() && !budget.limits_starts() && !waiting.is_empty());
    assert_eq!(policies.waiting_of(&name("mail")), Some(3));
    assert_eq!(policies.budget_of(&name("mail")), budget.retries);
    assert_eq!(policies.waiting_of(&name("other")), None);
}
