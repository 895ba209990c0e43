use taskwright_store::Outcome;

use super::{completed, percent};

fn result(output: &str) -> Option<String> {
    match completed(output.as_bytes()) {
        Outcome::Completed { result } => result.map(|json| json.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn output_that_is_json_is_the_result_as_it_is() {
    assert_eq!(result("{\"a\": 1.0}\n").unwrap(), "{\"a\": 1.0}");
    assert_eq!(result("42").unwrap(), "42");
}

#[test]
fn any_other_output_is_a_text() {
    assert_eq!(result("hello\nworld\n").unwrap(), "\"hello\\nworld\"");
    assert_eq!(result("{\"a\":").unwrap(), "\"{\\\"a\\\":\"");
    assert_eq!(result("\n"), None);
    assert_eq!(result(""), None);
}

#[test]
fn a_share_is_written_in_percent() {
    assert_eq!((percent("90%"), percent("1"), percent("100 %")), (Ok(90), Ok(1), Ok(100)));
    for wrong in ["", "%", "0%", "101%", "0.9", "-5%", "90%%"] {
        assert!(percent(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_text_that_grows_too_long_as_json_is_a_final_error() {
    let quotes = "\"".repeat(700_000);
    assert!(matches!(completed(quotes.as_bytes()), Outcome::Failed { .. }));
}
