use super::*;

#[test]
fn targets_are_read_and_written() {
    for text in ["p99 wait <= 5.0s", "mean wait of mail <= 200ms", "max wait <= 2m"] {
        let target: Target = text.parse().unwrap();
        assert_eq!(target.to_string(), text);
    }
    assert_eq!("p50 wait<=1s".parse::<Target>().unwrap().figure, Figure::P50);
    for wrong in
        ["", "p99 wait < 5s", "p98 wait <= 5s", "p99 <= 5s", "p99 wait <= 5", "p99 wait of <= 5s"]
    {
        let error = wrong.parse::<Target>().unwrap_err();
        assert!(error.to_string().contains("write one like"), "{error}");
    }
}
