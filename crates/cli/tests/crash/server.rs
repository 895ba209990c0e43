//! A real server, and a client that writes its requests by hand.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{DEADLINE, Sandbox, Started};

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// `taskwright serve`, killed at the end of the test.
pub struct Server {
    pub process: Started,
    pub address: SocketAddr,
}

impl Server {
    /// Begins to start it.
    pub fn launch(sandbox: &Sandbox) -> Started {
        let arguments = ["serve", "--json", "--data", "data", "--listen", "127.0.0.1:0"];
        let mut command = sandbox.taskwright(arguments);
        command.env("TASKWRIGHT_TOKEN", TOKEN);
        Started::of(command)
    }

    /// Waits until it serves.
    #[track_caller]
    pub fn start(sandbox: &Sandbox) -> Server {
        let process = Server::launch(sandbox);
        let line: Value = serde_json::from_str(&process.says("listening")).unwrap();
        let url = line["listening"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Server { process, address }
    }

    pub fn client(&self) -> Client {
        Client::of(self.address)
    }

    /// A command that talks to it.
    pub fn command(&self, sandbox: &Sandbox, arguments: &[&str]) -> Command {
        let url = format!("http://{}", self.address);
        let mut command = sandbox.taskwright([arguments, &["--server", &url]].concat());
        command.env("TASKWRIGHT_TOKEN", TOKEN);
        command
    }
}

/// One connection after another to a server.
pub struct Client {
    pub address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn of(address: SocketAddr) -> Client {
        Client { address, stream: None }
    }

    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<Value> {
        self.call("POST", path, &body.to_string())
    }

    pub fn get(&mut self, path: &str) -> io::Result<Value> {
        self.call("GET", path, "")
    }

    /// Sends a request and does not wait for the answer; who drops the stream cuts the connection.
    pub fn post_unanswered(&self, path: &str, body: &Value) -> io::Result<TcpStream> {
        let mut stream = connect(self.address)?;
        stream.write_all(request(self.address, "POST", path, &body.to_string()).as_bytes())?;
        Ok(stream)
    }

    /// The answer. An answer that is not 200 is an error of the kind `InvalidData`; with any other
    /// error nobody knows whether it was done.
    fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<Value> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(connect(self.address)?),
        };
        let request = request(self.address, method, path, body);
        stream.get_mut().write_all(request.as_bytes())?;
        let (status, answer) = answer(&mut stream)?;
        self.stream = Some(stream);
        let text = String::from_utf8_lossy(&answer);
        match status {
            200 => {
                serde_json::from_slice(&answer).map_err(|error| strange(format!("{error}: {text}")))
            }
            _ => Err(strange(format!("{method} {path} was answered {status}: {text}"))),
        }
    }
}

fn strange(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<(u16, Vec<u8>)> {
    let mut line = String::new();
    let mut next = || {
        line.clear();
        match stream.read_line(&mut line)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_ascii_lowercase()),
        }
    };
    let status = next()?.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no status"))?;
    let mut length = 0;
    loop {
        let header = next()?;
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, body))
}
