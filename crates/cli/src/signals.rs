//! Requests to end this process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The requests to end this process that arrive from now on.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens to SIGINT (Ctrl-C), SIGTERM and SIGHUP, which do nothing by themselves any more.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the next signal.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
            _ = self.hangup.recv() => 1,
        }
    }

    /// Ends the process at the signal with this number in their order, whatever it is doing.
    pub fn exit_at(mut self, count: usize) {
        tokio::spawn(async move {
            let mut signal = 0;
            for _ in 0..count {
                signal = self.next().await;
            }
            std::process::exit(128 + i32::from(signal));
        });
    }
}
