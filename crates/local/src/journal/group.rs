//! One group: what one write and one sync make durable.
//!
//! ```text
//! at  0  magic "TWgr"             at 16  epoch, u32
//!     4  CRC-32 of bytes 8 to 48      20  number of changes, u32
//!     8  CRC-32 of body and padding   24  position, u64
//!    12  length of the body, u32      32  time in µs, i64
//!                                     40  position known to be synced, u64
//!    48  body, then zeros to a multiple of 64
//! ```
//!
//! Little endian. Both checksums begin with the store's id, so that no bytes of another store, and
//! none that a caller hid in the args of a job, can look like a group. Behind the newest group a
//! block of 64 zeros is written with it: what stands there otherwise was being written at a crash.

use taskwright_core::Timestamp;

use super::StoreId;
use crate::change::{Change, Position};
use crate::codec::{self, Base};

/// Groups begin at multiples of this.
pub const BLOCK: usize = 64;
/// Bytes before the body of a group.
pub const HEADER_BYTES: usize = 48;

const MAGIC: u32 = u32::from_le_bytes(*b"TWgr");
/// A buffer that grew beyond this is given back after its group.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// A group being filled: changes are encoded straight into what will be written.
#[derive(Debug)]
pub struct Group {
    bytes: Vec<u8>,
    base: Base,
    count: u32,
}

impl Group {
    /// An empty group at this time. `epoch` is that of the journal.
    pub fn new(epoch: u32, now: Timestamp) -> Self {
        let mut group = Group { bytes: Vec::new(), base: Base { now, epoch }, count: 0 };
        group.restart(now);
        group
    }

    /// Empties the group, for changes at this time.
    pub fn restart(&mut self, now: Timestamp) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.bytes.resize(HEADER_BYTES, 0);
        self.base.now = now;
        self.count = 0;
    }

    /// Adds a change.
    #[inline]
    pub fn push(&mut self, change: &Change) {
        codec::encode_change(change, self.base, &mut self.bytes);
        self.count += 1;
    }

    /// The number of changes.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes that the group takes in a segment.
    pub fn size(&self) -> u64 {
        padded(self.bytes.len()) as u64
    }

    pub(super) fn epoch(&self) -> u32 {
        self.base.epoch
    }

    /// The bytes to write: the group, then one block of zeros.
    pub(super) fn seal(&mut self, store: StoreId, position: Position, synced: Position) -> &[u8] {
        let length = self.bytes.len() - HEADER_BYTES;
        let end = padded(self.bytes.len());
        self.bytes.resize(end, 0);
        let header = Header {
            body_checksum: store.checksum(&self.bytes[HEADER_BYTES..]),
            length: u32::try_from(length).unwrap_or(u32::MAX),
            epoch: self.base.epoch,
            count: self.count,
            position,
            now: self.base.now,
            synced,
        };
        self.bytes[..HEADER_BYTES].copy_from_slice(&header.encode(store));
        self.bytes.resize(end + BLOCK, 0);
        &self.bytes
    }
}

/// `length` rounded up to whole blocks.
pub fn padded(length: usize) -> usize {
    length.next_multiple_of(BLOCK)
}

/// What stands before the body of a group.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub body_checksum: u32,
    pub length: u32,
    pub epoch: u32,
    pub count: u32,
    pub position: Position,
    pub now: Timestamp,
    pub synced: Position,
}

impl Header {
    fn encode(&self, store: StoreId) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_checksum.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.now.as_micros().to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced.to_le_bytes());
        let checksum = store.checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if a whole one of this store stands there.
    pub fn decode(bytes: &[u8], store: StoreId) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let word = |at: usize| bytes[at..].first_chunk().copied().map(u32::from_le_bytes);
        let long = |at: usize| bytes[at..].first_chunk().copied().map(u64::from_le_bytes);
        if word(0)? != MAGIC || word(4)? != store.checksum(&bytes[8..]) {
            return None;
        }
        Some(Header {
            body_checksum: word(8)?,
            length: word(12)?,
            epoch: word(16)?,
            count: word(20)?,
            position: long(24)?,
            now: Timestamp::from_micros(long(32)?.cast_signed()),
            synced: long(40)?,
        })
    }

    /// The body of the group that begins at the front of `bytes`, if it is whole.
    pub fn body<'a>(&self, bytes: &'a [u8], store: StoreId) -> Option<&'a [u8]> {
        let end = HEADER_BYTES.checked_add(self.length as usize)?;
        let covered = bytes.get(HEADER_BYTES..padded(end))?;
        (store.checksum(covered) == self.body_checksum).then(|| &covered[..self.length as usize])
    }

    /// The bytes that the group takes in a segment.
    pub fn size(&self) -> usize {
        padded(HEADER_BYTES + self.length as usize)
    }

    /// What instants and epochs in the body are relative to.
    pub fn base(&self) -> Base {
        Base { now: self.now, epoch: self.epoch }
    }
}
