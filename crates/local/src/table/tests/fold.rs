use super::*;
use crate::table::tests::samples::*;
use taskwright_core::{JobError, Json, limits};

#[test]
fn a_life_within_a_fold_is_one_row() {
    let mut fold = Fold::new();
    let running = claimed(1, waiting(1));
    fold.push(1, at(1), vec![insert(1, 0), insert(2, 0)]);
    fold.push(2, at(2), vec![update(1, running, More::default())]);
    fold.push(3, at(3), vec![update(1, completed(running, 3), More::default())]);
    assert_eq!((fold.rows(), fold.changes(), fold.position()), (2, 4, 3));
    assert_eq!(fold.inserted[0].patch.vital, Some(completed(running, 3)));
    assert_eq!(fold.inserted[1].patch.vital, Some(waiting(2)));
    assert!(fold.updated.is_empty());
}

#[test]
fn later_words_win_and_silence_keeps_the_earlier_ones() {
    let mut fold = Fold::new();
    let error = Some(JobError::new("error", "no"));
    let first = More { error: error.clone(), checkpoint: Some(json("1")), ..More::default() };
    let second = More { checkpoint: Some(json("2")), ..More::default() };
    fold.push(1, at(1), vec![update(5, waiting(5), first), update(5, waiting(5), second)]);
    let patch = &fold.updated[&5];
    let more = patch.more.as_ref().unwrap();
    assert_eq!((more.error.clone(), more.checkpoint.clone()), (error, Some(json("2"))));
}

#[test]
fn attempts_gather_and_the_middle_ones_go() {
    let mut fold = Fold::new();
    for attempt in 1..=40 {
        let more = More { attempt: Some(failed_attempt(attempt)), ..More::default() };
        fold.push(attempt.into(), at(1), vec![update(5, waiting(5), more)]);
    }
    let kept: Vec<_> = fold.updated[&5].attempts.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(kept, (1..=5).chain(21..=40).collect::<Vec<_>>());
    assert_eq!(kept.len(), limits::ATTEMPTS_KEPT_FIRST + limits::ATTEMPTS_KEPT_LAST);
}

#[test]
fn numbers_with_gaps_are_found_too() {
    let mut fold = Fold::new();
    fold.push(1, at(1), [3, 4, 9, 12].map(|seq| insert(seq, 0)).into());
    let found: Vec<_> = (1..14).filter_map(|seq| Some((seq, fold.find(seq)?))).collect();
    assert_eq!(found, [(3, 0), (4, 1), (9, 2), (12, 3)]);
}

#[test]
fn a_fold_knows_the_last_claim_of_each_worker() {
    let mut fold = Fold::new();
    let first = claimed(1, waiting(1));
    fold.push(1, at(1), vec![insert(1, 0), update(1, first, More::default())]);
    fold.push(2, at(2), vec![update(1, completed(first, 2), More::default())]);
    assert_eq!(fold.claims.into_iter().collect::<Vec<_>>(), [(0, 1)]);
}

fn json(text: &str) -> Json {
    Json::from_trusted(text)
}
