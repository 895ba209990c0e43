//! A server of one's own: started, used, stopped, restarted, gone.

use std::path::Path;

use taskwright_testbed::{Postgres, Stop, available};

#[test]
fn a_server_starts_and_goes_with_its_handle() {
    let Some(postgres) = available("postgres::starts", Postgres::new()) else { return };
    assert_eq!(postgres.psql("select 1 + 1, null; select 'x'").unwrap(), "2|\nx");
    assert_eq!(postgres.psql("show fsync").unwrap(), "off");
    let directory = postgres.psql("show unix_socket_directories").unwrap();
    assert!(Path::new(&directory).exists());
    let address = postgres.address();
    drop(postgres);
    assert!(!Path::new(&directory).exists());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn settings_are_taken() {
    let started = Postgres::options().durable().setting("max_connections", 17).start();
    let Some(postgres) = available("postgres::settings", started) else { return };
    assert_eq!(postgres.psql("show max_connections; show fsync").unwrap(), "17\non");
}

#[test]
fn committed_rows_survive_a_crash_and_a_stop() {
    let Some(mut postgres) = available("postgres::restart", Postgres::new()) else { return };
    let url = postgres.url("postgres");
    postgres.psql("create table rows (n int)").unwrap();
    for how in [Stop::Immediate, Stop::Fast] {
        postgres.psql("insert into rows values (1)").unwrap();
        postgres.stop(how).unwrap();
        assert!(std::net::TcpStream::connect(postgres.address()).is_err());
        assert!(postgres.psql("select 1").is_err());
        postgres.start().unwrap();
    }
    postgres.restart(Stop::Fast).unwrap();
    assert_eq!(postgres.psql("select count(*) from rows").unwrap(), "2");
    assert_eq!(postgres.url("postgres"), url);
}
