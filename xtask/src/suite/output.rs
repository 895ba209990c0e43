//! How many tests passed and failed, read from what their runners print.

use super::Tally;
use super::process::Outcome;

/// Counts over the last lines of nextest (`Summary […] 7 tests run: 6 passed, 1 failed`) and of
/// every test binary (`test result: ok. 7 passed; 0 failed; …`). A command that failed without
/// naming a failed test counts as one failure.
pub fn tally(outcome: &Outcome) -> Tally {
    let mut tally = Tally::default();
    for line in &outcome.lines {
        for (number, word) in counts(line) {
            match word {
                "passed" => tally.passed += number,
                "failed" | "timed out" | "exec failed" => tally.failed += number,
                _ => {}
            }
        }
    }
    if !outcome.fine && tally.failed == 0 {
        tally.failed = 1;
    }
    tally
}

/// The pairs of number and word in a line that sums up, such as `(6, "passed")`.
fn counts(line: &str) -> Vec<(usize, &str)> {
    let line = line.trim_start();
    let summed = if line.starts_with("Summary [") {
        line.split_once("run:").map(|(_, rest)| rest)
    } else {
        line.strip_prefix("test result:").and_then(|rest| rest.split_once(". ")).map(|(_, r)| r)
    };
    let parts = summed.unwrap_or_default().split([',', ';', '(', ')']);
    parts
        .filter_map(|part| {
            let (number, word) = part.trim().split_once(' ')?;
            Some((number.parse().ok()?, word))
        })
        .collect()
}

#[cfg(test)]
#[path = "tests/output.rs"]
mod tests;
