use taskwright_core::{Name, Ordered, Policy, Subject};

use super::*;
use crate::change::More;
use crate::table::tests::samples::*;
use crate::table::{Hold, Table};

/// Jobs inserted after `after`, at most so many.
fn hold(after: Position, rows: usize) -> Hold {
    Hold { after, rows, bytes: usize::MAX }
}

#[test]
fn numbers_survive_packing() {
    let numbers = [0, 0, 1, 127, 128, 300, 1 << 40, u64::MAX];
    assert_eq!(unpacked(&packed(numbers.into_iter())), Some(numbers.to_vec()));
    assert_eq!(unpacked(&[0x80]), None);
    assert_eq!(unpacked(&[0xff; 11]), None);
}

#[test]
fn young_jobs_are_held_back_and_written_once_they_ended() {
    let mut table = table();
    let mut fold = Fold::new();
    fold.push(2, at(1), vec![insert(1, 0), insert(2, 0)]);
    fold.push(3, at(2), vec![insert(3, 0), insert(4, 0)]);
    fold.push(4, at(3), vec![update(2, claimed(2, waiting(2)), More::default())]);
    table.apply_but(&mut fold, hold(0, 10)).unwrap();
    assert_eq!((table.position(), table.whole(), fold.live()), (4, 1, 4));
    assert_eq!(table.look().args(&[1, 2, 3, 4]).unwrap(), [None, None, None, None]);
    assert_eq!((table.held().unwrap().runs, table.next_seq()), (vec![(1, 4)], 5));
    assert_eq!(table.held().unwrap().workers, [0]);

    let done = completed(claimed(2, waiting(2)), 4);
    fold.push(5, at(4), vec![update(2, done, More::default())]);
    table.apply_but(&mut fold, hold(0, 10)).unwrap();
    assert_eq!(table.held().unwrap().runs, [(1, 1), (3, 4)]);
    assert_eq!((table.position(), table.whole(), fold.live()), (5, 1, 3));
    assert_eq!(table.look().kept(2).unwrap().unwrap().vital, done);

    // Too many for the next bound: the oldest are written as they are.
    fold.push(6, at(5), vec![update(2, done, More::default())]);
    table.apply_but(&mut fold, hold(0, 2)).unwrap();
    assert_eq!((table.position(), table.whole(), fold.live()), (6, 2, 2));
    assert!(table.look().kept(1).unwrap().is_some());

    // Too old.
    table.apply_but(&mut fold, hold(3, 10)).unwrap();
    assert_eq!((table.position(), table.whole(), fold.live()), (6, 6, 0));
    assert_sound(&mut table);
}

#[test]
fn a_replay_takes_what_is_lacking_and_nothing_else() {
    let mut table = table();
    let groups = [
        (2, vec![insert(1, 0), insert(2, 0)]),
        (3, vec![update(1, claimed(1, waiting(1)), More::default())]),
        (4, vec![update(1, completed(claimed(1, waiting(1)), 3), More::default())]),
        (5, vec![update(2, claimed(2, waiting(2)), More::default()), insert(3, 0)]),
    ];
    let mut fold = Fold::new();
    for (position, changes) in groups.clone() {
        fold.push(position, at(1), changes);
    }
    table.apply_but(&mut fold, hold(0, 10)).unwrap();
    let held = table.held().unwrap();
    assert_eq!((held.whole(), &held.runs[..]), (1, &[(2, 3)][..]));

    let mut again = Fold::new();
    for (position, mut changes) in groups {
        held.keep(position, &mut changes);
        again.push(position, at(1), changes);
        assert_eq!(table.is_ahead_of(&again), position < 5);
    }
    assert_eq!(again.changes(), 3);
    table.apply(&mut again).unwrap();
    assert_eq!((table.position(), table.whole()), (5, 5));
    assert_eq!(table.look().kept(2).unwrap().unwrap().vital, claimed(2, waiting(2)));
    assert_sound(&mut table);
}

#[test]
fn a_table_of_format_1_is_upgraded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut table = Table::open(&path, 1).unwrap();
    apply(&mut table, names());
    apply(&mut table, vec![insert(1, 0)]);
    drop(table);
    let old = Connection::open(&path).unwrap();
    let newer = ["held", "timed_holds", "policies", "arrivals", "turns", "documents"];
    let drops: String = newer.map(|table| format!("DROP TABLE {table};")).concat();
    old.execute_batch("DROP VIEW job; ALTER TABLE lanes DROP COLUMN requires;").unwrap();
    old.execute_batch(&format!("{drops} PRAGMA user_version = 1;")).unwrap();
    drop(old);
    let mut table = Table::open(&path, 1).unwrap();
    assert_eq!((table.position(), table.whole()), (2, 2));
    let requires = table.connection.query_row("SELECT requires FROM job", [], |row| row.get(0));
    assert_eq!(requires, Ok(String::new()), "what jobs of older tables require");
    assert_eq!(table.held().unwrap(), Held { position: 2, whole: 2, ..Held::default() });
    apply(&mut table, vec![insert(2, 0)]);
    assert_sound(&mut table);
}

#[test]
fn a_table_of_format_4_is_upgraded_with_its_policies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    drop(Table::open(&path, 1).unwrap());
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "DROP TABLE turns; ALTER TABLE policies DROP COLUMN fair;
         ALTER TABLE policies DROP COLUMN weight; ALTER TABLE policies DROP COLUMN waiting;
         ALTER TABLE policies DROP COLUMN retry_count; ALTER TABLE policies DROP COLUMN retry_burst;
         ALTER TABLE policies DROP COLUMN retry_period_ms; ALTER TABLE policies DROP COLUMN ordered;
         ALTER TABLE policies DROP COLUMN strict;
         INSERT INTO policies VALUES ('default', 'queue', 'mail', '', 5, NULL, NULL, NULL);
         PRAGMA user_version = 4;",
    )
    .unwrap();
    drop(old);
    let table = Table::open(&path, 1).unwrap();
    let policy =
        table.connection.query_row("SELECT concurrency, fair, weight FROM policies", [], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, bool>(1)?, row.get::<_, Option<u32>>(2)?))
        });
    assert_eq!(policy, Ok((5, false, None)));
    let turns = table.connection.query_row("SELECT count(*) FROM turns", [], |row| row.get(0));
    assert_eq!(turns, Ok(0));
}

#[test]
fn a_table_of_format_5_is_upgraded_with_its_policies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    drop(Table::open(&path, 1).unwrap());
    let old = Connection::open(&path).unwrap();
    let newer = ["retry_count", "retry_period_ms", "retry_burst", "waiting", "ordered", "strict"];
    let drops = newer.map(|column| format!("ALTER TABLE policies DROP COLUMN {column};")).concat();
    old.execute_batch(&drops).unwrap();
    old.execute_batch(
        "INSERT INTO policies VALUES ('default', 'queue', 'mail', '', 5, NULL, NULL, NULL, 1, NULL);
         INSERT INTO turns VALUES (1, 1, 7);
         PRAGMA user_version = 5;",
    )
    .unwrap();
    drop(old);
    let table = Table::open(&path, 1).unwrap();
    let policies = crate::table::limits::policies(&table.connection).unwrap();
    let queue = Subject::Queue(Name::new("mail").unwrap());
    let policy = Policy { concurrency: Some(5), fair: true, ..Policy::default() };
    assert_eq!(policies.len(), 1);
    assert_eq!((&policies[0].subject, policies[0].policy), (&queue, Some(policy)));
    let turns = table.connection.query_row("SELECT count(*) FROM turns", [], |row| row.get(0));
    assert_eq!(turns, Ok(1), "whose turn it is, is kept");
}

#[test]
fn a_table_of_format_6_is_upgraded_with_its_policies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    drop(Table::open(&path, 1).unwrap());
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "ALTER TABLE policies DROP COLUMN strict;
         INSERT INTO policies VALUES ('default', 'key', '', 'k', NULL, NULL, NULL, NULL, 0, NULL,
             NULL, NULL, NULL, NULL, 'skip');
         PRAGMA user_version = 6;",
    )
    .unwrap();
    drop(old);
    let table = Table::open(&path, 1).unwrap();
    let policies = crate::table::limits::policies(&table.connection).unwrap();
    let policy = Policy { ordered: Some(Ordered::Skip), ..Policy::default() };
    assert_eq!(policies.len(), 1);
    assert_eq!(
        (&policies[0].subject, policies[0].policy),
        (&Subject::Key("k".into()), Some(policy))
    );
}
