//! What a run comes to.

use std::time::Duration;

use serde_json::json;
use taskwright_core::format_duration;
use taskwright_store::QueueCounts;

use super::cost::Costs;
use super::progress::per_second;
use crate::show;

/// What a run comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its name.
    pub run: String,
    /// Inputs that completed.
    pub completed: u64,
    /// Those of them that completed in earlier lives of the run.
    pub completed_before: u64,
    /// Inputs that failed for good, or were cancelled.
    pub failed: u64,
    /// Inputs that have not ended.
    pub left: u64,
    /// Attempts that failed and were followed by others.
    pub retried: u64,
    /// How long this life of the run took.
    pub elapsed: Duration,
}

impl Summary {
    /// The summary of a run, by the counts of its queue now and at the beginning.
    pub fn new(
        run: &str,
        now: &QueueCounts,
        before: &QueueCounts,
        retried: u64,
        elapsed: Duration,
    ) -> Summary {
        Summary {
            run: run.to_owned(),
            completed: now.completed,
            completed_before: before.completed,
            failed: now.dead + now.cancelled + now.expired,
            left: now.live(),
            retried,
            elapsed,
        }
    }

    /// Whether every input completed.
    pub fn is_all_completed(&self) -> bool {
        self.failed == 0 && self.left == 0
    }

    /// How many inputs completed in this life.
    fn completed_now(&self) -> u64 {
        self.completed.saturating_sub(self.completed_before)
    }

    fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.completed_now() as f64 / seconds } else { 0.0 }
    }

    /// In one line.
    pub fn line(&self) -> String {
        let mut parts = vec![format!("{} completed", show::count(self.completed))];
        if self.completed_before > 0 {
            parts.push(format!("{} of them before", show::count(self.completed_before)));
        }
        for (count, word) in [(self.failed, "failed"), (self.left, "left")] {
            if count > 0 {
                parts.push(format!("{} {word}", show::count(count)));
            }
        }
        if self.retried > 0 {
            parts.push(format!("{} retried", show::counted(self.retried, "attempt")));
        }
        let (elapsed, rate) = (format_duration(self.elapsed), per_second(self.rate()));
        format!("{} in {elapsed} ({rate})", parts.join(", "))
    }

    /// With all costs, as JSON.
    pub fn to_json(&self, costs: &Costs) -> serde_json::Value {
        json!({"summary": {
            "run": self.run,
            "completed": self.completed,
            "completed_before": self.completed_before,
            "failed": self.failed,
            "left": self.left,
            "retried": self.retried,
            "elapsed_ms": (self.elapsed.as_secs_f64() * 1e6).round() / 1e3,
            "rate_per_s": (self.rate() * 1e3).round() / 1e3,
            "cost": costs.to_json(),
        }})
    }
}

#[cfg(test)]
#[path = "tests/summary.rs"]
mod tests;
