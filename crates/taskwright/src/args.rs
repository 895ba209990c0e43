//! How the parameters of a task become the args of a job, and back.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use taskwright_core::Json;

/// A type that can be an argument of a task: owned, and serialisable both ways.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a task",
    label = "cannot be written as JSON and read back",
    note = "add #[derive(serde::Serialize, serde::Deserialize)] to `{Self}`"
)]
pub trait Argument: Sized {
    /// Writes it under its name.
    fn write(&self, args: &mut ArgsWriter, name: &str);
    /// Reads the argument with this number.
    fn read(args: &ArgsReader<'_>, number: usize) -> Result<Self, String>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Argument for T {
    fn write(&self, args: &mut ArgsWriter, name: &str) {
        args.write(name, self);
    }

    fn read(args: &ArgsReader<'_>, number: usize) -> Result<Self, String> {
        args.read(number)
    }
}

/// Writes the args of one job: an object with the arguments by name.
#[derive(Default)]
pub struct ArgsWriter {
    text: Vec<u8>,
    fault: Option<String>,
}

impl ArgsWriter {
    fn write(&mut self, name: &str, value: &impl Serialize) {
        self.text.push(if self.text.is_empty() { b'{' } else { b',' });
        // The names of parameters have nothing to be escaped.
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        if let Err(error) = serde_json::to_writer(&mut self.text, value) {
            self.fault.get_or_insert_with(|| format!("argument `{name}` is not JSON: {error}"));
        }
    }

    pub(crate) fn finish(mut self) -> Result<Json, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.text.extend_from_slice(if self.text.is_empty() { b"{}" } else { b"}" });
        let text = String::from_utf8(self.text).map_err(|error| error.to_string())?;
        Ok(Json::from_trusted(text))
    }
}

/// The args of one job, taken apart but not yet read.
pub struct ArgsReader<'a> {
    names: &'static [&'static str],
    values: Vec<Option<&'a RawValue>>,
}

impl<'a> ArgsReader<'a> {
    /// Takes apart an object with the arguments by name, where unknown ones are ignored, or an
    /// array of them in order.
    pub(crate) fn new(args: &'a Json, names: &'static [&'static str]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_str(args.as_str());
        let values = reader.deserialize_any(Parts { names });
        let values = values.and_then(|values| reader.end().map(|()| values));
        Ok(ArgsReader { names, values: values.map_err(|error| error.to_string())? })
    }

    fn read<T: DeserializeOwned>(&self, number: usize) -> Result<T, String> {
        let name = self.names.get(number).copied().unwrap_or_default();
        match self.values.get(number).copied().flatten() {
            Some(value) => serde_json::from_str(value.get())
                .map_err(|error| format!("argument `{name}`: {error}")),
            // Whatever can be null may be left out.
            None => serde_json::from_str("null").map_err(|_| format!("missing field `{name}`")),
        }
    }
}

struct Parts {
    names: &'static [&'static str],
}

impl<'de> Visitor<'de> for Parts {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the arguments by name, or an array of them in order")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.names.len()];
        while let Some(number) = map.next_key_seed(Number { names: self.names })? {
            let value: &RawValue = map.next_value()?;
            if let Some(place) = number.and_then(|number| values.get_mut(number)) {
                *place = Some(value);
            }
        }
        Ok(values)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::with_capacity(self.names.len());
        while let Some(value) = list.next_element()? {
            values.push(Some(value));
        }
        if values.len() > self.names.len() {
            let message =
                format!("{} arguments, but it has {} parameters", values.len(), self.names.len());
            return Err(serde::de::Error::custom(message));
        }
        Ok(values)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
}

/// Which of the names a key is.
struct Number {
    names: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Number {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an argument")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|name| *name == key))
    }
}

#[cfg(test)]
#[path = "tests/args.rs"]
mod tests;
