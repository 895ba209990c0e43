//! How long the next tick of a schedule takes to find, printed for people:
//!
//! `cargo test -p taskwright-core --release --test schedule_speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::hint::black_box;
use std::time::Instant;

use taskwright_core::Timestamp;
use taskwright_core::schedule::{Cron, Rule, RuleSpec, When};

const ROUNDS: u32 = 20_000;

const RULES: [(&str, &str, &[&str]); 9] = [
    ("* * * * *", "UTC", &[]),
    ("* * * * *", "Europe/Berlin", &[]),
    ("30 2 * * *", "Europe/Berlin", &[]),
    ("0 9 * * MON-FRI", "America/New_York", &[]),
    ("0 0 LW * ?", "Europe/Berlin", &[]),
    ("0 0 29 2 1", "Europe/Berlin", &[]),
    ("0 0 29 2 */7", "Europe/Berlin", &[]),
    ("0 * 29 2 */7", "Europe/Berlin", &[]),
    ("* * * * * *", "Europe/Berlin", &["sun 03:00-03:01"]),
];

#[test]
#[ignore = "it is a measurement"]
fn the_next_tick_is_found_fast() {
    let start: Timestamp = "2026-11-21T12:34:56Z".parse().unwrap();
    for (cron, zone, windows) in RULES {
        let windows = windows.iter().map(|window| window.parse().unwrap()).collect();
        let when = When::Cron(cron.parse().unwrap());
        let spec = RuleSpec { zone: zone.to_owned(), windows, ..RuleSpec::new(when) };
        let rule = Rule::new(spec, &[]).unwrap();
        let begun = Instant::now();
        let mut after = start;
        for round in 0..ROUNDS {
            let next = black_box(&rule).next_after(black_box(after));
            // Each few rounds from the beginning, so that the clock stays in this century.
            after = if round % 8 == 7 { start } else { next.unwrap_or(start) };
        }
        println!("{:>7.0?} {cron} {zone}", begun.elapsed() / ROUNDS);
    }
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        assert!(Cron::parse(black_box("0 0 31 2 *")).is_err());
    }
    println!("{:>7.0?} to refuse 0 0 31 2 *", begun.elapsed() / ROUNDS);
}
