use std::time::Duration;

use taskwright_core::StateName;

use super::{count, counted, format_whole, harmless, now, parse_state, relative, short};

#[test]
fn numbers_have_their_thousands_apart() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(counted(1, "job"), "1 job");
    assert_eq!(counted(2_000, "job"), "2,000 jobs");
}

#[test]
fn instants_are_told_from_now() {
    assert_eq!(relative(now()), "now");
    assert_eq!(relative(now().minus(Duration::from_millis(90_500))), "1m 30s ago");
    assert_eq!(relative(now().plus(Duration::from_millis(7_200_900))), "in 2h");
    assert_eq!(format_whole(Duration::from_millis(3_900)), "3s");
}

#[test]
fn texts_of_others_cannot_command_a_terminal() {
    assert_eq!(short("a\x1b[31mb\nc", 80), "a [31mb c");
    assert_eq!(short("abcdef", 4), "abc…");
    assert_eq!(harmless("a\x1b\n\tb"), "a\u{fffd}\n\tb");
}

#[test]
fn states_are_known_by_their_words() {
    assert_eq!(parse_state("dead"), Ok(StateName::Dead));
    assert!(parse_state("done").unwrap_err().contains("completed"));
}
