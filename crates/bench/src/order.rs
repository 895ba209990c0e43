//! The second reference of the file store: a bare log with the least of order and leases that makes
//! a queue of it.
//!
//! One thread keeps jobs by priority and number in a `BTreeMap`, leases in a map, and appends to the
//! same files in the same way as [`crate::floor`]. It has no ids of callers' choice, no states, no
//! workers, no retries, no counts, no reader, no history, and cannot be opened again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taskwright_engine::{Error, ErrorCode, Result};
use tokio::sync::oneshot;

use crate::floor::{LIFE_BYTES, Segments};
use crate::measure::{Tally, Window};

/// How long a lease is.
const LEASE: Duration = Duration::from_secs(30);
/// Bytes of a record beside the args.
const RECORD_BYTES: usize = LIFE_BYTES[1];

type Args = Box<[u8]>;
type Answer<T> = oneshot::Sender<T>;

enum Call {
    Enqueue(Vec<(u8, Args)>, Answer<()>),
    Claim(usize, Answer<Vec<(u64, Args)>>),
    Complete(Vec<u64>, Answer<()>),
}

/// A log with order and leases, and the thread that has them.
pub struct OrderedLog {
    inbox: Arc<Inbox>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Inbox {
    state: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    calls: Vec<Call>,
    is_closed: bool,
}

impl OrderedLog {
    /// A log in a directory of its own.
    pub fn create(directory: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let message =
                format!("cannot make the log with order in {}: {error}", directory.display());
            Error::new(ErrorCode::Unusable, message)
        };
        let segments = Segments::create(directory).map_err(failed)?;
        let inbox = Arc::new(Inbox::default());
        let served = Arc::clone(&inbox);
        let thread = std::thread::Builder::new()
            .name("ordered-log".to_owned())
            .spawn(move || Queue::new(segments).serve(&served))
            .map_err(failed)?;
        Ok(OrderedLog { inbox, thread: Some(thread) })
    }

    /// Lives of jobs, `queued` of which wait before: `callers` at once, `batch` jobs a call.
    pub async fn lives(
        self: &Arc<Self>,
        callers: usize,
        batch: usize,
        queued: usize,
        length: Duration,
    ) -> Tally {
        self.enqueue(queued).await;
        let window = Window::new(length);
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let log = Arc::clone(self);
                tokio::spawn(async move {
                    let mut tally = Tally::default();
                    while !window.is_over() {
                        let began = Instant::now();
                        log.enqueue(batch).await;
                        tally.latencies.note(began);
                        let began = Instant::now();
                        let jobs = log.ask(|answer| Call::Claim(batch, answer)).await;
                        tally.latencies.note(began);
                        let began = Instant::now();
                        let seqs: Vec<_> =
                            jobs.unwrap_or_default().iter().map(|(seq, _)| *seq).collect();
                        let completed = seqs.len();
                        log.ask(|answer| Call::Complete(seqs, answer)).await;
                        tally.latencies.note(began);
                        tally.jobs += completed as u64;
                    }
                    tally.elapsed = window.began.elapsed();
                    tally
                })
            })
            .collect();
        let mut total = Tally::default();
        for task in tasks {
            if let Ok(tally) = task.await {
                total.join(tally);
            }
        }
        total
    }

    async fn enqueue(&self, count: usize) {
        let args = vec![0x5a; LIFE_BYTES[0] - RECORD_BYTES].into_boxed_slice();
        let jobs = vec![(0, args); count];
        for part in jobs.chunks(1_000) {
            let part = part.to_vec();
            self.ask(|answer| Call::Enqueue(part, answer)).await;
        }
    }

    async fn ask<T>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let call = call(answer);
        self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner).calls.push(call);
        self.inbox.arrived.notify_one();
        answered.await.ok()
    }
}

impl Drop for OrderedLog {
    fn drop(&mut self) {
        self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.inbox.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Queue {
    segments: Segments,
    next: u64,
    ready: BTreeMap<(u8, u64), Args>,
    leases: HashMap<u64, Instant>,
}

impl Queue {
    fn new(segments: Segments) -> Self {
        Queue { segments, next: 1, ready: BTreeMap::new(), leases: HashMap::new() }
    }

    fn serve(mut self, inbox: &Inbox) {
        loop {
            let calls = {
                let mut state = inbox.state.lock().unwrap_or_else(PoisonError::into_inner);
                while state.calls.is_empty() && !state.is_closed {
                    state = inbox.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.calls.is_empty() {
                    return;
                }
                std::mem::take(&mut state.calls)
            };
            self.segments.begin();
            let answers: Vec<_> = calls.into_iter().map(|call| self.decide(call)).collect();
            if self.segments.commit().is_err() {
                return;
            }
            answers.into_iter().for_each(|answer| answer());
        }
    }

    fn decide(&mut self, call: Call) -> Box<dyn FnOnce()> {
        let mut record = [0x5a; RECORD_BYTES];
        // A caller that no longer waits is no error.
        match call {
            Call::Enqueue(jobs, answer) => {
                for (priority, args) in jobs {
                    record[..8].copy_from_slice(&self.next.to_le_bytes());
                    self.segments.add(&[&record, &args]);
                    self.ready.insert((priority, self.next), args);
                    self.next += 1;
                }
                Box::new(move || _ = answer.send(()))
            }
            Call::Claim(max, answer) => {
                let until = Instant::now() + LEASE;
                let mut jobs = Vec::with_capacity(max);
                while jobs.len() < max
                    && let Some(((_, seq), args)) = self.ready.pop_first()
                {
                    record[..8].copy_from_slice(&seq.to_le_bytes());
                    self.segments.add(&[&record]);
                    self.leases.insert(seq, until);
                    jobs.push((seq, args));
                }
                Box::new(move || _ = answer.send(jobs))
            }
            Call::Complete(seqs, answer) => {
                for seq in seqs {
                    record[..8].copy_from_slice(&seq.to_le_bytes());
                    self.segments.add(&[&record]);
                    self.leases.remove(&seq);
                }
                Box::new(move || _ = answer.send(()))
            }
        }
    }
}
