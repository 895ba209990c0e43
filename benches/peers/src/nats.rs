//! NATS JetStream with file storage, and a client that pipelines.
//!
//! Protocol: NATS client protocol (docs.nats.io, reference) and the JetStream API of server 2.9. The
//! stream is a work queue: what is acknowledged is gone, as a job queue's work is.

mod message;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::job;
use crate::report::{Rate, What, Who};
use crate::server::Server;
use crate::settings::Settings;
use crate::sharing::{Done, at_once, part};
use crate::wire::{Connection, text};
use message::{Kind, Message};

/// Publishes in one write.
const GROUP: u32 = 100;
/// Published jobs of a connection that are not yet acknowledged, at most.
const WINDOW: u32 = 1_000;
/// Jobs that one pull asks for.
const PULL: u64 = 1_000;
/// Acknowledgements in one write, at most.
const ACKS: usize = 100;
/// Connections that enqueue, and connections that drain.
const CONNECTIONS: [(usize, usize); 3] = [(1, 1), (2, 2), (4, 4)];
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

const STREAM: &str = r#"{"name":"JOBS","subjects":["jobs"],"retention":"workqueue","storage":"file","num_replicas":1}"#;
const CONSUMER: &str = r#"{"stream_name":"JOBS","config":{"durable_name":"workers","ack_policy":"explicit","ack_wait":600000000000,"max_ack_pending":20000}}"#;

/// One round: enqueues and drains with each number of connections.
///
/// # Errors
/// When nats-server is not installed, answers otherwise than told, or loses or repeats a job.
pub fn measure(settings: &Settings) -> Result<Vec<Rate>> {
    let server = Server::start("nats-server", |port, directory| {
        let directory = directory.join("store").display().to_string();
        ["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd", &directory]
            .map(str::to_owned)
            .to_vec()
    })?;
    let jobs = settings.jobs();
    let mut rates = Vec::new();
    for (publishing, pulling) in CONNECTIONS {
        let mut operator = Client::open(server.address)?;
        operator.ask("$JS.API.STREAM.CREATE.JOBS", STREAM)?;
        operator.ask("$JS.API.CONSUMER.DURABLE.CREATE.JOBS.workers", CONSUMER)?;

        let clients = open(server.address, publishing)?;
        let (_, taken) =
            at_once(clients, |number, client| client.publish(part(jobs, number, publishing)))?;
        rates.push(Rate::new(Who::Nats, What::Enqueue, publishing, jobs, taken));

        let clients = open(server.address, pulling)?;
        let left = AtomicU32::new(jobs);
        let (drained, taken) = at_once(clients, |_, client| client.drain(&left))?;
        job::check_all_once(jobs, drained.into_iter().flatten())?;
        rates.push(Rate::new(Who::Nats, What::Drain, pulling, jobs, taken));

        operator.wait_until_settled()?;
        operator.ask("$JS.API.STREAM.DELETE.JOBS", "")?;
    }
    Ok(rates)
}

fn open(address: SocketAddr, clients: usize) -> Result<Vec<Client>> {
    (0..clients).map(|_| Client::open(address)).collect()
}

struct Client {
    connection: Connection,
    /// Where answers to this client go.
    inbox: String,
    message: Message,
}

impl Client {
    fn open(address: SocketAddr) -> Result<Self> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let inbox = format!("_INBOX.{}", OPENED.fetch_add(1, Ordering::Relaxed));
        let connection = Connection::open(address)?;
        let mut client = Client { connection, inbox, message: Message::default() };
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\
             \"no_responders\":true,\"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}}\r\n\
             SUB {} 1\r\n",
            client.inbox
        );
        client.connection.send(hello.as_bytes())?;
        client.wait_for_pong()?;
        Ok(client)
    }

    /// The next message that is not about the connection itself.
    fn receive(&mut self) -> Result<Kind> {
        loop {
            match self.message.read(&mut self.connection.reader)? {
                Kind::Ping => self.connection.send(b"PONG\r\n")?,
                Kind::Notice => {}
                kind => return Ok(kind),
            }
        }
    }

    /// Waits until the server has read all that was sent.
    fn wait_for_pong(&mut self) -> Result<()> {
        self.connection.send(b"PING\r\n")?;
        while self.receive()? != Kind::Pong {}
        Ok(())
    }

    /// Calls the JetStream API.
    fn ask(&mut self, subject: &str, body: &str) -> Result<Value> {
        let length = body.len();
        let request = format!("PUB {subject} {} {length}\r\n{body}\r\n", self.inbox);
        self.connection.send(request.as_bytes())?;
        let Kind::Job = self.receive()? else { bail!("NATS does not answer {subject}") };
        let answer: Value = serde_json::from_slice(&self.message.body)
            .with_context(|| format!("reading the answer to {subject}"))?;
        if let Some(error) = answer.get("error") {
            bail!("NATS refuses {subject}: {error}");
        }
        Ok(answer)
    }

    fn publish(mut self, numbers: Range<u32>) -> Result<Done<()>> {
        let head = format!("PUB jobs {} {}\r\n", self.inbox, job::LENGTH);
        let (mut sent, mut accepted) = (numbers.start, numbers.start);
        let mut group = Vec::new();
        while accepted < numbers.end {
            while sent < numbers.end && sent - accepted + GROUP <= WINDOW {
                group.clear();
                let until = numbers.end.min(sent + GROUP);
                for number in sent..until {
                    group.extend_from_slice(head.as_bytes());
                    job::append(number, &mut group);
                    group.extend_from_slice(b"\r\n");
                }
                self.connection.send(&group)?;
                sent = until;
            }
            let kind = self.receive()?;
            if kind != Kind::Job || !message::is_accepted(&self.message.body) {
                bail!("NATS did not accept a job ({kind:?}): {}", text(&self.message.body));
            }
            accepted += 1;
        }
        Ok(Done { at: Instant::now(), got: () })
    }

    /// Pulls and acknowledges until no client has any of the jobs `left` to do; answers the numbers
    /// of the jobs that this one got.
    fn drain(mut self, left: &AtomicU32) -> Result<Done<Vec<u32>>> {
        let began = Instant::now();
        let body = format!("{{\"batch\":{PULL},\"expires\":1000000000}}");
        let pull = format!(
            "PUB $JS.API.CONSUMER.MSG.NEXT.JOBS.workers {} {}\r\n{body}\r\n",
            self.inbox,
            body.len()
        );
        let mut asked = 0;
        let mut acks = Acks::default();
        let mut numbers = Vec::new();
        while left.load(Ordering::Relaxed) > 0 {
            if began.elapsed() > DRAINED_WITHIN {
                bail!("NATS has not handed over all jobs after {DRAINED_WITHIN:?}");
            }
            while asked <= PULL {
                self.connection.send(pull.as_bytes())?;
                asked += PULL;
            }
            match self.receive()? {
                Kind::Job => {
                    let number = job::number(&self.message.body);
                    let body = || format!("not our job: {}", text(&self.message.body));
                    numbers.push(number.with_context(body)?);
                    acks.append(self.message.reply_to());
                    asked = asked.saturating_sub(1);
                    left.fetch_sub(1, Ordering::Relaxed);
                }
                Kind::Status { code: 404 | 408, unserved } => {
                    asked = asked.saturating_sub(unserved.unwrap_or(PULL));
                }
                kind => bail!("NATS ended a pull with {kind:?}"),
            }
            if acks.count >= ACKS || self.connection.reader.buffer().is_empty() {
                acks.send(&mut self.connection)?;
            }
        }
        acks.send(&mut self.connection)?;
        let at = if numbers.is_empty() {
            began
        } else {
            self.wait_for_pong()?;
            Instant::now()
        };
        Ok(Done { at, got: numbers })
    }

    /// Waits until the server has put away all acknowledgements and with them all jobs.
    fn wait_until_settled(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            let stream = self.ask("$JS.API.STREAM.INFO.JOBS", "")?;
            let jobs = stream["state"]["messages"].as_u64();
            let jobs = jobs.context("NATS does not tell how many jobs its stream has")?;
            if jobs == 0 {
                return Ok(());
            }
            if began.elapsed() > SETTLED_WITHIN {
                bail!("{jobs} jobs are still in the stream, {SETTLED_WITHIN:?} after their acks");
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

/// Acknowledgements that are not yet sent.
#[derive(Default)]
struct Acks {
    bytes: Vec<u8>,
    count: usize,
}

impl Acks {
    fn append(&mut self, subject: &[u8]) {
        self.bytes.extend_from_slice(b"PUB ");
        self.bytes.extend_from_slice(subject);
        self.bytes.extend_from_slice(b" 0\r\n\r\n");
        self.count += 1;
    }

    fn send(&mut self, connection: &mut Connection) -> Result<()> {
        if self.count > 0 {
            connection.send(&self.bytes)?;
            *self = Acks { bytes: std::mem::take(&mut self.bytes), count: 0 };
            self.bytes.clear();
        }
        Ok(())
    }
}
