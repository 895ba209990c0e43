//! Passwords and certificates, as PostgreSQL's own client judges them.

use std::process::Command;

use taskwright_testbed::{Error, Postgres, available};

/// What `psql` answers to `select 1`; an error is what it says.
fn psql(url: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .env_clear()
        .args(["-X", "-A", "-t", "-w", "-c", "select 1", url])
        .output()
        .expect("psql comes with PostgreSQL");
    let said = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_string();
    if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
}

fn start(test: &str, started: Result<Postgres, Error>) -> Option<Postgres> {
    let found = Command::new("psql").arg("--version").output();
    let has_psql = found.map_err(|_| Error::Unavailable("needs psql".to_string()));
    available(test, has_psql.and(started))
}

#[test]
fn a_password_is_asked_for() {
    let started = Postgres::options().password().start();
    let Some(postgres) = start("postgres_tls::password", started) else { return };
    let url = postgres.url("postgres");
    assert_eq!(psql(&url).unwrap(), "1");
    let refused = psql(&url.replace(":testbed@", ":guess@")).unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
}

#[test]
fn a_client_can_verify_the_server() {
    let started = Postgres::options().tls().start();
    let Some(postgres) = start("postgres_tls::tls", started) else { return };
    let url = postgres.url("postgres");
    assert!(url.contains("sslmode=verify-full"), "{url}");
    assert_eq!(psql(&url).unwrap(), "1");
    assert_eq!(psql(&url.replace("localhost", "127.0.0.1")).unwrap(), "1");
    assert_eq!(psql(&postgres.url_with("postgres", "sslmode=require")).unwrap(), "1");

    let refused = psql(&postgres.url_with("postgres", "sslmode=disable")).unwrap_err();
    assert!(refused.contains("no encryption"), "{refused}");
    let stranger = postgres.stranger().unwrap().display();
    let how = format!("sslmode=verify-full&sslrootcert={stranger}");
    let refused = psql(&postgres.url_with("postgres", &how)).unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
}
