//! Small calls that come at the same moment share one statement and one commit.
//!
//! There is no timer: who finds a turn free goes at once; what comes meanwhile is gathered, and goes
//! together with the next turn. Everybody is answered for himself: where a call spoils it for the
//! others, each goes alone.

pub(crate) mod claim;
pub(crate) mod insert;
pub(crate) mod report;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use taskwright_store::{Error, ErrorKind, Result};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::store::PostgresStore;

/// How many statements of a kind gather calls at the same time.
const TURNS: usize = 2;
/// Calls of a kind that may wait; beyond that the caller is told to try again.
const WAITING_MAX: usize = 20_000;

/// A kind of call that is gathered.
pub(crate) trait Kind: 'static {
    /// What is asked, …
    type Call: Send;
    /// … and answered.
    type Answer: Send;

    /// Where calls of the kind wait.
    fn gather(store: &PostgresStore) -> &Arc<Gather<Self>>;

    /// Whether a call may join those that are taken already.
    fn joins(taken: &[Waiting<Self>], call: &Self::Call) -> bool;

    /// Carries out calls together, and answers each.
    fn run(store: &PostgresStore, calls: Vec<Waiting<Self>>) -> impl Future<Output = ()> + Send;
}

/// A call that waits for its turn.
pub(crate) struct Waiting<K: Kind + ?Sized> {
    pub call: K::Call,
    answer: oneshot::Sender<Result<K::Answer>>,
}

impl<K: Kind + ?Sized> Waiting<K> {
    /// Whoever has given up meanwhile does not hear it.
    pub fn answer(self, answer: Result<K::Answer>) {
        let _ = self.answer.send(answer);
    }
}

/// The calls of a kind that wait.
pub(crate) struct Gather<K: Kind + ?Sized> {
    waiting: Mutex<VecDeque<Waiting<K>>>,
    turns: Semaphore,
    came: Notify,
}

impl<K: Kind + ?Sized> Default for Gather<K> {
    fn default() -> Self {
        Gather { waiting: Mutex::default(), turns: Semaphore::new(TURNS), came: Notify::new() }
    }
}

impl<K: Kind> Gather<K> {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting<K>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls of the next turn: the first that waits, and all that may join it.
    fn take(&self) -> Vec<Waiting<K>> {
        let mut waiting = self.waiting();
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for next in waiting.drain(..).filter(|next| !next.answer.is_closed()) {
            if taken.is_empty() || K::joins(&taken, &next.call) {
                taken.push(next);
            } else {
                left.push_back(next);
            }
        }
        *waiting = left;
        taken
    }

    /// Carries out `alone` at once where a turn is free, else the call together with others.
    pub async fn turn<F>(
        &self,
        call: K::Call,
        alone: impl FnOnce(K::Call) -> F,
    ) -> Result<K::Answer>
    where
        F: Future<Output = Result<K::Answer>>,
    {
        if let Ok(_turn) = self.turns.try_acquire() {
            return alone(call).await;
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= WAITING_MAX {
                let message = "too many calls wait for the database; try again";
                return Err(
                    Error::new(ErrorKind::Busy, message).retry_after(Duration::from_millis(200))
                );
            }
            waiting.push_back(Waiting { call, answer });
        }
        self.came.notify_one();
        answered.await.unwrap_or_else(|_| {
            let message = "the store was closed during the call, which may have been done";
            Err(Error::new(ErrorKind::Unavailable, message))
        })
    }
}

/// Starts what carries out gathered calls of a kind; it ends when the store is dropped.
pub(crate) fn start<K: Kind>(store: &Arc<PostgresStore>) -> Vec<JoinHandle<()>> {
    (0..TURNS).map(|_| tokio::spawn(take_turns::<K>(Arc::downgrade(store)))).collect()
}

async fn take_turns<K: Kind>(store: Weak<PostgresStore>) {
    loop {
        let Some(gather) = store.upgrade().map(|store| Arc::clone(K::gather(&store))) else {
            return;
        };
        gather.came.notified().await;
        loop {
            let Ok(_turn) = gather.turns.acquire().await else { return };
            // Those who were answered just now may be about to call again.
            tokio::task::yield_now().await;
            let calls = gather.take();
            if calls.is_empty() {
                break;
            }
            // The other turn may take what comes while this one is under way.
            gather.came.notify_one();
            let Some(store) = store.upgrade() else { return };
            Box::pin(K::run(&store, calls)).await;
        }
    }
}

/// Whether an error is not about one call: to send each alone would not help.
fn concerns_all(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Busy | ErrorKind::Closed)
}
