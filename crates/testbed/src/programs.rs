//! Where the programs of PostgreSQL are, and as whom they run.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Error;

/// Who runs the programs when the tests run as root, which they refuse.
const USER: &str = "postgres";

/// Where distributions keep what is not in the `PATH`: folders of versions with a `bin` in them.
const VERSIONED: [&str; 3] = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];

/// A program and what it is called with.
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Program {
    /// That of this path, or of this name in the `PATH`.
    pub fn named(path: impl Into<PathBuf>) -> Program {
        Program { path: path.into(), arguments: Vec::new() }
    }

    /// The same with more arguments.
    pub fn with<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Program {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
}

/// Somebody's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// Who shall run what refuses to run as root; `None` where we are not root.
pub fn user() -> Result<Option<User>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(Error::failed("reading /etc/passwd"))?;
    let found = find_user(&users, USER);
    found.map(Some).ok_or_else(|| {
        Error::Unavailable(format!("needs a user called {USER}: PostgreSQL refuses to run as root"))
    })
}

fn find_user(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let is_meant = fields.first() == Some(&name);
        let uid = fields.get(2)?.parse().ok()?;
        let gid = fields.get(3)?.parse().ok()?;
        is_meant.then_some(User { uid, gid })
    })
}

/// The folder with `initdb` and `postgres`: the newest version there is, else that of the `PATH`.
pub fn postgres_folder() -> Result<PathBuf, Error> {
    let mut folders: Vec<(u32, PathBuf)> = VERSIONED
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| Some((version(&path)?, path.join("bin"))))
        .collect();
    folders.sort();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let newest_first = folders.into_iter().rev().map(|(_, folder)| folder);
    newest_first
        .chain(std::env::split_paths(&paths))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .ok_or_else(|| {
            Error::Unavailable(
                "needs PostgreSQL's programs: install the package postgresql".to_string(),
            )
        })
}

/// The number in `15`, `postgresql@15`.
fn version(folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_str()?;
    name.strip_prefix("postgresql@").unwrap_or(name).parse().ok()
}

/// A command for `program`, run by `user` and with nothing of the caller's environment but the
/// `PATH`: neither `PGHOST` nor a locale may change what tests see.
pub fn command(program: &Program, user: Option<User>) -> Command {
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).env_clear().env("LC_ALL", "C");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs a program to its end, for at most `limit`; fails with what it wrote unless it ends well.
pub fn run(program: &Program, user: Option<User>, limit: Duration) -> Result<(), Error> {
    let tried = format!("running {}", program.path.display());
    let folder = tempfile::tempdir().map_err(Error::failed(&*tried))?;
    let said = folder.path().join("said");
    let output = File::create(&said).map_err(Error::failed(&*tried))?;
    let again = output.try_clone().map_err(Error::failed(&*tried))?;
    let mut command = command(program, user);
    command.stdin(Stdio::null()).stdout(output).stderr(again).current_dir("/");
    let mut child = command.spawn().map_err(Error::failed(&*tried))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().map_err(Error::failed(&*tried))? {
            let said = fs::read_to_string(&said).unwrap_or_default();
            let failed = || Error::Failed(format!("{tried}: {status}: {}", said.trim()));
            return if status.success() { Ok(()) } else { Err(failed()) };
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Failed(format!("{tried}: no end in {} s", limit.as_secs())));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Where directories of the test bed are made: one that `user` can reach too, which the caller's own
/// place for temporary files may not be.
pub fn temporary_folder(user: Option<User>) -> PathBuf {
    if user.is_some() { PathBuf::from("/tmp") } else { std::env::temp_dir() }
}

/// A new directory that belongs to `user` and is closed to others.
pub fn directory(user: Option<User>) -> Result<TempDir, Error> {
    let tried = "making a directory for a test";
    let made = tempfile::Builder::new()
        .prefix("taskwright-testbed-")
        .tempdir_in(temporary_folder(user))
        .map_err(Error::failed(tried))?;
    give(made.path(), user)?;
    Ok(made)
}

/// Makes a file or directory belong to `user`.
pub fn give(path: &Path, user: Option<User>) -> Result<(), Error> {
    let Some(User { uid, gid }) = user else { return Ok(()) };
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .map_err(Error::failed(format!("giving {} to another user", path.display())))
}

#[cfg(test)]
#[path = "tests/programs.rs"]
mod tests;
