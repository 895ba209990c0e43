use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::Template;

fn split(command: &str) -> Template {
    Template::split("--exec", &command.into()).unwrap()
}

fn filled(command: &str, input: &str) -> Vec<OsString> {
    split(command).filled(input.as_bytes())
}

#[test]
fn the_input_stays_one_word_whatever_it_contains() {
    for input in ["a b", "'", "\"", "$(rm x)", "a\nb", "-rf", "{}", "", "; ls", "*"] {
        assert_eq!(filled("cat -- {}", input), ["cat", "--", input]);
    }
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    let words = split("cat {}").filled(b"\xff\x00x\x80");
    assert_eq!(words[1], OsString::from_vec(b"\xff\x00x\x80".to_vec()));
}

#[test]
fn holes_inside_words_are_filled_all_of_them() {
    assert_eq!(filled("cp {} out/{}.bak", "a b"), ["cp", "a b", "out/a b.bak"]);
    assert_eq!(filled("echo {}{}", "x"), ["echo", "xx"]);
    assert_eq!(filled("echo '{}'", "x"), ["echo", "x"]);
}

#[test]
fn an_input_is_not_searched_for_holes() {
    assert_eq!(filled("echo {}-{}", "{}"), ["echo", "{}-{}"]);
}

#[test]
fn without_a_hole_the_input_comes_last() {
    assert_eq!(filled("sha256sum -b", "a b"), ["sha256sum", "-b", "a b"]);
}

#[test]
fn commands_are_split_as_a_shell_splits_words() {
    assert_eq!(filled(r#"grep "a b" 'c d' e\ f"#, "x"), ["grep", "a b", "c d", "e f", "x"]);
    assert_eq!(filled("echo $HOME `ls`", "x"), ["echo", "$HOME", "`ls`", "x"]);
}

#[test]
fn broken_commands_are_refused() {
    for (command, said) in [
        ("echo 'a", "not closed"),
        ("", "names no program"),
        ("  ", "names no program"),
        ("''", "names no program"),
    ] {
        let error = Template::split("--exec", &command.into()).unwrap_err().to_string();
        assert!(error.contains(said), "{command}: {error}");
    }
}

#[test]
fn a_shell_gets_the_input_as_its_first_parameter() {
    let template = Template::shell(&r#"wc -l < "$1""#.into()).unwrap();
    let words = template.filled(b"a; b");
    assert_eq!(words, ["sh", "-c", r#"wc -l < "$1""#, "taskwright-each", "a; b"]);
}

#[test]
fn a_hole_in_a_shell_command_is_refused() {
    let error = Template::shell(&"cat {}".into()).unwrap_err().to_string();
    assert!(error.contains("\"$1\""), "{error}");
    assert!(Template::shell(&" ".into()).is_err());
}

#[test]
fn the_program_is_named_without_its_directory() {
    assert_eq!(split("/usr/bin/sha256sum -b").program(), "sha256sum");
    assert_eq!(OsStr::from_bytes(&split("a b").words()[1]), "b");
}
