use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::{Credential, CredentialError};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_first_start_writes_a_token_that_later_ones_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let first = Credential::at(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = Credential::read(&path).unwrap();
    assert_eq!(token.len(), 64);
    let second = Credential::at(&path).unwrap();
    assert!(first.admits(token.as_bytes()) && second.admits(token.as_bytes()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");

    let other = Credential::at(&directory.path().join("other")).unwrap();
    assert!(!other.admits(token.as_bytes()));
}

#[test]
fn only_the_token_itself_is_admitted() {
    let credential = Credential::of(TOKEN).unwrap();
    assert!(credential.admits(TOKEN.as_bytes()));
    for wrong in ["", " ", &TOKEN[1..], &format!("{TOKEN}\n"), &TOKEN.to_uppercase()] {
        assert!(!credential.admits(wrong.as_bytes()), "{wrong:?}");
    }
}

#[test]
fn weak_tokens_are_refused() {
    for weak in ["", "short", &" ".repeat(40), &"ü".repeat(32), &"x".repeat(1_025)] {
        assert!(matches!(Credential::of(weak), Err(CredentialError::Unfit { .. })), "{weak:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let error = Credential::at(&path).unwrap_err().to_string();
    assert!(error.contains("token has 32") && error.contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, TOKEN).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let error = Credential::at(&path).unwrap_err().to_string();
    assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/token");
    let error = Credential::at(&path).unwrap_err().to_string();
    assert!(error.contains("cannot write the token file"), "{error}");
}

#[test]
fn the_token_is_not_shown() {
    let shown = format!("{:?}", Credential::of(TOKEN).unwrap());
    assert!(!shown.contains("0123"), "{shown}");
}
