use std::collections::HashSet;

use super::{Output, args, field, input_of, job_id, shown};

const ODD: [&[u8]; 6] = [b"plain", b"", b"a \"b\"\n$(c)", "é✓".as_bytes(), b"\xff\xfe", b"\x00"];

#[test]
fn any_bytes_survive_the_way_through_json() {
    for bytes in ODD {
        assert_eq!(input_of(&args(bytes)).unwrap(), bytes);
        let output = Output::new(bytes.to_vec(), 1, 2.0, 3.5);
        let read = Output::of(&output.to_json().unwrap()).unwrap();
        assert_eq!(read, output);
        assert_eq!(read.printed().unwrap(), bytes);
    }
}

#[test]
fn text_stays_readable() {
    assert_eq!(args("é".as_bytes()).as_str(), r#"{"input":"é"}"#);
    assert_eq!(args(b"\xff").as_str(), r#"{"input_base64":"/w=="}"#);
    assert_eq!(field(b"\xff"), ("input_base64", "/w==".to_owned()));
}

#[test]
fn ids_tell_runs_inputs_and_occurrences_apart_and_never_change() {
    let ids = [("r", &b"a"[..], 1), ("r", b"a", 2), ("r", b"b", 1), ("ra", b"", 1), ("q", b"a", 1)]
        .map(|(run, input, occurrence)| job_id(run, input, occurrence));
    assert_eq!(HashSet::from(ids).len(), ids.len());
    assert_eq!(job_id("r", b"a", 1), ids[0]);
    assert_eq!(ids[0].to_string().as_bytes()[14], b'8');
}

#[test]
fn an_output_that_does_not_fit_is_refused() {
    assert!(Output::new(vec![b'x'; 1024 * 1024], 1, 0.0, 0.0).to_json().is_none());
    assert!(Output::new(vec![b'x'; 1_000_000], 1, 0.0, 0.0).to_json().is_some());
}

#[test]
fn inputs_are_shown_in_one_line() {
    assert_eq!(&*shown(b"a\nb\x1b[0m"), "a b [0m");
}
