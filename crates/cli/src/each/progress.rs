//! How far a run is: a bar on a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taskwright_core::format_duration;

use super::console::Console;
use crate::show;

/// How often a line is written where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The rate is that of this time before now.
const RATE_WINDOW: Duration = Duration::from_secs(15);

/// How far a run is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Inputs that have ended, well or not.
    pub ended: u64,
    /// Inputs that failed for good.
    pub failed: u64,
    /// Inputs so far.
    pub total: u64,
    /// Whether that is all of them.
    pub is_all: bool,
}

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    console: Console,
    samples: VecDeque<(Instant, u64)>,
    line_at: Instant,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new(console: Console) -> Progress {
        Progress { console, samples: VecDeque::new(), line_at: Instant::now() + LINE_EVERY }
    }

    /// Shows what is seen at an instant.
    pub fn show(&mut self, now: Instant, seen: Seen) {
        let rate = self.rate(now, seen.ended);
        if let Some(bar) = self.console.bar() {
            bar.set_length(seen.total);
            bar.set_position(seen.ended.min(seen.total));
            bar.set_message(rest(seen, rate));
        } else if now >= self.line_at {
            self.line_at = now + LINE_EVERY;
            let more = if seen.is_all { "" } else { " so far" };
            let (ended, total) = (show::count(seen.ended), show::count(seen.total));
            self.console.tell(format_args!("{ended} of {total}{more} done, {}", rest(seen, rate)));
        }
    }

    /// Inputs a second.
    fn rate(&mut self, now: Instant, ended: u64) -> Option<f64> {
        self.samples.push_back((now, ended));
        while self.samples.len() > 2 && now.duration_since(self.samples[1].0) >= RATE_WINDOW {
            self.samples.pop_front();
        }
        let &(first_at, first) = self.samples.front()?;
        let seconds = now.duration_since(first_at).as_secs_f64();
        (seconds > 0.0 && ended > first).then(|| (ended - first) as f64 / seconds)
    }
}

/// Failures, rate and the time that is left.
fn rest(seen: Seen, rate: Option<f64>) -> String {
    let mut parts = Vec::new();
    if seen.failed > 0 {
        parts.push(format!("{} failed", show::count(seen.failed)));
    }
    if let Some(rate) = rate {
        parts.push(per_second(rate));
        if seen.is_all {
            let left = seen.total.saturating_sub(seen.ended) as f64 / rate;
            parts.push(format!(
                "{} left",
                show::format_whole(Duration::from_secs_f64(left.min(1e9)))
            ));
        }
    }
    if parts.is_empty() {
        return "starting".to_owned();
    }
    parts.join(", ")
}

/// A rate for people: `120/s`, `2.5/s`, `1 every 12s`.
pub fn per_second(rate: f64) -> String {
    match rate {
        10.0.. => format!("{}/s", show::count(rate.round() as u64)),
        0.5.. => format!("{rate:.1}/s"),
        _ if rate > 0.0 => {
            format!("1 every {}", format_duration(Duration::from_secs_f64((1.0 / rate).min(1e9))))
        }
        _ => "0/s".to_owned(),
    }
}

#[cfg(test)]
#[path = "tests/progress.rs"]
mod tests;
