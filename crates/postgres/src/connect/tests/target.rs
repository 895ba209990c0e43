use super::*;

fn parse(url: &str) -> Result<Target, Error> {
    Target::parse_with(url, |_| None)
}

fn refusal(url: &str) -> String {
    parse(url).unwrap_err().to_string()
}

fn places(target: &Target) -> Vec<String> {
    target.hosts.iter().map(host_and_port).collect()
}

#[test]
fn a_short_url_gets_the_defaults() {
    let target = parse("postgres://ann@db.example/jobs").unwrap();
    assert_eq!(places(&target), ["db.example:5432"]);
    assert_eq!((target.user.as_str(), target.database.as_str()), ("ann", "jobs"));
    assert_eq!((target.schema(), target.connections()), ("taskwright", 8));
    assert_eq!(target.deadline(), Duration::from_secs(8));
    assert_eq!(target.connect_timeout, Duration::from_secs(5));
    assert_eq!(target.ssl_mode, SslMode::Prefer);
    assert_eq!(target.session, TargetSessionAttrs::Any);
    assert!(target.password.is_none());
}

#[test]
fn everything_can_be_said() {
    let target = parse(
        "postgresql://ann:s%40cret@a:1,[::1]:2,b/jobs?sslmode=verify-full&sslrootcert=/ca.pem&\
         channel_binding=require&target_session_attrs=any&connect_timeout=3&application_name=x%20y&\
         schema=tw_1&pool=3&deadline_ms=250",
    )
    .unwrap();
    assert_eq!(places(&target), ["a:1", "[::1]:2", "b:5432"]);
    assert_eq!(target.password.as_deref(), Some("s@cret"));
    assert_eq!(target.ssl_mode, SslMode::VerifyFull);
    assert_eq!(target.root_certificates, Some(PathBuf::from("/ca.pem")));
    assert_eq!(target.channel_binding, ChannelBinding::Require);
    assert_eq!(target.session, TargetSessionAttrs::Any);
    assert_eq!(target.connect_timeout, Duration::from_secs(3));
    assert_eq!(target.application_name, "x y");
    assert_eq!((target.schema(), target.connections()), ("tw_1", 3));
    assert_eq!(target.deadline(), Duration::from_millis(250));
}

#[test]
fn with_several_hosts_one_that_writes_is_looked_for() {
    let target = parse("postgres://ann@a,b/jobs").unwrap();
    assert_eq!(target.session, TargetSessionAttrs::ReadWrite);
}

#[test]
fn a_socket_is_a_host_that_begins_with_a_slash() {
    for url in
        ["postgres:///jobs?user=ann&host=/run/pg&port=6000", "postgres://ann@%2Frun%2Fpg:6000/jobs"]
    {
        let target = parse(url).unwrap();
        assert_eq!(places(&target), ["/run/pg:6000"], "{url}");
        assert!(target.hosts[0].is_socket());
    }
}

#[test]
fn parameters_of_the_url_can_name_everything() {
    let target =
        parse("postgres://?host=a,b&port=1,2&user=ann&password=p%2Bq+r&dbname=jobs").unwrap();
    assert_eq!(places(&target), ["a:1", "b:2"]);
    assert_eq!(target.password.as_deref(), Some("p+q+r"));
    assert_eq!(target.to_string(), "postgres://ann@a:1,b:2/jobs");
}

#[test]
fn the_environment_fills_in_user_and_password() {
    let environment = |name: &str| match name {
        "PGPASSWORD" => Some("from outside".to_string()),
        "USER" => Some("bob".to_string()),
        _ => None,
    };
    let target = Target::parse_with("postgres://", environment).unwrap();
    assert_eq!(places(&target), ["localhost:5432"]);
    assert_eq!((target.user.as_str(), target.database.as_str()), ("bob", "bob"));
    assert_eq!(target.password.as_deref(), Some("from outside"));
    let target = Target::parse_with("postgres://ann:said@h/d", environment).unwrap();
    assert_eq!((target.user.as_str(), target.password.as_deref()), ("ann", Some("said")));
    assert!(refusal("postgres://host/jobs").contains("names no user"));
}

#[test]
fn the_password_is_never_shown() {
    let target = parse("postgres://ann:secret@h/jobs?schema=other").unwrap();
    assert_eq!(target.to_string(), "postgres://ann@h:5432/jobs?schema=other");
    assert_eq!(format!("{target:?}"), "Target(postgres://ann@h:5432/jobs?schema=other)");
    assert_eq!(target.place(), "h:5432/jobs");
}

#[test]
fn a_refusal_repeats_nothing_of_a_password() {
    for url in [
        "postgres://ann:secret/secret@h/jobs",
        "postgres://ann:secret?secret@h/jobs",
        "postgres://ann:secret?secret=1@h/jobs",
        "postgres://ann:secret:secret/jobs",
        "postgres://h:secret/jobs",
        "postgres://ann:secret%zz@h/jobs",
        "postgres://ann:secret%ff@h/jobs",
        "postgres://ann:secret%00@h/jobs",
        "postgres://ann@h/jobs?password=secret&SECRET=1&sslmode=secret",
        "postgres://ann@h/jobs?sslmode=secret",
        "postgres://ann@h/jobs?SEcret=secret",
        "postgres://ann@h/jobs?schema=Secret",
        "postgres://ann@h/jobs?pool=secret",
        "secret://ann:secret@h/jobs",
    ] {
        let refusal = refusal(url);
        assert!(!refusal.to_lowercase().contains("secret"), "{url}: {refusal}");
    }
}

#[test]
fn unknown_parameters_are_refused_by_name() {
    let refusal = refusal("postgres://ann@h/jobs?sslmode=require&gssencmode=disable");
    assert_eq!(
        refusal,
        "the PostgreSQL URL has a parameter `gssencmode` that Taskwright does not know: leave it out"
    );
}

#[test]
fn numbers_and_names_have_limits() {
    for parameter in [
        "pool=0",
        "pool=1001",
        "pool=x",
        "pool=",
        "deadline_ms=99",
        "deadline_ms=600001",
        "connect_timeout=0",
        "connect_timeout=601",
        "port=0",
        "port=65536",
        "port=1,2",
        "schema=",
        "schema=1a",
        "schema=Upper",
        "schema=a-b",
        "schema=pg_x",
        "schema=a%22b",
        "sslmode=allow",
        "target_session_attrs=standby",
        "channel_binding=maybe",
    ] {
        parse(&format!("postgres://ann@h/jobs?{parameter}")).expect_err(parameter);
    }
    let long = "a".repeat(49);
    parse(&format!("postgres://ann@h/jobs?schema={long}")).expect_err("49 letters");
    assert_eq!(
        parse(&format!("postgres://ann@h/jobs?schema={}", &long[1..])).unwrap().schema().len(),
        48
    );
}
