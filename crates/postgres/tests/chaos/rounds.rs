//! The rounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taskwright_core::StateName;

use crate::check::{assert_counters, assert_counts, drain, shown, until_nothing_runs};
use crate::faults::World;
use crate::history::{Fact, History};
use crate::judge::contradictions;
use crate::support::jobs::open;
use crate::support::random;

/// How long all is well between two faults.
const CALM: Duration = Duration::from_millis(400);
/// Work is seen to go on within this time after whatever happened.
const RESUMES: Duration = Duration::from_secs(10);

/// Jobs that were stored, and completions that counted.
fn progress(history: &History) -> (usize, usize) {
    let text = std::fs::read_to_string(history.path()).unwrap();
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    (count(" stored "), count(" completed applied"))
}

/// Waits until both go on.
fn until_work_goes_on(history: &History) {
    let before = progress(history);
    let begun = Instant::now();
    loop {
        let now = progress(history);
        if now.0 > before.0 && now.1 > before.1 {
            return;
        }
        assert!(
            begun.elapsed() < RESUMES,
            "no work for {:?}: {before:?}, {now:?}",
            begun.elapsed()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_is_lost_and_nothing_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::at(&folder.path().join("history"));
    let Some(mut world) = World::new(history.path()) else { return };
    until_work_goes_on(&history);
    let begun = Instant::now();
    let rounds = random::rounds();
    let mut faults: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..rounds {
        let at = Instant::now();
        let fault = world.suffer();
        println!("round {round}: {fault:?}, {:?}", at.elapsed());
        *faults.entry(format!("{fault:?}")).or_default() += 1;
        std::thread::sleep(CALM); // tidy: allow sleep: so long all is well
        world.assert_all_run();
        if round % 10 == 9 {
            until_work_goes_on(&history);
            assert_counters(&world.server);
        }
    }
    println!("{rounds} rounds in {:?}: {faults:?}", begun.elapsed());
    until_work_goes_on(&history);
    world.end();
    let ended = Instant::now();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(&world.url()).await;
        until_nothing_runs(&*store, ended).await;
        drain(&*store, &history, &mut world.random).await;
        let shown = shown(&*store).await;
        assert_counts(&*store, &shown).await;
        assert_counters(&world.server);

        let facts = history.facts();
        let found = contradictions(&facts, &shown);
        assert!(
            found.is_empty(),
            "{} contradictions: {:#?}",
            found.len(),
            &found[..found.len().min(20)]
        );
        let count = |is: fn(&Fact) -> bool| facts.iter().filter(|(_, fact)| is(fact)).count();
        let dead = shown.values().filter(|job| job.state == StateName::Dead).count();
        println!(
            "{} jobs, {dead} of them dead; {} attempts given, {} reports sent, {} answered, {} of \
             them already, {} stale",
            shown.len(),
            count(|fact| matches!(fact, Fact::Given { .. })),
            count(|fact| matches!(fact, Fact::Reporting { .. })),
            count(|fact| matches!(fact, Fact::Reported { .. })),
            count(|fact| matches!(fact, Fact::Reported { answer, .. } if answer == "already")),
            count(|fact| matches!(fact, Fact::Reported { answer, .. } if answer == "stale")),
        );
    });
}
