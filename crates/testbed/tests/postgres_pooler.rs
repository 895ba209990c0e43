//! A pooler and a network before a real server.

use taskwright_testbed::{Error, PgBouncer, Postgres, Proxy, available};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn backend(client: &Client) -> i32 {
    let row = client.simple_query("select pg_backend_pid()").await.expect("an answer");
    let pid = row.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    pid.expect("a row")
}

fn start(options: taskwright_testbed::Options) -> Result<(Postgres, PgBouncer), Error> {
    let postgres = options.start()?;
    let bouncer = PgBouncer::before(&postgres.url("postgres"))?;
    Ok((postgres, bouncer))
}

#[tokio::test]
async fn transactions_of_many_clients_share_a_connection() {
    let started = start(Postgres::options());
    let Some((postgres, bouncer)) = available("postgres_pooler::share", started) else { return };
    let database = postgres.create_database().unwrap();
    let url = bouncer.url(database.name());
    let (one, other) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
    assert_eq!(backend(&one).await, backend(&other).await);
    one.batch_execute("begin").await.unwrap();
    assert_ne!(backend(&one).await, backend(&other).await);
}

#[tokio::test]
async fn a_pooler_that_was_killed_comes_back() {
    let started = start(Postgres::options().password());
    let Some((_postgres, mut bouncer)) = available("postgres_pooler::killed", started) else {
        return;
    };
    let url = bouncer.url("postgres");
    let client = connect(&url).await.unwrap();
    backend(&client).await;
    bouncer.stop().unwrap();
    assert!(client.simple_query("select 1").await.is_err());
    assert!(connect(&url).await.is_err());
    bouncer.start().unwrap();
    backend(&connect(&url).await.unwrap()).await;
}

#[tokio::test]
async fn a_network_before_a_server_can_be_cut() {
    let Some(mut postgres) = available("postgres_pooler::cut", Postgres::new()) else { return };
    let proxy = Proxy::before(&postgres.url("postgres")).unwrap();
    let url = proxy.url(&postgres.url("postgres")).unwrap();
    let client = connect(&url).await.unwrap();
    backend(&client).await;
    proxy.cut().unwrap();
    assert!(client.simple_query("select 1").await.is_err());
    assert!(connect(&url).await.is_err());
    proxy.heal().unwrap();
    postgres.restart(taskwright_testbed::Stop::Immediate).unwrap();
    backend(&connect(&url).await.unwrap()).await;
}
