use taskwright_core::limits::BATCH_MAX;
use taskwright_core::{Json, StateName, Unique, Until, WorkerId};
use taskwright_store::{Claim, Insert, Profile};

use super::super::{ARGS_BYTES_KEPT, DeadJob, Loaded, Shown, Start};
use super::*;
use crate::change::Position;

/// A table that has no ended jobs.
struct NoArchive;

impl Archive for NoArchive {
    fn by_id(&mut self, _: &Name, _: JobId) -> Result<Option<Archived>> {
        Ok(None)
    }

    fn by_seq(&mut self, _: Seq) -> Result<Option<Archived>> {
        Ok(None)
    }

    fn recall(&mut self, _: &Name, _: JobId) -> Result<Option<Archived>> {
        Ok(None)
    }

    fn dead_with_keys(&mut self) -> Result<Vec<DeadJob>> {
        Ok(Vec::new())
    }

    fn release(&mut self, _: Seq) {}
}

const NOON: Timestamp = Timestamp::from_millis(1_767_268_800_000);

fn empty() -> Ledger {
    let mut ledger = Ledger::new(Start { now: NOON, position: 0, next_seq: 1, seed: 7 });
    ledger.load(Loaded::default()).unwrap();
    ledger
}

fn opened() -> Ledger {
    let mut ledger = empty();
    ledger.resume(1, NOON);
    ledger
}

fn job(number: u64, key: Option<(&str, Until)>) -> NewJob {
    let unique = key.map(|(key, until)| Unique { key: key.into(), until });
    NewJob {
        namespace: Name::default_name(),
        id: JobId::from_u128(number.into()),
        task: Name::new("task").unwrap(),
        queue: Name::default_name(),
        args: Json::from_trusted(number.to_string()),
        priority: 0,
        run_at: None,
        max_attempts: 20,
        timeout_ms: None,
        fingerprint: number,
        on_conflict: OnConflict::Keep,
        extras: Extras { unique, ..Extras::default() },
    }
}

fn insert(ledger: &mut Ledger, jobs: Vec<NewJob>) -> Vec<Inserted> {
    ledger.insert(Insert { jobs, partial: false }, &mut NoArchive).unwrap()
}

fn claim_all(ledger: &mut Ledger, seq: u64) -> Vec<taskwright_store::ClaimedJob> {
    let profile =
        Profile { queues: vec![Name::default_name()], tasks: None, labels: Default::default() };
    let claim = Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(1),
        seq,
        profile: Arc::new(profile),
        max: BATCH_MAX,
        free: Default::default(),
        wait: std::time::Duration::ZERO,
        in_process: false,
    };
    ledger.claim(&claim).unwrap().unwrap_or_default()
}

/// The changes of one group.
fn group(ledger: &mut Ledger, position: Position, act: impl FnOnce(&mut Ledger)) -> Vec<Change> {
    ledger.begin(position, NOON, Shown { ended: 0, all: 0 }, false);
    act(ledger);
    ledger.take_changes(Vec::new).0
}

fn holders(ledger: &Ledger) -> Vec<(&str, Seq)> {
    ledger.keys().map(|(_, key, seq)| (key, seq)).collect()
}

#[test]
fn a_call_is_refused_whole_by_what_its_own_items_would_do() {
    let mut ledger = opened();
    let key = Some(("key", Until::Finished));
    let refusing = |number| NewJob { on_conflict: OnConflict::Refuse, ..job(number, key) };
    // The first is a duplicate, so its id stays free for the third.
    insert(&mut ledger, vec![job(1, key)]);
    let other = NewJob { fingerprint: 77, ..job(2, None) };
    let answers = insert(&mut ledger, vec![job(2, key), refusing(3), other.clone()]);
    let taken = Refusal::UniqueTaken { key: "key".into(), holder: JobId::from_u128(1) };
    assert_eq!(answers, [Inserted::Skipped, Inserted::Refused(taken), Inserted::Skipped]);
    assert_eq!(ledger.jobs_in_memory(), 1);

    let answers = insert(&mut ledger, vec![job(2, key), other, refusing(1)]);
    let is_fine = matches!(
        answers[..],
        [Inserted::Duplicate { .. }, Inserted::New { seq: 2 }, Inserted::Existing { seq: 1, .. }]
    );
    assert!(is_fine, "{answers:?}");
    let conflict = Inserted::Refused(Refusal::IdConflict(JobId::from_u128(2)));
    let answers = insert(&mut ledger, vec![job(5, Some(("5", Until::Claimed))), job(2, None)]);
    assert_eq!(answers, [Inserted::Skipped, conflict]);
}

#[test]
fn plain_jobs_leave_nothing_in_the_index_of_keys() {
    let mut ledger = opened();
    insert(&mut ledger, (1..=100).map(|number| job(number, None)).collect());
    claim_all(&mut ledger, 1);
    assert_eq!(holders(&ledger), []);
    assert!(ledger.keys.unsettled.is_empty());
}

/// Groups come back in another order where a job was held back: first all that the table has.
#[test]
fn who_holds_a_key_is_settled_once_all_groups_are_back() {
    let mut ledger = opened();
    let key = Some(("key", Until::Claimed));
    let first = group(&mut ledger, 1, |ledger| drop(insert(ledger, vec![job(1, key)])));
    let second = group(&mut ledger, 2, |ledger| {
        assert_eq!(claim_all(ledger, 1).len(), 1);
    });
    let third = group(&mut ledger, 3, |ledger| drop(insert(ledger, vec![job(2, key)])));
    assert_eq!(holders(&ledger), [("key", 2)]);

    let is_of_a_job = |change: &Change| matches!(change, Change::Insert(..) | Change::Update(_));
    let (jobs, facts): (Vec<_>, Vec<_>) =
        [&first[..], &second, &third].concat().into_iter().partition(is_of_a_job);
    let [one @ .., two] = &jobs[..] else { panic!("{jobs:?}") };
    let mut back = empty();
    for changes in [&facts[..], std::slice::from_ref(two), one] {
        back.replay(3, NOON, changes, &mut NoArchive).unwrap();
    }
    back.resume(2, NOON);
    assert_eq!(holders(&back), [("key", 2)]);
}

#[test]
fn holds_of_ended_jobs_come_back_until_their_time() {
    let mut ledger = Ledger::new(Start { now: NOON, position: 0, next_seq: 3, seed: 7 });
    let hold = |seq, seconds| TimedHold {
        seq,
        namespace: Name::default_name(),
        key: format!("key {seq}").into(),
        until: NOON.plus(std::time::Duration::from_secs(seconds)),
    };
    ledger.load(Loaded { holds: vec![hold(1, 0), hold(2, 10)], ..Loaded::default() }).unwrap();
    ledger.resume(1, NOON);
    assert_eq!(holders(&ledger), [("key 2", 2)]);
    // The table has pruned the job meanwhile: then nobody holds the key.
    let answers = insert(&mut ledger, vec![job(9, Some(("key 2", Until::Finished)))]);
    assert_eq!(answers, [Inserted::New { seq: 3 }]);
    ledger.pruned(&[], &[(hold(2, 10).until, 2)], &[], 0);
    assert_eq!(holders(&ledger), [("key 2", 3)]);
}

#[test]
fn new_args_stay_in_memory_until_the_table_has_them() {
    const COUNT: u64 = 20;
    let big = |number: u64| {
        Json::from_trusted(format!("\"{}{}\"", number % 10, "x".repeat(ARGS_BYTES_KEPT / 10)))
    };
    let mut ledger = opened();
    group(&mut ledger, 1, |ledger| {
        let keyed = |number| {
            let key = format!("key {number}");
            NewJob { args: big(number), ..job(number, Some((&key, Until::Finished))) }
        };
        insert(ledger, (1..=COUNT).map(keyed).collect());
    });
    let replacing = |number: u64| {
        let on_conflict = OnConflict::Replace(Replace::throttle());
        let key = format!("key {number}");
        NewJob { on_conflict, args: big(0), ..job(100 + number, Some((&key, Until::Finished))) }
    };
    group(&mut ledger, 2, |ledger| {
        let answers = insert(ledger, vec![replacing(1), replacing(2)]);
        let is_replaced =
            |answer: &Inserted| matches!(answer, Inserted::Duplicate { replaced: true, .. });
        assert!(answers.iter().all(is_replaced), "{answers:?}");
    });
    let has_args = |ledger: &Ledger, seq: Seq| !ledger.jobs[&seq].fixed.args.is_empty();

    ledger.begin(3, NOON, Shown { ended: 1, all: 1 }, false);
    assert!(ledger.args_bytes() <= ARGS_BYTES_KEPT + 2 * big(0).len(), "memory was short");
    assert!(has_args(&ledger, 1) && has_args(&ledger, 2), "the table has the old ones");
    assert!(!has_args(&ledger, 3));

    let before = ledger.args_bytes();
    ledger.begin(4, NOON, Shown { ended: 2, all: 2 }, false);
    assert!(!has_args(&ledger, 1) && !has_args(&ledger, 2), "now it has the new ones");
    assert_eq!(ledger.args_bytes(), before - 2 * big(0).len());
    let in_memory = ledger.jobs.values().map(|entry| entry.fixed.args.len()).sum::<usize>();
    assert_eq!(ledger.args_bytes(), in_memory);
    assert!(ledger.rewritten.is_empty());
    let claimed = claim_all(&mut ledger, 1);
    assert!(claimed.len() >= 2 && claimed[0].args.is_empty(), "they are read from the table");
}

#[test]
fn a_rewritten_job_is_what_a_replay_makes_of_it() {
    let mut ledger = opened();
    let key = Some(("key", Until::Finished));
    let mut changes = group(&mut ledger, 1, |ledger| drop(insert(ledger, vec![job(1, key)])));
    let all = Replace {
        args: true,
        priority: true,
        run_at: true,
        max_attempts: true,
        timeout: true,
        tags: true,
        ..Replace::default()
    };
    let mut new = job(2, key);
    new.extras.tags = vec!["tag".into()];
    let on_conflict = OnConflict::Replace(all);
    let run_at = Some(NOON.plus(std::time::Duration::from_secs(9)));
    let new =
        NewJob { on_conflict, run_at, priority: 3, max_attempts: 2, timeout_ms: Some(5), ..new };
    changes.extend(group(&mut ledger, 2, |ledger| drop(insert(ledger, vec![new]))));
    let id = JobId::from_u128(1);
    changes.extend(group(&mut ledger, 3, |ledger| {
        let namespace = Name::default_name();
        let answer = ledger.adjust(&namespace, id, Some(-2), None, &mut NoArchive).unwrap();
        assert_eq!(answer, Controlled::Done { state: Some(StateName::Available) });
    }));

    let mut back = empty();
    back.replay(3, NOON, &changes, &mut NoArchive).unwrap();
    back.resume(2, NOON);
    let shown = |ledger: &Ledger| match ledger.get(&Name::default_name(), id) {
        super::super::Found::Here(job) => *job,
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(&back), shown(&ledger));
    let job = shown(&back);
    let fields = (job.priority, job.timeout_ms, job.life.max_attempts, Some(job.run_at));
    assert_eq!(fields, (-2, Some(5), 2, run_at));
    assert_eq!((job.args, job.extras.tags), (Some(Json::from_trusted("2")), vec!["tag".into()]));
}
