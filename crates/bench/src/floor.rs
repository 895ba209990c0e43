//! The floor of the file store: a bare log with the same file handling and no queue.
//!
//! Callers hand records to one thread, which frames what has gathered, checksums it, writes it and
//! syncs it once, into segments that were zero-filled before and are used again. A life of a job is
//! three records in three calls: 200 bytes of args and three times 32 bytes. That is the least that
//! anything which keeps jobs in a log has to do; it has no ids, no order, no state and no reader.
//! [`crate::order`] has the least of order and state.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_local::disk::{Disk, DiskFile, FileDisk};
use tokio::sync::oneshot;

use crate::measure::{Latencies, Tally, Window};

/// Bytes of an enqueue, of a claim and of a completion.
pub const LIFE_BYTES: [usize; 3] = [200 + 32, 32, 32];
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
const SEGMENTS: usize = 4;
const BLOCK: usize = 64;
/// Before the records of a group: checksum, length, position, time.
const HEADER_BYTES: usize = 48;

/// A bare log and the thread that writes it.
pub struct BareLog {
    inbox: Arc<Inbox>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What a caller hands over at once, each record a text of its own as args are.
type Records = Vec<Box<[u8]>>;

#[derive(Default)]
struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Records, oneshot::Sender<()>)>,
    is_closed: bool,
}

impl BareLog {
    /// A log in a directory of its own.
    pub fn create(directory: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot make the bare log in {}: {error}", directory.display());
            Error::new(ErrorCode::Unusable, message)
        };
        let segments = Segments::create(directory).map_err(failed)?;
        let inbox = Arc::new(Inbox::default());
        let served = Arc::clone(&inbox);
        let thread = std::thread::Builder::new()
            .name("bare-log".to_owned())
            .spawn(move || serve(&served, segments))
            .map_err(failed)?;
        Ok(BareLog { inbox, thread: Some(thread) })
    }

    /// Writes records and returns when they are synced.
    async fn append(&self, records: Records) {
        let (done, synced) = oneshot::channel();
        {
            let mut state = self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.push((records, done));
        }
        self.inbox.arrived.notify_one();
        let _ = synced.await;
    }

    /// Lives of jobs: `callers` at once, `batch` jobs a call.
    pub async fn lives(self: &Arc<Self>, callers: usize, batch: usize, length: Duration) -> Tally {
        self.calls(callers, batch, &LIFE_BYTES, length).await
    }

    /// Enqueues only.
    pub async fn enqueues(
        self: &Arc<Self>,
        callers: usize,
        batch: usize,
        length: Duration,
    ) -> Tally {
        self.calls(callers, batch, &LIFE_BYTES[..1], length).await
    }

    async fn calls(
        self: &Arc<Self>,
        callers: usize,
        batch: usize,
        sizes: &'static [usize],
        length: Duration,
    ) -> Tally {
        let window = Window::new(length);
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let log = Arc::clone(self);
                tokio::spawn(async move {
                    let mut tally = Tally::default();
                    while !window.is_over() {
                        for size in sizes {
                            let began = Instant::now();
                            let record = vec![0x5a; *size].into_boxed_slice();
                            log.append(vec![record; batch]).await;
                            tally.latencies.note(began);
                        }
                        tally.jobs += batch as u64;
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

    /// Enqueues of one blocking caller, each with a write and a sync of its own on its own thread:
    /// the cost of one fsync per call.
    pub fn syncs(directory: &Path, length: Duration) -> Result<Tally> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot write to {}: {error}", directory.display());
            Error::new(ErrorCode::Unusable, message)
        };
        let disk = FileDisk::new(directory).map_err(failed)?;
        let mut file = disk.create("single", SEGMENT_BYTES).map_err(failed)?;
        let bytes = vec![0x5a; LIFE_BYTES[0].next_multiple_of(BLOCK)];
        let window = Window::new(length);
        let mut tally = Tally { jobs: 0, elapsed: Duration::ZERO, latencies: Latencies::default() };
        let mut offset = 0;
        while !window.is_over() {
            if offset + bytes.len() as u64 > SEGMENT_BYTES {
                offset = 0;
            }
            let began = Instant::now();
            file.write_at(offset, &bytes).map_err(failed)?;
            file.sync().map_err(failed)?;
            tally.latencies.note(began);
            tally.jobs += 1;
            offset += bytes.len() as u64;
        }
        tally.elapsed = window.began.elapsed();
        Ok(tally)
    }
}

impl Drop for BareLog {
    fn drop(&mut self) {
        self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.inbox.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The files of a bare log.
pub struct Segments {
    files: Vec<Box<dyn DiskFile>>,
    current: usize,
    offset: u64,
    buffer: Vec<u8>,
}

impl Segments {
    /// Zero-filled files in a directory of their own.
    pub fn create(directory: &Path) -> std::io::Result<Self> {
        let disk = FileDisk::new(directory)?;
        let files = (0..SEGMENTS)
            .map(|number| disk.create(&format!("segment-{number}"), SEGMENT_BYTES))
            .collect::<std::io::Result<_>>()?;
        disk.sync_names()?;
        Ok(Segments { files, current: 0, offset: 0, buffer: Vec::new() })
    }

    /// Begins a group.
    pub fn begin(&mut self) {
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 0);
    }

    /// Adds a record of these parts to the group.
    pub fn add(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.buffer.extend_from_slice(&(length as u32).to_le_bytes());
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
    }

    /// Writes the group and syncs it.
    pub fn commit(&mut self) -> std::io::Result<()> {
        let buffer = &mut self.buffer;
        let checksum = crc32fast::hash(buffer);
        buffer[..4].copy_from_slice(&checksum.to_le_bytes());
        buffer.resize(buffer.len().next_multiple_of(BLOCK), 0);
        if self.offset + buffer.len() as u64 > SEGMENT_BYTES {
            (self.current, self.offset) = ((self.current + 1) % self.files.len(), 0);
        }
        let file = &mut self.files[self.current];
        file.write_at(self.offset, buffer)?;
        file.sync()?;
        self.offset += buffer.len() as u64;
        Ok(())
    }
}

fn serve(inbox: &Inbox, mut segments: Segments) {
    loop {
        let waiting = {
            let mut state = inbox.state.lock().unwrap_or_else(PoisonError::into_inner);
            while state.waiting.is_empty() && !state.is_closed {
                state = inbox.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.waiting.is_empty() {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        segments.begin();
        for record in waiting.iter().flat_map(|(records, _)| records) {
            segments.add(&[record]);
        }
        if segments.commit().is_err() {
            return;
        }
        for (_, done) in waiting {
            let _ = done.send(());
        }
    }
}
