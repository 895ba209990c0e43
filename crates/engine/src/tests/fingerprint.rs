use super::*;

fn digest(task: &str, queue: &str, args: &str) -> u64 {
    let name = |text| Name::new(text).unwrap();
    fingerprint(&name(task), &name(queue), &Json::from_trusted(args))
}

/// What the first version made.
const PINNED: [u64; 2] = [9_239_748_712_010_547_503, 5_115_812_531_968_504_425];

#[test]
fn it_never_changes() {
    // Stores keep these numbers: another one here would refuse repeated enqueues after an upgrade.
    assert_eq!(digest("add", "default", r#"{"a":4,"b":4}"#), PINNED[0]);
    assert_eq!(digest("mail.send", "mail", "null"), PINNED[1]);
}

#[test]
fn a_shard_is_another_body_than_the_whole_and_than_other_shards() {
    let whole = digest("add", "default", "[1]");
    let of = |index, total| of_shard(whole, Shard { index, total });
    let digests = [whole, of(0, 2), of(1, 2), of(0, 3), of(0, 12), of(1, 22), of(12, 2)];
    let different: std::collections::BTreeSet<u64> = digests.into_iter().collect();
    assert_eq!(different.len(), digests.len());
    assert_eq!(of(1, 2), of(1, 2));
}

#[test]
fn it_is_made_of_xxh3() {
    // From the test vectors of xxHash 0.8.
    assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
}

#[test]
fn each_field_counts_and_none_slips_into_another() {
    let whole = digest("add", "default", "[1]");
    assert_ne!(whole, digest("add", "default", "[2]"));
    assert_ne!(whole, digest("add", "other", "[1]"));
    assert_ne!(whole, digest("sub", "default", "[1]"));
    assert_ne!(digest("ab", "c", "1"), digest("a", "bc", "1"));
}
