use super::*;

#[test]
fn the_database_is_changed_and_all_else_kept() {
    let location =
        Location::parse("postgresql://me:secret@host:5433/old?connect_timeout=3").unwrap();
    assert_eq!(location.database("new"), "postgres://me:secret@host:5433/new?connect_timeout=3");
    let location = Location::parse("postgres://host").unwrap();
    assert_eq!(location.database("new"), "postgres://host/new");
}

#[test]
fn other_urls_are_refused() {
    let error = Location::parse("mysql://host").unwrap_err().to_string();
    assert!(error.contains("mysql://host"), "{error}");
}

#[test]
fn parameters_are_added_behind_those_there_are() {
    assert_eq!(with_parameter("postgres://a/b", "c=d"), "postgres://a/b?c=d");
    assert_eq!(with_parameter("postgres://a/b?c=d", "e=f"), "postgres://a/b?c=d&e=f");
}

#[test]
fn host_and_port_are_found_and_changed() {
    let url = "postgres://me:secret@host:5433/jobs?connect_timeout=3";
    assert_eq!(Location::parse(url).unwrap().address(), "host:5433");
    assert_eq!(Location::parse("postgres://[::1]/jobs").unwrap().address(), "[::1]:5432");
    let moved = Location::parse_whole(url).unwrap().at("127.0.0.1:9");
    assert_eq!(moved, "postgres://me:secret@127.0.0.1:9/jobs?connect_timeout=3");
    let moved = Location::parse_whole("postgres://host/jobs").unwrap().at("127.0.0.1:9");
    assert_eq!(moved, "postgres://127.0.0.1:9/jobs");
}
