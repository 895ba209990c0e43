use super::*;
use crate::error::Error;
use crate::variant::read;

const GOOD: &str = r#"
jobs = 10
[[task]]
name = "a"
arrivals = { poisson = "1/s" }
runs = { constant = "1s" }
group = { name = "g", of = 3 }
[[worker]]
name = "w"
[[limit]]
key = "k"
rate = "3/1m"
burst = 2
"#;

fn plan(text: &str) -> Result<Plan> {
    Plan::new(&read(text).unwrap().remove(0).1)
}

#[test]
fn a_good_workload_is_a_plan() {
    let plan = plan(GOOD).unwrap();
    assert_eq!(plan.classes[0].task.as_str(), "a");
    assert_eq!(plan.fleets[0].profile.queues, [Name::default_name()]);
    assert_eq!(&*plan.classes[0].group.as_ref().unwrap().texts[2], "g-3");
    let (subject, policy) = &plan.policies[0];
    assert_eq!(*subject, Subject::Key("k".into()));
    assert_eq!(policy.rate, Some(Rate { count: 3, period_ms: 60_000, burst: 2 }));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (good, bad, said) in [
        ("jobs = 10", "", "its arrivals never end"),
        ("jobs = 10", "duration = \"400d\"", "at most a year"),
        ("jobs = 10", "jobs = 20_000_001", "at most 20000000"),
        ("jobs = 10", "duration = \"300d\"", "at most 20000000"),
        ("name = \"a\"", "name = \"A b\"", "task \"A b\""),
        ("name = \"a\"", "name = \"a\"\npriority = 11", "priority"),
        ("name = \"a\"", "name = \"a\"\nfails = 1.5", "fails"),
        ("name = \"a\"", "name = \"a\"\nmax_attempts = 0", "max_attempts"),
        ("name = \"a\"", "name = \"a\"\ntimeout = \"0s\"", "timeout"),
        ("of = 3", "of = 0", "of the keys"),
        ("of = 3", "of = 3, skew = -1", "of the keys"),
        ("name = \"g\"", "name = \"\"", "the name of keys"),
        ("{ constant = \"1s\" }", "{ uniform = [\"2s\", \"1s\"] }", "the second"),
        ("{ constant = \"1s\" }", "{ constant = \"400d\" }", "at most a year"),
        (
            "{ constant = \"1s\" }",
            "{ lognormal = { median = \"2s\", p99 = \"1s\" } }",
            "the median",
        ),
        (
            "{ constant = \"1s\" }",
            "{ bimodal = { short = \"1s\", long = \"2s\", long_share = 2 } }",
            "long_share",
        ),
        ("{ poisson = \"1/s\" }", "{ burst = { jobs = 0 } }", "at least one job"),
        ("{ poisson = \"1/s\" }", "{ burst = { jobs = 1, every = \"0s\" } }", "some distance"),
        ("name = \"w\"", "name = \"w\"\nslots = 0", "slots"),
        ("name = \"w\"", "name = \"w\"\nspeed = 0", "speed"),
        ("name = \"w\"", "name = \"w\"\nlifetime = \"0s\"", "lifetime"),
        ("name = \"w\"", "name = \"w\"\njoins = \"2s\"\nleaves = \"1s\"", "before it joins"),
        ("name = \"w\"", "name = \"w\"\ncount = 200_000", "at most 100000"),
        ("name = \"w\"", "name = \"w\"\n[[worker]]\nname = \"w\"", "there twice"),
        ("key = \"k\"", "key = \"k\"\ntask = \"a\"", "name a queue"),
        ("3/1m", "0.5/1m", "whole number"),
        ("rate = \"3/1m\"", "concurrency = 1", "a burst without a rate"),
    ] {
        let Err(error) = plan(&GOOD.replace(good, bad)) else { panic!("{bad} was taken") };
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(error.to_string().contains(said), "{bad}: {error}");
    }
    assert!(plan("jobs = 1\n[[worker]]\nname = \"w\"").is_err(), "no task");
    let (workers, _) = GOOD.split_once("[[worker]]").unwrap();
    assert!(plan(workers).is_err(), "no worker");
}
