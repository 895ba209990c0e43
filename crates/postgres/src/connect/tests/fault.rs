use super::*;

#[test]
fn every_state_has_its_kind() {
    for (code, kind) in [
        ("53100", ErrorKind::Full),
        ("53300", ErrorKind::Busy),
        ("53200", ErrorKind::Busy),
        ("28P01", ErrorKind::Unusable),
        ("28000", ErrorKind::Unusable),
        ("3D000", ErrorKind::Unusable),
        ("42501", ErrorKind::Unusable),
        ("42P01", ErrorKind::Unusable),
        ("42601", ErrorKind::Unusable),
        ("22021", ErrorKind::Invalid),
        ("23505", ErrorKind::Invalid),
        ("40001", ErrorKind::Busy),
        ("57P01", ErrorKind::Unavailable),
        ("57P03", ErrorKind::Unavailable),
        ("25006", ErrorKind::Unavailable),
        ("08006", ErrorKind::Unavailable),
        ("58030", ErrorKind::Unavailable),
        ("XX002", ErrorKind::Corrupt),
        ("XX000", ErrorKind::Unavailable),
    ] {
        assert_eq!(judge(code).0, kind, "{code}");
    }
}
