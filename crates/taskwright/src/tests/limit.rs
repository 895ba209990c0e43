use super::*;

#[test]
fn a_limit_says_what_it_is() {
    for (limit, text) in [
        (Limit::queue("mail").concurrency(5), "queue mail: at most 5 at once"),
        (Limit::task("resize").rate(10, "1m"), "task resize: 10 in 1m"),
        (
            Limit::group("mail", "a*").concurrency(1),
            "group \"a*\" of queue mail: at most 1 at once",
        ),
        (
            Limit::key("api").rate(2, "1s").burst(3).concurrency(0),
            "key \"api\": at most 0 at once, 2 in 1s (burst 3)",
        ),
        (Limit::key("api"), "key \"api\": no limit"),
        (
            Limit::queue("mail").fair().concurrency(2),
            "queue mail: at most 2 at once, its groups take turns",
        ),
        (Limit::queue("mail").strict(), "queue mail: the most urgent job is next"),
        (Limit::group("mail", "a").weight(3), "group \"a\" of queue mail: weight 3"),
        (
            Limit::queue("mail").retries(100, "1m").retries_burst(5).waiting(7),
            "queue mail: 100 retries in 1m (burst 5), at most 7 wait",
        ),
    ] {
        assert_eq!(limit.to_string(), text);
    }
}

#[test]
fn the_order_of_its_parts_does_not_matter() {
    let one = Limit::key("k").burst(3).rate(2, "1s").concurrency(4).into_policy().unwrap();
    let other = Limit::key("k").concurrency(4).rate(2, "1s").burst(3).into_policy().unwrap();
    assert_eq!(one, other);
    assert_eq!(one.1.rate.unwrap().burst, 3);
}

#[test]
fn what_makes_no_sense_is_told() {
    for (limit, word) in [
        (Limit::queue("Mail").concurrency(1), "\"Mail\""),
        (Limit::group("Mail", "a").concurrency(1), "\"Mail\""),
        (Limit::key("k").rate(1, "soon"), "its period"),
        (Limit::key("k").burst(3), "without a rate"),
        (Limit::queue("q").retries(1, "soon"), "the period of its retries"),
        (Limit::queue("q").retries_burst(3), "add .retries("),
    ] {
        let error = limit.into_policy().unwrap_err();
        assert!(error.message.starts_with("cannot set the limit: "), "{error}");
        assert!(error.message.contains(word), "{error}");
    }
}
