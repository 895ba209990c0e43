use std::ffi::OsString;
use std::io::Cursor;

use super::{INPUT_BYTES_MAX, Source, next_part, send_parts};

fn parts(text: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut reader = Cursor::new(text.to_vec());
    std::iter::from_fn(|| next_part(&mut reader, separator).unwrap()).collect()
}

#[test]
fn lines_are_inputs_also_empty_ones_and_the_last_without_an_end() {
    assert_eq!(parts(b"a\n\n b \nc", b'\n'), [&b"a"[..], b"", b" b ", b"c"]);
    assert_eq!(parts(b"a\n", b'\n'), [b"a"]);
    assert!(parts(b"", b'\n').is_empty());
}

#[test]
fn with_nul_an_input_may_have_line_ends() {
    assert_eq!(parts(b"a\nb\0c\xff\0", 0), [&b"a\nb"[..], b"c\xff"]);
}

#[test]
fn an_input_that_no_command_can_be_given_is_refused_by_number() {
    let (sender, mut inputs) = tokio::sync::mpsc::channel(10);
    let mut text = b"a\n".to_vec();
    text.extend(vec![b'x'; INPUT_BYTES_MAX + 1]);
    let error = send_parts(Cursor::new(text), b'\n', &sender).unwrap_err().to_string();
    assert!(error.contains("input 2"), "{error}");
    assert_eq!(inputs.try_recv().unwrap().unwrap(), b"a");
}

#[test]
fn the_longest_input_is_taken() {
    let mut text = vec![b'x'; INPUT_BYTES_MAX];
    text.push(b'\n');
    assert_eq!(parts(&text, b'\n'), [vec![b'x'; INPUT_BYTES_MAX]]);
}

#[test]
fn words_of_the_command_line_come_in_their_order() {
    let given: Vec<OsString> = vec!["b".into(), "".into(), "a".into()];
    let source = Source { given, separator: b'\n' };
    let mut inputs = source.start().unwrap();
    let read: Vec<_> = std::iter::from_fn(|| inputs.blocking_recv()).map(Result::unwrap).collect();
    assert_eq!(read, [&b"b"[..], b"", b"a"]);
}
