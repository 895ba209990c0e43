use super::*;

fn line(seqs: std::ops::Range<Seq>) -> BTreeSet<(Rank, Seq)> {
    seqs.map(|seq| (rank::fifo(taskwright_core::Timestamp::ZERO, 0, AGING_DEFAULT), seq)).collect()
}

#[test]
fn a_lane_without_room_costs_one_look_however_long_it_is() {
    let (full, free) = (line(0..10_000), line(10_000..10_005));
    let mut merge = Merge::default();
    merge.add(&full, false);
    merge.add(&free, false);
    let mut looks = 0;
    let taken = merge.take(100, |seq| {
        looks += 1;
        if seq < 10_000 { Judgement::PassLane } else { Judgement::Take }
    });
    assert_eq!(taken, [10_000, 10_001, 10_002, 10_003, 10_004]);
    assert_eq!(looks, 6);
}
