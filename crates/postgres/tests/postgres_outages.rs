//! The way to PostgreSQL through restarts, failovers, silent networks and TLS.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taskwright_postgres::connect::{Connection, Fault, Health, Hint, Pool, Repeat, Target};
use taskwright_store::{Error, ErrorKind};
use taskwright_testbed::{Options, Postgres, Proxy, Stop, available};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
/// Work goes on so long after what stopped it is over.
const RESUMES: Duration = Duration::from_secs(10);

fn server(test: &str, options: Options) -> Option<Postgres> {
    available(&format!("postgres_outages::{test}"), options.start())
}

fn pool(url: &str) -> Pool {
    Pool::new(Target::parse(url).unwrap()).unwrap()
}

fn url_at(address: SocketAddr, parameters: &str) -> String {
    format!("postgres://postgres@{address}/postgres?{parameters}")
}

async fn number(connection: Connection, sql: &str) -> Result<i64, Fault> {
    Ok(connection.query_one(sql, &[]).await?.try_get(0)?)
}

async fn ask(pool: &Pool, sql: &str) -> Result<i64, Error> {
    pool.with(pool.deadline(), Repeat::Yes, |connection| number(connection, sql)).await
}

async fn until_health(pool: &Pool, wanted: impl FnMut(&Health) -> bool) {
    let mut health = pool.health();
    let waited = timeout(LONG, health.wait_for(wanted)).await;
    waited.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_after_a_restart() {
    let Some(mut server) = server("work_goes_on", Postgres::options()) else { return };
    let pool = pool(&server.url("postgres"));
    let mut listener = pool.listen("hints");
    assert_eq!(timeout(LONG, listener.next()).await.unwrap(), Some(Hint::Reconnected));
    assert_eq!(ask(&pool, "select 1::int8").await.unwrap(), 1);
    for how in [Stop::Fast, Stop::Immediate] {
        server.stop(how).unwrap();
        until_health(&pool, |health| !health.is_connected()).await;
        let deadline = Instant::now() + Duration::from_millis(300);
        let call = pool.with(deadline, Repeat::Yes, |c| number(c, "select 1::int8"));
        let error = call.await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.is_retryable() && error.retry_after.is_some());
        // A call that is made while it is gone waits until it is back.
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { ask(&pool, "select 2::int8").await }
        });
        server.start().unwrap();
        let back = Instant::now();
        assert_eq!(waiting.await.unwrap().unwrap(), 2);
        until_health(&pool, Health::is_connected).await;
        assert_eq!(timeout(LONG, listener.next()).await.unwrap(), Some(Hint::Reconnected));
        assert!(back.elapsed() < RESUMES, "{:?}", back.elapsed());
        println!("{how:?}: work and hints were back {:?} after the server", back.elapsed());
    }
}

#[tokio::test]
async fn a_call_after_a_long_outage_finds_the_database_within_its_own_time() {
    let Some(server) = server("long_outage", Postgres::options()) else { return };
    let proxy = Proxy::to(server.address()).unwrap();
    let pool = pool(&url_at(proxy.address(), ""));
    // It tries as well, has more time than the calls, and must not hold them up.
    let _listener = pool.listen("hints");
    assert_eq!(ask(&pool, "select 1::int8").await.unwrap(), 1);
    for _ in 0..3 {
        proxy.cut().unwrap();
        // So many attempts in vain that the next would wait for seconds.
        for _ in 0..12 {
            let deadline = Instant::now() + Duration::from_millis(100);
            let call = pool.with(deadline, Repeat::Yes, |c| number(c, "select 1::int8"));
            assert_eq!(call.await.unwrap_err().kind, ErrorKind::Unavailable);
        }
        proxy.heal().unwrap();
        let deadline = Instant::now() + Duration::from_secs(1);
        let call = pool.with(deadline, Repeat::Yes, |c| number(c, "select 2::int8"));
        assert_eq!(call.await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_database_that_comes_late_is_found_without_a_call() {
    let Some(mut server) = server("comes_late", Postgres::options()) else { return };
    server.stop(Stop::Fast).unwrap();
    let pool = pool(&server.url("postgres"));
    let deadline = Instant::now() + Duration::from_millis(50);
    let call = pool.with(deadline, Repeat::Yes, |c| number(c, "select 1::int8"));
    assert_eq!(call.await.unwrap_err().kind, ErrorKind::Unavailable);
    server.start().unwrap();
    until_health(&pool, Health::is_connected).await;
}

#[tokio::test]
async fn no_connection_to_be_had_is_busy() {
    let Some(server) = server("no_connection", Postgres::options()) else { return };
    server.psql("create role plain login connection limit 1").unwrap();
    let url = server.url("postgres").replace("postgres@", "plain@");
    let (first, second) = (pool(&url), pool(&url));
    let occupied = first.with(Instant::now() + LONG, Repeat::No, |_connection| async {
        let deadline = Instant::now() + Duration::from_millis(500);
        Ok(second.with(deadline, Repeat::Yes, |c| number(c, "select 1::int8")).await)
    });
    let error = occupied.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy, "{error}");
    first.close();
    assert_eq!(ask(&second, "select 3::int8").await.unwrap(), 3);
}

#[tokio::test]
async fn another_host_takes_over() {
    let test = "another_host_takes_over";
    let Some(mut first) = server(test, Postgres::options()) else { return };
    let replica = Postgres::options().setting("default_transaction_read_only", "on");
    let Some(second) = server(test, replica) else { return };
    let hosts = format!("{},{}", first.address(), second.address());
    let pool = pool(&format!("postgres://postgres@{hosts}/postgres"));
    let port = "select setting::int8 from pg_settings where name = 'port'";
    let write = "create table if not exists rows (n int8)";
    let ported = |server: &Postgres| i64::from(server.address().port());
    assert_eq!(ask(&pool, port).await.unwrap(), ported(&first));

    // The first becomes the replica and the second the primary, while connections stay.
    let begun = Instant::now();
    for (server, value) in [(&first, "on"), (&second, "off")] {
        server.psql(&format!("alter system set default_transaction_read_only = {value}")).unwrap();
        server.psql("select pg_reload_conf()").unwrap();
    }
    pool.with(pool.deadline(), Repeat::Yes, |c| async move { c.batch(write).await }).await.unwrap();
    assert_eq!(ask(&pool, port).await.unwrap(), ported(&second));
    println!("switched over in {:?}", begun.elapsed());

    // And back, because the second dies.
    first.psql("alter system set default_transaction_read_only = off").unwrap();
    first.psql("select pg_reload_conf()").unwrap();
    drop(second);
    assert_eq!(ask(&pool, port).await.unwrap(), ported(&first));
    assert!(begun.elapsed() < RESUMES, "{:?}", begun.elapsed());

    first.stop(Stop::Fast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    let error = pool.with(deadline, Repeat::Yes, |c| number(c, port)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    for host in hosts.split(',') {
        assert!(error.message.contains(host), "{error}");
    }
}

#[tokio::test]
async fn a_silent_network_is_left_for_another() {
    let Some(server) = server("a_silent_network", Postgres::options()) else { return };
    let proxy = Proxy::to(server.address()).unwrap();
    let hosts = format!("{},{}", proxy.address(), server.address());
    let pool = pool(&format!("postgres://postgres@{hosts}/postgres?connect_timeout=1"));
    let mut listener = pool.listen("hints");
    assert_eq!(timeout(LONG, listener.next()).await.unwrap(), Some(Hint::Reconnected));
    assert_eq!(ask(&pool, "select 1::int8").await.unwrap(), 1);
    proxy.freeze().unwrap();
    let begun = Instant::now();
    assert_eq!(ask(&pool, "select 2::int8").await.unwrap(), 2);
    println!("a call went round the silent network in {:?}", begun.elapsed());
    assert!(begun.elapsed() < RESUMES, "{:?}", begun.elapsed());
    // The listener notices it, too, although nobody said anything.
    assert_eq!(timeout(LONG, listener.next()).await.unwrap(), Some(Hint::Reconnected));
    println!("hints were back after {:?}", begun.elapsed());
    assert!(begun.elapsed() < RESUMES, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_network_that_falls_silent_in_a_call_costs_half_its_time() {
    let Some(server) = server("falls_silent_in_a_call", Postgres::options()) else { return };
    let proxy = Proxy::to(server.address()).unwrap();
    let hosts = format!("{},{}", proxy.address(), server.address());
    let pool = pool(&format!("postgres://postgres@{hosts}/postgres?connect_timeout=1"));
    let begun = Instant::now();
    let call = ask(&pool, "select count(*) from pg_sleep(0.5)");
    let freeze = async {
        until_health(&pool, Health::is_connected).await;
        proxy.freeze().unwrap();
    };
    let (answer, ()) = tokio::join!(call, freeze);
    assert_eq!(answer.unwrap(), 1);
    println!("answered after {:?}", begun.elapsed());
    assert!(begun.elapsed() < RESUMES, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_silent_host_does_not_take_longer_than_the_deadline() {
    let Some(server) = server("a_silent_host", Postgres::options()) else { return };
    let proxy = Proxy::to(server.address()).unwrap();
    proxy.freeze().unwrap();
    let pool = pool(&url_at(proxy.address(), "deadline_ms=500"));
    let begun = Instant::now();
    let error = ask(&pool, "select 1::int8").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_network_that_is_cut_is_used_again_when_it_is_back() {
    let Some(server) = server("a_network_that_is_cut", Postgres::options()) else { return };
    let proxy = Proxy::to(server.address()).unwrap();
    let pool = pool(&url_at(proxy.address(), ""));
    assert_eq!(ask(&pool, "select 1::int8").await.unwrap(), 1);
    proxy.cut().unwrap();
    until_health(&pool, |health| !health.is_connected()).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, "select 2::int8").await }
    });
    proxy.heal().unwrap();
    let begun = Instant::now();
    assert_eq!(waiting.await.unwrap().unwrap(), 2);
    until_health(&pool, Health::is_connected).await;
    assert!(begun.elapsed() < RESUMES, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_told_as_uncertain() {
    let Some(server) = server("a_commit_whose_answer", Postgres::options()) else { return };
    server.psql("create table rows (n int8)").unwrap();
    let proxy = Proxy::to(server.address()).unwrap();
    let pool = pool(&url_at(proxy.address(), ""));
    let deadline = Instant::now() + Duration::from_secs(1);
    let lose = &proxy;
    let outcome = pool.transact(deadline, |connection| async move {
        connection.execute("insert into rows values (1)", &[]).await?;
        lose.freeze_replies().unwrap();
        Ok(())
    });
    let error = outcome.await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("may have been done"), "{error}");
    assert_eq!(server.psql("select count(*) from rows").unwrap(), "1");
    // What was given up is closed although nothing answers; afterwards all is as before.
    proxy.heal().unwrap();
    assert_eq!(ask(&pool, "select count(*) from rows").await.unwrap(), 1);
}

/// Makes an authority and a certificate for `localhost` in the server's directory.
const CERTIFY: &str = "set -e
    key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
    openssl req -x509 $key -keyout ca.key -out ca.crt -subj /CN=authority -days 2
    openssl req $key -keyout server.key -out server.csr -subj /CN=localhost
    echo subjectAltName=DNS:localhost > names
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
        -extfile names -out server.crt -days 2";

#[tokio::test]
async fn certificates_are_looked_at_as_asked() {
    let Some(server) = server("certificates", Postgres::options()) else { return };
    let plain = pool(&url_at(server.address(), "sslmode=require"));
    let error = ask(&plain, "select 1::int8").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unusable, "{error}");
    assert!(error.message.contains("has no TLS"), "{error}");

    let certify = CERTIFY.replace('\'', "''");
    server.psql(&format!("copy (select) to program '{certify}'")).unwrap();
    server.psql("alter system set ssl = on").unwrap();
    server.psql("select pg_reload_conf()").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.crt");
    std::fs::write(&authority, server.psql("select pg_read_file('ca.crt')").unwrap()).unwrap();
    let authority = authority.display();
    let port = server.address().port();
    let encrypted = "select ssl::int::int8 from pg_stat_ssl where pid = pg_backend_pid()";
    let ask_as = async |host: &str, parameters: &str| {
        let pool = pool(&format!("postgres://postgres@{host}:{port}/postgres?{parameters}"));
        ask(&pool, encrypted).await
    };
    for (host, mode) in [
        ("localhost", "sslmode=disable".to_string()),
        ("localhost", "sslmode=prefer".to_string()),
        ("127.0.0.1", "sslmode=require".to_string()),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={authority}")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={authority}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={authority}")),
    ] {
        let expected = i64::from(!mode.contains("disable"));
        assert_eq!(ask_as(host, &mode).await.unwrap(), expected, "{mode}");
    }
    for (host, mode) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={authority}")),
        ("localhost", "sslmode=verify-full".to_string()),
        ("localhost", "sslmode=verify-ca".to_string()),
    ] {
        let error = ask_as(host, &mode).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unusable, "{mode}: {error}");
        assert!(error.message.contains("certificate"), "{error}");
    }
    let missing =
        Target::parse("postgres://a@b/c?sslmode=verify-full&sslrootcert=/no/such").unwrap();
    let error = Pool::new(missing).err().unwrap();
    assert!(error.kind == ErrorKind::Unusable && error.message.contains("/no/such"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_never_shown() {
    let Some(server) = server("a_wrong_password", Postgres::options().password()) else { return };
    let url = server.url("postgres");
    assert_eq!(ask(&pool(&url), "select 1::int8").await.unwrap(), 1);
    let (account, rest) = url.rsplit_once('@').unwrap();
    let (user, _) = account.rsplit_once(':').unwrap();
    let error = ask(&pool(&format!("{user}:sesame@{rest}")), "select 1::int8").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unusable, "{error}");
    assert!(!error.message.contains("sesame"), "{error}");
}
