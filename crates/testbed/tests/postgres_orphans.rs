//! Nothing stays when a test is killed.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use taskwright_testbed::{Postgres, available};

const LONG: Duration = Duration::from_secs(20);

/// This test calls itself in another process under this name.
const HELD: &str = "TASKWRIGHT_TESTBED_HELD";

#[test]
fn a_server_goes_with_a_test_that_is_killed() {
    let started = Postgres::new();
    let Some(postgres) = available("postgres_orphans::killed", started) else { return };
    if std::env::var_os(HELD).is_some() {
        println!("\nheld {}", postgres.address());
        println!("held {}", postgres.psql("show unix_socket_directories").unwrap());
        std::io::stdin().lines().for_each(drop);
        return;
    }
    drop(postgres);
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_server_goes_with_a_test_that_is_killed", "--nocapture"])
        .env(HELD, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut held = said.filter_map(|line| line.strip_prefix("held ").map(str::to_string));
    let (address, directory) = (held.next().unwrap(), held.next().unwrap());
    assert!(TcpStream::connect(&address).is_ok());
    assert!(Path::new(&directory).exists());

    other.kill().unwrap();
    other.wait().unwrap();
    let deadline = Instant::now() + LONG;
    while Path::new(&directory).exists() || TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "{directory} and {address} are still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}
