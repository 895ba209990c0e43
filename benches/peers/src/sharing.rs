//! A measurement shared by several connections, each with a thread of its own.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// When a connection was done with its part, and what it got.
#[derive(Debug)]
pub struct Done<T> {
    /// When its last job was answered.
    pub at: Instant,
    /// What it got.
    pub got: T,
}

/// Runs `work` on all connections at once; answers what they got, and the time from the common
/// beginning to the last job of the last connection.
///
/// # Errors
/// The first error of a connection.
pub fn at_once<C: Send, T: Send>(
    connections: Vec<C>,
    work: impl Fn(usize, C) -> Result<Done<T>> + Sync,
) -> Result<(Vec<T>, Duration)> {
    let work = &work;
    let began = Instant::now();
    let ended: Vec<Result<Done<T>>> = std::thread::scope(|scope| {
        let running: Vec<_> = connections
            .into_iter()
            .enumerate()
            .map(|(number, connection)| scope.spawn(move || work(number, connection)))
            .collect();
        let panicked = |_| Err(anyhow!("a connection's thread panicked"));
        running.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    let mut last = began;
    let mut all = Vec::new();
    for done in ended {
        let done = done?;
        last = last.max(done.at);
        all.push(done.got);
    }
    Ok((all, last - began))
}

/// The part of `jobs` that connection `number` of `connections` enqueues.
pub fn part(jobs: u32, number: usize, connections: usize) -> std::ops::Range<u32> {
    let bound = |number: usize| (u64::from(jobs) * number as u64 / connections as u64) as u32;
    bound(number)..bound(number + 1)
}

#[cfg(test)]
#[path = "tests/sharing.rs"]
mod tests;
