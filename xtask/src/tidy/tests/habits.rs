use super::*;

fn found(path: &str, text: &str) -> Vec<(usize, String)> {
    let file = RustFile::parse(path, text.to_string()).unwrap();
    check_file(&file).into_iter().map(|f| (f.line, f.what)).collect()
}

const SOURCE: &str = "crates/a/src/a.rs";

#[test]
fn panics_are_for_tests() {
    let text = "fn f() { a.unwrap(); a.expect(\"b\"); a.unwrap_or(1); }\n\
                #[cfg(test)] mod tests { fn g() { a.unwrap(); } }\n\
                #[test] fn h() { a.unwrap(); }\n\
                impl A { #[cfg(test)] fn i() { a.unwrap(); } }\n";
    assert_eq!(
        found(SOURCE, text),
        [(1, "`unwrap` outside tests".to_string()), (1, "`expect` outside tests".to_string())]
    );
    assert_eq!(found("crates/a/tests/a.rs", text), []);
}

#[test]
fn a_parser_may_expect_something() {
    assert_eq!(found(SOURCE, "fn f() { parser.expect(Token::Comma, \"here\"); }\n"), []);
}

#[test]
fn stubs_and_unsafe_are_for_nobody() {
    let text =
        "fn f() { todo!(); }\nfn g() { dbg!(1); }\nfn h() { unsafe { i() } }\nunsafe fn i() {}\n";
    let lines: Vec<_> = found("crates/a/tests/a.rs", text).into_iter().map(|(l, _)| l).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
}

#[test]
fn tests_do_not_sleep() {
    let text = "fn f() { std::thread::sleep(d); tokio::time::sleep(d).await; clock.sleep(d); }\n";
    assert_eq!(found("crates/a/tests/a.rs", &text.replace("fn f", "async fn f")).len(), 2);
    assert_eq!(found(SOURCE, &text.replace("fn f", "async fn f")), []);
}

#[test]
fn a_test_may_pause_while_it_looks_again() {
    let text = "fn f() { loop { std::thread::sleep(d); } }\nfn g() { while a() { sleep(d); } }\n";
    assert_eq!(found("crates/a/tests/a.rs", text), []);
}

#[test]
fn a_marker_allows_and_the_message_says_so() {
    let text =
        "fn f() {\n    // tidy: allow unwrap (the list was just filled)\n    a.unwrap();\n}\n";
    assert_eq!(found(SOURCE, text), []);
    let file = RustFile::parse(SOURCE, "fn f() { a.unwrap(); }".to_string()).unwrap();
    assert!(check_file(&file)[0].remedy.contains("tidy: allow unwrap"));
}

#[test]
fn ignored_tests_are_found() {
    let text = "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n";
    assert_eq!(found(SOURCE, text), [(2, "an ignored test".to_string())]);
}

#[test]
fn tools_may_be_ignored() {
    let text = "#[test]\n#[ignore = \"writes the golden files\"]\nfn f() {}\n";
    assert_eq!(found(SOURCE, text), []);
}

#[test]
fn tasks_take_their_time_and_chance_chooses_moments() {
    let text = "#[task]\nasync fn f() { tokio::time::sleep(d).await; }\n\
                fn g() { std::thread::sleep(Duration::from_millis(random.below(60))); }\n";
    assert_eq!(found("crates/a/tests/a.rs", text), []);
}
