use std::collections::HashSet;

use super::*;

#[test]
fn ids_differ_over_many_refills_of_the_pool() {
    let ids = IdSource::default();
    let mut slots = vec![None; 10_000];
    ids.fill(slots.iter_mut()).unwrap();
    let distinct: HashSet<JobId> = slots.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), 10_000);
}

#[test]
fn ids_that_were_chosen_stay() {
    let ids = IdSource::default();
    let chosen = JobId::from_u128(7);
    let mut slots = [Some(chosen), None];
    ids.fill(slots.iter_mut()).unwrap();
    assert_eq!(slots[0], Some(chosen));
    assert!(slots[1].is_some_and(|id| id != chosen));
}

#[test]
fn ids_are_uuids_of_version_7_and_now() {
    let before = wall_clock().as_millis();
    let id = IdSource::default().job_id().unwrap();
    let after = wall_clock().as_millis();
    let millis = i64::try_from(id.as_u128() >> 80).unwrap();
    assert!((before..=after).contains(&millis));
    assert_eq!(id.to_string().as_bytes()[14], b'7');
}
