use std::time::Duration;

use taskwright_core::{Json, State};

use super::*;
use crate::change::{Change, More};
use crate::table::Checkpoint;
use crate::table::tests::samples::*;

const KEEP_ALL: Retention = Retention {
    age: Duration::from_secs(1_000_000),
    dead_age: Duration::from_secs(1_000_000),
    count: u64::MAX,
    bytes: u64::MAX,
};

fn prune(table: &mut Table, seconds: i64, retention: &Retention) -> Vec<u128> {
    let pruned = table.prune(at(seconds), retention, 1_000, &FxHashSet::default()).unwrap();
    assert_sound(table);
    pruned.ids.iter().map(|pruned| pruned.as_u128() - id(0).as_u128()).collect()
}

/// Completed jobs 1 to 5 that ended at seconds 50 down to 10, dead jobs 6 to 8 at 60 to 80, live 9.
fn filled() -> Table {
    let mut table = table();
    for (seq, seconds) in (1..=5).zip([50, 40, 30, 20, 10]) {
        apply(&mut table, ended(seq, (seq % 4) as u32, State::Completed, seconds).into());
    }
    for (seq, seconds) in (6..=8).zip([60, 70, 80]) {
        apply(&mut table, ended(seq, 0, dead(), seconds).into());
    }
    apply(&mut table, vec![insert(9, 0)]);
    table
}

#[test]
fn young_and_few_jobs_stay() {
    assert_eq!(prune(&mut filled(), 100, &KEEP_ALL), [] as [u128; 0]);
}

#[test]
fn old_jobs_go_oldest_end_first() {
    let mut table = filled();
    let retention = Retention { age: Duration::from_secs(70), ..KEEP_ALL };
    assert_eq!(prune(&mut table, 100, &retention), [5, 4, 3]);
    assert_eq!(count(&mut table, StateName::Completed), 2);
    let retention = Retention { dead_age: Duration::from_secs(40), ..KEEP_ALL };
    assert_eq!(prune(&mut table, 100, &retention), [6]);
}

#[test]
fn a_job_goes_when_its_age_is_reached() {
    let mut table = filled();
    let retention = Retention { age: Duration::from_secs(90), ..KEEP_ALL };
    assert_eq!(prune(&mut table, 99, &retention), [] as [u128; 0]);
    assert_eq!(prune(&mut table, 100, &retention), [5]);
}

#[test]
fn each_kind_is_counted_for_itself() {
    let mut table = filled();
    let pruned = prune(&mut table, 100, &Retention { count: 2, ..KEEP_ALL });
    assert_eq!(pruned, [5, 4, 3, 6]);
    assert_eq!((table.head.ended.jobs, table.head.dead.jobs), (2, 2));
    assert_eq!(prune(&mut table, 100, &Retention { count: 0, ..KEEP_ALL }), [2, 1, 7, 8]);
    assert_eq!(count(&mut table, StateName::Available), 1, "live jobs stay");
}

#[test]
fn texts_are_weighed() {
    let mut table = table();
    for seq in 1..=4 {
        let more = More { result: Some(Json::from_trusted("\"12345678\"")), ..More::default() };
        let vital = completed(claimed(seq, waiting(seq)), seq as i64);
        apply(&mut table, vec![insert(seq, 0), update(seq, vital, more)]);
    }
    // 7 bytes of args and 10 of result each.
    assert_eq!(table.head.ended.bytes, 4 * 17);
    assert_eq!(prune(&mut table, 100, &Retention { bytes: 2 * 17, ..KEEP_ALL }), [1, 2]);
    assert_eq!(prune(&mut table, 100, &Retention { bytes: 2 * 17 - 1, ..KEEP_ALL }), [3]);
}

#[test]
fn it_stops_at_its_limit_and_says_so() {
    let mut table = filled();
    let nothing = Retention { count: 0, ..KEEP_ALL };
    let first = table.prune(at(100), &nothing, 6, &FxHashSet::default()).unwrap();
    assert!(first.more);
    assert_eq!(first.counts.iter().map(|(.., count)| count).sum::<u64>(), 6);
    let second = table.prune(at(100), &nothing, 6, &FxHashSet::default()).unwrap();
    assert_eq!((second.ids.len(), second.more), (2, false));
    assert_eq!(second.counts, [(0, StateName::Dead, 2)]);
}

#[test]
fn spared_jobs_stay() {
    let mut table = filled();
    let nothing = Retention { count: 0, ..KEEP_ALL };
    let spared = [4, 7].into_iter().collect();
    let pruned = table.prune(at(100), &nothing, 1_000, &spared).unwrap();
    assert_eq!(pruned.ids, [5, 3, 2, 1, 6, 8].map(id));
}

#[test]
fn attempts_and_long_texts_go_with_their_job() {
    let mut table = table();
    let long = Json::from_trusted(format!("\"{}\"", "x".repeat(9_000)));
    let more = More {
        attempt: Some(failed_attempt(1)),
        error: failed_attempt(1).error,
        checkpoint: Some(long.clone()),
        ..More::default()
    };
    let mut fixed = fixed(1, 0);
    fixed.args = long;
    let [_, Change::Update(end)] = ended(1, 0, dead(), 60) else { unreachable!() };
    let end = update(1, end.vital, more);
    apply(&mut table, vec![Change::Insert(fixed.into(), waiting(1)), end]);
    assert_sound(&mut table);
    assert_eq!(prune(&mut table, 100, &Retention { count: 0, ..KEEP_ALL }), [1]);
    let rows = |table: &Table, name: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {name}");
        table.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(
        ["jobs", "payload", "attempts", "ended"].map(|name| rows(&table, name)),
        [0, 0, 0, 1]
    );
    assert_eq!((table.head.dead, table.head.ended), (Tally::default(), Tally::default()));
}

#[test]
fn ids_are_forgotten_when_their_window_is_over() {
    let mut table = filled();
    let nothing = Retention { count: 0, ..KEEP_ALL };
    prune(&mut table, 100, &nothing);
    let known = |table: &mut Table| {
        let ids: Vec<_> = (1..=8).map(id).collect();
        let known = table.look().lookup(&name("default"), &ids).unwrap();
        known.into_iter().flatten().map(|known| known.seq).collect::<Vec<_>>()
    };
    assert_eq!(known(&mut table), [1, 2, 3, 4, 5, 6, 7, 8]);
    let window = limits::ID_WINDOW.as_secs() as i64;
    prune(&mut table, 30 + window, &nothing);
    assert_eq!(known(&mut table), [1, 2, 6, 7, 8]);
    prune(&mut table, 80 + window, &nothing);
    assert_eq!((known(&mut table), table.head.gone), (vec![], 0));
}

#[test]
fn an_id_whose_window_is_over_is_not_even_noted() {
    let mut table = filled();
    let window = limits::ID_WINDOW.as_secs() as i64;
    let late = 10 + window;
    prune(&mut table, late, &Retention { count: 4, ..KEEP_ALL });
    assert_eq!(table.look().lookup(&name("default"), &[id(5)]).unwrap(), [None]);
}

#[test]
fn space_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut table = Table::open(&path, 1).unwrap();
    apply(&mut table, names());
    for first in (1..=60_000).step_by(20_000) {
        let lives = (first..first + 20_000).flat_map(|seq| ended(seq, 0, State::Completed, 1));
        apply(&mut table, lives.collect());
    }
    table.checkpoint(Checkpoint::Passive).unwrap();
    let kept = FREE_PAGES_KEPT as u64 * super::super::schema::PAGE_BYTES;
    let size = || std::fs::metadata(&path).unwrap().len();
    let full = size();
    assert!(full > 2 * kept, "{full} bytes");
    let late = HOUR.as_secs() as i64;
    let nothing = Retention { count: 0, ..KEEP_ALL };
    while table.prune(at(late), &nothing, 10_000, &FxHashSet::default()).unwrap().more {}
    while table.give_back(256).unwrap() {}
    table.checkpoint(Checkpoint::Passive).unwrap();
    assert!(size() < kept + (1 << 20), "{} of {full} bytes are left", size());
    assert_sound(&mut table);
}
