use super::*;

const NAMES: &[&str] = &["a", "b"];

fn read(text: &str) -> Result<(i64, Option<String>), String> {
    let args = Json::from_trusted(text);
    let reader = ArgsReader::new(&args, NAMES)?;
    Ok((Argument::read(&reader, 0)?, Argument::read(&reader, 1)?))
}

#[test]
fn args_are_written_by_name() {
    let mut args = ArgsWriter::default();
    4.write(&mut args, "a");
    Some("x\"y".to_owned()).write(&mut args, "b");
    assert_eq!(args.finish().unwrap().as_str(), r#"{"a":4,"b":"x\"y"}"#);
    assert_eq!(ArgsWriter::default().finish().unwrap().as_str(), "{}");
}

#[test]
fn args_are_read_by_name_and_by_position() {
    let whole = Ok((4, Some("x".to_owned())));
    assert_eq!(read(r#"{"a":4,"b":"x"}"#), whole);
    assert_eq!(read(r#" { "b" : "x" , "more" : {"deep":[1]} , "a" : 4 } "#), whole);
    assert_eq!(read(r#"[4,"x"]"#), whole);
    assert_eq!(read(r#"{"\u0061":4,"b":"x"}"#), whole);
}

#[test]
fn what_can_be_null_may_be_left_out() {
    assert_eq!(read(r#"{"a":4}"#), Ok((4, None)));
    assert_eq!(read("[4]"), Ok((4, None)));
}

#[test]
fn what_does_not_fit_is_named() {
    for (text, fault) in [
        (r#"{"b":"x"}"#, "missing field `a`"),
        ("null", "missing field `a`"),
        ("[]", "missing field `a`"),
        (r#"{"a":"4"}"#, "argument `a`: invalid type: string \"4\", expected i64"),
        (r#"[4,"x",5]"#, "3 arguments, but it has 2 parameters"),
        ("7", "expected an object with the arguments by name, or an array of them in order"),
        (r#"{"a":4"#, "EOF"),
        (r#"{"a":4} 5"#, "trailing characters"),
    ] {
        let found = read(text).unwrap_err();
        assert!(found.contains(fault), "{text}: {found}");
    }
}

#[test]
fn maps_without_text_keys_are_named() {
    let mut args = ArgsWriter::default();
    std::collections::BTreeMap::from([((1, 2), 3)]).write_raw(&mut args, "pairs");
    assert!(args.finish().unwrap_err().contains("argument `pairs` is not JSON"));
}

/// Writes what can be written but not read back.
trait WriteRaw: Serialize {
    fn write_raw(&self, args: &mut ArgsWriter, name: &str);
}

impl<T: Serialize> WriteRaw for T {
    fn write_raw(&self, args: &mut ArgsWriter, name: &str) {
        ArgsWriter::write(args, name, self);
    }
}
