//! The scheduling itself, judged by what queueing theory and the docs say of it.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::time::Duration;

use taskwright_simulate::{Outcome, read, simulate};

fn play(text: &str) -> Outcome {
    let (_, workload) = read(text).unwrap().remove(0);
    let outcome = simulate(&workload).unwrap();
    assert_eq!(outcome.completed + outcome.dead, outcome.jobs, "every job ends");
    assert_eq!(outcome.left, 0);
    outcome
}

/// The mean wait of M/M/c by Erlang's formula C (1917), in seconds.
fn erlang_c(arrivals: f64, mean_run: f64, servers: u32) -> f64 {
    let load = arrivals * mean_run;
    // Erlang B by its recursion, then C from B.
    let blocked = (1..=servers).fold(1.0, |b, n| load * b / (f64::from(n) + load * b));
    let c = f64::from(servers);
    let waits = blocked / (1.0 - (load / c) * (1.0 - blocked));
    waits * mean_run / (c - load)
}

fn assert_near(what: &str, is: f64, expected: f64, tolerance: f64) {
    let off = (is - expected).abs() / expected;
    assert!(off <= tolerance, "{what} is {is}, and {expected} was expected ({off:.3} off)");
}

#[test]
fn first_come_first_served_waits_as_erlang_says() {
    // The formula itself: of 10 servers with a load of 8, 40.9 % wait.
    assert_near("Erlang C", erlang_c(8.0, 1.0, 10) * 2.0, 0.409, 0.002);
    for (servers, slots, arrivals) in [(10, 1, 8.0), (3, 2, 4.2)] {
        let outcome = play(&format!(
            r#"
            seed = 7
            jobs = 50_000
            [[task]]
            name = "work"
            arrivals = {{ poisson = "{arrivals}/s" }}
            runs = {{ exponential = "1s" }}
            [[worker]]
            name = "worker"
            count = {servers}
            slots = {slots}
            "#
        ));
        let expected = erlang_c(arrivals, 1.0, servers * slots);
        assert_near("the mean wait", outcome.waiting.mean.as_secs_f64(), expected, 0.1);
        let load = arrivals / f64::from(servers * slots);
        assert_near("the utilisation", outcome.workers[0].utilisation, load, 0.03);
    }
}

#[test]
fn with_one_server_and_constant_runs_waits_are_as_pollaczek_and_khinchine_say() {
    let outcome = play(
        r#"
        seed = 3
        jobs = 40_000
        [[task]]
        name = "work"
        arrivals = { poisson = "0.7/s" }
        runs = { constant = "1s" }
        [[worker]]
        name = "worker"
        "#,
    );
    // M/D/1: load / (2 (1 − load)) runs.
    assert_near("the mean wait", outcome.waiting.mean.as_secs_f64(), 0.7 / 0.6, 0.1);
}

#[test]
fn a_priority_is_a_head_start_of_a_minute() {
    // A backlog of 200 s; the urgent ones come after 30 s and 100 s.
    let outcome = |priority: i8, at: u32| {
        play(
            &format!(
                r#"
            [[task]]
            name = "old"
            arrivals = {{ constant = "100/s" }}
            runs = {{ constant = "2s" }}
            [[task]]
            name = "urgent"
            arrivals = {{ burst = {{ jobs = 10, at = "{at}s" }} }}
            runs = {{ constant = "2s" }}
            priority = {priority}
            [[worker]]
            name = "worker"
            count = 100
            "#
            )
            .replacen("[[task]]", "duration = \"200s\"\n[[task]]", 1),
        )
    };
    let waited = |outcome: &Outcome| outcome.tasks[1].waiting.max;
    // Twice as many come as are served: at 30 s the oldest waits since 15 s, at 100 s since 50 s.
    let none = waited(&outcome(0, 30));
    assert!(none >= Duration::from_secs(29) && none <= Duration::from_secs(33), "{none:?}");
    let head_start = waited(&outcome(1, 30));
    assert!(head_start <= Duration::from_secs(2), "{head_start:?}");
    // After 100 s one level is not enough to go before all, two are.
    let some = waited(&outcome(1, 160));
    assert!(some >= Duration::from_secs(30) && some <= Duration::from_secs(50), "{some:?}");
    let enough = waited(&outcome(2, 160));
    assert!(enough <= Duration::from_secs(2), "{enough:?}");
}

/// One customer sends half of all jobs, and more than there is room for; who waits for that?
#[test]
fn in_a_fair_queue_the_backlog_of_one_is_its_own() {
    let waited = |limits: &str| {
        let outcome = play(&format!(
            r#"
            seed = 3
            jobs = 8_000
            [[task]]
            name = "report"
            arrivals = {{ poisson = "60/s" }}
            runs = {{ exponential = "200ms" }}
            group = {{ name = "customer", of = 5, skew = 1.5 }}
            [[worker]]
            name = "worker"
            count = 10
            {limits}
            "#
        ));
        let mut waits: Vec<_> =
            outcome.groups.iter().map(|group| (group.attempts, group.mean_wait)).collect();
        waits.sort_unstable();
        assert_eq!(waits.len(), 5, "{:?}", outcome.groups);
        waits
    };
    let second = Duration::from_secs(1);
    let plain = waited("");
    assert!(plain.iter().all(|(_, wait)| *wait > 5 * second), "all wait alike: {plain:?}");
    let fair = waited("[[limit]]\n queue = \"default\"\n fair = true");
    let (_, small) = fair.split_last().unwrap();
    assert!(small.iter().all(|(_, wait)| *wait < second), "the others hardly wait: {fair:?}");
}

#[test]
fn limits_are_met_and_never_exceeded() {
    let outcome = play(
        r#"
        seed = 5
        jobs = 6_000
        [[task]]
        name = "report"
        queue = "slow"
        arrivals = { poisson = "40/s" }
        runs = { lognormal = { median = "200ms", p99 = "3s" } }
        group = { name = "customer", of = 20, skew = 1.2 }
        limit_keys = [{ name = "api", of = 3 }, { name = "disk" }]
        fails = 0.1
        [[task]]
        name = "mail"
        arrivals = { poisson = "30/s" }
        runs = { exponential = "150ms" }
        limit_keys = [{ name = "disk" }]
        [[worker]]
        name = "worker"
        count = 10
        slots = 4
        lifetime = "60s"
        lost = true
        [[limit]]
        queue = "slow"
        concurrency = 20
        [[limit]]
        task = "mail"
        concurrency = 7
        [[limit]]
        queue = "slow"
        group = "*"
        concurrency = 3
        [[limit]]
        queue = "slow"
        group = "customer-1"
        concurrency = 5
        [[limit]]
        key = "api-*"
        concurrency = 6
        [[limit]]
        key = "disk"
        concurrency = 18
        "#,
    );
    assert_eq!(outcome.limits.len(), 6);
    for limit in &outcome.limits {
        let most = limit.concurrency.unwrap();
        assert!(limit.most_running <= most, "{limit:?}");
        assert!(limit.attempts > 0, "{limit:?}");
    }
    let reached = outcome.limits.iter().filter(|l| Some(l.most_running) == l.concurrency).count();
    assert!(reached >= 5, "limits that are never reached show nothing: {:?}", outcome.limits);
    assert!(outcome.workers[0].lost > 5 && outcome.tasks[0].lost > 5, "{:?}", outcome.workers);
}

#[test]
fn a_rate_is_kept() {
    let outcome = play(
        r#"
        [[task]]
        name = "call"
        arrivals = { burst = { jobs = 600 } }
        runs = { constant = "10ms" }
        limit_keys = [{ name = "api" }]
        [[worker]]
        name = "worker"
        slots = 100
        [[limit]]
        key = "api"
        rate = "10/s"
        burst = 20
        "#,
    );
    // 20 at once, then ten a second.
    let expected = (600.0 - 20.0) / 10.0;
    let makespan = outcome.makespan.as_secs_f64();
    assert!((expected - 0.2..expected + 1.0).contains(&makespan), "{makespan}");
}

#[test]
fn a_limit_for_each_group_shares_alike() {
    let outcome = |limit: &str| {
        play(
            &format!(
                r#"
            [[task]]
            name = "big"
            arrivals = {{ burst = {{ jobs = 2_000 }} }}
            runs = {{ constant = "1s" }}
            group = {{ name = "big" }}
            [[task]]
            name = "small"
            arrivals = {{ burst = {{ jobs = 20, at = "1s", every = "10s" }} }}
            runs = {{ constant = "1s" }}
            group = {{ name = "small" }}
            [[worker]]
            name = "worker"
            count = 20
            {limit}
            "#
            )
            .replacen("[[task]]", "duration = \"60s\"\n[[task]]", 1),
        )
    };
    let free = outcome("");
    let shared = outcome("[[limit]]\nqueue = \"default\"\ngroup = \"*\"\nconcurrency = 10");
    assert!(free.tasks[1].waiting.mean > Duration::from_secs(40), "{:?}", free.tasks[1]);
    assert!(shared.tasks[1].waiting.max <= Duration::from_secs(2), "{:?}", shared.tasks[1]);
    assert_eq!(free.groups.len(), 2);
    assert!(free.fairness.groups.unwrap() > shared.fairness.groups.unwrap());
}
