use super::*;

#[test]
fn a_priority_level_is_a_head_start() {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let rank = |seconds, priority| fifo(at(seconds), priority, AGING_DEFAULT);
    assert!(rank(30, 1) < rank(0, 0), "one level is worth a minute");
    assert!(rank(90, 1) > rank(0, 0), "and no more than a minute");
    assert!(rank(0, -10) < rank(20 * 60 + 1, 10), "old work always wins in the end");
}
