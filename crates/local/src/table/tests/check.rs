use taskwright_core::State;

use crate::table::Table;
use crate::table::tests::samples::*;

fn findings(tamper: &str) -> Vec<String> {
    let mut table = filled();
    assert_sound(&mut table);
    table.connection.execute_batch(tamper).unwrap();
    table.look().check().unwrap()
}

fn filled() -> Table {
    let mut table = table();
    apply(&mut table, vec![insert(1, 0), insert(2, 1)]);
    apply(&mut table, ended(3, 0, State::Completed, 1).into());
    apply(&mut table, ended(4, 0, dead(), 1).into());
    table
}

#[test]
fn each_contradiction_is_told() {
    let cases = [
        ("UPDATE meta SET ended_jobs = 5", "5 (7 bytes) are on record"),
        ("UPDATE meta SET dead_bytes = 1", "1 jobs (7 bytes) are dead"),
        ("DELETE FROM lanes WHERE number = 1", "job number 2 has a lane that does not exist"),
        ("DELETE FROM workers", "job number 3 names a worker that is not known"),
        ("UPDATE jobs SET finished_at = 5 WHERE seq = 1", "job number 1 has an end that does not"),
        ("UPDATE jobs SET attempt = 9 WHERE seq = 2", "job number 2 shows another state than"),
        ("UPDATE jobs SET vital = x'ff' WHERE seq = 2", "job number 2 cannot be read"),
        ("UPDATE meta SET next_seq = 4", "job number 4 has a number that was not given yet"),
        ("UPDATE jobs SET args = 9000 WHERE seq = 1", "job number 1 lacks a long text"),
        ("INSERT INTO payload VALUES (400, 'x')", "job number 100 is gone, but texts"),
        (
            "UPDATE jobs SET id = (SELECT id FROM jobs WHERE seq = 1) WHERE seq = 2",
            "has the id of another job",
        ),
        (
            "INSERT INTO attempts VALUES (100, 1, x'00', 0, 0, 'failed', NULL, NULL)",
            "job number 100 is gone, but attempts",
        ),
    ];
    for (tamper, expected) in cases {
        let findings = findings(tamper);
        assert!(findings.iter().any(|f| f.contains(expected)), "{tamper}: {findings:?}");
    }
}

#[test]
fn an_index_that_lost_a_row_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut table = Table::open(&directory.path().join("table.db"), 1).unwrap();
    apply(&mut table, names());
    apply(&mut table, vec![insert(1, 0), insert(2, 1)]);
    table
        .connection
        .execute_batch(
            "PRAGMA writable_schema = ON; \
             UPDATE sqlite_schema SET sql = replace(sql, 'priority', 'lane') \
             WHERE name = 'job_lane'; \
             UPDATE sqlite_schema SET sql = replace(sql, '(lane, state)', '(priority, state)') \
             WHERE name = 'job_lane'; PRAGMA writable_schema = RESET;",
        )
        .unwrap();
    let findings = table.look().check().unwrap();
    assert!(findings.iter().any(|f| f.contains("job_lane")), "{findings:?}");
}

#[test]
fn a_flood_of_findings_is_cut_short() {
    let mut table = table();
    apply(&mut table, (1..=100).map(|seq| insert(seq, 0)).collect());
    table.connection.execute_batch("UPDATE jobs SET lane = 77").unwrap();
    let findings = table.look().check().unwrap();
    let of_lanes: Vec<_> = findings.iter().filter(|f| f.contains("lane")).collect();
    assert_eq!(of_lanes.len(), super::TOLD_MAX + 1, "{of_lanes:?}");
    assert!(of_lanes[super::TOLD_MAX].contains("80 more"), "{of_lanes:?}");
}
