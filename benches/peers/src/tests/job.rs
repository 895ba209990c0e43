use super::*;

fn job(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(number, &mut bytes);
    bytes
}

#[test]
fn a_job_is_200_bytes_of_json_with_its_number() {
    for wanted in [0, 7, 299_999, 99_999_999] {
        let bytes = job(wanted);
        assert_eq!(bytes.len(), LENGTH);
        assert_eq!(number(&bytes), Some(wanted));
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
    }
}

#[test]
fn a_damaged_job_has_no_number() {
    let bytes = job(1);
    assert_eq!(number(&bytes[..199]), None);
    assert_eq!(number(&[bytes.as_slice(), b" "].concat()), None);
    assert_eq!(number(&bytes.repeat(1).iter().map(|_| b'x').collect::<Vec<_>>()), None);
}

#[test]
fn each_job_counts_once() {
    check_all_once(3, [2, 0, 1].into_iter()).unwrap();
    for (drained, told) in [
        (vec![0, 1], "1 of 3"),
        (vec![0, 1, 1], "1 was drained twice"),
        (vec![3], "never enqueued"),
    ] {
        let error = check_all_once(3, drained.into_iter()).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
