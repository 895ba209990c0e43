//! Taskwright over HTTP, as `taskwright bench` measures it.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::report::{Rate, What, Who};
use crate::server::{Running, command};
use crate::settings::Settings;

const MEASURED_WITHIN: Duration = Duration::from_secs(300);
const LONGEST_OUTPUT: u64 = 1024 * 1024;

const FIGURES: [(&str, What); 2] =
    [("file.http.batch100.enqueue", What::Enqueue), ("file.http.batch100.drain", What::Drain)];

/// One round of `taskwright bench`.
///
/// # Errors
/// When the command is not there, fails, takes longer than 5 minutes, or does not tell its figures.
pub fn measure(settings: &Settings) -> Result<Vec<Rate>> {
    let program = settings.taskwright.canonicalize().with_context(|| {
        format!(
            "looking for {}: build it (`cargo build --release`) or set TASKWRIGHT_BIN",
            settings.taskwright.display()
        )
    })?;
    let directory = tempfile::Builder::new().prefix("taskwright.").tempdir();
    let directory = directory.context("making a directory for Taskwright")?;
    let mut bench = command(&program);
    bench
        .args(["bench", "--json", "--only", "file.http.batch100", "--on"])
        .arg(directory.path())
        .current_dir(directory.path())
        .stdout(Stdio::piped());
    if settings.quick {
        bench.arg("--quick");
    }
    let mut child =
        bench.spawn().map(Running).with_context(|| format!("starting {}", program.display()))?;
    let output = child.0.stdout.take().context("reading what taskwright bench prints")?;
    let lines = lines_within(output, MEASURED_WITHIN)?;
    let status = child.0.wait().context("waiting for taskwright bench")?;
    if !status.success() {
        bail!("taskwright bench failed ({status}); what it said stands above");
    }
    rates(&lines)
}

/// All lines of `output`, once it has ended.
fn lines_within(output: impl Read + Send + 'static, limit: Duration) -> Result<Vec<String>> {
    let deadline = Instant::now() + limit;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output.take(LONGEST_OUTPUT)).lines() {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => all.push(line.context("reading what taskwright bench prints")?),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(all),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                bail!("taskwright bench has not ended after {limit:?}");
            }
        }
    }
}

/// Both figures, out of one JSON object a line.
fn rates(lines: &[String]) -> Result<Vec<Rate>> {
    let mut figures = Vec::new();
    for line in lines {
        let figure: Value = serde_json::from_str(line)
            .with_context(|| format!("reading a figure of taskwright bench: {line:?}"))?;
        figures.push(figure);
    }
    let rate = |(name, what): (&str, What)| {
        let figure = figures
            .iter()
            .find(|figure| figure["name"] == name)
            .with_context(|| format!("taskwright bench does not tell {name}"))?;
        let value = figure["value"].as_f64().filter(|value| *value > 0.0);
        match (value, figure["unit"].as_str()) {
            (Some(jobs_a_second), Some("jobs/s")) => {
                Ok(Rate { who: Who::Taskwright, what, connections: None, jobs_a_second })
            }
            _ => bail!("taskwright bench tells {name} otherwise than in jobs/s: {figure}"),
        }
    };
    FIGURES.into_iter().map(rate).collect()
}

#[cfg(test)]
#[path = "tests/taskwright.rs"]
mod tests;
