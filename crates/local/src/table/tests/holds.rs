use taskwright_core::{Extras, Json, StateName, Unique, Until};
use taskwright_store::Retention;

use super::*;
use crate::change::{Change, Rewrite};
use crate::table::tests::samples::*;

fn unique(seq: Seq, until: Until) -> Fixed {
    let unique = Some(Unique { key: format!("key {seq}").into(), until });
    Fixed { extras: Some(Box::new(Extras { unique, ..Extras::default() })), ..fixed(seq, 0) }
}

fn insert_unique(seq: Seq, until: Until) -> Change {
    Change::Insert(unique(seq, until).into(), waiting(seq))
}

/// The end of a job that is waiting.
fn end(seq: Seq) -> Change {
    update(seq, completed(claimed(seq, waiting(seq)), 60), Default::default())
}

fn held(table: &Table) -> Vec<Seq> {
    table.timed_holds().unwrap().into_iter().map(|hold| hold.seq).collect()
}

const AN_HOUR: Until = Until::Elapsed { ms: 3_600_000 };

#[test]
fn holds_of_ended_jobs_are_found_without_a_look_at_the_others() {
    let mut table = table();
    let jobs = [insert_unique(1, AN_HOUR), insert_unique(2, Until::Finished), insert(3, 0)];
    apply(&mut table, jobs.into());
    apply(&mut table, vec![insert_unique(4, AN_HOUR), end(4)]);
    assert_eq!(held(&table), [4], "job 1 has not ended: it says so itself");
    apply(&mut table, vec![end(1), end(2), end(3)]);
    let holds = table.timed_holds().unwrap();
    let first =
        TimedHold { seq: 1, namespace: name("default"), key: "key 1".into(), until: at(1 + 3_600) };
    assert_eq!((&holds[0], holds.len()), (&first, 2));
    apply(&mut table, vec![Change::Delete(4)]);
    assert_eq!(held(&table), [1]);
    assert_sound(&mut table);
}

#[test]
fn a_hold_goes_with_its_job_or_its_time() {
    let mut table = table();
    let jobs = (1..=4).flat_map(|seq| [insert_unique(seq, AN_HOUR), end(seq)]);
    apply(&mut table, jobs.collect());
    let none = Default::default();
    let keep_two = Retention { count: 2, ..Retention::default() };
    let pruned = table.prune(at(100), &keep_two, 100, &none).unwrap();
    assert_eq!(pruned.holds, [(at(1 + 3_600), 1), (at(2 + 3_600), 2)]);
    assert_eq!(held(&table), [3, 4]);
    let pruned = table.prune(at(3 + 3_600), &keep_two, 100, &none).unwrap();
    assert_eq!((pruned.holds.len(), held(&table)), (0, vec![4]));
    assert_sound(&mut table);
}

#[test]
fn a_hold_without_its_job_is_found() {
    let mut table = table();
    apply(&mut table, vec![insert_unique(1, AN_HOUR), end(1)]);
    table.connection.execute("INSERT INTO timed_holds VALUES (99, 1)", []).unwrap();
    let findings = table.look().check().unwrap();
    assert_eq!(findings, ["job number 99 is gone, but the hold of its unique key is kept"]);
}

/// A job that ended is redriven and rewritten and ends again, all in one fold.
#[test]
fn a_rewritten_job_weighs_what_it_has_then() {
    let mut table = table();
    let long = Json::from_trusted(format!("\"{}\"", "x".repeat(10_000)));
    for seq in 1..=2 {
        apply(&mut table, vec![insert_unique(seq, Until::Finished), end(seq)]);
    }
    let given = |seq, args: &Json| {
        let rewrite = Rewrite::of(&fixed(seq, 0), waiting(seq));
        Change::Rewrite(Box::new(Rewrite {
            args: Some(args.clone()),
            tags: Some(vec!["new".into()]),
            ..rewrite
        }))
    };
    let waits = |seq| update(seq, waiting(seq), Default::default());
    apply(&mut table, vec![waits(1), given(1, &long), end(1)]);
    apply(&mut table, vec![waits(2), given(2, &long)]);
    assert_sound(&mut table);
    apply(&mut table, vec![given(2, &Json::null()), end(2)]);
    assert_sound(&mut table);
    assert_eq!(count(&mut table, StateName::Completed), 2);
    let args = table.look().args(&[1, 2]).unwrap();
    assert_eq!(args, [Some(long), Some(Json::null())]);
    let job = table.look().whole(1).unwrap().unwrap();
    assert_eq!(job.extras.tags, ["new".into()]);
    assert_eq!(job.extras.unique, unique(1, Until::Finished).unique().cloned());
}
