use super::*;

#[test]
fn lines_and_bodies_are_read_without_their_ends() {
    let mut peer: &[u8] = b"OK 5\r\nab\r\nc\r\nplain\n";
    let (mut line, mut body) = (Vec::new(), Vec::new());
    read_line(&mut peer, &mut line).unwrap();
    assert_eq!(line, b"OK 5");
    read_body(&mut peer, 5, &mut body).unwrap();
    assert_eq!(body, b"ab\r\nc");
    read_line(&mut peer, &mut line).unwrap();
    assert_eq!(line, b"plain");
}

#[test]
fn a_peer_that_breaks_off_is_told() {
    let mut line = Vec::new();
    let error = read_line(&mut &b"RESER"[..], &mut line).unwrap_err().to_string();
    assert!(error.contains("\"RESER\""), "{error}");
    assert!(read_line(&mut &b""[..], &mut line).is_err());
    assert!(read_body(&mut &b"abc"[..], 5, &mut line).is_err());
    assert!(read_body(&mut &b"abcdefg"[..], 5, &mut line).is_err());
    let endless = vec![b'x'; 70_000];
    assert!(read_line(&mut endless.as_slice(), &mut line).is_err());
}
