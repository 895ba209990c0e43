use super::{bearer, is_same_origin, without_port};

#[test]
fn hosts_lose_their_port() {
    for (host, name) in [
        ("localhost", "localhost"),
        ("localhost:80", "localhost"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("a:b", "a:b"),
    ] {
        assert_eq!(without_port(host).trim_end_matches(':'), name, "{host}");
    }
}

#[test]
fn an_origin_is_the_same_with_host_and_port() {
    assert!(is_same_origin("http://localhost:80", "localhost:80"));
    assert!(is_same_origin("https://Queue.example", "queue.example"));
    for other in ["http://localhost", "localhost:80", "ftp://localhost:80", "null", ""] {
        assert!(!is_same_origin(other, "localhost:80"), "{other}");
    }
}

#[test]
fn only_bearer_tokens_are_tokens() {
    assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
    assert_eq!(bearer(b"bearer abc"), Some(&b"abc"[..]));
    for other in [&b""[..], b"Bearer", b"Bearer ", b"Basic abc", b"abc"] {
        assert_eq!(bearer(other), None, "{other:?}");
    }
}
