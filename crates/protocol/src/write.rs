//! Writing JSON straight into one buffer.

use std::time::Duration;

use taskwright_core::{JobId, Json, Name, Timestamp, Token, WorkerId};

use crate::instant;

/// Writes one object into a new buffer of about `capacity` bytes.
pub(crate) fn object(capacity: usize, fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(capacity);
    write_object(&mut buffer, fill);
    buffer
}

fn write_object(buffer: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    buffer.push(b'{');
    fill(&mut Object { buffer, is_empty: true });
    buffer.push(b'}');
}

/// An object that is being written. Keys are literals of ours and never need an escape.
pub(crate) struct Object<'a> {
    buffer: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\":");
        self.buffer
    }

    /// A string that is known to need no escape.
    pub(crate) fn word(&mut self, key: &str, word: &str) {
        write_word(self.key(key), word);
    }

    pub(crate) fn name(&mut self, key: &str, name: &Name) {
        self.word(key, name.as_str());
    }

    pub(crate) fn text(&mut self, key: &str, text: &str) {
        write_text(self.key(key), text);
    }

    pub(crate) fn texts<T: AsRef<str>>(&mut self, key: &str, texts: &[T]) {
        let buffer = self.key(key);
        write_list(buffer, texts, |text, buffer| write_text(buffer, text.as_ref()));
    }

    pub(crate) fn names(&mut self, key: &str, names: &[Name]) {
        write_list(self.key(key), names, |name, buffer| write_word(buffer, name.as_str()));
    }

    pub(crate) fn number(&mut self, key: &str, number: u64) {
        let buffer = self.key(key);
        buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    pub(crate) fn numbers(&mut self, key: &str, numbers: &[u64]) {
        write_list(self.key(key), numbers, |number, buffer| {
            buffer.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        });
    }

    pub(crate) fn signed(&mut self, key: &str, number: i64) {
        let buffer = self.key(key);
        buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    pub(crate) fn millis(&mut self, key: &str, duration: Duration) {
        self.number(key, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    }

    /// Milliseconds with their thousandths.
    pub(crate) fn fine_millis(&mut self, key: &str, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.number(key, micros / 1_000);
        if !micros.is_multiple_of(1_000) {
            let thousandths = format!(".{:03}", micros % 1_000);
            self.buffer.extend_from_slice(thousandths.trim_end_matches('0').as_bytes());
        }
    }

    pub(crate) fn flag(&mut self, key: &str, flag: bool) {
        let buffer = self.key(key);
        buffer.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    pub(crate) fn null(&mut self, key: &str) {
        self.key(key).extend_from_slice(b"null");
    }

    pub(crate) fn json(&mut self, key: &str, json: &Json) {
        self.key(key).extend_from_slice(json.as_str().as_bytes());
    }

    pub(crate) fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key).extend_from_slice(json);
    }

    pub(crate) fn id(&mut self, key: &str, id: JobId) {
        write_uuid(self.key(key), id.as_u128());
    }

    pub(crate) fn ids(&mut self, key: &str, ids: &[JobId]) {
        write_list(self.key(key), ids, |id, buffer| write_uuid(buffer, id.as_u128()));
    }

    pub(crate) fn worker(&mut self, key: &str, worker: WorkerId) {
        write_uuid(self.key(key), worker.as_u128());
    }

    pub(crate) fn token(&mut self, key: &str, token: Token) {
        write_token(self.key(key), token);
    }

    pub(crate) fn instant(&mut self, key: &str, instant: Timestamp) {
        let buffer = self.key(key);
        buffer.push(b'"');
        instant::write(buffer, instant);
        buffer.push(b'"');
    }

    pub(crate) fn instants(&mut self, key: &str, list: &[Timestamp]) {
        write_list(self.key(key), list, |at, buffer| {
            buffer.push(b'"');
            instant::write(buffer, *at);
            buffer.push(b'"');
        });
    }

    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        write_object(self.key(key), fill);
    }

    /// A list of objects.
    pub(crate) fn list<I: IntoIterator>(
        &mut self,
        key: &str,
        items: I,
        fill: impl Fn(I::Item, &mut Object<'_>),
    ) {
        write_list(self.key(key), items, |item, buffer| {
            write_object(buffer, |object| fill(item, object));
        });
    }

    /// A list of objects, `null` where there is none.
    pub(crate) fn options<'i, T: 'i>(
        &mut self,
        key: &str,
        items: &'i [Option<T>],
        fill: impl Fn(&'i T, &mut Object<'_>),
    ) {
        write_list(self.key(key), items, |item, buffer| match item {
            Some(item) => write_object(buffer, |object| fill(item, object)),
            None => buffer.extend_from_slice(b"null"),
        });
    }
}

fn write_list<I: IntoIterator>(
    buffer: &mut Vec<u8>,
    items: I,
    write: impl Fn(I::Item, &mut Vec<u8>),
) {
    buffer.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            buffer.push(b',');
        }
        write(item, buffer);
    }
    buffer.push(b']');
}

fn write_word(buffer: &mut Vec<u8>, word: &str) {
    buffer.push(b'"');
    buffer.extend_from_slice(word.as_bytes());
    buffer.push(b'"');
}

fn write_text(buffer: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        return write_word(buffer, text);
    }
    buffer.push(b'"');
    for character in text.chars() {
        match character {
            '"' => buffer.extend_from_slice(b"\\\""),
            '\\' => buffer.extend_from_slice(b"\\\\"),
            '\n' => buffer.extend_from_slice(b"\\n"),
            '\r' => buffer.extend_from_slice(b"\\r"),
            '\t' => buffer.extend_from_slice(b"\\t"),
            '\0'..='\x1f' => {
                buffer.extend_from_slice(b"\\u00");
                write_hex(buffer, u64::from(u32::from(character)), 2);
            }
            other => buffer.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    buffer.push(b'"');
}

fn write_uuid(buffer: &mut Vec<u8>, bits: u128) {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    write_word(buffer, uuid::Uuid::from_u128(bits).hyphenated().encode_lower(&mut text));
}

fn write_token(buffer: &mut Vec<u8>, token: Token) {
    let mut number = itoa::Buffer::new();
    buffer.push(b'"');
    buffer.extend_from_slice(number.format(token.epoch).as_bytes());
    buffer.push(b'.');
    buffer.extend_from_slice(number.format(token.attempt).as_bytes());
    buffer.push(b'.');
    write_hex(buffer, token.nonce, 16);
    buffer.push(b'"');
}

fn write_hex(buffer: &mut Vec<u8>, number: u64, digits: u32) {
    for digit in (0..digits).rev() {
        let nibble = (number >> (4 * digit)) as usize & 0xf;
        buffer.push(b"0123456789abcdef"[nibble]);
    }
}

#[cfg(test)]
#[path = "tests/write.rs"]
mod tests;
