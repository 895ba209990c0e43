//! How runs are named and where they are kept.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest, Sha256};

use crate::subprocess::Template;

/// Longest name of a program in the name of a run.
const PROGRAM_SHOWN: usize = 32;

/// Runs that are being removed have a name that begins with a dot, as no other has, and ends so.
const GONE: &str = ".gone";

/// The name of the run of a command in a directory: the same for the same words there.
pub fn name_of(directory: &Path, template: &Template) -> String {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(directory.as_os_str().as_bytes());
    template.words().iter().for_each(|word| part(word));
    let digest: String = digest.finalize()[..5].iter().map(|byte| format!("{byte:02x}")).collect();
    let program: String = template
        .program()
        .chars()
        .take(PROGRAM_SHOWN)
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if matches!(c, 'a'..='z' | '0'..='9' | '_' | '-') { c } else { '-' })
        .collect();
    format!("{program}-{digest}")
}

/// Where runs are kept if nothing else is said: with other state of the user's programs.
pub fn runs_directory() -> Result<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    match state {
        Some(state) => Ok(state.join("taskwright/each")),
        None => {
            bail!("there is no home directory to keep the run in; name a directory with --data")
        }
    }
}

/// Where one run is kept.
#[derive(Clone, Debug)]
pub struct Place {
    /// The name of the run.
    pub name: String,
    /// In what.
    pub home: Home,
}

/// What a run is kept in.
#[derive(Clone, Debug)]
pub enum Home {
    /// A directory of its own, which goes with it.
    Directory(PathBuf),
    /// A store that others use as well, by its URL.
    Shared(String),
}

impl Place {
    /// The place of the run with this name. The directory for runs is made where it is missing.
    pub fn of(runs: &Path, name: &str) -> Result<Place> {
        check_name(name)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(runs).with_context(|| {
            format!(
                "cannot make {} to keep the run in; name another directory with --data",
                runs.display()
            )
        })?;
        sweep_out(runs);
        Ok(Place { name: name.to_owned(), home: Home::Directory(runs.join(name)) })
    }

    /// The place of the run with this name in a store that others use as well.
    pub fn shared(url: &str, name: &str) -> Result<Place> {
        check_name(name)?;
        Ok(Place { name: name.to_owned(), home: Home::Shared(url.to_owned()) })
    }

    /// Whether the run may have begun.
    pub fn exists(&self) -> bool {
        match &self.home {
            Home::Directory(directory) => directory.exists(),
            Home::Shared(_) => true,
        }
    }

    /// Removes the run: all of it or, should this process be killed meanwhile, at least its name. In
    /// a shared store its jobs stay until they are pruned, as others may still print them.
    pub fn remove(&self) -> Result<()> {
        let Home::Directory(directory) = &self.home else { return Ok(()) };
        let gone = directory.with_file_name(format!(".{}.{}{GONE}", self.name, std::process::id()));
        let removed = fs::rename(directory, &gone).and_then(|()| fs::remove_dir_all(&gone));
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.with_context(|| format!("cannot remove the run in {}", directory.display()))
            }
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '.');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(allowed) {
        bail!("{name:?} cannot be the name of a run; use up to 100 of a-z 0-9 _ - and dots inside");
    }
    Ok(())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.home {
            Home::Directory(directory) => write!(f, "{}", directory.display()),
            Home::Shared(url) => f.write_str(&taskwright::shown(url)),
        }
    }
}

/// Removes what is left of runs whose removal was interrupted.
fn sweep_out(runs: &Path) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(GONE.as_bytes()) {
            // Another process may be at it, too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
#[path = "tests/place.rs"]
mod tests;
