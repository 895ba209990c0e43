use super::*;

/// Serves groups that always have jobs, by their turns; how many jobs of each start.
fn served(weights: &[u32], starts: usize) -> Vec<u32> {
    let mut clock = BEGIN;
    let mut done = vec![BEGIN; weights.len()];
    let mut counts = vec![0; weights.len()];
    for _ in 0..starts {
        let turns = (0..weights.len()).map(|g| (next_of_one(clock, done[g]), g));
        let (turn, group) = turns.min().expect("a group");
        clock = clock.max(turn);
        done[group] = after(turn, weights[group]);
        counts[group] += 1;
    }
    counts
}

#[test]
fn groups_take_turns_by_weight() {
    assert_eq!(served(&[1, 1], 100), [50, 50]);
    assert_eq!(served(&[3, 1], 400), [300, 100]);
    assert_eq!(served(&[1, 2, 7], 1_000), [100, 200, 700]);
    let counts = served(&[WEIGHT_MAX, 1], 2_002);
    assert_eq!(counts, [2_000, 2]);
}

#[test]
fn who_comes_late_has_neither_saved_nor_lost_anything() {
    let clock = BEGIN + 1_000_000;
    let turn = next_of_one(clock, BEGIN);
    assert_eq!(turn, clock, "it begins where the others are");
    assert_eq!(next_of_one(clock, after(turn, 1)), clock + 10_000, "and then takes turns");
}

#[test]
fn jobs_of_a_group_wait_one_behind_the_other() {
    let of = |done, ready: &[Rank]| next(BEGIN, done, ready.iter().copied(), 2);
    let (first, second) = (BEGIN, BEGIN + 5_000);
    assert_eq!(of(BEGIN, &[]), first);
    assert_eq!(of(BEGIN, &[first]), second);
    assert_eq!(of(after(first, 2), &[second]), second + 5_000);
    assert_eq!(
        of(BEGIN, &[second]),
        second,
        "the first was cancelled; nobody overtakes the second"
    );
    assert_eq!(next(second + 1, BEGIN, [first, second].into_iter(), 2), second + 1);
}

#[test]
fn cancelling_the_first_again_and_again_leaves_nobody_behind() {
    let mut ready: Vec<Rank> = Vec::new();
    for _ in 0..1_000 {
        ready.push(next(BEGIN, BEGIN, ready.iter().copied(), 1));
        if ready.len() > READY_MAX as usize {
            ready.remove(0);
        }
    }
    assert!(ready.iter().all(|turn| *turn <= BEGIN + i64::from(READY_MAX) * 10_000), "{ready:?}");
}

#[test]
fn turns_are_never_taken_for_instants() {
    assert!(is_turn(BEGIN) && is_turn(after(END - 1, 1)) && is_turn(after(i64::MIN, 0)));
    assert!(!is_turn(crate::rank::fifo(crate::Timestamp::ZERO, 10, crate::rank::AGING_DEFAULT)));
    let years = (END - BEGIN) / 10_000 / (5_000_000_000 * 365);
    assert!(years > 100, "{years}");
}
