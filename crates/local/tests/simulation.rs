//! Whole stores on machines that fail, from seeds; and mistakes that this must find.
//!
//! `TASKWRIGHT_SEEDS` sets how many seeds there are in all (10,000), `TASKWRIGHT_SEED` runs one
//! alone.

use taskwright_local::sim::{Bug, simulate};

const SEEDS: u64 = 10_000;
/// The seeds are shared out among so many tests, which run beside each other.
const SHARES: u64 = 4;
/// Within so many seeds each planted bug must be found.
const SEEDS_OF_A_BUG: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn live_through(share: u64) {
    let all = number("TASKWRIGHT_SEEDS").unwrap_or(SEEDS);
    let seeds: Vec<_> = match number("TASKWRIGHT_SEED") {
        Some(seed) => vec![seed],
        None => (0..all).filter(|seed| seed % SHARES == share).collect(),
    };
    for seed in seeds {
        if let Err(broken) = simulate(seed, None) {
            panic!("TASKWRIGHT_SEED={seed}: {broken}");
        }
    }
}

macro_rules! stores_keep_their_promises {
    ($($name:ident: $share:literal)*) => {
        $(
            #[test]
            fn $name() {
                live_through($share);
            }
        )*
    };
}

stores_keep_their_promises! {
    promises_are_kept_on_machines_that_fail_first_share: 0
    promises_are_kept_on_machines_that_fail_second_share: 1
    promises_are_kept_on_machines_that_fail_third_share: 2
    promises_are_kept_on_machines_that_fail_fourth_share: 3
}

#[test]
fn planted_bugs_are_found() {
    for bug in Bug::ALL {
        let found = |seed| Some((seed, simulate(seed, Some(bug)).err()?));
        match (0..SEEDS_OF_A_BUG).find_map(found) {
            Some((seed, broken)) => println!("{bug:?} is found with seed {seed}: {broken}"),
            None => panic!("{bug:?} is not found in {SEEDS_OF_A_BUG} seeds"),
        }
    }
}
