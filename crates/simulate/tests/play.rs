//! What a simulation does, beside scheduling well.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::time::Duration;

use taskwright_simulate::{Error, Outcome, Target, Workload, read, simulate, size};

fn workload(text: &str) -> Workload {
    read(text).unwrap().remove(0).1
}

fn play(text: &str) -> Outcome {
    simulate(&workload(text)).unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const MIXED: &str = r#"
    seed = 11
    duration = "2m"
    [[task]]
    name = "a"
    arrivals = { poisson = "20/s" }
    runs = { lognormal = { median = "300ms", p99 = "4s" } }
    fails = 0.2
    max_attempts = 3
    [[task]]
    name = "b"
    queue = "other"
    arrivals = { burst = { jobs = 50, every = "10s" } }
    runs = { bimodal = { short = "100ms", long = "8s", long_share = 0.1 } }
    timeout = "5s"
    max_attempts = 2
    [[worker]]
    name = "w"
    count = 8
    slots = 2
    lifetime = "40s"
    replaced_after = "3s"
    lost = true
"#;

#[test]
fn the_same_seed_plays_the_same() {
    let one = play(MIXED);
    assert_eq!(one, play(MIXED));
    let other = play(&MIXED.replace("seed = 11", "seed = 12"));
    assert_ne!(one.jobs, other.jobs);
}

#[test]
fn everything_adds_up() {
    let outcome = play(MIXED);
    assert_eq!(outcome.left, 0);
    assert_eq!(outcome.completed + outcome.dead, outcome.jobs);
    for class in &outcome.tasks {
        assert_eq!(class.completed + class.dead, class.jobs, "{class:?}");
        assert_eq!(class.waiting.count, class.running.count + class.lost, "{class:?}");
        assert_eq!(class.running.count, class.completed + class.failed, "{class:?}");
        let waiting = &class.waiting;
        assert!(waiting.p50 <= waiting.p90 && waiting.p90 <= waiting.p99, "{class:?}");
        assert!(waiting.p99 <= waiting.max && waiting.mean <= waiting.max, "{class:?}");
    }
    let [a, b] = &outcome.tasks[..] else { panic!() };
    assert!(a.failed > 0 && a.dead > 0 && a.lost > 0, "{a:?}");
    assert_eq!(b.running.max, secs(5), "an attempt is stopped at its timeout");
    assert!(b.dead > 0, "twice too long is dead: {b:?}");
    let workers = &outcome.workers[0];
    assert!(workers.lost > 8 && workers.joined > workers.lost, "{workers:?}");
    assert!(workers.utilisation > 0.2 && workers.utilisation <= 1.0, "{workers:?}");
}

#[test]
fn a_burst_is_served_in_as_many_rounds_as_it_takes() {
    let outcome = play(
        r#"
        [[task]]
        name = "a"
        arrivals = { burst = { jobs = 2_500, at = "10s" } }
        runs = { constant = "2s" }
        [[worker]]
        name = "w"
        count = 5
        slots = 100
        "#,
    );
    assert_eq!(outcome.makespan, secs(10 + 5 * 2));
    assert_eq!((outcome.waiting.max, outcome.waiting.mean), (secs(8), secs(4)));
    assert_eq!((outcome.waiting.p50, outcome.waiting.p90), (secs(4), secs(8)));
    assert_eq!(outcome.backlog_max, 2_000);
    let utilisation = outcome.workers[0].utilisation;
    assert!((utilisation - 0.5).abs() < 1e-9, "{utilisation}");
    let at = |at: u64| outcome.backlog.iter().find(|sample| sample.at == secs(at)).unwrap();
    assert_eq!((at(9).waiting, at(11).waiting, at(11).running), (0, 2_000, 500));
}

#[test]
fn workers_join_leave_and_serve_what_they_say() {
    let outcome = play(
        r#"
        [[task]]
        name = "a"
        queue = "one"
        arrivals = { burst = { jobs = 10 } }
        runs = { constant = "1s" }
        [[task]]
        name = "b"
        queue = "two"
        arrivals = { burst = { jobs = 10 } }
        runs = { constant = "1s" }
        [[worker]]
        name = "early"
        queues = ["one"]
        leaves = "4500ms"
        [[worker]]
        name = "late"
        tasks = ["b", "a"]
        joins = "1m"
        speed = 2
        "#,
    );
    let [early, late] = &outcome.workers[..] else { panic!() };
    // It finishes what it runs when it should leave: five of a, and nothing of b.
    assert!((early.utilisation - 1.0).abs() < 1e-9, "{early:?}");
    assert_eq!(outcome.tasks[0].waiting.p50, secs(4));
    assert!(outcome.tasks[1].waiting.p50 >= secs(60), "{:?}", outcome.tasks[1]);
    assert_eq!(late.joined, 1);
    // 15 jobs, twice as fast.
    assert_eq!(outcome.makespan, secs(60) + Duration::from_millis(7_500));
}

#[test]
fn what_nobody_serves_is_left() {
    let outcome = play(
        r#"
        [[task]]
        name = "a"
        arrivals = { trace = ["1s", "0.5s", "2m"] }
        runs = { uniform = ["1s", "2s"] }
        [[worker]]
        name = "w"
        leaves = "1m"
        "#,
    );
    assert_eq!((outcome.jobs, outcome.completed, outcome.left), (3, 2, 1));
    assert_eq!(outcome.tasks[0].left, 1);
    let nobody = play(
        r#"
        [[task]]
        name = "a"
        arrivals = { trace = ["1s"] }
        runs = { constant = "1s" }
        [[worker]]
        name = "w"
        tasks = ["b"]
        lifetime = "1s"
        "#,
    );
    assert_eq!(nobody.left, 1);
}

#[test]
fn the_jobs_of_lost_workers_run_elsewhere_when_their_lease_is_over() {
    let outcome = play(
        r#"
        [[task]]
        name = "a"
        arrivals = { burst = { jobs = 1 } }
        runs = { constant = "100s" }
        [[worker]]
        name = "frail"
        leaves = "30s"
        lost = true
        [[worker]]
        name = "sound"
        joins = "10s"
        "#,
    );
    assert_eq!((outcome.completed, outcome.tasks[0].lost, outcome.attempts), (1, 1, 2));
    // Its lease of 15 s was renewed while it lived, in steps of 5 s.
    let makespan = outcome.makespan;
    assert!(makespan >= secs(30 + 10 + 100) && makespan <= secs(30 + 17 + 100), "{makespan:?}");
}

#[test]
fn a_job_that_outlives_every_worker_is_dead_in_the_end() {
    let outcome = play(
        r#"
        [[task]]
        name = "poison"
        arrivals = { burst = { jobs = 1 } }
        runs = { constant = "1h" }
        [[worker]]
        name = "w"
        count = 2
        lifetime = "20s"
        lost = true
        "#,
    );
    assert_eq!((outcome.dead, outcome.tasks[0].lost), (1, 3));
}

#[test]
fn retries_wait_as_the_policy_says() {
    let outcome = play(
        r#"
        [[task]]
        name = "a"
        arrivals = { burst = { jobs = 200 } }
        runs = { constant = "1ms" }
        fails = 1
        max_attempts = 4
        [[worker]]
        name = "w"
        slots = 500
        "#,
    );
    assert_eq!((outcome.dead, outcome.attempts), (200, 800));
    // At most 2 + 4 + 8 s, and a wait counts from when the retry is due.
    assert!(outcome.makespan > secs(9) && outcome.makespan < secs(15), "{:?}", outcome.makespan);
    assert!(outcome.waiting.max <= Duration::from_millis(25), "{:?}", outcome.waiting);
}

#[test]
fn variants_see_the_same_jobs() {
    let text = format!(
        r#"{MIXED}
        [[variant]]
        name = "as it is"
        [[variant]]
        name = "more workers"
        [[variant.worker]]
        name = "w"
        count = 16
        [[variant]]
        name = "limited"
        [[variant.limit]]
        task = "a"
        concurrency = 3
        "#
    );
    let all = read(&text).unwrap();
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_deref().unwrap()).collect();
    assert_eq!(names, ["as it is", "more workers", "limited"]);
    let outcomes: Vec<_> = all.iter().map(|(_, workload)| simulate(workload).unwrap()).collect();
    assert_eq!(outcomes[0], play(MIXED));
    assert!(outcomes.iter().all(|outcome| outcome.jobs == outcomes[0].jobs));
    assert!(outcomes[1].waiting.mean < outcomes[0].waiting.mean);
    assert_eq!(outcomes[2].limits[0].most_running, 3);
}

#[test]
fn a_target_finds_the_smallest_number_of_workers() {
    let workload = workload(
        r#"
        [[task]]
        name = "a"
        arrivals = { burst = { jobs = 100 } }
        runs = { constant = "1s" }
        [[worker]]
        name = "w"
        [[worker]]
        name = "other"
        tasks = ["none"]
        "#,
    );
    // With n workers the last one waits for ceil(100 / n) − 1 rounds.
    let target: Target = "max wait <= 5s".parse().unwrap();
    let sized = size(&workload, &target, None).unwrap();
    assert_eq!((sized.class.as_str(), sized.count), ("w", Some(17)));
    assert_eq!(sized.outcome.waiting.max, secs(5));
    assert!(sized.tried.len() <= 10, "{:?}", sized.tried);
    let in_vain = size(&workload, &target, Some("other")).unwrap();
    assert_eq!(in_vain.count, None);
    assert!(in_vain.tried.len() < 12, "{:?}", in_vain.tried);
    assert!(matches!(size(&workload, &target, Some("x")), Err(Error::Invalid { .. })));
    let of_nobody: Target = "p50 wait of x <= 5s".parse().unwrap();
    assert!(matches!(size(&workload, &of_nobody, None), Err(Error::Invalid { .. })));
}
