use super::*;

#[test]
fn what_is_there_is_handed_on() {
    assert_eq!(available("test", Ok(3)), Some(3));
}

#[test]
fn what_is_missing_skips_the_test() {
    let missing: Result<(), _> = Err(Error::Unavailable("no such program".to_string()));
    // Not the list of the run: this is no test that was skipped.
    if std::env::var_os(SKIPS).is_none() {
        assert_eq!(available("test", missing), None);
    }
}

#[test]
#[should_panic(expected = "test: starting it: no memory")]
fn what_fails_fails_the_test() {
    let failed: Result<(), _> = Err(Error::failed("starting it")("no memory"));
    available("test", failed);
}
