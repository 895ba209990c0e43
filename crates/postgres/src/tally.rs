//! From where on the notes of writers are to be added up.
//!
//! Rows that were folded are dead, and while somebody holds an old snapshot they stay in the way. So
//! a node begins behind those it has folded a while ago; what a slow writer has committed below, a
//! full look finds now and then.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Nearly every writer that had drawn a number has committed after this time.
const SETTLED: Duration = Duration::from_secs(60);
/// How often everything is looked at.
const FULL_EVERY: Duration = Duration::from_secs(600);
/// Marks are not set closer than this.
const APART: Duration = Duration::from_secs(5);

struct Marks {
    from: i64,
    /// The highest numbers folded, and when.
    folded: VecDeque<(Instant, i64)>,
    full_at: Instant,
}

/// How far this node has folded.
pub(crate) struct TallyMark(Mutex<Marks>);

impl Default for TallyMark {
    fn default() -> Self {
        let marks = Marks { from: 0, folded: VecDeque::new(), full_at: Instant::now() };
        TallyMark(Mutex::new(marks))
    }
}

impl TallyMark {
    /// The number from which on there may be notes.
    pub fn from(&self) -> i64 {
        self.marks().from
    }

    /// Where the next fold begins.
    pub fn begin(&self) -> i64 {
        let mut marks = self.marks();
        if marks.full_at.elapsed() >= FULL_EVERY {
            marks.full_at = Instant::now();
            return 0;
        }
        marks.from
    }

    /// A fold has taken notes up to this number.
    pub fn folded(&self, last: Option<i64>) {
        let mut marks = self.marks();
        while let Some((when, number)) = marks.folded.front().copied() {
            if when.elapsed() < SETTLED {
                break;
            }
            marks.from = marks.from.max(number);
            marks.folded.pop_front();
        }
        let is_apart = marks.folded.back().is_none_or(|(when, _)| when.elapsed() >= APART);
        if let (Some(last), true) = (last, is_apart) {
            marks.folded.push_back((Instant::now(), last));
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
