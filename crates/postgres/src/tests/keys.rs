use super::{key_from, key_text};

#[test]
fn keys_are_read_as_they_were_written() {
    for key in ["", "plain", "größe *", "a\\b", "\0", "\\0", "\\\\0\0\\", "0\\", "tail\\"] {
        let text = key_text(key);
        assert!(!text.contains('\0'), "{key:?}");
        assert_eq!(key_from(&text), key, "{text:?}");
    }
}
