//! Tags, varints and texts.

use std::sync::Arc;

use super::CodecError;

const FLAG: u32 = 0;
const UNSIGNED: u32 = 1;
const SIGNED: u32 = 2;
const FIXED_8: u32 = 3;
const FIXED_16: u32 = 4;
const TEXT: u32 = 5;
const RECORD: u32 = 6;

/// The number of a field and the kind of its value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// The zero byte that ends a record.
    const END: Tag = Tag(0);

    const fn of(number: u32, kind: u32) -> Tag {
        assert!(number > 0, "field 0 would look like the end of a record");
        Tag(number << 3 | kind)
    }

    /// A field that says all by being there.
    pub const fn flag(number: u32) -> Tag {
        Tag::of(number, FLAG)
    }

    /// A LEB128 varint.
    pub const fn unsigned(number: u32) -> Tag {
        Tag::of(number, UNSIGNED)
    }

    /// A zigzag LEB128 varint.
    pub const fn signed(number: u32) -> Tag {
        Tag::of(number, SIGNED)
    }

    /// Eight bytes, little endian.
    pub const fn fixed_8(number: u32) -> Tag {
        Tag::of(number, FIXED_8)
    }

    /// Sixteen bytes, little endian.
    pub const fn fixed_16(number: u32) -> Tag {
        Tag::of(number, FIXED_16)
    }

    /// Length and UTF-8 text.
    pub const fn text(number: u32) -> Tag {
        Tag::of(number, TEXT)
    }

    /// Fields of its own, ended by a zero byte.
    pub const fn record(number: u32) -> Tag {
        Tag::of(number, RECORD)
    }
}

/// Appends fields to a buffer.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Writer { out }
    }

    /// Makes room for the next fields at once.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    #[inline]
    pub fn flag(&mut self, tag: Tag) {
        self.varint(u64::from(tag.0));
    }

    #[inline]
    pub fn unsigned(&mut self, tag: Tag, value: impl Into<u64>) {
        self.flag(tag);
        self.varint(value.into());
    }

    /// Writes `value` unless it is the `usual` one.
    #[inline]
    pub fn unusual<T: Into<u64> + PartialEq>(&mut self, tag: Tag, value: T, usual: T) {
        if value != usual {
            self.unsigned(tag, value);
        }
    }

    #[inline]
    pub fn signed(&mut self, tag: Tag, value: i64) {
        self.flag(tag);
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Writes `value` as a difference to `base`, unless they are equal.
    #[inline]
    pub fn apart(&mut self, tag: Tag, value: i64, base: i64) {
        if value != base {
            self.signed(tag, value.wrapping_sub(base));
        }
    }

    #[inline]
    pub fn fixed_8(&mut self, tag: Tag, value: u64) {
        self.flag(tag);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub fn fixed_16(&mut self, tag: Tag, value: u128) {
        self.flag(tag);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub fn text(&mut self, tag: Tag, value: &str) {
        self.flag(tag);
        self.varint(value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
    }

    pub fn text_if_any(&mut self, tag: Tag, value: Option<&str>) {
        if let Some(text) = value {
            self.text(tag, text);
        }
    }

    /// Ends a record.
    #[inline]
    pub fn end(&mut self) {
        self.out.push(0);
    }
}

/// Takes fields off bytes. Total: any bytes give a value or an error, and nothing is allocated
/// beyond what the bytes hold.
pub struct Reader<'a> {
    rest: &'a [u8],
    record: &'static str,
    tag: Tag,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, record: "a change", tag: Tag::END }
    }

    /// The bytes not yet taken.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next tag of `record`; `None` at its end.
    #[inline]
    pub fn tag(&mut self, record: &'static str) -> Result<Option<Tag>, CodecError> {
        self.record = record;
        let tag = self.varint()?;
        match u32::try_from(tag) {
            Ok(0) => Ok(None),
            Ok(tag) => {
                self.tag = Tag(tag);
                Ok(Some(self.tag))
            }
            Err(_) => Err(self.unknown_number(tag)),
        }
    }

    /// The error for the tag just taken, which nobody knows.
    #[cold]
    pub fn unknown(&self) -> CodecError {
        self.unknown_number(u64::from(self.tag.0))
    }

    #[cold]
    fn unknown_number(&self, tag: u64) -> CodecError {
        CodecError::Unknown { number: tag >> 3, kind: (tag & 7) as u8, record: self.record }
    }

    /// The error for a value that the field just taken cannot have.
    #[cold]
    pub fn impossible(&self) -> CodecError {
        CodecError::Impossible { number: u64::from(self.tag.0 >> 3), record: self.record }
    }

    #[inline]
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(CodecError::Truncated(self.record)),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index as u32;
            if index == 9 && bits > 1 {
                return Err(self.impossible());
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            CodecError::Truncated(self.record)
        } else {
            self.impossible()
        })
    }

    /// An unsigned number that fits its type.
    #[inline]
    pub fn unsigned<T: TryFrom<u64>>(&mut self) -> Result<T, CodecError> {
        let value = self.varint()?;
        T::try_from(value).map_err(|_| self.impossible())
    }

    #[inline]
    pub fn signed(&mut self) -> Result<i64, CodecError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    #[inline]
    pub fn fixed_8(&mut self) -> Result<u64, CodecError> {
        let mut value = [0; 8];
        value.copy_from_slice(self.bytes(8)?);
        Ok(u64::from_le_bytes(value))
    }

    #[inline]
    pub fn fixed_16(&mut self) -> Result<u128, CodecError> {
        let mut value = [0; 16];
        value.copy_from_slice(self.bytes(16)?);
        Ok(u128::from_le_bytes(value))
    }

    #[inline]
    pub fn text(&mut self) -> Result<Arc<str>, CodecError> {
        let length = self.unsigned()?;
        let bytes = self.bytes(length)?;
        std::str::from_utf8(bytes).map(Arc::from).map_err(|_| self.impossible())
    }
}
