//! Reading JSON: strictly, in one pass, borrowing from the body.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use taskwright_core::limits::{self, JSON_DEPTH_MAX, OverLimit, PAYLOAD_BYTES_MAX};
use taskwright_core::{InvalidName, Json, Name};
use taskwright_engine::{Error, ErrorCode, Result};

/// Reads `body` as a `what`, for example `enqueue request`. An error names the path to the fault.
pub(crate) fn read<'a, T: Deserialize<'a>>(what: &str, body: &'a [u8]) -> Result<T> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Error::new(ErrorCode::Invalid, format!("the {what} is not UTF-8 (byte {at}); send JSON"))
    })?;
    match serde_json::from_str::<Object<T>>(text) {
        Ok(Object(value)) => Ok(value),
        Err(error) => Err(explain::<T>(what, text, &error)),
    }
}

/// Reads again, slowly, to learn where the fault is.
fn explain<'a, T: Deserialize<'a>>(what: &str, text: &'a str, plain: &serde_json::Error) -> Error {
    let mut reader = serde_json::Deserializer::from_str(text);
    let (path, cause) = match serde_path_to_error::deserialize::<_, Object<T>>(&mut reader) {
        Err(error) if error.path().iter().next().is_some() => {
            (format!(" at {}", error.path()), error.inner().to_string())
        }
        _ => (String::new(), plain.to_string()),
    };
    let item = path.split_once('[').and_then(|(_, rest)| rest.split_once(']')?.0.parse().ok());
    let kind = if plain.is_data() { "cannot be used" } else { "is not JSON" };
    let error = Error::new(ErrorCode::Invalid, format!("the {what} {kind}{path}: {cause}"));
    Error { item, ..error }
}

/// A value that must be written as a JSON object (derived readers would take an array as well).
pub(crate) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

/// A string, borrowed where it has no escapes.
pub(crate) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyString;

        impl<'de> Visitor<'de> for AnyString {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(AnyString)
    }
}

/// A string that stands for a value, such as an id, a token or an instant.
#[derive(Clone, Copy)]
pub(crate) struct Parsed<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Meaning<T>(PhantomData<T>);

        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Meaning<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Meaning(PhantomData)).map(Parsed)
    }
}

/// A JSON text within another, unread: the args, result or checkpoint of a job.
pub(crate) struct Payload<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Payload<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Payload(raw.get()))
    }
}

impl<'a> Payload<'a> {
    /// The text, from a peer that keeps the limits.
    pub(crate) fn to_json(&self) -> Json {
        Json::from_trusted(self.0)
    }

    /// The text, after a look at its size and depth.
    pub(crate) fn checked(&self, field: &'static str) -> Result<Json, OverLimit> {
        limits::check(field, self.0.len(), PAYLOAD_BYTES_MAX, "bytes")?;
        let openings = self.0.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
        if openings > JSON_DEPTH_MAX {
            limits::check(field, depth(self.0), JSON_DEPTH_MAX, "levels deep")?;
        }
        Ok(self.to_json())
    }

    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

/// How deep arrays and objects are nested in a JSON text.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The names of one request: most of its items share a few, which are checked and copied once.
#[derive(Default)]
pub(crate) struct Names(Vec<Name>);

impl Names {
    pub(crate) fn name(&mut self, text: &str) -> Result<Name, InvalidName> {
        /// Beyond so many different names a look costs more than a new copy.
        const KEPT_MAX: usize = 8;
        if let Some(known) = self.0.iter().find(|name| name.as_str() == text) {
            return Ok(known.clone());
        }
        let name = Name::new(text)?;
        if self.0.len() < KEPT_MAX {
            self.0.push(name.clone());
        }
        Ok(name)
    }
}

/// An item of a batch, for messages: `jobs[3]`.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub list: &'static str,
    pub item: usize,
}

impl At {
    /// The error that a field of this item cannot be used.
    pub(crate) fn invalid(self, field: &str, cause: impl fmt::Display) -> Error {
        let At { list, item } = self;
        Error::new(ErrorCode::Invalid, format!("{list}[{item}].{field}: {cause}")).at_item(item)
    }

    /// The error that a field of this item is over a limit.
    pub(crate) fn over(self, field: &str, cause: &OverLimit) -> Error {
        Error { code: ErrorCode::OverLimit, ..self.invalid(field, cause) }
    }
}

/// The error that a field of the request itself cannot be used.
pub(crate) fn invalid(field: &str, cause: impl fmt::Display) -> Error {
    Error::new(ErrorCode::Invalid, format!("{field}: {cause}"))
}

/// The name in a field of the request itself; where there is none, `default`.
pub(crate) fn name_or_default(field: &str, text: Option<&Text<'_>>) -> Result<Name> {
    match text {
        Some(text) => Name::new(&text.0).map_err(|cause| invalid(field, cause)),
        None => Ok(Name::default_name()),
    }
}

#[cfg(test)]
#[path = "tests/read.rs"]
mod tests;
