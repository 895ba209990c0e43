use super::*;

#[test]
fn a_place_without_a_kind_is_a_directory() {
    for (place, expected) in [
        ("data", "file:data"),
        ("./a:b", "file:./a:b"),
        ("/srv/data", "file:/srv/data"),
        ("file:data", "file:data"),
        ("postgres://host/db", "postgres://host/db"),
        ("memory:", "memory:"),
        ("C:data", "file:C:data"),
    ] {
        assert_eq!(url(place), expected);
    }
}
