//! A command with a deadline, whose output is shown and kept.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

/// What is given a stopped command to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How a command ended.
pub struct Outcome {
    /// Whether it ended well, in time.
    pub fine: bool,
    /// What it printed, on both streams.
    pub lines: Vec<String>,
}

/// Runs `command`, shows its lines as they come, and stops it after `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Outcome> {
    let tried = format!("running {command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| tried.clone())?;
    let (sender, lines) = mpsc::channel();
    read(child.stdout.take(), sender.clone());
    read(child.stderr.take(), sender);

    let deadline = Instant::now() + limit;
    let mut kept: Vec<String> = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{line}");
                kept.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                println!("stopped: {tried} took more than {} minutes", limit.as_secs() / 60);
                stop(&mut child)?;
                return Ok(Outcome { fine: false, lines: kept });
            }
        }
    }
    let status = child.wait().with_context(|| tried)?;
    Ok(Outcome { fine: status.success(), lines: kept })
}

fn read(stream: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// Asks the command to end, so that it can end its own children, and kills it if it does not.
fn stop(child: &mut Child) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).ok_or_else(|| anyhow!("no process id"))?;
    kill_process(pid, Signal::TERM).context("stopping a command that took too long")?;
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill().context("killing a command that took too long")?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
#[path = "tests/process.rs"]
mod tests;
