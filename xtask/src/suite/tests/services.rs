use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn what_no_folder_has_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folders = [folder.path().to_path_buf()];
    let names = |folders: &[PathBuf]| -> Vec<_> {
        missing(folders).into_iter().map(|package| package.name).collect()
    };
    assert_eq!(names(&folders), ["postgresql", "pgbouncer", "faketime"]);
    fs::write(folder.path().join("initdb"), "").unwrap();
    assert_eq!(names(&folders), ["pgbouncer", "faketime"]);
    fs::write(folder.path().join("pgbouncer"), "").unwrap();
    fs::write(folder.path().join("faketime"), "").unwrap();
    assert_eq!(names(&folders), [""; 0]);
}

#[test]
fn packages_are_installed_without_a_question() {
    let command = install(&["postgresql", "pgbouncer"]);
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    assert_eq!(
        arguments,
        ["--yes", "--quiet", "--no-install-recommends", "install", "postgresql", "pgbouncer"]
    );
}

#[test]
fn services_are_forbidden_only_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy");
    let policy = Policy::forbid(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(Command::new(&path).status().unwrap().code(), Some(101));
    drop(policy);
    assert!(!path.exists());
}

#[test]
fn the_policy_of_others_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy");
    fs::write(&path, "theirs").unwrap();
    drop(Policy::forbid(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
}
