//! Names of databases and schemas that say how old they are, so that what a killed run has left
//! behind can be found.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Error;

/// How all names begin.
pub const PREFIX: &str = "taskwright_test_";

/// What is older is no test's any more, in seconds.
pub const STALE_AFTER_SECONDS: u64 = 3600;

/// A name that nobody else has, of at most 35 bytes: the prefix, the time and chance.
pub fn unique() -> Result<String, Error> {
    let mut chance = [0; 4];
    getrandom::fill(&mut chance).map_err(Error::failed("drawing a name by chance"))?;
    Ok(format!("{PREFIX}{}_{:08x}", now_seconds(), u32::from_le_bytes(chance)))
}

/// Whether `name` was made by [`unique`] so long ago that its test must have ended.
pub fn is_stale(name: &str, now_seconds: u64) -> bool {
    let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    let made: Option<u64> = made.and_then(|(seconds, _)| seconds.parse().ok());
    made.is_some_and(|made| made + STALE_AFTER_SECONDS < now_seconds)
}

/// Seconds since 1970.
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
#[path = "tests/names.rs"]
mod tests;
