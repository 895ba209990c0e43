use std::collections::BTreeSet;

use super::*;

#[test]
fn the_ids_of_shards_never_change() {
    // Stores keep them: other ones here would make a repeated request twice as many jobs.
    let of = JobId::from_u128(0x019a_a2f4_7d31_7c51_8f0e_2b1c_6d9e_0a42);
    let ids: Vec<String> = (0..2).map(|index| shard_id(of, index).to_string()).collect();
    assert_eq!(ids, PINNED);
}

const PINNED: [&str; 2] =
    ["9ec59789-93c1-5ebf-8da5-ffc61204781f", "ddf57441-517d-5934-a8b1-9d4f0ddd3e15"];

#[test]
fn each_shard_of_each_request_has_an_id_of_its_own() {
    let ids =
        (0..50).flat_map(|of| (0..50).map(move |index| shard_id(JobId::from_u128(of), index)));
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), 2_500);
    assert_eq!(Shard { index: 2, total: 8 }.to_string(), "3 of 8");
}
