//! Small calls that come at the same moment go to the database together, and each is answered as if
//! it had come alone.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use support::jobs::{Hand, complete, job, name, open, report, state_of, url_of};
use support::random::Random;
use taskwright_core::{JobId, Name, NewJob, StateName};
use taskwright_postgres::PostgresStore;
use taskwright_store::{
    Claim, ClaimedJob, ErrorKind, Insert, Inserted, Outcome, Profile, Reported, Result, Store,
};
use taskwright_testbed::{Schema, available, fresh_schema};

/// So many call at once; but for the first few, their calls wait for each other.
const CALLERS: usize = 60;

fn schema(test: &str) -> Option<Schema> {
    available(&format!("postgres_gather::{test}"), fresh_schema())
}

async fn insert(store: &dyn Store, jobs: Vec<NewJob>) -> Vec<JobId> {
    let ids = jobs.iter().map(|job| job.id).collect();
    let answers = store.insert(Insert { jobs, partial: false }).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Inserted::New { .. })), "{answers:?}");
    ids
}

/// Makes all these claims at the same moment; their answers in the same order.
async fn at_once(store: &Arc<PostgresStore>, claims: Vec<Claim>) -> Vec<Result<Vec<ClaimedJob>>> {
    let claim = |claim: Claim| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.claim(claim).await })
    };
    let calls: Vec<_> = claims.into_iter().map(claim).collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

fn tokens(jobs: &[ClaimedJob]) -> Vec<(JobId, taskwright_core::Token)> {
    jobs.iter().map(|job| (job.id, job.token)).collect()
}

#[tokio::test]
async fn claims_at_once_give_no_worker_more_than_fits() {
    let Some(schema) = schema("costs") else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let mut there = 0;
    let jobs = (0..200).map(|_| {
        let cost = 1 + random.below(3) as u32;
        there += cost as usize;
        let job = job(random.job_id());
        NewJob { extras: job.extras.clone().with_cost(cost).unwrap(), ..job }
    });
    insert(&*store, jobs.collect()).await;
    let mut hands: Vec<Hand> = (0..CALLERS).map(|_| Hand::new(&mut random)).collect();
    let mut given = 0;
    for _ in 0..4 {
        let claims: Vec<Claim> = hands
            .iter_mut()
            .map(|hand| {
                let claim = hand.claim(1 + random.below(5) as usize, Duration::ZERO);
                let mut profile = Profile::clone(&claim.profile);
                profile.labels.set_slots(5).unwrap();
                Claim { profile: Arc::new(profile), ..claim }
            })
            .collect();
        for (claim, answer) in claims.iter().zip(at_once(&store, claims.clone()).await) {
            let jobs = answer.unwrap();
            let taken: usize = jobs.iter().map(|job| job.extras.slots() as usize).sum();
            assert!(taken <= claim.max, "{taken} slots for {}", claim.max);
            given += taken;
        }
    }
    assert!(given > there / 2 && given <= there, "{given} of {there}");
}

#[tokio::test]
async fn claims_at_once_share_what_there_is_and_can_be_repeated() {
    let Some(schema) = schema("share") else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let mut hands: Vec<Hand> = (0..CALLERS).map(|_| Hand::new(&mut random)).collect();
    for round in 0..5 {
        let there: HashSet<JobId> = {
            let jobs = (0..100).map(|_| NewJob {
                task: name(&format!("task-{}", random.below(4))),
                ..job(random.job_id())
            });
            insert(&*store, jobs.collect()).await.into_iter().collect()
        };
        let claims: Vec<Claim> = hands
            .iter_mut()
            .map(|hand| hand.claim(1 + random.below(3) as usize, Duration::ZERO))
            .collect();
        let mut given: Vec<Vec<ClaimedJob>> =
            at_once(&store, claims.clone()).await.into_iter().map(Result::unwrap).collect();
        let mut seen = HashSet::new();
        for (claim, jobs) in claims.iter().zip(&given) {
            assert!(jobs.len() <= claim.max, "round {round}");
            assert!(jobs.is_sorted_by_key(|job| job.seq), "round {round}");
            assert!(jobs.iter().all(|job| there.contains(&job.id) && seen.insert(job.id)));
        }
        assert!(!seen.is_empty(), "round {round}");

        // Repetitions, and between them claims whose number is too low.
        let again: Vec<Claim> = claims
            .iter()
            .enumerate()
            .map(|(place, claim)| match place % 7 {
                6 => Claim { seq: 0, ..claim.clone() },
                _ => claim.clone(),
            })
            .collect();
        for (place, answer) in at_once(&store, again).await.into_iter().enumerate() {
            match place % 7 {
                6 => assert_eq!(answer.unwrap_err().kind, ErrorKind::Invalid),
                // A claim that gave no jobs, as others were about to take them, may find some now.
                _ if given[place].is_empty() => {
                    given[place] = answer.unwrap();
                    assert!(given[place].iter().all(|job| seen.insert(job.id)), "round {round}");
                }
                _ => assert_eq!(tokens(&answer.unwrap()), tokens(&given[place]), "round {round}"),
            }
        }

        let rest = Hand::new(&mut random).take(&*store, 1_000, Duration::ZERO).await;
        assert_eq!(rest.len(), there.len() - seen.len(), "round {round}");
        complete(&*store, &rest).await;
        for jobs in &given {
            complete(&*store, jobs).await;
        }
    }
}

#[tokio::test]
async fn claims_at_once_obey_pauses_and_serve_those_who_wait() {
    let Some(schema) = schema("wait") else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let namespace = Name::default_name();
    let pause = |paused| {
        let (namespace, queue) = (namespace.clone(), Name::default_name());
        vec![match paused {
            true => taskwright_store::Command::Pause { namespace, queue },
            false => taskwright_store::Command::Resume { namespace, queue },
        }]
    };
    let jobs = (0..CALLERS).map(|_| job(random.job_id())).collect();
    let there = insert(&*store, jobs).await;
    store.control("test", pause(true)).await.unwrap();
    let mut hands: Vec<Hand> = (0..CALLERS).map(|_| Hand::new(&mut random)).collect();
    let claims = hands.iter_mut().map(|hand| hand.claim(1, Duration::ZERO)).collect();
    assert!(at_once(&store, claims).await.into_iter().all(|jobs| jobs.unwrap().is_empty()));
    let claims = hands.iter_mut().map(|hand| hand.claim(1, Duration::from_secs(30))).collect();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { at_once(&store, claims).await }
    });
    store.control("test", pause(false)).await.unwrap();
    let given: Vec<JobId> =
        waiting.await.unwrap().into_iter().flat_map(Result::unwrap).map(|job| job.id).collect();
    assert_eq!(given.iter().collect::<HashSet<_>>(), there.iter().collect());
    assert_eq!(given.len(), there.len());
}

#[tokio::test]
async fn reports_at_once_are_answered_each_for_itself() {
    let Some(schema) = schema("reports") else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let jobs = (0..CALLERS).map(|_| job(random.job_id())).collect();
    insert(&*store, jobs).await;
    let claimed = Hand::new(&mut random).take(&*store, CALLERS, Duration::ZERO).await;
    assert_eq!(claimed.len(), CALLERS);
    // Each job twice; every fifth with a token that is not its own, or unknown altogether.
    let calls: Vec<_> = (0..2 * CALLERS)
        .map(|call| {
            let (place, store) = (call % CALLERS, Arc::clone(&store));
            let (job, mut token) = (&claimed[place], claimed[place].token);
            let mut id = job.id;
            match place % 5 {
                3 => token.attempt += 1,
                4 => id = JobId::from_u128(call as u128),
                _ => {}
            }
            let outcome = Outcome::Completed { result: None };
            let reports = vec![report(id, token, outcome)];
            tokio::spawn(async move { (place, store.report(reports).await.unwrap()) })
        })
        .collect();
    let mut answers: HashMap<usize, Vec<Reported>> = HashMap::new();
    for call in calls {
        let (place, answer) = call.await.unwrap();
        assert_eq!(answer.len(), 1);
        answers.entry(place).or_default().extend(answer);
    }
    let applied = Reported::Applied { state: StateName::Completed };
    for (place, answers) in answers {
        let state = state_of(&*store, claimed[place].id).await;
        match place % 5 {
            3 => assert_eq!(answers, [Reported::Stale, Reported::Stale]),
            4 => assert_eq!(answers, [Reported::Unknown, Reported::Unknown]),
            _ => {
                assert!(answers.contains(&applied), "{answers:?}");
                assert!(answers.contains(&Reported::Already), "{answers:?}");
                assert_eq!(state, Some(StateName::Completed));
                continue;
            }
        }
        assert_eq!(state, Some(StateName::Running));
    }
}
