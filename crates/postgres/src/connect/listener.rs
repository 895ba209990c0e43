//! Hearing hints: NOTIFY, as long as nothing stands between that swallows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use super::backoff::Backoff;
use super::connection::Link;
use super::open::Ears;
use super::pool::{Pool, Shared};

/// Hints that nobody has taken yet; if there are more, they are lost and that is told.
const WAITING: usize = 1024;
/// How often a quiet connection is asked whether it still leads anywhere, and for how long.
const CHECK_EVERY: Duration = Duration::from_secs(3);
const CHECK: Duration = Duration::from_secs(2);
/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(10);
const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The payload of a NOTIFY.
    Payload(String),
    /// It listens from now on; what was said before, it may have missed.
    Reconnected,
}

/// Hears what is said on a channel, on a connection of its own, and reconnects by itself.
///
/// It is for hints only: behind a transaction pooler it hears nothing, so its user also looks from
/// time to time.
pub struct Listener {
    hints: mpsc::Receiver<Hint>,
    task: JoinHandle<()>,
}

impl Listener {
    /// The next hint; `None` after the pool was closed. Can be cancelled without loss.
    pub async fn next(&mut self) -> Option<Hint> {
        self.hints.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pool {
    /// Listens on a channel, from the moment that `Hint::Reconnected` is heard for the first time.
    pub fn listen(&self, channel: &str) -> Listener {
        let (told, hints) = mpsc::channel(WAITING);
        let statement = format!("LISTEN \"{}\"", channel.replace('"', "\"\""));
        let listening = keep_listening(Arc::clone(&self.shared), statement, told);
        let task = self.shared.home.spawn(listening);
        Listener { hints, task }
    }
}

async fn keep_listening(shared: Arc<Shared>, statement: String, told: mpsc::Sender<Hint>) {
    let mut backoff = Backoff::new(BACKOFF_BASE, BACKOFF_MAX);
    while !shared.is_closed() && !told.is_closed() {
        let (notes, heard) = mpsc::channel(WAITING);
        let ears = Ears { pool: None, notes: Some(notes) };
        if let Ok(link) = shared.open(Instant::now() + ATTEMPT, &ears).await {
            drop(ears);
            let begun = Instant::now();
            listen(&shared, &link, &statement, heard, &told).await;
            link.close(None);
            // A connection that held is no failure in a row.
            if begun.elapsed() > BACKOFF_MAX {
                backoff.reset();
            }
        }
        sleep(backoff.fail()).await;
    }
}

/// Passes hints on until the connection fails or its reader cannot follow.
async fn listen(
    shared: &Shared,
    link: &Link,
    statement: &str,
    mut heard: mpsc::Receiver<String>,
    told: &mpsc::Sender<Hint>,
) {
    let listening = link.connection();
    let limit = Instant::now() + CHECK;
    let begun = super::open::until(limit, listening.batch(statement)).await;
    if !matches!(begun, Some(Ok(()))) || told.send(Hint::Reconnected).await.is_err() {
        return;
    }
    let mut checks = interval(CHECK_EVERY);
    loop {
        tokio::select! {
            note = heard.recv() => {
                let Some(payload) = note else { return };
                if told.send(Hint::Payload(payload)).await.is_err() {
                    return;
                }
            }
            _ = checks.tick() => {
                if shared.is_closed() || !link.answers(CHECK).await {
                    return;
                }
            }
        }
    }
}
