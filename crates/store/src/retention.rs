//! How long ended jobs are kept.

use std::time::Duration;

/// Bounds on the ended jobs that a store keeps. A sweep prunes what is beyond any of them, the
/// jobs that ended first before the others.
///
/// Dead jobs are counted apart from the completed, cancelled and expired ones, so that a flood of
/// completions never pushes out a failure nobody has looked at yet: `count` and `bytes` hold for
/// each of the two kinds, `age` and `dead_age` for one each.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The longest a completed, cancelled or expired job is kept after its end.
    pub age: Duration,
    /// The longest a dead job is kept after its end.
    pub dead_age: Duration,
    /// The most jobs of each kind.
    pub count: u64,
    /// The most bytes of args, results and errors of each kind, about.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        Retention { age: 7 * DAY, dead_age: 90 * DAY, count: 1_000_000, bytes: 2_000_000_000 }
    }
}
