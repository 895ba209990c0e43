use super::{KEPT_MAX, Pool};

#[tokio::test]
async fn the_connection_used_last_comes_first() {
    let pool = Pool::default();
    pool.put(1);
    pool.put(2);
    assert_eq!(pool.take(|_| true), Some(2));
    assert_eq!(pool.take(|_| true), Some(1));
    assert_eq!(pool.take(|_| true), None);
}

#[tokio::test]
async fn what_is_of_no_use_is_dropped() {
    let pool = Pool::default();
    for number in 0..5 {
        pool.put(number);
    }
    assert_eq!(pool.take(|number| *number < 2), Some(1));
    assert_eq!(pool.take(|_| true), Some(0));
    assert_eq!(pool.take(|_| true), None);
}

#[tokio::test]
async fn no_more_than_the_limit_is_kept() {
    let pool = Pool::default();
    for number in 0..=KEPT_MAX {
        pool.put(number);
    }
    let mut count = 0;
    while pool.take(|_| true).is_some() {
        count += 1;
    }
    assert_eq!(count, KEPT_MAX);
}

#[test]
fn connections_stay_with_their_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (one, other) = (runtime(), runtime());
    let pool = Pool::default();
    one.block_on(async { pool.put("of one") });
    assert_eq!(other.block_on(async { pool.take(|_| true) }), None);
    assert_eq!(one.block_on(async { pool.take(|_| true) }), Some("of one"));
}
