use taskwright_core::{Extras, JobId, Json, State, StateName};

use super::*;
use crate::table::schema::LONG_BYTES;
use crate::table::tests::samples::*;

fn get(table: &mut crate::table::Table, seq: Seq) -> Option<Job> {
    table.look().get(&name("default"), &[id(seq)]).unwrap().remove(0)
}

#[test]
fn a_job_is_shown_whole() {
    let mut table = table();
    let mut fixed = fixed(1, 1);
    fixed.extras = Some(Box::new(extras()));
    let running = claimed(1, waiting(1));
    let result = Json::from_trusted("{\"ok\":true}");
    let more = More {
        attempt: Some(failed_attempt(1)),
        error: failed_attempt(1).error,
        result: Some(result.clone()),
        ..More::default()
    };
    let end = update(1, completed(running, 60), more);
    apply(&mut table, vec![crate::change::Change::Insert(fixed.clone().into(), waiting(1)), end]);
    let job = get(&mut table, 1).unwrap();
    assert_eq!((job.seq, job.id, job.priority, job.timeout_ms), (1, id(1), -3, Some(5_000)));
    assert_eq!((job.queue, job.task), (name("a"), name("y")));
    assert_eq!(job.life, completed(running, 60).life);
    assert_eq!((job.run_at, job.created_at), (at(1), at(1)));
    assert_eq!((job.started_at, job.finished_at), (Some(at(50)), Some(at(60))));
    assert_eq!((job.worker, job.args), (Some(worker(0)), Some(fixed.args)));
    let requires = "gpu".parse().unwrap();
    assert_eq!((job.result, job.extras), (Some(result), Extras { requires, ..extras() }));
    assert_eq!((job.error, job.attempts), (failed_attempt(1).error, vec![failed_attempt(1)]));
}

#[test]
fn a_job_of_another_namespace_is_not_there() {
    let mut table = table();
    apply(&mut table, vec![insert(1, 4)]);
    assert_eq!(get(&mut table, 1), None);
    let ids = [id(1), JobId::from_u128(5)];
    let found = table.look().get(&name("other"), &ids).unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn long_texts_are_read_from_where_they_are() {
    let mut table = table();
    let long = |letter: &str| Json::from_trusted(format!("\"{}\"", letter.repeat(LONG_BYTES)));
    let mut fixed = fixed(1, 0);
    fixed.args = long("a");
    let running = claimed(1, waiting(1));
    let more = More { checkpoint: Some(long("c")), progress: Some(long("p")), ..More::default() };
    apply(&mut table, vec![crate::change::Change::Insert(fixed.into(), waiting(1))]);
    apply(&mut table, vec![update(1, running, more)]);
    let job = get(&mut table, 1).unwrap();
    assert_eq!((job.args, job.result), (Some(long("a")), None));
    assert_eq!((job.checkpoint, job.progress), (Some(long("c")), Some(long("p"))));
    assert_eq!(table.look().args(&[1, 2]).unwrap(), [Some(long("a")), None]);

    let short = Json::from_trusted("1");
    let more = More { checkpoint: Some(short.clone()), result: Some(long("r")), ..More::default() };
    apply(&mut table, vec![update(1, completed(running, 60), more)]);
    let job = get(&mut table, 1).unwrap();
    assert_eq!((job.checkpoint, job.result), (Some(short), Some(long("r"))));
    assert_eq!(job.progress, None, "an ended attempt says nothing");
    assert_sound(&mut table);
}

#[test]
fn numbers_and_words_in_json_stay_texts() {
    let mut table = table();
    for (seq, text) in (1..).zip(["42", "1e3", "\"x\"", "null", "0.10", "-0"]) {
        let mut fixed = fixed(seq, 0);
        fixed.args = Json::from_trusted(text);
        apply(&mut table, vec![crate::change::Change::Insert(fixed.into(), waiting(seq))]);
        assert_eq!(get(&mut table, seq).unwrap().args, Some(Json::from_trusted(text)));
    }
}

#[test]
fn what_belongs_to_a_state_that_is_over_is_not_shown() {
    let mut table = table();
    let running = claimed(1, waiting(1));
    let result = Some(Json::from_trusted("1"));
    let more = More {
        result: result.clone(),
        cancel_reason: Some("enough".into()),
        progress: result.clone(),
        ..More::default()
    };
    let mut cancelling = completed(running, 60);
    cancelling.life.cancel_requested = true;
    apply(&mut table, vec![insert(1, 0), update(1, cancelling, more)]);
    let job = get(&mut table, 1).unwrap();
    assert_eq!((job.result, job.cancel_reason.as_deref()), (result, Some("enough")));

    let mut redriven = waiting(1);
    redriven.life.attempt = 1;
    apply(&mut table, vec![update(1, redriven, More::default())]);
    let job = get(&mut table, 1).unwrap();
    assert_eq!((job.result, job.cancel_reason, job.progress), (None, None, None));
    assert_eq!(job.finished_at, None);
    assert_sound(&mut table);
}

#[test]
fn ids_are_known_while_the_job_is_kept_and_for_a_while_after() {
    let mut table = table();
    apply(&mut table, ended(1, 0, State::Completed, 60).into());
    let [insert, end] = ended(2, 4, dead(), 61);
    apply(&mut table, vec![insert, end, crate::change::Change::Delete(2)]);
    apply(&mut table, ended(3, 0, State::Cancelled, 62).into());
    apply(&mut table, vec![crate::change::Change::Delete(3)]);
    let known = |table: &mut crate::table::Table, namespace: &str| {
        let ids = [id(1), id(2), id(3), id(4)];
        let known = table.look().lookup(&name(namespace), &ids).unwrap();
        known.into_iter().map(|k| k.map(|k| (k.seq, k.state, k.is_kept))).collect::<Vec<_>>()
    };
    let first = Some((1, StateName::Completed, true));
    let third = Some((3, StateName::Cancelled, false));
    assert_eq!(known(&mut table, "default"), [first, None, third, None]);
    let second = Some((2, StateName::Dead, false));
    assert_eq!(known(&mut table, "other"), [None, second, None, None]);
    let ended = table.look().lookup(&name("default"), &[id(3)]).unwrap().remove(0).unwrap();
    assert_eq!((ended.fingerprint, ended.finished_at), (u64::MAX - 3, Some(at(62))));
}
