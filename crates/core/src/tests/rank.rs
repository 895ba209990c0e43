use super::*;

#[test]
fn a_priority_level_is_a_head_start() {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let rank = |seconds, priority| fifo(at(seconds), priority, AGING_DEFAULT);
    assert!(rank(30, 1) < rank(0, 0), "one level is worth a minute");
    assert!(rank(90, 1) > rank(0, 0), "and no more than a minute");
    assert!(rank(0, -10) < rank(20 * 60 + 1, 10), "old work always wins in the end");
}

#[test]
fn the_highest_level_is_first_within_a_queue_and_rank_between_queues() {
    let first = |jobs: &[(&str, i8, Rank, u64)]| super::first(jobs.iter().copied());
    assert_eq!(first(&[]), None);
    assert_eq!(first(&[("a", 0, 5, 1), ("a", 0, 4, 2), ("a", 0, 4, 3)]), Some(2));
    let strict = [("a", 0, 5, 1), ("a", 3, 9, 2), ("a", 3, 8, 3)];
    assert_eq!(first(&strict), Some(3), "however old the others are");
    let beside = |rank| first(&[&strict[..], &[("b", 0, rank, 9)]].concat());
    assert_eq!([beside(7), beside(8)], [Some(9), Some(3)], "levels are of one queue");
}
