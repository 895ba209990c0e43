//! Spare segments: files whose space is taken before it is needed, away from the commits.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use taskwright_store::{Error, ErrorKind, Result};

use super::segment;
use crate::disk::{Disk, DiskFile, is_full};

/// Most spare segments. Of those that are freed, as many are kept as were begun between such
/// times: busy times use them again, where making new ones would double what is written.
const SPARES_MAX: usize = 16;
/// After so long without a segment begun, all spare ones but one are removed.
const IDLE: Duration = Duration::from_secs(2);
/// How long the thread waits after a failure, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A file whose space is taken.
pub struct Spare {
    pub name: String,
    pub file: Box<dyn DiskFile>,
}

/// The spare segments of a journal, and the segments that may become such.
pub struct Shelf {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
    /// Held by who makes a spare segment, so that two are not made where one is needed.
    making: Mutex<()>,
}

#[derive(Default)]
struct State {
    ready: Vec<Spare>,
    released: Vec<String>,
    next_number: u64,
    /// Taken since segments were last freed, and between that and the time before.
    taken: usize,
    taken_before: usize,
    /// Taken since the thread last looked.
    busy: bool,
    /// Whether the last attempt to make one found the disk full.
    full: bool,
    closed: bool,
}

impl Shelf {
    /// A shelf with the spare files found in the directory; what is no whole one is removed.
    pub fn new(disk: Arc<dyn Disk>, segment_bytes: u64, found: &[String]) -> io::Result<Arc<Self>> {
        let mut state = State { busy: true, ..State::default() };
        for name in found {
            let Some(number) = segment::spare_of(name) else { continue };
            state.next_number = state.next_number.max(number + 1);
            let file = disk.open(name)?;
            if file.len()? == segment_bytes && state.ready.len() < SPARES_MAX {
                state.ready.push(Spare { name: name.clone(), file });
            } else {
                disk.remove(name)?;
            }
        }
        let (state, changed, making) = (Mutex::new(state), Condvar::new(), Mutex::new(()));
        Ok(Arc::new(Shelf { disk, segment_bytes, state, changed, making }))
    }

    /// The number of spare segments.
    pub fn count(&self) -> usize {
        self.state().ready.len()
    }

    /// The number of spare segments, and whether one more can be had as far as is known.
    pub fn outlook(&self) -> (usize, bool) {
        let state = self.state();
        (state.ready.len(), state.ready.is_empty() && !state.full)
    }

    /// Makes sure that there is a spare segment.
    pub fn ensure(&self) -> Result<()> {
        if self.count() > 0 {
            return Ok(());
        }
        self.make().map_err(|error| refusal(&error))
    }

    /// Takes a spare segment off the shelf; makes one if there is none.
    pub fn take(&self) -> io::Result<Spare> {
        loop {
            let mut state = self.state();
            if let Some(spare) = state.ready.pop() {
                state.taken += 1;
                state.busy = true;
                self.changed.notify_all();
                return Ok(spare);
            }
            drop(state);
            self.make()?;
        }
    }

    /// Hands over a segment that is no longer needed.
    pub fn release(&self, name: String) {
        self.state().released.push(name);
        self.changed.notify_all();
    }

    /// Does the work there is: frees released segments, makes a spare one where there is none.
    pub fn tend(&self) -> Result<()> {
        let freed = self.free();
        let made = if self.count() == 0 { self.make() } else { Ok(()) };
        freed.and(made).map_err(|error| refusal(&error))
    }

    fn make(&self) -> io::Result<()> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.count() > 0 {
            return Ok(());
        }
        let name = self.new_name();
        let made = self.disk.create(&name, self.segment_bytes);
        let mut state = self.state();
        state.full = made.as_ref().is_err_and(is_full);
        state.ready.push(Spare { name, file: made? });
        Ok(())
    }

    fn free(&self) -> io::Result<()> {
        let (released, kept) = {
            let mut state = self.state();
            if state.released.is_empty() {
                return Ok(());
            }
            let taken = std::mem::take(&mut state.taken);
            // One more, because a segment may be begun a moment before or after.
            let kept =
                (taken.max(std::mem::replace(&mut state.taken_before, taken)) + 1).min(SPARES_MAX);
            (std::mem::take(&mut state.released), kept)
        };
        let mut renamed = Vec::new();
        for (index, name) in released.iter().enumerate() {
            let outcome = self.free_one(name, kept, &mut renamed);
            if let Err(error) = outcome {
                self.state().released.extend_from_slice(&released[index..]);
                self.shelve(renamed)?;
                return Err(error);
            }
        }
        self.shelve(renamed)
    }

    fn free_one(&self, name: &str, kept: usize, renamed: &mut Vec<String>) -> io::Result<()> {
        let room = self.count() + renamed.len() < kept;
        if room && self.disk.open(name)?.len()? == self.segment_bytes {
            let spare = self.new_name();
            self.disk.rename(name, &spare)?;
            renamed.push(spare);
            Ok(())
        } else {
            self.disk.remove(name)
        }
    }

    /// The new names are durable before anything is written to the files: after a crash, an old
    /// name must not show up with new contents.
    fn shelve(&self, names: Vec<String>) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        self.disk.sync_names()?;
        for name in names {
            let file = self.disk.open(&name)?;
            self.state().ready.push(Spare { name, file });
        }
        Ok(())
    }

    fn new_name(&self) -> String {
        let mut state = self.state();
        state.next_number += 1;
        segment::spare_name(state.next_number)
    }

    /// Gives back the space of spare segments that nobody needed.
    fn trim(&self) -> Result<()> {
        let beyond = {
            let mut state = self.state();
            let kept = state.ready.len().min(1);
            state.ready.split_off(kept)
        };
        let removed = beyond.iter().try_for_each(|spare| self.disk.remove(&spare.name));
        removed.map_err(|error| refusal(&error))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work, at most for so long.
    fn wait(&self, at_most: Duration, after_failure: bool) -> Woken {
        let idle = |state: &mut State| {
            !state.closed
                && (after_failure || (state.released.is_empty() && !state.ready.is_empty()))
        };
        let waited = self.changed.wait_timeout_while(self.state(), at_most, idle);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            Woken::Closed
        } else if timeout.timed_out() && !std::mem::take(&mut state.busy) {
            Woken::Idle
        } else {
            Woken::Work
        }
    }

    fn run(&self) {
        let mut wait = None;
        loop {
            let outcome = match self.wait(wait.unwrap_or(IDLE), wait.is_some()) {
                Woken::Closed => return,
                Woken::Work => self.tend(),
                Woken::Idle => self.trim(),
            };
            wait = outcome.err().map(|_| longer(wait));
        }
    }
}

enum Woken {
    Closed,
    Work,
    Idle,
}

/// Twice the last wait, and up to a tenth more by chance.
fn longer(last: Option<Duration>) -> Duration {
    let next = last.map_or(RETRY_FIRST, |last| (last * 2).min(RETRY_MAX));
    let chance = getrandom::u32().unwrap_or_default();
    next + next.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 10.0)
}

fn refusal(error: &io::Error) -> Error {
    if is_full(error) {
        Error::new(
            ErrorKind::Full,
            "no new work is taken, because the disk is full and no segment of the journal can be \
             prepared: free some space; claims and reports go on",
        )
    } else {
        Error::new(
            ErrorKind::Unavailable,
            format!("cannot prepare a segment of the journal ({error}): check the disk"),
        )
    }
}

/// The thread that looks after a shelf, until it is dropped.
pub struct Preparer {
    shelf: Arc<Shelf>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    /// Starts the thread.
    pub fn start(shelf: Arc<Shelf>) -> io::Result<Self> {
        let shared = Arc::clone(&shelf);
        let thread = std::thread::Builder::new()
            .name("taskwright-segments".to_owned())
            .spawn(move || shared.run())?;
        Ok(Preparer { shelf, thread: Some(thread) })
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.shelf.state().closed = true;
        self.shelf.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; there is nobody to hand it to.
            let _ = thread.join();
        }
    }
}
