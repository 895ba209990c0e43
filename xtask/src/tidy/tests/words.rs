use super::*;

fn found(path: &str, text: &str) -> Vec<(usize, String)> {
    let file = RustFile::parse(path, text.to_string()).unwrap();
    check_file(&file).into_iter().map(|f| (f.line, f.what)).collect()
}

#[test]
fn names_and_docs_keep_to_the_vocabulary() {
    let found = found(
        "crates/a/src/a.rs",
        "/// Sends it to the broker.\nfn set_visibility_timeout() {}\nstruct DeadLetter;\n\
         fn g() { let brokers = 1; }\n",
    );
    assert_eq!(
        found,
        [
            (1, "a doc comment says \"broker\"".to_string()),
            (2, "the name `set_visibility_timeout` says \"visibility timeout\"".to_string()),
            (3, "the name `DeadLetter` says \"dead letter\"".to_string()),
            (4, "the name `brokers` says \"broker\"".to_string()),
        ]
    );
}

#[test]
fn names_of_others_and_parts_of_words_are_fine() {
    let text = "fn f() { stream.broker(); }\n/// A snack.\nfn snack() {}\n";
    assert_eq!(found("crates/a/src/a.rs", text), []);
}

#[test]
fn the_command_line_is_text_for_people() {
    let text = "fn f() { println!(\"{}\", 1); g(\"the broker\"); }\n";
    assert_eq!(found("crates/a/src/a.rs", text), []);
    assert_eq!(found("crates/cli/src/a.rs", text).len(), 1);
}

#[test]
fn a_marker_allows_a_word() {
    let text = "// tidy: allow broker (RabbitMQ)\nfn broker_address() {}\n";
    assert_eq!(found("crates/a/src/a.rs", text), []);
}

#[test]
fn a_file_has_a_name_too() {
    assert_eq!(found("crates/a/src/broker.rs", "").len(), 1);
}

#[test]
fn words_are_split_at_cases_and_signs() {
    assert_eq!(
        plain_words("DeadLetter_queue re-enqueue HTTPServer"),
        "dead letter queue re enqueue httpserver"
    );
}
