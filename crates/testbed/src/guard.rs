//! A program that ends with the test, however the test ends.
//!
//! A shell of its own process group holds it. When its standard input ends, because the guard was
//! dropped or because the test was killed, it ends the program and removes the directory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::programs::{self, Program, User};

const SCRIPT: &str = include_str!("guard.sh");

/// How long a program may take from being asked to run until it runs.
const BEGIN_MAX: Duration = Duration::from_secs(10);

/// How long the shell may take to end everything; it kills after 8 seconds.
const END_MAX: Duration = Duration::from_secs(15);

/// What a guard does with one program.
pub struct Guard {
    shell: Child,
    input: Option<ChildStdin>,
    said: Mutex<Receiver<String>>,
    running: Option<Pid>,
    log: PathBuf,
}

impl Guard {
    /// Takes `directory` over: it goes with the guard. The program writes to `directory/log`; at the
    /// end it gets the signal of the name `last_signal`. It does not run yet.
    pub fn hold(
        directory: &Path,
        user: Option<User>,
        program: &Program,
        last_signal: &str,
    ) -> Result<Guard, Error> {
        let log = directory.join("log");
        let mut command = programs::command(&Program::named("sh"), user);
        command.args(["-c", SCRIPT, "guard.sh"]).arg(directory).arg(&log).arg(last_signal);
        command.arg(&program.path).args(&program.arguments);
        // What is sent to the test's process group must not end the guard before the program.
        command.process_group(0).current_dir(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().map_err(Error::failed("starting a guarding shell"))?;
        Ok(Guard {
            input: shell.stdin.take(),
            said: Mutex::new(lines(shell.stdout.take())),
            shell,
            running: None,
            log,
        })
    }

    /// Starts the program. Whether it works is for the caller to find out.
    pub fn start(&mut self) -> Result<(), Error> {
        let failed = |problem: &str| Error::Failed(format!("starting a program: {problem}"));
        let input = self.input.as_mut().ok_or_else(|| failed("its guard has ended"))?;
        input.write_all(b"start\n").map_err(Error::failed("telling a guard to start"))?;
        let said =
            self.said().recv_timeout(BEGIN_MAX).map_err(|error| failed(&error.to_string()))?;
        let pid = said.strip_prefix("started ").and_then(|pid| pid.parse().ok());
        let pid = pid.and_then(Pid::from_raw).ok_or_else(|| failed(&said))?;
        self.running = Some(pid);
        Ok(())
    }

    /// The program's process, as long as it runs.
    pub fn running(&mut self) -> Option<Pid> {
        if self.said().try_recv().is_ok() {
            self.running = None;
        }
        self.running
    }

    /// Sends `signal` to the program.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        match self.running() {
            Some(pid) => kill_process(pid, signal).map_err(Error::failed("signalling a program")),
            None => Ok(()),
        }
    }

    /// Sends `signal` and waits until the program has ended; kills it after `limit`.
    pub fn stop(&mut self, signal: Signal, limit: Duration) -> Result<(), Error> {
        if self.running().is_none() {
            return Ok(());
        }
        self.signal(signal)?;
        if self.said().recv_timeout(limit).is_err() {
            self.signal(Signal::KILL)?;
            self.said()
                .recv_timeout(BEGIN_MAX)
                .map_err(Error::failed("waiting for the end of a killed program"))?;
        }
        self.running = None;
        Ok(())
    }

    fn said(&mut self) -> &mut Receiver<String> {
        self.said.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last lines that the program wrote.
    pub fn last_words(&self, lines_max: usize) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(lines_max)..].join("\n")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + END_MAX;
        while matches!(self.shell.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("a guarding shell (process {}) does not end", self.shell.id());
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What the shell says, as it says it.
fn lines(output: Option<ChildStdout>) -> Receiver<String> {
    let (sender, said) = mpsc::channel();
    if let Some(output) = output {
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    said
}
