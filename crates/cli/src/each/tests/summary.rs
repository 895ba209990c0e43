use std::time::Duration;

use taskwright_core::Name;
use taskwright_store::QueueCounts;

use super::Summary;

fn counts(completed: u64, dead: u64, ready: u64) -> QueueCounts {
    QueueCounts { completed, dead, ready, ..QueueCounts::empty(Name::default_name()) }
}

#[test]
fn a_summary_tells_what_there_is_to_tell() {
    let before = counts(0, 0, 0);
    let all = Summary::new("r", &counts(1_200, 0, 0), &before, 0, Duration::from_secs(60));
    assert_eq!(all.line(), "1,200 completed in 1m (20/s)");
    assert!(all.is_all_completed());
    let some = Summary::new("r", &counts(7, 2, 1), &counts(3, 0, 7), 1, Duration::from_secs(2));
    assert_eq!(
        some.line(),
        "7 completed, 3 of them before, 2 failed, 1 left, 1 attempt retried in 2.0s (2.0/s)"
    );
    assert!(!some.is_all_completed());
}
