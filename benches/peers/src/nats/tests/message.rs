use super::*;

fn read(message: &mut Message, peer: &mut &[u8]) -> Kind {
    message.read(peer).unwrap()
}

#[test]
fn messages_are_read_one_after_the_other() {
    let mut peer: &[u8] = b"INFO {\"version\":\"2.9.10\"} \r\nPING\r\nPONG\r\n\
        MSG _INBOX.1 1  23\r\n{\"stream\":\"J\", \"seq\":1}\r\n\
        MSG jobs 1 $JS.ACK.J.w.1.1.1.179.2 7\r\n{\"n\":0}\r\n";
    let mut message = Message::default();
    assert_eq!(read(&mut message, &mut peer), Kind::Notice);
    assert_eq!(read(&mut message, &mut peer), Kind::Ping);
    assert_eq!(read(&mut message, &mut peer), Kind::Pong);
    assert_eq!(read(&mut message, &mut peer), Kind::Job);
    assert!(is_accepted(&message.body));
    assert_eq!(message.reply_to(), b"");
    assert_eq!(read(&mut message, &mut peer), Kind::Job);
    assert_eq!(message.body, b"{\"n\":0}");
    assert_eq!(message.reply_to(), b"$JS.ACK.J.w.1.1.1.179.2");
    assert!(peer.is_empty());
}

#[test]
fn the_end_of_a_pull_tells_what_was_not_served() {
    let mut peer: &[u8] = b"HMSG IN 1  81 81\r\nNATS/1.0 408 Request Timeout\r\n\
        Nats-Pending-Messages: 4\r\nNats-Pending-Bytes: 0\r\n\r\n\r\n\
        HMSG IN 1  28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n";
    let mut message = Message::default();
    assert_eq!(read(&mut message, &mut peer), Kind::Status { code: 408, unserved: Some(4) });
    assert_eq!(read(&mut message, &mut peer), Kind::Status { code: 404, unserved: None });
    assert!(peer.is_empty());
}

#[test]
fn headers_without_status_precede_a_body() {
    let mut peer: &[u8] = b"HMSG jobs 1 back 20 22\r\nNATS/1.0\r\nA: bcd\r\n\r\nok\r\n";
    let mut message = Message::default();
    assert_eq!(read(&mut message, &mut peer), Kind::Job);
    assert_eq!(message.body, b"ok");
    assert_eq!(message.reply_to(), b"back");
}

#[test]
fn what_no_server_says_is_told() {
    for said in [
        "-ERR 'Authorization Violation'",
        "MSG jobs 1",
        "MSG jobs 1 x",
        "MSG jobs 1 99999999",
        "MSG a 1 b c 2",
        "HMSG a 1 9 2\r\nok",
    ] {
        let answer = format!("{said}\r\n");
        let error = Message::default().read(&mut answer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said.split('\r').next().unwrap()), "{said}: {error}");
    }
}

#[test]
fn only_a_new_place_in_the_stream_is_an_acceptance() {
    assert!(is_accepted(b"{\"stream\":\"J\", \"seq\":1}"));
    assert!(!is_accepted(b"{\"stream\":\"J\", \"seq\":1,\"duplicate\": true}"));
    assert!(!is_accepted(b"{\"error\":{\"code\":503},\"stream\":\"J\",\"seq\":0}"));
    assert!(!is_accepted(b""));
}
