use proptest::prelude::*;
use taskwright_core::{JobId, Token};

use super::object;

proptest! {
    #[test]
    fn any_text_is_written_as_json(text in any::<String>()) {
        let written = object(0, |object| object.text("text", &text));
        let read: serde_json::Value = serde_json::from_slice(&written).unwrap();
        prop_assert_eq!(read["text"].as_str(), Some(&*text));
    }

    #[test]
    fn ids_and_tokens_are_written_as_they_are_shown(
        bits in any::<u128>(), epoch in any::<u32>(), attempt in any::<u32>(), nonce in any::<u64>()
    ) {
        let (id, token) = (JobId::from_u128(bits), Token { epoch, attempt, nonce });
        let written = object(0, |object| {
            object.id("id", id);
            object.token("token", token);
        });
        let expected = format!(r#"{{"id":"{id}","token":"{token}"}}"#);
        prop_assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}

#[test]
fn objects_and_lists_nest() {
    let written = object(0, |object| {
        object.number("n", u64::MAX);
        object.signed("s", i64::MIN);
        object.list("list", [1, 2], |number, item| item.number("k", number));
        object.list("none", [0_u64; 0], |number, item| item.number("k", number));
        object.object("o", |_| {});
        object.null("z");
        object.flag("f", false);
    });
    let expected = r#"{"n":18446744073709551615,"s":-9223372036854775808,"list":[{"k":1},{"k":2}],"none":[],"o":{},"z":null,"f":false}"#;
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}
