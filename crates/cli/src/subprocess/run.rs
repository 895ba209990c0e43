//! One run of a command: its input, its output, its end.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::slots::Slot;

/// How long the output may stay open after the command has ended, because something that it
/// started still holds it. Then that is killed too.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes of stderr that are kept, at least: the last ones.
pub const STDERR_BYTES_KEPT: usize = 16 * 1024;

/// A command that is ready to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// What it reads from its standard input; `None`: nothing.
    pub input: Option<Vec<u8>>,
    /// What it finds in its environment, beside what the worker has.
    pub variables: Vec<(&'static str, String)>,
    /// The most bytes it may print.
    pub output_bytes_max: usize,
}

/// How a run went.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub ending: Ending,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// The last of what it said on stderr.
    pub stderr: Vec<u8>,
    /// How long it took.
    pub lasted: Duration,
}

/// How a command ended.
#[derive(Debug)]
pub enum Ending {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that did not come from us.
    Signalled(i32),
    /// It printed more than it may, and was killed.
    TooMuchOutput,
    /// It was told to stop, and did or was killed.
    Stopped,
    /// It could not be started, or its end could not be seen.
    Failed(io::Error),
}

/// Asks a command to stop: it gets SIGTERM, and SIGKILL when `grace` is over.
#[derive(Copy, Clone, Debug)]
pub struct Stop {
    /// How long it has; zero kills at once.
    pub grace: Duration,
}

impl Run {
    /// Runs the command in a slot until it ends or `stop` says so. When this returns, nothing of it
    /// runs any more, except what left its process group or closed its output.
    pub async fn until(self, slot: &mut Slot, stop: impl Future<Output = Stop>) -> Ran {
        let began = Instant::now();
        let mut ran = match self.start(slot).await {
            Ok(running) => running.until(slot, stop).await,
            Err(error) => {
                let ending = Ending::Failed(error);
                Ran { ending, stdout: Vec::new(), stderr: Vec::new(), lasted: Duration::ZERO }
            }
        };
        ran.lasted = began.elapsed();
        ran
    }

    async fn start(self, slot: &mut Slot) -> io::Result<Running> {
        let group = slot.guard().await.map_err(io::Error::other)?.group();
        let (program, arguments) =
            self.words.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        let mut command = Command::new(program);
        command.args(arguments).process_group(group);
        for (name, _) in std::env::vars_os() {
            // The worker's settings hold its secrets.
            if name.to_string_lossy().starts_with("TASKWRIGHT_") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables);
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input) {
            tokio::spawn(async move {
                // A command need not read its input.
                let _ = stdin.write_all(&input).await;
            });
        }
        let missing = || io::Error::other("its output cannot be read");
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let stdout = Reader::start(stdout, Keep::First(self.output_bytes_max));
        let stderr = Reader::start(stderr, Keep::Last(STDERR_BYTES_KEPT));
        Ok(Running { child, stdout, stderr, output_bytes_max: self.output_bytes_max })
    }
}

/// A command that runs.
struct Running {
    child: Child,
    stdout: Reader,
    stderr: Reader,
    output_bytes_max: usize,
}

impl Running {
    async fn until(mut self, slot: &mut Slot, stop: impl Future<Output = Stop>) -> Ran {
        let mut stop = pin!(stop);
        let ending = loop {
            tokio::select! {
                status = self.child.wait() => break ending_of(status),
                stop = &mut stop => {
                    self.end(slot, stop).await;
                    break Ending::Stopped;
                }
                () = self.stdout.ended(), if !self.stdout.has_ended => {
                    if self.stdout.len() > self.output_bytes_max {
                        self.end(slot, Stop { grace: Duration::ZERO }).await;
                        break Ending::TooMuchOutput;
                    }
                }
            }
        };
        self.gathered(slot, ending).await
    }

    async fn end(&mut self, slot: &mut Slot, stop: Stop) {
        if !stop.grace.is_zero() {
            slot.ask_to_end();
            // What has not ended by then is killed.
            let _ = timeout(stop.grace, self.child.wait()).await;
        }
        slot.clear();
        let _ = self.child.wait().await;
    }

    /// The rest of the output, for which what the command left behind may not hold us up.
    async fn gathered(mut self, slot: &mut Slot, ending: Ending) -> Ran {
        for _ in 0..2 {
            let rest = async { tokio::join!(self.stdout.ended(), self.stderr.ended()) };
            if timeout(LINGER, rest).await.is_ok() {
                break;
            }
            // What left the group on purpose is not killed, and not waited for either.
            slot.clear();
        }
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let ending = match ending {
            Ending::Exited(_) if stdout.len() > self.output_bytes_max => Ending::TooMuchOutput,
            ending => ending,
        };
        Ran { ending, stdout, stderr, lasted: Duration::ZERO }
    }
}

/// Which bytes of an output are kept.
#[derive(Copy, Clone)]
enum Keep {
    /// So many and one more; then it is read no further.
    First(usize),
    /// About the last so many.
    Last(usize),
}

/// Reads an output in the background.
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
    has_ended: bool,
}

impl Reader {
    fn start(mut output: impl AsyncRead + Send + Unpin + 'static, keep: Keep) -> Reader {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            let mut chunk = vec![0; 8 * 1024];
            // An error ends the output like its end.
            while let Ok(read @ 1..) = output.read(&mut chunk).await {
                if !take_in(&mut lock(&shared), &chunk[..read], keep) {
                    break;
                }
            }
        });
        Reader { bytes, task, has_ended: false }
    }

    async fn ended(&mut self) {
        if !self.has_ended {
            // A reader does not panic, and nobody aborts it before this one is gone.
            let _ = (&mut self.task).await;
            self.has_ended = true;
        }
    }

    fn len(&self) -> usize {
        lock(&self.bytes).len()
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.bytes))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a chunk; whether more is wanted.
fn take_in(bytes: &mut Vec<u8>, chunk: &[u8], keep: Keep) -> bool {
    bytes.extend_from_slice(chunk);
    match keep {
        Keep::First(max) => {
            bytes.truncate(max.saturating_add(1));
            bytes.len() <= max
        }
        Keep::Last(max) => {
            if bytes.len() > 2 * max {
                bytes.drain(..bytes.len() - max);
            }
            true
        }
    }
}

fn ending_of(status: io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, Some(signal)) => Ending::Signalled(signal),
            (None, None) => Ending::Failed(io::Error::other("it ended in an unknown way")),
        },
        Err(error) => Ending::Failed(error),
    }
}
