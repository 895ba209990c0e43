use super::*;

/// A generator of numbers that is the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

fn contents(map: &mut SeqMap<u64>) -> Vec<(Seq, u64)> {
    map.range_mut(0..=Seq::MAX).map(|(seq, value)| (seq, *value)).collect()
}

#[test]
fn it_does_as_a_tree_does() {
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let (mut map, mut tree) = (SeqMap::default(), BTreeMap::new());
        let mut next = 1 + numbers.below(1_000);
        let span = 1 + numbers.below(700);
        for step in 0..1_500 {
            let known = next.saturating_sub(numbers.below(span));
            match numbers.below(8) {
                0..4 => {
                    next += 1 + numbers.below(2) * numbers.below(3);
                    assert_eq!(map.insert(next, step), tree.insert(next, step), "seed {seed}");
                }
                4 => assert_eq!(map.insert(known, step), tree.insert(known, step), "seed {seed}"),
                5..7 => assert_eq!(map.remove(&known), tree.remove(&known), "seed {seed}"),
                _ => {
                    let (from, to) = (known, known + numbers.below(200));
                    let in_map: Vec<_> = map.range_mut(from..=to).map(|(s, v)| (s, *v)).collect();
                    let in_tree: Vec<_> = tree.range(from..=to).map(|(s, v)| (*s, *v)).collect();
                    assert_eq!(in_map, in_tree, "seed {seed}");
                }
            }
            assert_eq!(map.get(&known), tree.get(&known), "seed {seed}");
            assert_eq!(map.get_mut(&known), tree.get_mut(&known), "seed {seed}");
            assert_eq!(map.len(), tree.len(), "seed {seed}");
        }
        assert_eq!(contents(&mut map), tree.into_iter().collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn growing_numbers_leave_no_room_unused() {
    let mut map = SeqMap::default();
    for seq in 1..=10_000 {
        map.insert(seq, seq);
    }
    assert_eq!(map.runs.len(), 10_000_usize.div_ceil(RUN));
    let unused: usize = map.runs.values().map(|run| run.capacity() - run.len()).sum();
    assert!(unused <= RUN, "{unused}");
}

#[test]
fn a_few_that_stay_take_little() {
    let mut map = SeqMap::default();
    for seq in 1..=64_000 {
        map.insert(seq, seq);
    }
    for seq in (1..=64_000).filter(|seq| seq % 64 != 0) {
        map.remove(&seq);
    }
    assert_eq!(map.len(), 1_000);
    let room: usize = map.runs.values().map(Vec::capacity).sum();
    assert!(room <= 4_000, "{room}");
}

#[test]
fn an_empty_range_is_empty() {
    let mut map = SeqMap::default();
    map.insert(5, 5);
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is asked")]
    let nothing = map.range_mut(6..=5).count();
    assert_eq!((nothing, map.range_mut(1..=4).count()), (0, 0));
}
