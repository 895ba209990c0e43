use super::*;

#[test]
fn each_line_is_a_skip() {
    let skips = Skips::begin().unwrap();
    assert_eq!(skips.read().unwrap(), [""; 0]);
    fs::write(skips.path(), "full_disk: no tmpfs\n\nother: no mount\n").unwrap();
    assert_eq!(skips.read().unwrap(), ["full_disk: no tmpfs", "other: no mount"]);
}
