//! The job that everybody gets: 200 bytes of JSON, with a number by which it is found again.

use anyhow::{Result, bail};

/// Bytes of a job.
pub const LENGTH: usize = 200;

const HEAD: &[u8] = b"{\"number\":\"";
const DIGITS: usize = 8;
const MIDDLE: &[u8] = b"\",\"text\":\"";
const TAIL: &[u8] = b"\"}";

/// Appends the job with this number (below 10⁸).
pub fn append(number: u32, into: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    into.extend_from_slice(HEAD);
    into.extend_from_slice(&digits);
    into.extend_from_slice(MIDDLE);
    let filled = HEAD.len() + DIGITS + MIDDLE.len() + TAIL.len();
    into.resize(into.len() + LENGTH - filled, b'x');
    into.extend_from_slice(TAIL);
}

/// The number of the job with these bytes; none when a byte is missing.
pub fn number(bytes: &[u8]) -> Option<u32> {
    if bytes.len() != LENGTH || !bytes.ends_with(TAIL) {
        return None;
    }
    let digits = bytes.strip_prefix(HEAD)?.get(..DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Checks that each job below `jobs` was drained once.
///
/// # Errors
/// When a job is missing, came twice, or was never enqueued.
pub fn check_all_once(jobs: u32, drained: impl Iterator<Item = u32>) -> Result<()> {
    let mut seen = vec![false; jobs as usize];
    let mut count = 0;
    for number in drained {
        match seen.get_mut(number as usize) {
            None => bail!("job {number} was drained but never enqueued"),
            Some(true) => bail!("job {number} was drained twice"),
            Some(first) => *first = true,
        }
        count += 1;
    }
    if count < jobs {
        bail!("{} of {jobs} jobs were enqueued but not drained", jobs - count);
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/job.rs"]
mod tests;
