//! Small inserts that come at the same moment share one statement and one commit.
//!
//! There is no timer: who finds a writer free writes at once; what comes meanwhile is gathered, and
//! goes with the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use taskwright_core::limits::BATCH_MAX;
use taskwright_store::{Error, ErrorKind, Insert, Inserted, Result};
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::store::PostgresStore;

/// Inserts of so many jobs and more go by themselves.
const SMALL: usize = 100;
/// How many statements gather inserts at the same time.
pub(crate) const WRITERS: usize = 2;
/// Calls that may wait; beyond that the caller is told to try again.
const WAITING_MAX: usize = 20_000;

struct Waiting {
    insert: Insert,
    answer: oneshot::Sender<Result<Vec<Inserted>>>,
}

/// The inserts that wait for a writer.
pub(crate) struct Gather {
    waiting: Mutex<VecDeque<Waiting>>,
    writers: Semaphore,
    came: Notify,
}

impl Default for Gather {
    fn default() -> Self {
        Gather { waiting: Mutex::default(), writers: Semaphore::new(WRITERS), came: Notify::new() }
    }
}

impl Gather {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As many calls as one statement takes.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let mut jobs = 0;
        let mut taken = Vec::new();
        while let Some(next) = waiting.front() {
            jobs += next.insert.jobs.len();
            if jobs > BATCH_MAX && !taken.is_empty() {
                break;
            }
            taken.extend(waiting.pop_front());
        }
        taken
    }
}

impl PostgresStore {
    pub(crate) async fn insert_gathered(&self, insert: Insert) -> Result<Vec<Inserted>> {
        if insert.jobs.len() >= SMALL {
            return self.insert_jobs(insert).await;
        }
        if let Ok(_writer) = self.gather.writers.try_acquire() {
            return self.insert_jobs(insert).await;
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.gather.waiting();
            if waiting.len() >= WAITING_MAX {
                let message = "too many inserts wait for the database; try again";
                let again = std::time::Duration::from_millis(200);
                return Err(Error::new(ErrorKind::Busy, message).retry_after(again));
            }
            waiting.push_back(Waiting { insert, answer });
        }
        self.gather.came.notify_one();
        answered.await.unwrap_or_else(|_| {
            let message = "the store was closed while jobs were inserted, which may have been done";
            Err(Error::new(ErrorKind::Unavailable, message))
        })
    }

    /// Writes calls together; one by one where one of them is refused, so that none suffers for
    /// another.
    async fn insert_together(&self, calls: Vec<Waiting>) {
        let jobs = || calls.iter().map(|call| call.insert.jobs.len());
        let together = Insert {
            jobs: calls.iter().flat_map(|call| call.insert.jobs.iter().cloned()).collect(),
            partial: false,
        };
        let is_written =
            |answer: &Inserted| matches!(answer, Inserted::New { .. } | Inserted::Existing { .. });
        match self.insert_jobs(together).await {
            Ok(answers) if answers.iter().all(is_written) => {
                let mut answers = answers.into_iter();
                let each: Vec<Vec<Inserted>> =
                    jobs().map(|count| answers.by_ref().take(count).collect()).collect();
                for (call, answers) in calls.into_iter().zip(each) {
                    let _ = call.answer.send(Ok(answers));
                }
            }
            Ok(_) => {
                for call in calls {
                    let _ = call.answer.send(self.insert_jobs(call.insert).await);
                }
            }
            Err(error) => {
                for call in calls {
                    let _ = call.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Writes what has gathered, until the store is dropped.
pub(crate) async fn write(store: Weak<PostgresStore>) {
    loop {
        let Some(held) = store.upgrade() else { return };
        let gather = Arc::clone(&held.gather);
        drop(held);
        gather.came.notified().await;
        loop {
            let Ok(_writer) = gather.writers.acquire().await else { return };
            let calls = gather.take();
            if calls.is_empty() {
                break;
            }
            // Another writer may take what comes while this one is at it.
            gather.came.notify_one();
            let Some(store) = store.upgrade() else { return };
            store.insert_together(calls).await;
        }
    }
}
