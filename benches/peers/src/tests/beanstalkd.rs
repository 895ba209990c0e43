use super::*;

#[test]
fn a_put_tells_the_length_of_its_job() {
    let mut command = Vec::new();
    append_put(42, &mut command);
    let body = command.strip_prefix(b"put 0 0 600 200\r\n").unwrap();
    assert_eq!(job::number(body.strip_suffix(b"\r\n").unwrap()), Some(42));
}

#[test]
fn answers_to_reserve_are_read_one_after_the_other() {
    let mut peer: &[u8] = b"RESERVED 7 4\r\n\r\nab\r\nTIMED_OUT\r\nRESERVED 8 0\r\n\r\nDELETED\r\n";
    let (mut line, mut body) = (Vec::new(), Vec::new());
    assert_eq!(read_reserved(&mut peer, &mut line, &mut body).unwrap(), Some(7));
    assert_eq!(body, b"\r\nab");
    assert_eq!(read_reserved(&mut peer, &mut line, &mut body).unwrap(), None);
    assert_eq!(read_reserved(&mut peer, &mut line, &mut body).unwrap(), Some(8));
    assert_eq!(body, b"");
    read_deleted(&mut peer, &mut line).unwrap();
    assert!(peer.is_empty());
}

#[test]
fn an_answer_that_is_not_the_wanted_one_is_told() {
    let (mut line, mut body) = (Vec::new(), Vec::new());
    for said in ["DEADLINE_SOON", "RESERVED x 4", "RESERVED 7", "RESERVED 7 99999999", "NOT_FOUND"]
    {
        let answer = format!("{said}\r\n");
        let reserve = read_reserved(&mut answer.as_bytes(), &mut line, &mut body);
        let delete = read_deleted(&mut answer.as_bytes(), &mut line);
        let put = read_inserted(&mut answer.as_bytes(), &mut line);
        for error in [reserve.unwrap_err(), delete.unwrap_err(), put.unwrap_err()] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }
    read_inserted(&mut &b"INSERTED 12\r\n"[..], &mut line).unwrap();
    assert!(read_inserted(&mut &b"BURIED 12\r\n"[..], &mut line).is_err());
}
