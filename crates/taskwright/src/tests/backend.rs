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
        ("postgres://me@h/db", Place::Postgres("postgres://me@h/db")),
        ("postgresql:///db", Place::Postgres("postgresql:///db")),
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
        "postgres:h/db",
        "redis://h",
    ] {
        let error = place(url).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains("\"memory:\"") && error.message.contains("\"file:PATH\""));
    }
}

#[test]
fn options_that_have_no_meaning_are_refused() {
    let check = |url, options: Options| check_options(&place(url).unwrap(), url, &options);
    let token = || Options::new().token("secret");
    let retention = || Options::new().retention(Retention::default());
    let syncing = || Options::new().syncing(Syncing::Os);
    assert!(check("memory:", token()).is_err() && check("file:d", token()).is_err());
    assert!(check("http://h", token()).is_ok());
    assert!(check("postgres://me@h/db", token()).is_err());
    assert!(check("postgres://me@h/db", retention()).is_ok());
    assert!(check("postgres://me@h/db", syncing()).is_err());
    assert!(check("http://h", retention()).is_err() && check("file:d", retention()).is_ok());
    assert!(check("memory:", syncing()).is_err() && check("file:d", syncing()).is_ok());
    let told = check("memory:", token()).unwrap_err();
    assert!(!told.message.contains("secret"), "{told}");
}

#[test]
fn nothing_of_a_password_is_shown() {
    for url in [
        "postgres://me:secret@h/db",
        "postgres://me@h/db?password=secret",
        "postgres://me:se@cret@h/db",
        "postgres://me:sec?ret@h/db",
        "postgres:me:secret@h/db",
        "postgre://me:secret@h/db",
        "redis://h?password=secret",
        "http://secret@h",
    ] {
        assert!(!shown(url).contains("cret"), "{}", shown(url));
        let errors = [
            place(url).err(),
            place(url).ok().and_then(|place| {
                check_options(&place, url, &Options::new().syncing(Syncing::Os)).err()
            }),
        ];
        for error in errors.into_iter().flatten() {
            assert!(!error.message.contains("cret"), "{error}");
        }
    }
    assert_eq!(shown("file:./data"), "file:./data");
    assert_eq!(shown("http://h:7600"), "http://h:7600");
}

#[cfg(feature = "postgres")]
#[test]
fn a_database_is_spelled_the_same_however_it_is_written() {
    let spelling = "postgres://me@h:5432/db";
    for url in ["postgres://me:x@h/db", "postgresql://me@h:5432/db?sslmode=disable&pool=3"] {
        assert_eq!(spelled(url).unwrap(), spelling);
    }
    assert_ne!(spelled("postgres://me@h/db?schema=other").unwrap(), spelling);
}

#[cfg(not(feature = "postgres"))]
#[tokio::test]
async fn without_the_feature_it_is_named() {
    let Err(error) = connect("postgres://me:secret@h/db", &Options::new()).await else {
        panic!("there is no PostgreSQL in this build");
    };
    assert!(error.message.contains("feature \"postgres\""), "{error}");
    assert!(!error.message.contains("secret"), "{error}");
}
