//! Exit codes, and how errors are said.

use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended, for scripts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Done,
    /// It did not: an error, a job that did not complete, a queue that is not empty.
    Failed,
    /// There is no such job, or none to claim.
    Nothing,
    /// The time to wait was over.
    TimeOver,
    /// A signal with this number ended it.
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Nothing => 3,
            Exit::TimeOver => 4,
            Exit::Signal(number) => 128_u8.saturating_add(number),
        })
    }
}

/// Says an error on stderr; the exit code that goes with it.
pub fn fail(error: &anyhow::Error) -> Exit {
    if is_broken_pipe(error) {
        // Whoever reads our output has seen enough.
        return Exit::Done;
    }
    // Where stderr is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "taskwright: {error:#}{}", advice(error));
    Exit::Failed
}

/// What only users of the command line can do about it.
fn advice(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<taskwright::Error>().map(|error| error.code) {
        Some(taskwright::ErrorCode::Denied) => "; here, TASKWRIGHT_TOKEN holds it",
        _ => "",
    }
}

/// Whether nobody reads our output any more.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
