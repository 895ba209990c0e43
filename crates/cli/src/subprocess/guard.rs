//! Ends commands whose worker is gone, however it went.
//!
//! Each slot of a worker has a guard: a process of its own that leads a process group and reads a
//! pipe whose other end only the worker holds. Commands run in the guard's group. When the worker
//! is gone, even by `kill -9`, the pipe ends and the guard kills its whole group, itself included.
//! A command that is just being started holds a copy of the pipe's end until its program runs, and
//! is a member of the group by then: none can slip through.

use std::io::{self, Read, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, getpid, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio::signal::unix::{SignalKind, signal};

/// The hidden command that makes a process a guard.
pub const COMMAND: &str = "__guard";
/// Longest wait for a guard to be ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A guard, seen from its worker. Dropping it kills all that runs in its group.
#[derive(Debug)]
pub struct Guard {
    group: Pid,
    child: Child,
    is_gone: bool,
    // Held open: where it closes, the guard could get a SIGPIPE one day.
    _stdout: ChildStdout,
}

impl Guard {
    /// Starts a guard and waits until it is ready.
    pub async fn start() -> Result<Guard> {
        let program =
            own_program().context("cannot find the taskwright program to start a guard")?;
        let mut child = tokio::process::Command::new(program)
            .arg0("taskwright")
            .arg(COMMAND)
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the guard process of a slot; end other processes")?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = group.ok_or_else(|| anyhow!("the guard process of a slot ended at once"))?;
        let mut stdout = child.stdout.take().ok_or_else(|| anyhow!("a guard has no output"))?;
        let ready = tokio::time::timeout(READY_WITHIN, stdout.read_u8()).await;
        ready
            .map_err(|_| anyhow!("the guard process of a slot was not ready in time"))?
            .context("the guard process of a slot ended at once")?;
        Ok(Guard { group, child, is_gone: false, _stdout: stdout })
    }

    /// The number of the process group that commands have to join.
    pub fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Whether it still watches.
    pub fn is_alive(&mut self) -> bool {
        self.is_gone = !matches!(self.child.try_wait(), Ok(None));
        !self.is_gone
    }

    /// Asks the commands of the group to end.
    pub fn ask_to_end(&self) {
        // An error means that there is nobody left to ask.
        let _ = kill_process_group(self.group, Signal::TERM);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Until it has been waited for, its number cannot belong to anybody else.
        if !self.is_gone {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

/// The program that runs now, also where its file was replaced meanwhile.
fn own_program() -> io::Result<std::path::PathBuf> {
    let running = std::path::Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// Watches until the worker is gone, then kills the group.
pub fn run() -> ExitCode {
    match watch() {
        Ok(()) => {
            // Without an own group there is nothing to kill: somebody called this by hand.
            if rustix::process::getpgrp() == getpid() {
                let _ = kill_process_group(getpid(), Signal::KILL);
            }
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    // The signals that ask commands to end reach the guard as well, and must not end it.
    let _caught = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::quit())?,
    ];
    io::stdout().write_all(b"r")?;
    io::stdout().flush()?;
    let mut nothing = [0; 16];
    loop {
        match io::stdin().read(&mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(()),
        }
    }
}
