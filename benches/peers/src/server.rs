//! A peer's server, private to one measurement.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(15);

/// `program`, which the system kills when this program dies, however it dies.
///
/// To be started from the main thread: it is that thread's end that counts.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on a free port of loopback, with a directory of its own; both end with it.
#[derive(Debug)]
pub struct Server {
    // Before the directory: the process goes first, then its files.
    process: Running,
    /// Where it listens.
    pub address: SocketAddr,
    directory: TempDir,
}

impl Server {
    /// Starts `program` with the arguments that `arguments` makes of a port and a directory, and
    /// waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends early, or does not listen in time.
    pub fn start(
        program: &str,
        arguments: impl FnOnce(u16, &Path) -> Vec<String>,
    ) -> Result<Server> {
        let directory = tempfile::Builder::new().prefix("peer.").tempdir();
        let directory = directory.context("making a directory for the server")?;
        let address = free_address()?;
        let log = File::create(directory.path().join("log")).context("making the server's log")?;
        let errors = log.try_clone().context("making the server's log")?;
        let child = command(Path::new(program))
            .args(arguments(address.port(), directory.path()))
            .current_dir(directory.path())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {program} with setpriv (of util-linux)"))?;
        let mut server = Server { process: Running(child), address, directory };
        server.wait_until_ready(program)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, program: &str) -> Result<()> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        while TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err() {
            if let Ok(Some(status)) = self.process.0.try_wait() {
                bail!(
                    "{program} ended at once ({status}); is it installed? It said: {}",
                    self.said()
                );
            }
            if began.elapsed() > READY_WITHIN {
                bail!("{program} does not listen after {READY_WITHIN:?}; it said: {}", self.said());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        Ok(())
    }

    fn said(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let mut last: Vec<_> = log.lines().rev().take(5).collect();
        last.reverse();
        if last.is_empty() { "nothing".to_owned() } else { last.join(" / ") }
    }
}

fn free_address() -> Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .context("looking for a free port on loopback")
}

#[cfg(test)]
#[path = "tests/server.rs"]
mod tests;
