use super::*;

#[test]
fn urls_name_places() {
    for (url, expected) in [
        ("memory:", Place::Memory),
        ("memory://", Place::Memory),
        ("file:./data", Place::File("./data")),
        ("file:///srv/data", Place::File("/srv/data")),
        ("file:/srv/data", Place::File("/srv/data")),
        ("unix:/run/control.sock", Place::Unix("/run/control.sock")),
        ("http://localhost:7733", Place::Http("http://localhost:7733")),
        ("https://queue.example.org", Place::Http("https://queue.example.org")),
    ] {
        assert_eq!(place(url).unwrap(), expected);
    }
}

#[test]
fn other_texts_are_refused_with_what_there_is() {
    for url in [
        "",
        "data",
        "./data",
        "memory:big",
        "file:",
        "unix:",
        "http:",
        "postgres://h/db",
        "redis://h",
    ] {
        let error = place(url).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains("\"memory:\"") && error.message.contains("\"file:PATH\""));
    }
    assert!(place("postgres://h/db").unwrap_err().message.contains("PostgreSQL"));
}

#[test]
fn options_that_have_no_meaning_are_refused() {
    let check = |url, options: Options| check_options(&place(url).unwrap(), url, &options);
    let token = || Options::new().token("secret");
    let retention = || Options::new().retention(Retention::default());
    let syncing = || Options::new().syncing(Syncing::Os);
    assert!(check("memory:", token()).is_err() && check("file:d", token()).is_err());
    assert!(check("http://h", token()).is_ok());
    assert!(check("http://h", retention()).is_err() && check("file:d", retention()).is_ok());
    assert!(check("memory:", syncing()).is_err() && check("file:d", syncing()).is_ok());
    let told = check("memory:", token()).unwrap_err();
    assert!(!told.message.contains("secret"), "{told}");
}
