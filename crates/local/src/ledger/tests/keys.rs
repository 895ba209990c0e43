use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

#[test]
fn a_key_belongs_to_its_namespace() {
    let mut keys = Keys::default();
    keys.hold(&name("a"), &"key".into(), 1, None);
    keys.hold(&name("b"), &"key".into(), 2, None);
    assert_eq!(keys.find(&name("a"), "key"), Some(1));
    assert_eq!(keys.find(&name("b"), "key"), Some(2));
    assert_eq!(keys.find(&name("c"), "key"), None);
    keys.free(&name("a"), "key", 1, None);
    assert_eq!(keys.all().collect::<Vec<_>>(), [(&name("b"), "key", 2)]);
}

#[test]
fn a_job_frees_only_what_it_holds_itself() {
    let mut keys = Keys::default();
    let (namespace, until) = (name("a"), at(10));
    keys.hold(&namespace, &"key".into(), 1, Some(until));
    keys.hold(&namespace, &"key".into(), 2, None);
    keys.free(&namespace, "key", 1, Some(until));
    assert_eq!(keys.find(&namespace, "key"), Some(2));
    keys.end_elapsed(at(100), 10);
    assert_eq!(keys.find(&namespace, "key"), Some(2));
}

#[test]
fn holds_end_with_their_time_a_few_at_once() {
    let mut keys = Keys::default();
    for seq in 1..=5 {
        let until = Some(at(seq as i64));
        keys.hold(&name("a"), &format!("key {seq}").into(), seq, until);
        keys.hold(&name("a"), &format!("key {seq}").into(), seq, until);
    }
    let left = |keys: &Keys| keys.all().map(|(.., seq)| seq).collect::<Vec<_>>();
    keys.end_elapsed(at(4), 3);
    assert_eq!(left(&keys), [4, 5]);
    keys.end_elapsed(at(4), 3);
    assert_eq!(left(&keys), [5]);
    keys.end(at(5), 5);
    assert_eq!(left(&keys), [0; 0]);
    assert!(keys.timed.is_empty() && keys.holders.is_empty(), "{keys:?}");
}
