//! A network that is cut, frozen, healed and led elsewhere.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use taskwright_testbed::Proxy;

const LONG: Duration = Duration::from_secs(10);

/// Long enough for a byte to arrive that should not.
const SHORT: Duration = Duration::from_millis(50);

/// Answers every byte with the byte itself plus `more`.
fn server(more: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(client, more));
        }
    });
    address
}

fn answer(mut client: TcpStream, more: u8) {
    let mut buffer = vec![0; 10_000];
    while let Ok(length) = client.read(&mut buffer) {
        let answer: Vec<u8> = buffer[..length].iter().map(|byte| byte + more).collect();
        if length == 0 || client.write_all(&answer).is_err() {
            return;
        }
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect_timeout(&proxy.address(), LONG).expect("a connection")
}

fn ask(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    stream.write_all(&[byte])?;
    hear(stream, LONG)
}

fn hear(stream: &mut TcpStream, limit: Duration) -> std::io::Result<u8> {
    stream.set_read_timeout(Some(limit))?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn is_silence(heard: std::io::Result<u8>) -> bool {
    heard.is_err_and(|error| [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()))
}

#[test]
fn all_is_forwarded() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);

    let many = vec![7; 1_000_000];
    let mut writer = stream.try_clone().unwrap();
    let written = thread::spawn(move || writer.write_all(&many));
    let mut heard = vec![0; 1_000_000];
    stream.read_exact(&mut heard).unwrap();
    written.join().unwrap().unwrap();
    assert!(heard.iter().all(|byte| *byte == 8));

    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(hear(&mut stream, LONG).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_cut_network_closes_and_refuses_until_it_is_healed() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);
    proxy.cut().unwrap();
    assert_eq!(hear(&mut stream, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.heal().unwrap();
    assert_eq!(ask(&mut connect(&proxy), 3).unwrap(), 4);
}

#[test]
fn a_frozen_network_keeps_connections_and_is_silent() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut old = connect(&proxy);
    assert_eq!(ask(&mut old, 1).unwrap(), 2);
    proxy.freeze().unwrap();
    old.write_all(&[5]).unwrap();
    let mut new = connect(&proxy);
    new.write_all(&[7]).unwrap();
    assert!(is_silence(hear(&mut old, SHORT)));
    assert!(is_silence(hear(&mut new, SHORT)));
    proxy.heal().unwrap();
    assert_eq!(hear(&mut old, LONG).unwrap(), 6);
    assert_eq!(hear(&mut new, LONG).unwrap(), 8);
}

#[test]
fn with_frozen_replies_requests_still_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).unwrap();
    let mut client = connect(&proxy);
    let (mut server, _) = listener.accept().unwrap();
    proxy.freeze_replies().unwrap();
    client.write_all(&[5]).unwrap();
    assert_eq!(hear(&mut server, LONG).unwrap(), 5);
    server.write_all(&[6]).unwrap();
    assert!(is_silence(hear(&mut client, SHORT)));
    proxy.cut().unwrap();
    assert!(hear(&mut client, LONG).is_err());
}

#[test]
fn a_frozen_network_can_be_cut() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);
    proxy.freeze().unwrap();
    proxy.cut().unwrap();
    assert_eq!(hear(&mut stream, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.heal().unwrap();
    assert_eq!(ask(&mut connect(&proxy), 3).unwrap(), 4);
}

#[test]
fn a_freeze_does_not_wait_for_somebody_who_does_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).unwrap();
    let mut client = connect(&proxy);
    let (_server, _) = listener.accept().unwrap();
    client.set_write_timeout(Some(SHORT)).unwrap();
    while client.write(&[0; 65536]).is_ok() {}
    proxy.freeze().unwrap();
    proxy.heal().unwrap();
}

#[test]
fn a_redirect_is_a_failover() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);
    proxy.redirect(server(10)).unwrap();
    assert_eq!(hear(&mut stream, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(ask(&mut connect(&proxy), 1).unwrap(), 11);
}

#[test]
fn a_disconnect_lets_clients_come_back() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);
    proxy.disconnect().unwrap();
    assert_eq!(hear(&mut stream, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(ask(&mut connect(&proxy), 1).unwrap(), 2);
}

#[test]
fn a_delay_holds_both_ways() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut stream = connect(&proxy);
    proxy.delay(SHORT).unwrap();
    let start = Instant::now();
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);
    assert!(start.elapsed() >= 2 * SHORT);
}

#[test]
fn a_target_that_is_away_closes_the_connection() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::to(away).unwrap();
    // It may be closed before we hear that it was made.
    let closed = TcpStream::connect_timeout(&proxy.address(), LONG)
        .map_or(true, |mut connection| hear(&mut connection, LONG).is_err());
    assert!(closed);
}

#[test]
fn connections_go_with_the_proxy() {
    let proxy = Proxy::to(server(1)).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);
    drop(proxy);
    assert!(hear(&mut stream, LONG).is_err());
}
