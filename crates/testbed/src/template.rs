//! What `initdb` makes, made once a day and copied for each cluster: a copy takes a tenth of the
//! time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::programs::{self, Program, User};
use crate::{Error, names};

/// The password of the superuser `postgres` in every cluster.
pub const PASSWORD: &str = "testbed";

const PREFIX: &str = "taskwright-testbed-template-";
const LIMIT: Duration = Duration::from_secs(60);
const DAY_SECONDS: u64 = 24 * 3600;

/// Makes `target`, which must not exist, a new cluster.
pub fn copy_to(target: &Path, programs: &Path, user: Option<User>) -> Result<(), Error> {
    let template = find_or_make(programs, user)?;
    let copy = Program::named("cp").with(["-R".as_ref(), "-p".as_ref(), &*template, target]);
    programs::run(&copy, user, LIMIT)
}

/// Each day has its own, and the day before yesterday's is removed: what clears up old temporary
/// files may have taken parts of it.
fn find_or_make(programs: &Path, user: Option<User>) -> Result<PathBuf, Error> {
    let folder = programs::temporary_folder(user);
    let today = names::now_seconds() / DAY_SECONDS;
    let uid = user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    let kind = format!("{PREFIX}{uid}-{}-", version(programs)?);
    let template = folder.join(format!("{kind}{today}"));
    if belongs_to(&template, uid) {
        return Ok(template);
    }
    remove_old(&folder, &kind, today);
    let made = programs::directory(user)?;
    let fresh = made.path().join("data");
    initdb(&fresh, made.path(), programs, user)?;
    // Another process may have been faster; theirs is as good.
    match fs::rename(&fresh, &template) {
        Err(error) if !belongs_to(&template, uid) => {
            Err(Error::Failed(format!("keeping a new cluster as {}: {error}", template.display())))
        }
        _ => Ok(template),
    }
}

/// Whether it is a directory of that user and of nobody else: others may write beside it.
fn belongs_to(template: &Path, uid: u32) -> bool {
    fs::symlink_metadata(template)
        .is_ok_and(|found| found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0)
}

fn initdb(data: &Path, folder: &Path, programs: &Path, user: Option<User>) -> Result<(), Error> {
    let password = folder.join("password");
    fs::write(&password, PASSWORD).map_err(Error::failed("writing a password file"))?;
    programs::give(&password, user)?;
    let initdb = Program::named(programs.join("initdb"))
        .with(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"])
        .with(["--no-sync".as_ref(), "--pwfile".as_ref(), &*password])
        .with(["--pgdata".as_ref(), data]);
    programs::run(&initdb, user, LIMIT)
}

/// Such as `15.20`.
fn version(programs: &Path) -> Result<String, Error> {
    let tried = "asking initdb for its version";
    let program = Program::named(programs.join("initdb")).with(["--version"]);
    let output = programs::command(&program, None)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::failed(tried))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_whitespace().nth(2).map(str::to_string);
    version.ok_or_else(|| Error::Failed(format!("{tried}: it says {said:?}")))
}

fn remove_old(folder: &Path, kind: &str, today: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let day = name.to_str().and_then(|name| name.strip_prefix(kind)).map(str::parse::<u64>);
        if day.is_some_and(|day| day.is_ok_and(|day| day + 1 < today)) {
            // Whoever else does the same at the same time may have been faster.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
