//! Segment files: their names and the block that each begins with.
//!
//! ```text
//! at  0  magic "TWJOURNL"            at 32  epoch at its beginning, u32
//!     8  format version, u32             36  length of the writer's version, u32
//!    12  length of the file, u32         40  position of the first group, u64
//!    16  id of the store, 16 bytes       48  version of the program that wrote it, 64 bytes
//!                                        508  CRC-32 of bytes 0 to 508
//! ```
//!
//! This block keeps its layout in every format version, so that an old program can tell a newer
//! journal from a damaged one. It and the first group are synced before a file gets its name: a
//! file with the name of a segment and without a whole block is damaged.

use taskwright_store::{Error, ErrorKind, Result};

use super::StoreId;
use crate::change::Position;
use crate::codec::FORMAT;

/// Bytes of the block; the first group begins behind it.
pub const BLOCK_BYTES: usize = 512;

const MAGIC: &[u8; 8] = b"TWJOURNL";
const VERSION_BYTES_MAX: usize = 64;
const SUFFIX: &str = ".journal";
const SPARE: &str = "spare-";

/// The name of the segment whose first group has this position.
pub fn name(first: Position) -> String {
    format!("{first:016x}{SUFFIX}")
}

/// The position in the name of a segment; `None` for other names.
pub fn first_of(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    let first = Position::from_str_radix(digits, 16).ok()?;
    (self::name(first) == name).then_some(first)
}

/// The name of a file whose space is taken for a segment to come.
pub fn spare_name(number: u64) -> String {
    format!("{SPARE}{number}{SUFFIX}")
}

/// The number in the name of a spare; `None` for other names.
pub fn spare_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix(SPARE)?.strip_suffix(SUFFIX)?.parse().ok()?;
    (spare_name(number) == name).then_some(number)
}

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub format: u32,
    pub store: StoreId,
    pub epoch: u32,
    pub first: Position,
    pub length: u64,
    pub writer: String,
}

impl Block {
    /// The block of a new segment.
    pub fn new(store: StoreId, epoch: u32, first: Position, length: u64) -> Self {
        let writer = env!("CARGO_PKG_VERSION").to_owned();
        Block { format: FORMAT, store, epoch, first, length, writer }
    }

    pub fn encode(&self) -> [u8; BLOCK_BYTES] {
        let writer = &self.writer.as_bytes()[..self.writer.len().min(VERSION_BYTES_MAX)];
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let writer_length = u32::try_from(writer.len()).unwrap_or_default();
        let mut bytes = [0; BLOCK_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.format.to_le_bytes());
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store.0);
        bytes[32..36].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[36..40].copy_from_slice(&writer_length.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first.to_le_bytes());
        bytes[48..48 + writer.len()].copy_from_slice(writer);
        let checksum = crc32fast::hash(&bytes[..508]);
        bytes[508..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Block> {
        let bytes: &[u8; BLOCK_BYTES] = bytes.first_chunk()?;
        let word = |at: usize| bytes[at..].first_chunk().copied().map(u32::from_le_bytes);
        if &bytes[..8] != MAGIC || word(508)? != crc32fast::hash(&bytes[..508]) {
            return None;
        }
        let writer = bytes[48..].get(..word(36)? as usize)?;
        Some(Block {
            format: word(8)?,
            length: u64::from(word(12)?),
            store: StoreId(*bytes[16..].first_chunk()?),
            epoch: word(32)?,
            first: u64::from_le_bytes(*bytes[40..].first_chunk()?),
            writer: String::from_utf8_lossy(writer).into_owned(),
        })
    }

    /// The block of the segment called `name`, where it is whole, of this store and not too new.
    pub fn read(name: &str, bytes: &[u8], store: StoreId) -> Result<Block> {
        let Some(block) = Block::decode(bytes) else {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "cannot open the journal: the first {BLOCK_BYTES} bytes of {name} are damaged; \
                     `taskwright fsck` shows what can be saved, or restore a backup"
                ),
            ));
        };
        if block.format > FORMAT {
            return Err(Error::new(
                ErrorKind::TooNew,
                format!(
                    "cannot open the journal: {name} has format {}, written by Taskwright {}, and \
                     this version reads up to format {FORMAT}; use the newer program",
                    block.format, block.writer
                ),
            ));
        }
        if block.store != store {
            return Err(Error::new(
                ErrorKind::Unusable,
                format!(
                    "cannot open the journal: {name} belongs to store {}, and this is store \
                     {store}; put the files of one store together again",
                    block.store
                ),
            ));
        }
        if first_of(name) != Some(block.first) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "cannot open the journal: {name} says that its first group has position {}; \
                     give the file the name {} again if it was renamed, else restore a backup",
                    block.first,
                    self::name(block.first)
                ),
            ));
        }
        Ok(block)
    }
}
