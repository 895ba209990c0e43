//! Jobs with unique keys that come by `taskwright.enqueue`: the key counts when they are taken in.

use taskwright_core::{Extras, Json, NewJob, OnConflict, Replace, Unique, Until};
use taskwright_postgres::transaction;
use taskwright_store::Store;
use taskwright_testbed::{Schema, available, fresh_schema};

use crate::support::client::Application;
use crate::support::jobs::{job, open, url_of};
use crate::support::random::Random;

fn jobs(schema: &Schema) -> String {
    schema.psql("select string_agg(args, ' ' order by seq) from job").unwrap()
}

fn notes(schema: &Schema) -> String {
    schema.psql("select count(*) from audit where actor = 'intake'").unwrap()
}

#[tokio::test]
async fn a_key_counts_when_the_job_is_taken_in() {
    let Some(schema) = available("postgres_unique::enqueue", fresh_schema()) else { return };
    let store = open(&url_of(&schema)).await;
    let enqueue = |arguments: &str| {
        schema.psql(&format!("select {}.enqueue('task', {arguments})", schema.name()))
    };
    enqueue("'1', unique_key => 'key'").unwrap();
    enqueue("'2', unique_key => 'key'").unwrap();
    enqueue("'3', unique_key => 'key', on_conflict => 'refuse'").unwrap();
    enqueue("'4', unique_key => 'other', unique_until => 'claimed'").unwrap();
    store.sweep(1_000).await.unwrap();
    assert_eq!((jobs(&schema), notes(&schema)), ("1 4".to_owned(), "2".to_owned()));

    enqueue("'5', unique_key => 'key', on_conflict => 'throttle'").unwrap();
    enqueue("'6', unique_key => 'other', on_conflict => 'replace', replace => '{args,priority}', priority => 3")
        .unwrap();
    enqueue("'7', unique_key => 'third', unique_for_ms => 60000").unwrap();
    store.sweep(1_000).await.unwrap();
    assert_eq!((jobs(&schema), notes(&schema)), ("5 6 7".to_owned(), "2".to_owned()));
    let third = "select unique_until from job where unique_key = 'third'";
    assert_eq!(schema.psql(third).unwrap(), "2");

    enqueue(
        "'8', unique_key => 'other', on_conflict => 'debounce', \
         run_at => now() + interval '1 hour', replace_at_most_ms => 60000",
    )
    .unwrap();
    store.sweep(1_000).await.unwrap();
    let debounced = "select args || ' ' || (state = 2 and run_at - created_at = 60000000)::text \
        from job where unique_key = 'other'";
    assert_eq!(schema.psql(debounced).unwrap(), "8 true");

    for wrong in [
        "'9', unique_until => 'claimed'",
        "'9', on_conflict => 'refuse'",
        "'9', unique_key => ''",
        "'9', unique_key => 'key', unique_until => 'never'",
        "'9', unique_key => 'key', unique_until => 'claimed', unique_for_ms => 1",
        "'9', unique_key => 'key', unique_for_ms => 0",
        "'9', unique_key => 'key', on_conflict => 'perhaps'",
        "'9', unique_key => 'key', on_conflict => 'replace'",
        "'9', unique_key => 'key', on_conflict => 'replace', replace => '{id}'",
        "'9', unique_key => 'key', replace => '{args}'",
        "'9', unique_key => 'key', replace_scheduled_only => true",
        "'9', unique_key => 'key', on_conflict => 'throttle', replace_at_most_ms => 1",
    ] {
        assert!(enqueue(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_transaction_in_rust_says_all_of_it() {
    let Some(schema) = available("postgres_unique::in_rust", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    let mut application = Application::of(&schema).await;
    let mut new = |args: &str, on_conflict| {
        let unique = Some(Unique { key: "key".into(), until: Until::Finished });
        let extras = Extras { unique, ..Extras::default() };
        NewJob { extras, on_conflict, args: Json::from_trusted(args), ..job(random.job_id()) }
    };
    let replace = Replace { timeout: true, ..Replace::throttle() };
    let wanted = [
        new("1", OnConflict::Keep),
        new("2", OnConflict::Refuse),
        NewJob { timeout_ms: Some(7), ..new("3", OnConflict::Replace(replace)) },
        new("4", OnConflict::Replace(Replace::default())),
        new("5", OnConflict::Replace(Replace { scheduled_only: true, ..Replace::throttle() })),
    ];
    let transaction = application.transaction().await.unwrap();
    for job in &wanted {
        in_schema.enqueue(&transaction, job).await.unwrap();
    }
    transaction.commit().await.unwrap();
    store.sweep(1_000).await.unwrap();
    let found = store.get(&wanted[0].namespace, &[wanted[0].id]).await.unwrap().remove(0).unwrap();
    assert_eq!((found.args, found.timeout_ms), (Some(Json::from_trusted("3")), Some(7)));
    assert_eq!((jobs(&schema), notes(&schema)), ("3".to_owned(), "3".to_owned()));
}
