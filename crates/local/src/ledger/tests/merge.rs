use taskwright_core::rank::{self, AGING_DEFAULT};

use super::*;

fn slots(slots: usize) -> Cost {
    Cost { slots, ..Cost::default() }
}

/// Jobs of priority 0.
fn level(jobs: impl IntoIterator<Item = (Rank, Seq)>) -> Levels {
    let mut levels = Levels::default();
    jobs.into_iter().for_each(|job| levels.insert(0, job));
    levels
}

fn line(seqs: std::ops::Range<Seq>) -> Levels {
    let rank = rank::fifo(taskwright_core::Timestamp::ZERO, 0, AGING_DEFAULT);
    level(seqs.map(|seq| (rank, seq)))
}

/// Jobs from 10,000 on may be taken; the lanes of the others are full.
#[derive(Default)]
struct HalfOpen {
    looks: usize,
}

impl Judge for HalfOpen {
    fn look(&mut self, seq: Seq) -> Judgement {
        self.looks += 1;
        if seq < 10_000 { Judgement::PassLane } else { Judgement::Take }
    }

    fn decide(&mut self, seq: Seq) -> Judgement {
        self.look(seq)
    }

    fn age(&self, seq: Seq) -> Rank {
        seq.cast_signed()
    }
}

#[test]
fn a_lane_without_room_costs_one_look_however_long_it_is() {
    let (full, free) = (line(0..10_000), line(10_000..10_005));
    let mut merge = Merge::default();
    merge.add(&full, false, &ONE);
    merge.add(&free, false, &ONE);
    let mut judge = HalfOpen::default();
    assert_eq!(merge.take(&slots(100), &mut judge).jobs, [10_000, 10_001, 10_002, 10_003, 10_004]);
    assert_eq!(judge.looks, 6);
}

#[test]
fn a_fair_queue_is_as_old_as_the_job_whose_turn_it_is() {
    let turn = |number: i64| turns::BEGIN + number * 1_000_000;
    let fair = level([(turn(1), 30_000), (turn(2), 10_001)]);
    let plain = level([20_000, 40_000].map(|seq: Seq| (seq.cast_signed(), seq)));
    let mut merge = Merge::default();
    merge.add(&plain, false, &ONE);
    let mut queue = FairQueue::new(turns::BEGIN, turns::BEGIN);
    queue.add(&fair, false, &ONE);
    merge.add_queue(Queue::Fair(queue));
    let taken = merge.take(&slots(9), &mut HalfOpen::default());
    assert_eq!(taken.jobs, [20_000, 30_000, 10_001, 40_000]);
}

#[test]
fn a_full_lane_hides_no_other_of_its_fair_queue() {
    let (full, open) = (level([(turns::BEGIN, 9)]), level([(turns::BEGIN, 10_001)]));
    let plain = level([(10_002, 10_002)]);
    let mut merge = Merge::default();
    merge.add(&plain, false, &ONE);
    let mut queue = FairQueue::new(turns::BEGIN, turns::BEGIN);
    queue.add(&full, false, &ONE);
    queue.add(&open, true, &ONE);
    queue.add(&open, true, &ONE);
    merge.add_queue(Queue::Fair(queue));
    assert_eq!(merge.take(&slots(9), &mut HalfOpen::default()).jobs, [10_001, 10_002]);
}

#[test]
fn a_strict_queue_is_as_old_as_its_most_urgent_job() {
    let mut strict = level([(1, 10_001), (50_000, 10_005)]);
    for (priority, job) in [(7, 10_003), (7, 9), (3, 10_002)] {
        strict.insert(priority, (30_000, job));
    }
    let plain = level([(20_000, 10_004), (40_000, 10_006)]);
    let mut merge = Merge::default();
    merge.add(&plain, false, &ONE);
    let mut queue = Queue::Strict(StrictQueue::default());
    queue.add(&strict, false, &ONE);
    merge.add_queue(queue);
    let mut judge = HalfOpen::default();
    let first = merge.take(&slots(9), &mut judge).jobs;
    assert_eq!(first, [10_004, 10_002, 10_001, 10_006, 10_005], "a full lane hides its level");
}
