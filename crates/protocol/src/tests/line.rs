use taskwright_engine::{Error, ErrorCode};

use super::{read_reply, read_request, reply, request};
use crate::Operation;

#[test]
fn a_request_keeps_to_its_line() {
    let line = request(Operation::Enqueue, b"{\n\t\"jobs\":\r\n[]}");
    let (text, end) = line.split_at(line.len() - 1);
    assert_eq!(end, b"\n");
    assert!(!text.contains(&b'\n'));
    let (operation, body) = read_request(text).unwrap();
    assert_eq!(operation, Operation::Enqueue);
    assert_eq!(body, b"{ \t\"jobs\":  []}");
}

#[test]
fn a_reply_is_a_result_or_a_problem() {
    let answered = reply(&Ok(br#"{"jobs":[]}"#.to_vec()));
    assert_eq!(read_reply(&answered).unwrap(), br#"{"jobs":[]}"#);

    let error = Error::new(ErrorCode::Conflict, "the \"id\"\nis taken").at_item(4);
    assert_eq!(read_reply(&reply(&Err(error.clone()))).unwrap_err(), error);
}

#[test]
fn what_is_no_request_is_refused() {
    for (line, cause) in [
        (&b"{}"[..], "missing field `op`"),
        (b"{\"op\":\"destroy\"}", "\"destroy\" is not an operation; operations are enqueue, claim"),
        (b"{\"op\":\"list\",\"x\":1}", "unknown field `x`"),
        (b"hello", "not JSON"),
    ] {
        let error = read_request(line).unwrap_err();
        assert!(error.message.contains(cause), "{error}");
    }
    assert!(read_reply(b"{}").is_err());
}

#[test]
fn a_request_may_have_no_body() {
    assert_eq!(read_request(b"{\"op\":\"describe\"}").unwrap(), (Operation::Describe, &b"{}"[..]));
}
