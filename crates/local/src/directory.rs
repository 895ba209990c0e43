//! The data directory: made, checked and locked.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use taskwright_store::{Error, ErrorKind, Result};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const TABLE: &str = "table.db";

/// A data directory that nobody else has open.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Holds the lock; the kernel frees it when the process ends, however it ends.
    _lock: File,
}

impl Directory {
    /// Makes the directory where it does not exist, checks that it is ours and safe, and locks it.
    ///
    /// # Errors
    /// `Unusable` if it is something else or others may write to it, `Locked` if a process has it.
    pub fn open(path: &Path) -> Result<Self> {
        create(path)?;
        check_owner(path)?;
        check_contents(path)?;
        let lock = lock(path)?;
        let directory = Directory { path: path.to_owned(), _lock: lock };
        let journal = directory.journal();
        if !journal.exists() {
            DirBuilder::new()
                .mode(0o700)
                .create(&journal)
                .map_err(|error| failed("create", &journal, &error))?;
            File::open(path)
                .and_then(|opened| opened.sync_all())
                .map_err(|error| failed("sync", path, &error))?;
        }
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal's segments are.
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// Where the table is.
    pub fn table(&self) -> PathBuf {
        self.path.join(TABLE)
    }
}

/// Whether a directory looks like a data directory of ours.
pub fn is_store(path: &Path) -> bool {
    path.join(JOURNAL).is_dir() || path.join(TABLE).is_file()
}

fn create(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| failed("create", path, &error))
}

fn check_owner(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|error| failed("open", path, &error))?;
    let shown = path.display();
    if !metadata.is_dir() {
        return Err(unusable(format!("{shown} is not a directory; choose another place")));
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(unusable(format!(
            "{shown} belongs to user {}, not to the user {user} who runs this; choose a directory \
             of your own",
            metadata.uid()
        )));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(unusable(format!(
            "{shown} can be written by other users (mode {:03o}); run `chmod 700 {shown}`",
            metadata.mode() & 0o777
        )));
    }
    Ok(())
}

fn check_contents(path: &Path) -> Result<()> {
    if is_store(path) {
        return Ok(());
    }
    // What a server or an earlier, interrupted start may have left before there was a store.
    let ours = |name: &str| name == LOCK || name == "token" || name.starts_with("control");
    let entries = fs::read_dir(path).map_err(|error| failed("read", path, &error))?;
    for entry in entries {
        let name = entry.map_err(|error| failed("read", path, &error))?.file_name();
        if !ours(&name.to_string_lossy()) {
            return Err(unusable(format!(
                "{} is not a Taskwright data directory (it holds {}); choose a new or empty one",
                path.display(),
                name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File> {
    let name = path.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(|error| failed("open", &name, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                process => format!("process {process}"),
            };
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "{} is open in {holder}; talk to that process, stop it, or choose another \
                     directory",
                    path.display()
                ),
            ));
        }
        Err(error) => return Err(failed("lock", &name, &error.into())),
    }
    // Only a help for people: the lock itself is the kernel's.
    let noted = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()));
    noted.map_err(|error| failed("write", &name, &error))?;
    Ok(file)
}

fn unusable(message: String) -> Error {
    Error::new(ErrorKind::Unusable, message)
}

fn failed(tried: &str, path: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "give yourself the right to, or choose another place",
        io::ErrorKind::StorageFull => "free some space",
        _ => "choose another place, or mend the cause",
    };
    unusable(format!("cannot {tried} {}: {error}; {hint}", path.display()))
}
