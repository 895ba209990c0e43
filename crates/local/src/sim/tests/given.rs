use std::time::Duration;

use taskwright_core::{Name, Place, State};
use taskwright_store::{Clock, Command, Insert, Result};
use tokio::sync::oneshot;

use super::*;
use crate::request::Request;
use crate::sim::store::{Machine, SimStore};

/// How far the table is when the power fails.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Table {
    Empty,
    /// It has the jobs as they were inserted.
    Behind,
    /// It holds the jobs back, as they were inserted.
    HoldsBack,
    /// It has what they were given, perhaps not durably.
    Whole,
}

fn name() -> Name {
    Name::default_name()
}

fn job(number: u128, key: &str, on_conflict: OnConflict) -> NewJob {
    let unique = Some(Unique { key: key.into(), until: Until::Finished });
    NewJob {
        namespace: name(),
        id: JobId::from_u128(number),
        task: name(),
        queue: name(),
        args: Json::from_trusted(format!("[{number}]")),
        priority: number as i8 % 10,
        run_at: None,
        max_attempts: 5,
        timeout_ms: Some(1_000),
        fingerprint: number as u64,
        on_conflict,
        extras: Extras { unique, tags: vec![key.into()], ..Extras::default() },
    }
}

fn ask<T>(store: &mut SimStore, request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request) -> T {
    let (reply, mut answer) = oneshot::channel();
    store.serve(vec![request(reply)]);
    answer.try_recv().expect("an answer").expect("a good one")
}

fn insert(store: &mut SimStore, jobs: Vec<NewJob>) -> Vec<Inserted> {
    ask(store, |reply| Request::Insert(Insert { jobs, partial: false }, reply))
}

/// What is given to a job is acknowledged, so the power may fail.
fn what_was_given_survives(seed: u64, table: Table) {
    let mut random = Random::new(seed);
    let mut machine = Machine::new(&mut random, None).expect("a machine");
    let mut store = machine.open(&mut random).expect("a store");
    let keep = OnConflict::Keep;
    insert(&mut store, vec![job(1, "one", keep), job(2, "two", keep), job(3, "three", keep)]);
    match table {
        Table::Behind => machine.table.apply_all().expect("applied"),
        Table::HoldsBack => machine.table.apply_some(&mut random).expect("applied"),
        Table::Empty | Table::Whole => {}
    }
    let all = Replace {
        args: true,
        priority: true,
        run_at: true,
        max_attempts: true,
        timeout: true,
        tags: true,
        ..Replace::default()
    };
    let in_a_minute = machine.clock.now().plus(Duration::from_secs(60));
    let mut new = job(11, "one", OnConflict::Replace(all));
    new.run_at = Some(in_a_minute);
    new.extras.tags = vec!["given".into()];
    (new.max_attempts, new.timeout_ms) = (9, None);
    let only_args = job(12, "two", OnConflict::Replace(Replace::throttle()));
    insert(&mut store, vec![new, only_args]);
    let command = Command::Adjust {
        namespace: name(),
        id: JobId::from_u128(3),
        priority: Some(-5),
        run_at: Some(in_a_minute),
    };
    let answers = ask(&mut store, |reply| Request::Control("me".into(), vec![command], reply));
    assert_eq!(answers, [Controlled::Done { state: Some(StateName::Available) }]);
    let look = |store: &SimStore| -> Vec<_> {
        let get = |number| store.get(&name(), JobId::from_u128(number)).expect("a look");
        (1..=3).map(|number| get(number).expect("a job")).collect()
    };
    let before = look(&store);
    if table == Table::Whole {
        machine.table.apply_all().expect("applied");
        if random.one_in(2) {
            machine.table.checkpoint().expect("durable");
        }
    }
    drop(store);

    machine.crash(&mut random).expect("a crash");
    let mut store = machine.open(&mut random).expect("a store");
    let after = look(&store);
    assert_eq!(after, before, "seed {seed}, table {table:?}");
    // The table says the same.
    machine.table.apply_all().expect("applied");
    for job in &after {
        let found = machine.table.get(&name(), job.id).expect("a look");
        assert_eq!(found.as_ref(), Some(job), "seed {seed}, table {table:?}");
    }
    check_keys(store.ledger(), &after).expect("sound keys");
    let answers = insert(&mut store, vec![job(21, "one", keep)]);
    let is_taken = matches!(answers[..], [Inserted::Duplicate { seq: 1, replaced: false, .. }]);
    assert!(is_taken, "{answers:?}");

    let [first, second, third] = &after[..] else { panic!("{after:?}") };
    assert_eq!(first.state(), State::Available(Place::Until(in_a_minute)));
    let fields = (first.priority, first.timeout_ms, first.life.max_attempts);
    assert_eq!((fields, &*first.extras.tags), ((1, None, 9), &["given".into()][..]));
    let fields = (second.priority, second.timeout_ms, second.life.max_attempts);
    assert_eq!((fields, &*second.extras.tags), ((2, Some(1_000), 5), &["two".into()][..]));
    let args = [first, second, third].map(|job| job.args.clone().expect("args").to_string());
    assert_eq!(args, ["[11]", "[12]", "[3]"]);
    assert_eq!((third.priority, third.run_at), (-5, in_a_minute));
}

#[test]
fn what_a_waiting_job_was_given_survives_a_crash() {
    for table in [Table::Empty, Table::Behind, Table::HoldsBack, Table::Whole] {
        for seed in 0..50 {
            what_was_given_survives(seed, table);
        }
    }
}
