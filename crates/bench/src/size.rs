//! Size: memory, disk, time to open, and whether a claim costs the same whatever else is there.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::Timestamp;
use taskwright_engine::{Api, Result, Start};

use crate::life::Caller;
use crate::measure::Latencies;

/// Bytes of memory that this process has in use.
pub fn resident_bytes() -> u64 {
    resident_bytes_of(std::process::id())
}

/// Bytes of memory that a process has in use.
pub fn resident_bytes_of(process: u32) -> u64 {
    let field = |text: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    status.ok().as_deref().and_then(field).unwrap_or(0) * 1024
}

/// Seconds of processor time that a process has used.
pub fn processor_seconds(process: u32) -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name may hold spaces; what follows it does not.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = |index| fields.split_whitespace().nth(index).and_then(|t| t.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS_A_SECOND
}

/// Bytes that the files of a directory take on disk.
pub fn directory_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

/// Puts in `count` jobs that are due in an hour, a thousand a call.
pub async fn schedule(api: &Arc<dyn Api>, count: usize, now: Timestamp) -> Result<()> {
    let caller = Caller::new(api, 0);
    let start = Start::At(now.plus(Duration::from_secs(3_600)));
    let mut left = count;
    while left > 0 {
        let batch = left.min(1_000);
        let jobs = (0..batch).map(|_| {
            let mut request = caller.request();
            request.start = start;
            request
        });
        api.enqueue(jobs.collect(), false).await?;
        left -= batch;
    }
    Ok(())
}

/// Claims of single jobs, each completed, with whatever else the store holds: their latencies.
pub async fn claims(api: &Arc<dyn Api>, samples: usize) -> Result<Latencies> {
    let mut caller = Caller::new(api, 7);
    let mut latencies = Latencies::default();
    for _ in 0..samples {
        caller.enqueue(1).await?;
        let began = Instant::now();
        let jobs = caller.claim(1).await?;
        latencies.note(began);
        caller.complete(&jobs).await?;
    }
    Ok(latencies)
}
