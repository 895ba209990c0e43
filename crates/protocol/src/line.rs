//! Requests and replies as lines of JSON, for the control socket.
//!
//! A request is `{"op":"claim","body":{…}}`, its reply `{"ok":{…}}` or `{"problem":{…}}`; the
//! bodies are those of HTTP. Replies come in the order of the requests.

use serde::Deserialize;
use taskwright_engine::{Error, ErrorCode, Result};

use crate::operation::Operation;
use crate::problem::{Problem, status, write_problem};
use crate::read::{Parsed, Payload, read};
use crate::write;

/// Writes a request, with the end of its line.
pub fn request(operation: Operation, body: &[u8]) -> Vec<u8> {
    finish(write::object(body.len() + 32, |object| {
        object.word("op", operation.as_str());
        object.raw("body", body);
    }))
}

/// Reads a request: the operation and its body.
pub fn read_request(line: &[u8]) -> Result<(Operation, &[u8])> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        op: Parsed<Operation>,
        #[serde(borrow)]
        body: Option<Payload<'a>>,
    }

    let fields: Fields<'_> = read("line", line)?;
    Ok((fields.op.0, fields.body.map_or(b"{}", |body| body.as_bytes())))
}

/// Writes a reply, with the end of its line.
pub fn reply(answer: &Result<Vec<u8>>) -> Vec<u8> {
    finish(match answer {
        Ok(body) => write::object(body.len() + 16, |object| object.raw("ok", body)),
        Err(error) => write::object(256, |object| {
            object.object("problem", |fields| write_problem(error, status(error.code), fields));
        }),
    })
}

/// Reads a reply: the body, or the error that the other side answered.
pub fn read_reply(line: &[u8]) -> Result<&[u8]> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        ok: Option<Payload<'a>>,
        problem: Option<Problem<'a>>,
    }

    let fields: Fields<'_> = read("reply", line)?;
    match (fields.ok, fields.problem.and_then(Problem::into_error)) {
        (_, Some(error)) => Err(error),
        (Some(body), None) => Ok(body.as_bytes()),
        (None, None) => {
            Err(Error::new(ErrorCode::Unavailable, "the reply is neither a result nor a problem"))
        }
    }
}

/// Line breaks in JSON are white space, for within strings they are escaped: so they may go.
fn finish(mut line: Vec<u8>) -> Vec<u8> {
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
#[path = "tests/line.rs"]
mod tests;
