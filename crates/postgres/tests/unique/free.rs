//! Jobs without unique keys never touch the table of those that have them.

use std::time::Duration;

use taskwright_core::{Extras, JobError, Name, NewJob, Unique, Until};
use taskwright_store::{Command, Insert, Outcome, Retry, Store};
use taskwright_testbed::{Schema, available, fresh_schema};

use crate::support::jobs::{Hand, complete, job, open, report, url_of};
use crate::support::random::Random;

/// A hold that makes every statement fail that looks for, takes or frees a key.
const GUARD: &str = "alter table hold rename to held_back";

fn holds(schema: &Schema) -> String {
    schema.psql("select string_agg(key, ' ' order by key) from hold").unwrap()
}

#[tokio::test]
async fn plain_jobs_never_touch_the_holds() {
    let Some(schema) = available("postgres_unique::plain", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let mut hand = Hand::new(&mut random);
    // Without its table, whatever as much as names it fails.
    schema.psql(GUARD).unwrap();

    let jobs: Vec<NewJob> = (0..6).map(|_| job(random.job_id())).collect();
    store.insert(Insert { jobs: jobs[..1].to_vec(), partial: false }).await.unwrap();
    store.insert(Insert { jobs: jobs[1..].to_vec(), partial: false }).await.unwrap();
    let claimed = hand.take(&*store, 5, Duration::ZERO).await;
    assert_eq!(claimed.len(), 5);
    complete(&*store, &claimed[..3]).await;
    let error = JobError::new("error", "again");
    let failed = Outcome::Failed { error: error.clone(), retry: Retry::After(Duration::ZERO) };
    let last = Outcome::Failed { error, retry: Retry::Never };
    let reports = [(&claimed[3], failed), (&claimed[4], last)];
    let reports = reports.map(|(job, outcome)| report(job.id, job.token, outcome));
    store.report(reports.to_vec()).await.unwrap();
    let (namespace, id) = (Name::default_name(), jobs[5].id);
    let cancel = Command::Cancel { namespace, id, reason: "enough".into() };
    store.control("test", vec![cancel]).await.unwrap();
    assert_eq!(schema.psql("select count(*) from job where state = 1").unwrap(), "1");
}

#[tokio::test]
async fn holds_go_with_what_ends_them() {
    let Some(schema) = available("postgres_unique::ends", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let mut hand = Hand::new(&mut random);
    let hour = Until::Elapsed { ms: 3_600_000 };
    // Some keys are not as texts of the database are.
    let keys = [("claimed", Until::Claimed), ("finished", Until::Finished), ("ho\\ur\0", hour)];
    let jobs = keys.map(|(key, until)| {
        let unique = Some(Unique { key: key.into(), until });
        NewJob { extras: Extras { unique, ..Extras::default() }, ..job(random.job_id()) }
    });
    let ids = jobs.clone().map(|job| job.id);
    store.insert(Insert { jobs: jobs.to_vec(), partial: false }).await.unwrap();
    assert_eq!(holds(&schema), "claimed finished ho\\\\ur\\0");
    let claimed = hand.take(&*store, 3, Duration::ZERO).await;
    assert_eq!(holds(&schema), "finished ho\\\\ur\\0");
    complete(&*store, &claimed).await;
    assert_eq!(holds(&schema), "ho\\\\ur\\0");
    let delete = Command::Delete { namespace: Name::default_name(), id: ids[2] };
    store.control("test", vec![delete]).await.unwrap();
    assert_eq!(holds(&schema), "");
}
