use super::*;

#[test]
fn a_server_that_ends_at_once_is_told_with_its_last_words() {
    let arguments =
        |_: u16, _: &Path| vec!["-c".to_owned(), "echo no such disk; exit 3".to_owned()];
    let error = Server::start("sh", arguments).unwrap_err().to_string();
    assert!(error.contains("no such disk") && error.contains("exit status: 3"), "{error}");
}
