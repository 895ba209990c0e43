//! What apalis is measured with.

use anyhow::{Context, Result};
use serde::Deserialize;

/// See ../README.md for why these; `PEER_SETTINGS` (JSON) overrides parts of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Jobs of the drain.
    pub jobs: u32,
    /// How many enqueue in bulk at once, each with a connection.
    pub bulk_callers: u32,
    /// Connections of the 64 callers.
    pub concurrent_connections: u32,
    /// Workers, all in this process.
    pub workers: usize,
    /// Jobs that each worker runs at once.
    pub concurrency: usize,
    /// Jobs that one fetch asks for.
    pub batch_size: usize,
    /// How long each of the two measurements of singles lasts.
    pub seconds: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            jobs: 100_000,
            bulk_callers: 4,
            concurrent_connections: 10,
            workers: 2,
            concurrency: 5_000,
            batch_size: 5_000,
            seconds: 3.0,
        }
    }
}

impl Settings {
    /// The settings of this run.
    ///
    /// # Errors
    /// When `PEER_SETTINGS` is not an object of known settings.
    pub fn read(quick: bool) -> Result<Settings> {
        let given = std::env::var("PEER_SETTINGS").unwrap_or_else(|_| "{}".to_owned());
        let mut settings: Settings = serde_json::from_str(&given)
            .with_context(|| format!("reading PEER_SETTINGS {given}"))?;
        if quick {
            settings.jobs /= 10;
            settings.seconds /= 3.0;
        }
        Ok(settings)
    }
}
