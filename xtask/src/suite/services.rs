//! What the suite `postgres` stands on: the programs of PostgreSQL and PgBouncer.
//!
//! Where they are missing, and we are root on Debian or a child of it, they are installed once, and
//! nothing of them is started: the tests start servers of their own. Where that does not go, the
//! tests that need them skip themselves with the reason.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process;

const INSTALL_MAX: Duration = Duration::from_secs(10 * 60);

/// Where Debian's packages look whether they may start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const NOTHING_MAY_START: &str =
    "#!/bin/sh\n# Made by cargo xtask test, which removes it.\nexit 101\n";

/// Where programs are, besides the folders of the `PATH`.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];

/// Where versions of PostgreSQL are, each with a `bin` in it.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A package and the program for which it is wanted.
struct Package {
    name: &'static str,
    program: &'static str,
}

const PACKAGES: [Package; 3] = [
    Package { name: "postgresql", program: "initdb" },
    Package { name: "pgbouncer", program: "pgbouncer" },
    Package { name: "faketime", program: "faketime" },
];

/// Installs what is missing, where that goes, and says what it does.
pub fn prepare() -> Result<()> {
    let folders = folders();
    let missing: Vec<_> = missing(&folders).into_iter().map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(", ");
    if !rustix::process::geteuid().is_root() || !has("apt-get", &folders) {
        println!("not installed, and only root on Debian can have it installed here: {names}");
        return Ok(());
    }
    println!("installing {names}; no service is started");
    let _policy = Policy::forbid(Path::new(POLICY))?;
    // The lists of packages are often away where an image was made, and old ones need not fit.
    if !run(&mut install(&missing))? && run(apt_get().arg("update"))? {
        run(&mut install(&missing))?;
    }
    for package in &missing {
        if has("update-rc.d", &folders) {
            run(Command::new("update-rc.d").args([package, "disable"]))?;
        }
    }
    Ok(())
}

fn missing(folders: &[PathBuf]) -> Vec<&'static Package> {
    PACKAGES.iter().filter(|package| !has(package.program, folders)).collect()
}

fn has(program: &str, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| folder.join(program).is_file())
}

fn folders() -> Vec<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    std::env::split_paths(&paths)
        .chain(FOLDERS.map(PathBuf::from))
        .chain(versions.map(|version| version.path().join("bin")))
        .collect()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["--yes", "--quiet", "--no-install-recommends"]);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    command
}

fn install(packages: &[&str]) -> Command {
    let mut command = apt_get();
    command.arg("install").args(packages);
    command
}

/// Whether it ended well. If not, the tests say what they lack.
fn run(command: &mut Command) -> Result<bool> {
    Ok(process::run(command, INSTALL_MAX)?.fine)
}

/// Forbids packages to start services, until it is dropped. A policy that is there already stays.
struct Policy {
    ours: Option<PathBuf>,
}

impl Policy {
    fn forbid(path: &Path) -> Result<Policy> {
        if path.exists() {
            return Ok(Policy { ours: None });
        }
        let tried = || format!("forbidding in {} that services are started", path.display());
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(path)
            .with_context(tried)?;
        let policy = Policy { ours: Some(path.to_path_buf()) };
        std::io::Write::write_all(&mut file, NOTHING_MAY_START.as_bytes()).with_context(tried)?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.ours
            && let Err(error) = fs::remove_file(path)
        {
            println!("please remove {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
#[path = "tests/services.rs"]
mod tests;
