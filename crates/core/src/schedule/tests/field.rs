use super::*;

fn set(scale: &Scale, text: &str) -> Vec<u32> {
    let set = scale.set(text).unwrap();
    (0..64).filter(|number| set >> number & 1 == 1).collect()
}

#[test]
fn numbers_ranges_steps_and_lists_are_sets() {
    assert_eq!(set(&HOUR, "4"), [4]);
    assert_eq!(set(&HOUR, "04,23"), [4, 23]);
    assert_eq!(set(&HOUR, "1-4"), [1, 2, 3, 4]);
    assert_eq!(set(&HOUR, "*/6"), [0, 6, 12, 18]);
    assert_eq!(set(&HOUR, "1-10/3"), [1, 4, 7, 10]);
    assert_eq!(set(&HOUR, "20/2"), [20, 22]);
    assert_eq!(set(&MINUTE, "*").len(), 60);
    assert_eq!(set(&MINUTE, "1-3,2-5,59"), [1, 2, 3, 4, 5, 59]);
}

#[test]
fn names_stand_for_numbers_in_either_case() {
    assert_eq!(set(&MONTH, "JAN,mar-May,12"), [1, 3, 4, 5, 12]);
    assert_eq!(set(&DAY_OF_WEEK, "mon-fri"), [1, 2, 3, 4, 5]);
    assert_eq!(set(&DAY_OF_WEEK, "SAT-SUN"), [6, 7]);
    assert_eq!(set(&DAY_OF_WEEK, "sun-tue"), [0, 1, 2]);
}

#[test]
fn what_is_not_allowed_is_refused_by_field_and_item() {
    let refused = [
        (&HOUR, "24", "the hour field has \"24\", and allowed are 0-23"),
        (&HOUR, "1,,2", "the hour field has \"\", and allowed are 0-23"),
        (&HOUR, "-1", "the hour field has \"-1\", and allowed are 0-23"),
        (&HOUR, "1-2-3", "the hour field has \"1-2-3\""),
        (&HOUR, "+1", "the hour field has \"+1\""),
        (&HOUR, "MON", "the hour field has \"MON\""),
        (&MINUTE, "*/0", "the minute field has \"*/0\", and steps of it are 1 to 59"),
        (&MINUTE, "*/60", "steps of it are 1 to 59"),
        (&MINUTE, "*/5/5", "steps of it are 1 to 59"),
        (&MINUTE, "1.5", "allowed are 0-59"),
        (&HOUR, "22-4", "write two ranges, 22-23 and 0-4"),
        (&MONTH, "JANUARY", "allowed are 1-12 and JAN-DEC"),
        (&MONTH, "0", "allowed are 1-12 and JAN-DEC"),
        (&DAY_OF_WEEK, "8", "allowed are 0-7 (0 and 7 are Sunday)"),
        (&DAY_OF_WEEK, "FRI-MON", "write two ranges, 5-7 and 0-1"),
    ];
    for (scale, text, reason) in refused {
        let error = scale.set(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}
