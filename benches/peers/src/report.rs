//! What was measured: medians, the best number of connections, and ratios.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

/// Who was measured.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// beanstalkd without binlog.
    Beanstalkd,
    /// NATS JetStream with file storage.
    Nats,
    /// Taskwright over HTTP with its file store.
    Taskwright,
}

impl Who {
    /// In the order in which they take their turns.
    pub const ALL: [Who; 3] = [Who::Beanstalkd, Who::Nats, Who::Taskwright];
    const PEERS: [Who; 2] = [Who::Beanstalkd, Who::Nats];

    /// As people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Who::Beanstalkd => "beanstalkd",
            Who::Nats => "NATS JetStream",
            Who::Taskwright => "Taskwright",
        }
    }

    /// As the first part of a figure's name.
    pub const fn key(self) -> &'static str {
        match self {
            Who::Beanstalkd => "beanstalkd",
            Who::Nats => "nats",
            Who::Taskwright => "taskwright",
        }
    }

    /// What is safe when an enqueue is answered.
    const fn durability(self) -> &'static str {
        match self {
            Who::Beanstalkd => "none: memory only",
            Who::Nats => "file, fsync every 2 minutes",
            Who::Taskwright => "file, fsync before the answer",
        }
    }
}

/// What was measured of them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Bulk enqueue.
    Enqueue,
    /// Claim and complete what was enqueued before.
    Drain,
}

impl What {
    const ALL: [What; 2] = [What::Enqueue, What::Drain];

    const fn key(self) -> &'static str {
        match self {
            What::Enqueue => "enqueue",
            What::Drain => "drain",
        }
    }
}

/// One measurement of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Of whom.
    pub who: Who,
    /// Of what.
    pub what: What,
    /// With how many connections, if that was varied.
    pub connections: Option<usize>,
    /// The rate.
    pub jobs_a_second: f64,
}

impl Rate {
    /// The rate of so many jobs in that time.
    pub fn new(who: Who, what: What, connections: usize, jobs: u32, taken: Duration) -> Self {
        let jobs_a_second = f64::from(jobs) / taken.as_secs_f64().max(1e-9);
        Rate { who, what, connections: Some(connections), jobs_a_second }
    }
}

/// The median over the rounds, of the number of connections with which it is best.
#[derive(Clone, Debug, PartialEq)]
struct Best {
    connections: Option<usize>,
    median: f64,
    /// The figures of all rounds.
    rounds: Vec<f64>,
}

/// All rounds.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything measured.
    pub rates: Vec<Rate>,
    /// The machine's load averages before the first round.
    pub load_before: String,
    /// And after the last.
    pub load_after: String,
}

impl Report {
    /// Who, how durable, how fast; then Taskwright over each peer.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<15} {:<30} {:>16} {:>16}",
            "who", "durability", "enqueue jobs/s", "drain jobs/s"
        );
        for who in Who::ALL {
            let shown = What::ALL.map(|what| match self.best(who, what) {
                Some(best) => grouped(best.median) + &over(best.connections),
                None => "–".to_owned(),
            });
            let [enqueue, drain] = shown;
            let (name, durability) = (who.name(), who.durability());
            let _ = writeln!(text, "{name:<15} {durability:<30} {enqueue:>16} {drain:>16}");
        }
        text.push('\n');
        for peer in Who::PEERS {
            let shown = What::ALL.map(|what| match self.ratio(peer, what) {
                Some(ratio) => format!("{ratio:.2}x"),
                None => "–".to_owned(),
            });
            let [enqueue, drain] = shown;
            let name = format!("Taskwright ÷ {}", peer.name());
            let _ = writeln!(text, "{name:<46} {enqueue:>16} {drain:>16}");
        }
        let (before, after) = (&self.load_before, &self.load_after);
        let _ = writeln!(
            text,
            "\nMedians of the rounds, with the best number of connections (in brackets).\n\
             Load averages of the machine: {before} before, {after} after."
        );
        text
    }

    /// The same, one JSON object a line.
    pub fn json_lines(&self) -> String {
        let mut lines = String::new();
        for who in Who::ALL {
            for what in What::ALL {
                let Some(best) = self.best(who, what) else { continue };
                let line = json!({
                    "name": format!("{}.{}", who.key(), what.key()),
                    "value": best.median,
                    "unit": "jobs/s",
                    "durability": who.durability(),
                    "connections": best.connections,
                    "rounds": best.rounds,
                });
                let _ = writeln!(lines, "{line}");
            }
        }
        for peer in Who::PEERS {
            for what in What::ALL {
                let Some(ratio) = self.ratio(peer, what) else { continue };
                let name = format!("taskwright_over_{}.{}", peer.key(), what.key());
                let _ = writeln!(lines, "{}", json!({"name": name, "value": ratio, "unit": "x"}));
            }
        }
        for (name, load) in [("load.before", &self.load_before), ("load.after", &self.load_after)] {
            let one_minute = load.split_whitespace().next().and_then(|it| it.parse::<f64>().ok());
            let line = json!({"name": name, "value": one_minute, "unit": "load"});
            let _ = writeln!(lines, "{line}");
        }
        lines
    }

    fn best(&self, who: Who, what: What) -> Option<Best> {
        let of: Vec<_> = self.rates.iter().filter(|r| r.who == who && r.what == what).collect();
        let mut tried: Vec<_> = of.iter().map(|rate| rate.connections).collect();
        tried.sort_unstable();
        tried.dedup();
        let bests = tried.into_iter().map(|connections| {
            let with = of.iter().filter(|rate| rate.connections == connections);
            let rounds: Vec<_> = with.map(|rate| rate.jobs_a_second).collect();
            Best { connections, median: median(&rounds), rounds }
        });
        bests.max_by(|one, other| one.median.total_cmp(&other.median))
    }

    fn ratio(&self, peer: Who, what: What) -> Option<f64> {
        Some(self.best(Who::Taskwright, what)?.median / self.best(peer, what)?.median)
    }
}

/// The middle one; of an even number, the mean of the two in the middle; 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

fn over(connections: Option<usize>) -> String {
    connections.map(|connections| format!(" ({connections})")).unwrap_or_default()
}

/// A whole number with commas between its thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[path = "tests/report.rs"]
mod tests;
