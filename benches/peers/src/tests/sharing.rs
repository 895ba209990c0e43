use super::*;

#[test]
fn parts_cover_all_jobs_once() {
    for connections in 1..=8 {
        let parts = (0..connections).flat_map(|number| part(1_000, number, connections));
        assert_eq!(parts.collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
    }
}

#[test]
fn what_all_got_is_told_or_the_error_of_one() {
    let (got, _) = at_once(vec![10, 20], |number, connection| {
        Ok(Done { at: Instant::now(), got: connection + number })
    })
    .unwrap();
    assert_eq!(got, [10, 21]);
    let failed = at_once(vec![1, 2], |number, _| match number {
        0 => Ok(Done { at: Instant::now(), got: () }),
        _ => Err(anyhow!("gone")),
    });
    assert_eq!(failed.unwrap_err().to_string(), "gone");
}
