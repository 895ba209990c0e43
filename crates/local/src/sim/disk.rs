//! A disk in memory that loses what a real one may lose.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Random;
use crate::disk::{Disk, DiskFile};

/// What the machine of a [`SimDisk`] does wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The machine stops at this operation (counted from 1 by [`SimDisk::operations`]): the
    /// operation may have its effect, and every later one fails.
    pub stop_at: Option<u64>,
    /// This operation fails; the disk goes on.
    pub fail_at: Option<u64>,
    /// Bytes that all files together can have.
    pub capacity: Option<u64>,
    /// Syncs succeed and do nothing.
    pub syncs_lie: bool,
    /// Writes are torn at any byte, not only between sectors of 512.
    pub torn_bytes: bool,
}

/// A disk whose contents follow from a seed and what was done with it. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    faults: Faults,
    operations: u64,
    stopped: bool,
    /// The names as running programs see them.
    names: BTreeMap<String, usize>,
    /// The names as they were at the last sync of names.
    durable_names: BTreeMap<String, usize>,
    /// What was done to names since.
    pending_names: Vec<NameChange>,
    files: Vec<Contents>,
}

enum NameChange {
    Created(String, usize),
    Renamed(String, String),
    Removed(String),
}

/// A file: its bytes as running programs see them, as they are durable, and the writes between.
#[derive(Clone, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

const SECTOR: usize = 512;

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random::new(seed),
            faults: Faults::default(),
            operations: 0,
            stopped: false,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            files: Vec::new(),
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// How many operations were begun so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether the machine has stopped.
    pub fn has_stopped(&self) -> bool {
        self.state().stopped
    }

    /// The power fails: what remains of the disk, without faults. Each write and each change of a
    /// name that was not synced is kept, lost or half done, as chance has it.
    pub fn crash(&self) -> SimDisk {
        let mut state = self.state();
        state.stopped = true;
        let mut random = state.random.clone();
        let names = surviving_names(&state, &mut random);
        let mut files = Vec::new();
        let mut kept = BTreeMap::new();
        for (name, file) in names {
            let bytes = state.files[file].surviving(&mut random, state.faults.torn_bytes);
            kept.insert(name, files.len());
            files.push(Contents { durable: bytes.clone(), bytes, pending: Vec::new() });
        }
        let disk = SimDisk::new(random.bits());
        {
            let mut fresh = disk.state();
            fresh.names = kept.clone();
            fresh.durable_names = kept;
            fresh.files = files;
        }
        disk
    }

    /// The process ends and the machine goes on: what programs saw is still there, not yet durable.
    pub fn kill(&self) -> SimDisk {
        let mut state = self.state();
        let fresh = State {
            random: state.random.clone(),
            faults: Faults::default(),
            operations: 0,
            stopped: false,
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            pending_names: std::mem::take(&mut state.pending_names),
            files: std::mem::take(&mut state.files),
        };
        state.stopped = true;
        state.names.clear();
        SimDisk { state: Arc::new(Mutex::new(fresh)) }
    }

    /// A copy of the disk as running programs see it, all of it durable.
    pub fn copy(&self) -> SimDisk {
        let state = self.state();
        let disk = SimDisk::new(state.random.clone().bits());
        {
            let mut fresh = disk.state();
            fresh.names = state.names.clone();
            fresh.durable_names = state.names.clone();
            fresh.files = state.files.clone();
            for file in &mut fresh.files {
                file.durable = file.bytes.clone();
                file.pending.clear();
            }
        }
        disk
    }

    /// Changes the bytes of a file behind the back of every program, durably.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let Some(file) = state.names.get(name).copied() else { return };
        let contents = &mut state.files[file];
        edit(&mut contents.bytes);
        contents.durable = contents.bytes.clone();
        contents.pending.clear();
    }

    /// The bytes of a file; none where there is no such file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.names.get(name).map(|file| state.files[*file].bytes.clone()).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one operation that changes something, if it happens at all.
    fn operate<T>(&self, operation: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        if state.stopped {
            return Err(power_failed());
        }
        state.operations += 1;
        if state.faults.fail_at == Some(state.operations) {
            return Err(io::Error::other("simulated input/output error"));
        }
        if state.faults.stop_at == Some(state.operations) {
            state.stopped = true;
            if state.random.one_in(2) {
                return Err(power_failed());
            }
            operation(&mut state)?;
            return Err(power_failed());
        }
        operation(&mut state)
    }
}

fn power_failed() -> io::Error {
    io::Error::other("simulated power failure")
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

fn surviving_names(state: &State, random: &mut Random) -> BTreeMap<String, usize> {
    let mut names = state.durable_names.clone();
    // Mostly a journaling file system keeps a beginning of the changes; some keep any of them.
    let ordered = !random.one_in(4);
    let kept = random.below(state.pending_names.len() + 1);
    for (index, change) in state.pending_names.iter().enumerate() {
        if if ordered { index >= kept } else { random.one_in(2) } {
            continue;
        }
        match change {
            NameChange::Created(name, file) => {
                names.insert(name.clone(), *file);
            }
            NameChange::Renamed(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            NameChange::Removed(name) => {
                names.remove(name);
            }
        }
    }
    names
}

impl Contents {
    fn settle(&mut self) {
        for (start, bytes) in self.pending.drain(..) {
            let end = start + bytes.len();
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&bytes);
        }
    }

    fn surviving(&self, random: &mut Random, torn_bytes: bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (offset, written) in &self.pending {
            let end = offset + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            match random.below(3) {
                0 => {}
                1 => bytes[*offset..end].copy_from_slice(written),
                _ if torn_bytes => {
                    let kept = random.below(written.len() + 1);
                    bytes[*offset..offset + kept].copy_from_slice(&written[..kept]);
                }
                _ => {
                    let mut at = *offset;
                    while at < end {
                        let next = (at / SECTOR + 1).saturating_mul(SECTOR).min(end);
                        if random.one_in(2) {
                            bytes[at..next].copy_from_slice(&written[at - offset..next - offset]);
                        }
                        at = next;
                    }
                }
            }
        }
        bytes
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        if state.stopped { Err(power_failed()) } else { Ok(state.names.keys().cloned().collect()) }
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        if state.stopped {
            return Err(power_failed());
        }
        let file = *state.names.get(name).ok_or_else(|| not_found(name))?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
        let length = usize::try_from(len).unwrap_or(usize::MAX);
        let file = self.operate(|state| {
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let used: usize = state.names.values().map(|file| state.files[*file].bytes.len()).sum();
            let capacity = state.faults.capacity.unwrap_or(u64::MAX);
            if (used as u64).saturating_add(len) > capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
            // A machine that stops now can leave a file of any length.
            let durable = state.random.below(length + 1);
            let durable = if state.stopped { durable } else { length };
            let contents =
                Contents { bytes: vec![0; length], durable: vec![0; durable], pending: Vec::new() };
            state.files.push(contents);
            let file = state.files.len() - 1;
            state.names.insert(name.to_owned(), file);
            state.pending_names.push(NameChange::Created(name.to_owned(), file));
            Ok(file)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(|state| {
            if state.names.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let file = state.names.remove(from).ok_or_else(|| not_found(from))?;
            state.names.insert(to.to_owned(), file);
            state.pending_names.push(NameChange::Renamed(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.operate(|state| {
            state.names.remove(name).ok_or_else(|| not_found(name))?;
            state.pending_names.push(NameChange::Removed(name.to_owned()));
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.operate(|state| {
            if !state.faults.syncs_lie {
                state.durable_names = state.names.clone();
                state.pending_names.clear();
            }
            Ok(())
        })
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        if state.stopped {
            return Err(power_failed());
        }
        Ok(state.files[self.file].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        if state.stopped {
            return Err(power_failed());
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes =
            state.files[self.file].bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self.disk.operate(|state| {
            let contents = &mut state.files[file];
            let end = start + bytes.len();
            if contents.bytes.len() < end {
                contents.bytes.resize(end, 0);
            }
            contents.bytes[start..end].copy_from_slice(bytes);
            contents.pending.push((start, bytes.to_vec()));
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let file = self.file;
        let outcome = self.disk.operate(|state| {
            if !state.faults.syncs_lie {
                state.files[file].settle();
            }
            Ok(())
        });
        if outcome.is_err() {
            let mut state = self.disk.state();
            // After a failed sync, Linux can take for clean what never reached the disk.
            if !state.stopped && state.random.one_in(2) {
                state.files[file].pending.clear();
            }
        }
        outcome
    }
}
