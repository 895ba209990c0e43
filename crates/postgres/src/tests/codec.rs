use super::*;

#[test]
fn extras_come_back_as_they_were() {
    let extras = Extras {
        retry: Some(RetryPolicy::List { delays_ms: vec![1, 20] }),
        expires_at: Some(Timestamp::from_millis(5)),
        tags: vec!["ro\u{0}t".into(), "grün".into()],
        group: Some("g".into()),
        limit_keys: vec!["a".into()],
        unique: Some(Unique { key: "u".into(), until: Until::Elapsed { ms: 5 } }),
        requires: "gpu>=24,region in (eu us)".parse().expect("a requirement"),
        cost: 3,
        parents: vec![JobId::from_u128(7)],
        alias: Some("a".into()),
        trace: Some("t".into()),
        shard: Some(taskwright_core::Shard { index: 2, total: 8 }),
    };
    let text = extras_text(&extras).expect("a text");
    assert!(!text.contains('\0'), "PostgreSQL keeps no zero bytes: {text}");
    assert_eq!(extras_from(Some(&text)), Ok(extras));
    assert_eq!(extras_text(&Extras::default()), None);
    assert_eq!(extras_from(None), Ok(Extras::default()));
}

#[test]
fn profiles_come_back_as_they_were() {
    let names =
        |texts: &[&str]| texts.iter().map(|text| Name::new(text).expect("a name")).collect();
    for (tasks, labels) in
        [(None, ""), (Some(names(&[])), "spot"), (Some(names(&["a"])), "gpu=24,spot")]
    {
        let labels = labels.parse().expect("labels");
        let profile = Profile { queues: names(&["q", "r/s"]), tasks, labels };
        assert_eq!(profile_from(Some(&profile_text(&profile))), Ok(Some(profile)));
    }
    assert_eq!(profile_from(None), Ok(None));
}

#[test]
fn notes_come_back_as_they_were() {
    let error = Some(JobError::new("error", "it broke\0"));
    let notes = Notes {
        cancel_reason: Some("no longer needed".into()),
        error: error.clone(),
        attempts: vec![AttemptRecord {
            attempt: 2,
            worker: WorkerId::from_u128(9),
            started_at: Timestamp::from_millis(1),
            ended_at: Timestamp::from_millis(2),
            verdict: Verdict::TimedOut,
            error,
        }],
    };
    let text = notes_text(&notes).expect("a text");
    assert_eq!(notes_from(Some(&text)), Ok(notes));
    assert_eq!(notes_text(&Notes::default()), None);
}

#[test]
fn a_field_of_a_newer_version_is_refused_by_name() {
    let error = extras_from(Some(r#"{"colour":"red"}"#)).expect_err("an unknown field");
    assert_eq!(error.kind, ErrorKind::TooNew);
    assert!(error.message.contains("colour"), "{error}");
    assert!(notes_from(Some(r#"{"attempts":[],"mood":1}"#)).is_err());
}
