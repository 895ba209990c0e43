//! A runtime of the test bed's own, so that it works in plain tests, in async tests of one thread,
//! and in tests whose clock stands still.

use std::future::Future;
use std::sync::LazyLock;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::Error;

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).thread_name("testbed").enable_all().build()
});

/// Where tasks of the test bed run.
pub fn handle() -> Result<&'static Handle, Error> {
    match &*RUNTIME {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(Error::Failed(format!("starting the runtime of the test bed: {error}"))),
    }
}

/// Runs `work` there and waits for it, for at most `limit`.
pub fn run<T: Send + 'static>(
    tried: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let (sender, answer) = mpsc::sync_channel(1);
    handle()?.spawn(async move {
        let ended = tokio::time::timeout(limit, work).await;
        // Nobody waits any more once the limit has passed there as well.
        let _ = sender.send(ended);
    });
    match answer.recv_timeout(limit + Duration::from_secs(1)) {
        Ok(Ok(result)) => result,
        _ => Err(Error::Failed(format!("{tried}: no answer in {} s", limit.as_secs()))),
    }
}
