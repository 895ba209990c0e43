//! The same over HTTP: a server in a thread of its own, and the leanest client there can be, so
//! that the figures are the server's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright::{Options, Taskwright};
use taskwright_engine::{Api, Error, ErrorCode, Result};
use taskwright_server::{Credential, CredentialError, Server, ServerOptions};

use crate::life::{args_of_200_bytes, worker_id};
use crate::measure::{Figure, Tally, Unit, Window};
use crate::size;

/// Requests that a connection has under way.
const PIPELINED: usize = 2;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

fn failed(what: &str) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| Error::new(ErrorCode::Unavailable, format!("cannot {what}: {error}"))
}

/// A server on loopback, until it is dropped.
pub struct Served {
    address: SocketAddr,
    token: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    /// Serves `api` on a free port.
    pub fn start(api: Arc<dyn Api>, directory: &Path) -> Result<Self> {
        let unusable = |error: CredentialError| Error::new(ErrorCode::Unusable, error.to_string());
        let credential = Credential::at(&directory.join("token")).map_err(unusable)?;
        let token = Credential::read(&directory.join("token")).map_err(unusable)?;
        let mut options = ServerOptions::new(credential);
        options.listen.set_port(0);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (bound, address) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("bench-server".to_owned())
            .spawn(move || {
                let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                else {
                    return;
                };
                runtime.block_on(async move {
                    match Server::bind(api, options).await {
                        Ok(server) => {
                            let _ = bound.send(Ok(server.address()));
                            let shutdown = async {
                                let _ = stopped.await;
                            };
                            server.run(shutdown).await;
                        }
                        Err(error) => {
                            let _ = bound.send(Err(error.to_string()));
                        }
                    }
                });
            })
            .map_err(failed("start the server's thread"))?;
        let address = address
            .recv()
            .map_err(|_| Error::new(ErrorCode::Unavailable, "the server did not start"))?
            .map_err(|message| Error::new(ErrorCode::Unavailable, message))?;
        Ok(Served { address, token, stop: Some(stop), thread: Some(thread) })
    }

    /// A client as programs use it.
    pub async fn client(&self) -> Result<Taskwright> {
        let url = format!("http://{}", self.address);
        Options::new().token(&self.token).connect(&url).await
    }

    /// Enqueues batches from `connections` at once.
    pub fn enqueues(&self, connections: usize, batch: usize, length: Duration) -> Result<Tally> {
        let window = Window::new(length);
        let request = self.request("/v1/jobs", &enqueue_body(batch));
        self.at_once(connections, |mut connection, _| {
            let mut tally = Tally::default();
            let mut sent = std::collections::VecDeque::new();
            while !window.is_over() || !sent.is_empty() {
                while sent.len() < PIPELINED && !window.is_over() {
                    connection.send(&request)?;
                    sent.push_back(Instant::now());
                }
                connection.answer()?;
                if let Some(began) = sent.pop_front() {
                    tally.latencies.note(began);
                }
                tally.jobs += batch as u64;
            }
            tally.elapsed = window.began.elapsed();
            Ok(tally)
        })
    }

    /// Claims and completes everything, `batch` jobs a round trip of `work`.
    pub fn drain(&self, connections: usize, batch: usize) -> Result<Tally> {
        let began = Instant::now();
        self.at_once(connections, |mut connection, number| {
            let worker = worker_id(number).to_string();
            let mut tally = Tally::default();
            let mut reports = String::new();
            let mut held = 0;
            for seq in 1.. {
                let body = format!(
                    "{{\"worker\":\"{worker}\"{reports},\"claim\":{{\"seq\":{seq},\"queues\":\
                     [\"bench\"],\"tasks\":[\"noop\"],\"max\":{batch}}}}}"
                );
                let called = Instant::now();
                connection.send(&self.request("/v1/work", &body))?;
                let answer = connection.answer()?;
                tally.latencies.note(called);
                tally.jobs += held;
                if held > 0 {
                    tally.elapsed = began.elapsed();
                }
                (reports, held) = completed(&answer);
                if held == 0 {
                    break;
                }
            }
            Ok(tally)
        })
    }

    fn request(&self, path: &str, body: &str) -> Vec<u8> {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        )
        .into_bytes()
    }

    fn at_once(
        &self,
        connections: usize,
        call: impl Fn(Connection, u64) -> Result<Tally> + Sync,
    ) -> Result<Tally> {
        let call = &call;
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..connections)
                .map(|number| {
                    scope.spawn(move || call(Connection::open(self.address)?, number as u64))
                })
                .collect();
            let mut total = Tally::default();
            for caller in running {
                let ended = caller.join().map_err(|_| {
                    Error::new(ErrorCode::Unavailable, "a caller of the measurement ended early")
                });
                total.join(ended??);
            }
            Ok(total)
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn enqueue_body(batch: usize) -> String {
    let job = format!("{{\"task\":\"noop\",\"queue\":\"bench\",\"args\":{}}}", args_of_200_bytes());
    format!("{{\"jobs\":[{}]}}", vec![job; batch].join(","))
}

/// The reports that complete the jobs of an answer, and how many there are.
fn completed(answer: &str) -> (String, u64) {
    let mut reports = String::from(",\"reports\":[");
    let mut jobs = 0;
    let mut rest = answer;
    // Ids and tokens are found by their keys: the client must cost nothing beside the server.
    while let Some((id, after)) = text_after(rest, "{\"id\":\"") {
        let Some((token, after)) = text_after(after, "\"token\":\"") else { break };
        let comma = if jobs == 0 { "" } else { "," };
        reports.push_str(comma);
        reports.push_str("{\"id\":\"");
        reports.push_str(id);
        reports.push_str("\",\"token\":\"");
        reports.push_str(token);
        reports.push_str("\",\"outcome\":\"completed\"}");
        jobs += 1;
        rest = after;
    }
    reports.push(']');
    if jobs == 0 { (String::new(), 0) } else { (reports, jobs) }
}

fn text_after<'a>(text: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    let begin = text.find(key)? + key.len();
    let length = text[begin..].find('"')?;
    Some((&text[begin..begin + length], &text[begin + length..]))
}

struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).map_err(failed("connect to the server"))?;
        stream.set_nodelay(true).map_err(failed("set up the connection"))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed("set up the connection"))?;
        let reader = BufReader::with_capacity(
            256 * 1024,
            stream.try_clone().map_err(failed("set up the connection"))?,
        );
        Ok(Connection { stream, reader })
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).map_err(failed("send to the server"))
    }

    fn answer(&mut self) -> Result<String> {
        let read = failed("read from the server");
        let mut status = String::new();
        self.reader.read_line(&mut status).map_err(&read)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).map_err(&read)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).map_err(&read)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if !status.starts_with("HTTP/1.1 2") {
            let message = format!("the server answered {}: {body}", status.trim_end());
            return Err(Error::new(ErrorCode::Unavailable, message));
        }
        Ok(body)
    }
}

/// The server as a process of its own, with nothing to do: processor and memory.
pub fn idle_server(place: &Path, length: Duration) -> Result<Vec<Figure>> {
    let directory = tempfile::tempdir_in(place).map_err(failed("make a directory"))?;
    let data = directory.path().join("data");
    let program = std::env::current_exe().map_err(failed("find this program"))?;
    let mut server = std::process::Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(failed("start the server"))?;
    let ready_by = Instant::now() + ANSWER_WITHIN;
    while !data.join("control.sock").exists() && Instant::now() < ready_by {
        std::thread::sleep(Duration::from_millis(20));
    }
    // The first seconds are those of the start.
    std::thread::sleep(Duration::from_secs(3));
    let before = size::processor_seconds(server.id());
    let began = Instant::now();
    std::thread::sleep(length.max(Duration::from_secs(5)));
    let used = size::processor_seconds(server.id()) - before;
    let percent = 100.0 * used / began.elapsed().as_secs_f64();
    let memory = size::resident_bytes_of(server.id()) as f64 / (1024.0 * 1024.0);
    let ended = server.kill().and_then(|()| server.wait());
    ended.map_err(failed("end the server"))?;
    Ok(vec![
        Figure::new("file.idle.processor", percent, Unit::PercentOfCore),
        Figure::new("file.idle.memory", memory, Unit::Mebibytes),
    ])
}
