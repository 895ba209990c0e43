//! beanstalkd without its binlog, and a client that pipelines.
//!
//! Protocol: `doc/protocol.txt` of beanstalkd 1.12.

use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::job;
use crate::report::{Rate, What, Who};
use crate::server::Server;
use crate::settings::Settings;
use crate::sharing::{Done, at_once, part};
use crate::wire::{Connection, read_body, read_line, text};

/// Commands in one write.
const GROUP: usize = 100;
/// Groups of `put` that a connection has under way.
const PUTS_UNDER_WAY: usize = 20;
/// Groups of `reserve` that a connection has under way.
const RESERVES_UNDER_WAY: usize = 8;
/// How long a client lets answers gather. beanstalkd writes each by itself; who waits on the socket
/// is woken by every one, and that costs the server more than the answer does.
const REST: Duration = Duration::from_millis(1);
/// Connections that enqueue, and connections that drain.
const CONNECTIONS: [(usize, usize); 4] = [(1, 1), (2, 2), (3, 4), (4, 8)];

/// One round: enqueues and drains with each number of connections.
///
/// # Errors
/// When beanstalkd is not installed, answers otherwise than told, or loses or repeats a job.
pub fn measure(settings: &Settings) -> Result<Vec<Rate>> {
    let server = Server::start("beanstalkd", |port, _| {
        ["-l", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).to_vec()
    })?;
    let jobs = settings.jobs();
    let mut rates = Vec::new();
    for (putting, reserving) in CONNECTIONS {
        let connections = open(server.address, putting)?;
        let (_, taken) = at_once(connections, |number, connection| {
            enqueue(connection, part(jobs, number, putting))
        })?;
        rates.push(Rate::new(Who::Beanstalkd, What::Enqueue, putting, jobs, taken));

        let connections = open(server.address, reserving)?;
        let (drained, taken) = at_once(connections, |_, connection| drain(connection))?;
        job::check_all_once(jobs, drained.into_iter().flatten())?;
        rates.push(Rate::new(Who::Beanstalkd, What::Drain, reserving, jobs, taken));
    }
    Ok(rates)
}

fn open(address: SocketAddr, connections: usize) -> Result<Vec<Connection>> {
    (0..connections).map(|_| Connection::open(address)).collect()
}

fn enqueue(mut connection: Connection, numbers: Range<u32>) -> Result<Done<()>> {
    let mut unsent = numbers;
    let mut under_way = VecDeque::new();
    let (mut puts, mut line) = (Vec::new(), Vec::new());
    while !unsent.is_empty() || !under_way.is_empty() {
        while !unsent.is_empty() && under_way.len() < PUTS_UNDER_WAY {
            puts.clear();
            let group = unsent.by_ref().take(GROUP);
            under_way.push_back(group.map(|number| append_put(number, &mut puts)).count());
            connection.send(&puts)?;
        }
        rest_if_none_answered(&connection);
        for _ in 0..under_way.pop_front().unwrap_or(0) {
            read_inserted(&mut connection.reader, &mut line)?;
        }
    }
    Ok(Done { at: Instant::now(), got: () })
}

/// Reserves and deletes until nothing is left; answers the numbers of the jobs.
fn drain(mut connection: Connection) -> Result<Done<Vec<u32>>> {
    let reserves = b"reserve-with-timeout 0\r\n".repeat(GROUP);
    // Of each write under way: how many `delete` stand in it, before its GROUP of `reserve`.
    let mut under_way = VecDeque::new();
    for _ in 0..RESERVES_UNDER_WAY {
        connection.send(&reserves)?;
        under_way.push_back(0);
    }
    let mut numbers = Vec::new();
    let mut at = Instant::now();
    let (mut commands, mut line, mut body) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(deletes) = under_way.pop_front() {
        rest_if_none_answered(&connection);
        for _ in 0..deletes {
            read_deleted(&mut connection.reader, &mut line)?;
        }
        if deletes > 0 {
            at = Instant::now();
        }
        commands.clear();
        let mut reserved = 0;
        for _ in 0..GROUP {
            if let Some(id) = read_reserved(&mut connection.reader, &mut line, &mut body)? {
                let number = job::number(&body);
                numbers.push(number.with_context(|| format!("not our job: {}", text(&body)))?);
                write!(commands, "delete {id}\r\n").context("writing a command")?;
                reserved += 1;
            }
        }
        if reserved > 0 {
            commands.extend_from_slice(&reserves);
            connection.send(&commands)?;
            under_way.push_back(reserved);
        }
    }
    Ok(Done { at, got: numbers })
}

fn rest_if_none_answered(connection: &Connection) {
    if connection.reader.buffer().is_empty() {
        std::thread::sleep(REST);
    }
}

/// Appends a `put`: priority 0, no delay, 10 minutes to run.
fn append_put(number: u32, into: &mut Vec<u8>) {
    const _: () = assert!(job::LENGTH == 200);
    into.extend_from_slice(b"put 0 0 600 200\r\n");
    job::append(number, into);
    into.extend_from_slice(b"\r\n");
}

fn read_inserted(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<()> {
    read_line(reader, line)?;
    if !line.starts_with(b"INSERTED ") {
        bail!("beanstalkd did not insert a job; it said {:?}", text(line));
    }
    Ok(())
}

fn read_deleted(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<()> {
    read_line(reader, line)?;
    if line != b"DELETED" {
        bail!("beanstalkd did not delete a job; it said {:?}", text(line));
    }
    Ok(())
}

/// Reads the answer to a `reserve-with-timeout`: the id, with the job in `body`, or `None` when no
/// job was ready.
fn read_reserved(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<Option<u64>> {
    read_line(reader, line)?;
    if line == b"TIMED_OUT" {
        return Ok(None);
    }
    let (id, length) = reserved(line)
        .with_context(|| format!("beanstalkd reserved no job; it said {:?}", text(line)))?;
    read_body(reader, length, body)?;
    Ok(Some(id))
}

/// Id and length of `RESERVED <id> <bytes>`.
fn reserved(line: &[u8]) -> Option<(u64, usize)> {
    let numbers = std::str::from_utf8(line).ok()?.strip_prefix("RESERVED ")?;
    let (id, length) = numbers.split_once(' ')?;
    // beanstalkd's own limit of a job is 64 KiB unless it is started with another.
    let length = length.parse().ok().filter(|length| *length <= 64 * 1024)?;
    Some((id.parse().ok()?, length))
}

#[cfg(test)]
#[path = "tests/beanstalkd.rs"]
mod tests;
