use super::*;

#[test]
fn ids_read_back_from_what_they_print() {
    let id = JobId::v7(Timestamp::from_millis(1_763_715_600_000), [7; 10]);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(&id.to_string()[14..15], "7", "version 7: {id}");
}

#[test]
fn ids_made_later_sort_later() {
    let early = JobId::v7(Timestamp::from_millis(1_000), [255; 10]);
    let late = JobId::v7(Timestamp::from_millis(1_001), [0; 10]);
    assert!(early < late);
}

#[test]
fn tokens_read_back_from_what_they_print() {
    let token = Token { epoch: 3, attempt: 12, nonce: 0x9f86_d081 };
    assert_eq!(token.to_string(), "3.12.000000009f86d081");
    assert_eq!(token.to_string().parse(), Ok(token));
}

#[test]
fn a_bad_id_names_itself_and_shows_a_good_one() {
    let error = "42".parse::<JobId>().unwrap_err().to_string();
    assert!(error.starts_with("\"42\" is not a job id; it looks like 019aa2f4-"), "{error}");
    for bad in ["", "1", "1.2", "1.2.xyz", "-1.2.3"] {
        assert!(bad.parse::<Token>().is_err(), "{bad}");
    }
}
