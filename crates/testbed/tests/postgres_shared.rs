//! Databases and schemas of one's own on a server for all.

use taskwright_testbed::{available, fresh_schema, shared_database};

#[test]
fn a_schema_is_ours_alone_and_goes_with_its_handle() {
    let Some(schema) = available("postgres_shared::schema", fresh_schema()) else { return };
    let Some(other) = available("postgres_shared::schema", fresh_schema()) else { return };
    assert_ne!(schema.name(), other.name());
    schema.create().unwrap();
    schema.psql("create table rows (n int); insert into rows values (1), (2)").unwrap();
    assert_eq!(schema.psql("select n from rows order by n").unwrap(), "1\n2");
    let exists = format!("select count(*) from pg_namespace where nspname = '{}'", schema.name());
    assert_eq!(other.psql(&exists).unwrap(), "1");
    drop(schema);
    assert_eq!(other.psql(&exists).unwrap(), "0");
}

#[tokio::test]
async fn a_schema_goes_even_if_a_transaction_in_it_is_open() {
    let Some(schema) = available("postgres_shared::open", fresh_schema()) else { return };
    let Some(other) = available("postgres_shared::open", fresh_schema()) else { return };
    schema.create().unwrap();
    let url = schema.url_with_search_path();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("create table rows (n int)").await.unwrap();
    client.batch_execute("begin; insert into rows values (1)").await.unwrap();
    client.batch_execute("create table unseen (n int)").await.unwrap();
    let exists = format!("select count(*) from pg_namespace where nspname = '{}'", schema.name());
    drop(schema);
    assert_eq!(other.psql(&exists).unwrap(), "0");
    assert!(connection.await.unwrap().is_err());
}

#[tokio::test]
async fn a_database_is_ours_alone_and_goes_with_its_handle() {
    let database = shared_database();
    let Some(database) = available("postgres_shared::database", database) else { return };
    let Some(schema) = available("postgres_shared::database", fresh_schema()) else { return };
    database.psql("create table rows (n int)").unwrap();
    let (client, connection) =
        tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("insert into rows values (1)").await.unwrap();
    assert_eq!(database.terminate_backends().unwrap(), 1);
    assert!(connection.await.unwrap().is_err());
    assert_eq!(database.psql("select n from rows").unwrap(), "1");

    let exists = format!("select count(*) from pg_database where datname = '{}'", database.name());
    assert_eq!(schema.psql(&exists).unwrap(), "1");
    drop(database);
    assert_eq!(schema.psql(&exists).unwrap(), "0");
}
