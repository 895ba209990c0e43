//! Another time for a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The library that shows a process another time, where it is installed.
#[derive(Clone, Debug)]
pub struct Faketime(PathBuf);

impl Faketime {
    /// Finds it.
    ///
    /// # Errors
    /// `Unavailable` where it is not installed.
    pub fn find() -> Result<Faketime, Error> {
        let folders = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
        let paths = folders.map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
        let named = std::env::var_os("TASKWRIGHT_FAKETIME").map(PathBuf::from);
        let found = named.into_iter().chain(paths).find(|path| path.is_file());
        let missing = || Error::Unavailable("needs libfaketime: install faketime".to_owned());
        found.map(Faketime).ok_or_else(missing)
    }

    /// Lets the wall clock of a command be wrong by so many seconds.
    pub fn shift(&self, command: &mut Command, seconds: i64) {
        command
            .env("LD_PRELOAD", &self.0)
            .env("FAKETIME", format!("{seconds:+}s"))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}
