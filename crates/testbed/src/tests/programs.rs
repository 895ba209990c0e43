use super::*;

#[test]
fn a_user_is_found_by_name() {
    let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var/lib:/bin/bash\n";
    assert_eq!(find_user(users, "postgres"), Some(User { uid: 101, gid: 104 }));
    assert_eq!(find_user(users, "post"), None);
}

#[test]
fn versions_are_read_from_folders() {
    assert_eq!(version(Path::new("/usr/lib/postgresql/15")), Some(15));
    assert_eq!(version(Path::new("/opt/homebrew/opt/postgresql@17")), Some(17));
    assert_eq!(version(Path::new("/opt/homebrew/opt/openssl@3")), None);
}
