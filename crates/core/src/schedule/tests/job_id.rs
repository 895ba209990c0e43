use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn an_instant_has_one_job_id_for_ever() {
    let at = Timestamp::from_millis(1_800_000_000_000);
    let id = job_id(&name("default"), &name("report"), at);
    assert_eq!(id, job_id(&name("default"), &name("report"), at));
    // Stores keep these ids: they may never change.
    assert_eq!(id.to_string(), "7611b237-610b-5d70-8992-79c564619350");
    assert_eq!(uuid::Uuid::from_u128(id.as_u128()).get_version_num(), 5);
}

#[test]
fn another_namespace_schedule_or_instant_has_another_job_id() {
    let at = Timestamp::from_millis(1_800_000_000_000);
    let ids = [
        job_id(&name("default"), &name("report"), at),
        job_id(&name("other"), &name("report"), at),
        job_id(&name("default"), &name("reports"), at),
        job_id(&name("default"), &name("report"), Timestamp::from_micros(at.as_micros() + 1)),
    ];
    let different: std::collections::BTreeSet<_> = ids.into_iter().collect();
    assert_eq!(different.len(), 4);
}
