//! Whole stores on machines that fail, from seeds; and mistakes that this must find.
//!
//! `TASKWRIGHT_SEEDS` sets how many seeds (10,000), `TASKWRIGHT_SEED` runs one alone.

use taskwright_local::sim::{Bug, simulate};

const SEEDS: u64 = 10_000;
/// Within so many seeds each planted bug must be found.
const SEEDS_OF_A_BUG: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn stores_keep_their_promises_on_machines_that_fail() {
    let seeds = match number("TASKWRIGHT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TASKWRIGHT_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(broken) = simulate(seed, None) {
            panic!("TASKWRIGHT_SEED={seed}: {broken}");
        }
    }
}

#[test]
fn planted_bugs_are_found() {
    for bug in Bug::ALL {
        let found =
            (0..SEEDS_OF_A_BUG).find_map(|seed| Some((seed, simulate(seed, Some(bug)).err()?)));
        match found {
            Some((seed, broken)) => println!("{bug:?} is found with seed {seed}: {broken}"),
            None => panic!("{bug:?} is not found in {SEEDS_OF_A_BUG} seeds"),
        }
    }
}
