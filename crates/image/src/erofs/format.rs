//! The on-disk structures (Linux, fs/erofs/erofs_fs.h), all little-endian.

use crate::layer::{Attributes, BLOCK_BYTES};
use crate::tar::Timestamp;
use crate::tree::FileType;

/// Where the superblock starts.
pub(super) const SUPERBLOCK_OFFSET: usize = 1024;
/// Length of the superblock without extensions.
pub(super) const SUPERBLOCK_BYTES: usize = 128;
/// Inode numbers count slots of this size from the start of the metadata.
pub(super) use crate::layer::SLOT_BYTES;
/// Length of a directory entry, without its name.
pub(super) const DIRENT_BYTES: usize = 12;

const MAGIC: u32 = 0xe0f5_e1e2;
const BLOCK_BITS: u8 = 12;
const FEATURE_SUPERBLOCK_CHECKSUM: u32 = 1;
const FEATURE_MTIME: u32 = 2;

const CHECKSUM_AT: usize = 4;
const UUID_AT: usize = 48;

const FLAT_PLAIN: u16 = 0;
const FLAT_INLINE: u16 = 2;

/// The short form of an inode, for files that need no more.
pub(super) const COMPACT_BYTES: u64 = 32;
/// The long form: 32-bit owners and link counts, 64-bit size, own time.
pub(super) const EXTENDED_BYTES: u64 = 64;

/// What the superblock tells.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub root_nid: u16,
    pub inodes: u64,
    pub epoch: Timestamp,
    pub blocks: u32,
}

impl Superblock {
    /// The superblock without UUID and checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(FEATURE_SUPERBLOCK_CHECKSUM | FEATURE_MTIME).to_le_bytes());
        out.extend_from_slice(&[BLOCK_BITS, 0]);
        out.extend_from_slice(&self.root_nid.to_le_bytes());
        out.extend_from_slice(&self.inodes.to_le_bytes());
        out.extend_from_slice(&self.epoch.seconds.to_le_bytes());
        out.extend_from_slice(&self.epoch.nanoseconds.to_le_bytes());
        out.extend_from_slice(&self.blocks.to_le_bytes());
        // Metadata starts at block 0, there are no shared extended attributes, and no incompatible features.
        out.resize(SUPERBLOCK_BYTES, 0);
        out
    }
}

/// Writes UUID and checksum into the first block of the file system.
pub(super) fn seal(first_block: &mut [u8], digest: &[u8; 32]) {
    let superblock = &mut first_block[SUPERBLOCK_OFFSET..];
    let uuid = &mut superblock[UUID_AT..UUID_AT + 16];
    uuid.copy_from_slice(&digest[..16]);
    // Version 8: made in a way of our own (RFC 9562, 5.8).
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    // Over the rest of the block, the checksum itself being zero.
    let checksum = crc32c(superblock);
    superblock[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// CRC-32C as Linux's `crc32c(~0, …)` gives it: not inverted at the end.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

/// What an inode tells beyond its file's attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct InodeFields {
    pub is_extended: bool,
    pub is_inline: bool,
    /// Length of the extended attributes in their on-disk form.
    pub xattr_bytes: u64,
    /// First block of the contents, or the packed device number.
    pub location: u32,
    pub size: u64,
    pub links: u32,
    /// Only for systems with 32-bit inode numbers.
    pub ordinal: u32,
}

impl InodeFields {
    /// Whether a file fits the short form, whose time is the file system's.
    pub fn fits_compact(attributes: &Attributes, epoch: Timestamp, size: u64, links: u32) -> bool {
        u16::try_from(attributes.uid).is_ok()
            && u16::try_from(attributes.gid).is_ok()
            && u16::try_from(links).is_ok()
            && u32::try_from(size).is_ok()
            && attributes.mtime == epoch
    }

    /// The inode itself.
    pub fn encode(&self, file_type: FileType, attributes: &Attributes) -> Vec<u8> {
        let layout = if self.is_inline { FLAT_INLINE } else { FLAT_PLAIN };
        let format = layout << 1 | u16::from(self.is_extended);
        // Counted in units of four bytes, of which the header of twelve is one.
        let xattr_count = if self.xattr_bytes == 0 {
            0
        } else {
            (self.xattr_bytes - 12) / 4 + 1
        };
        let mode = attributes.mode | file_type_bits(file_type);
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&format.to_le_bytes());
        out.extend_from_slice(&low_16(xattr_count).to_le_bytes());
        out.extend_from_slice(&mode.to_le_bytes());
        if self.is_extended {
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&self.size.to_le_bytes());
            out.extend_from_slice(&self.location.to_le_bytes());
            out.extend_from_slice(&self.ordinal.to_le_bytes());
            out.extend_from_slice(&attributes.uid.to_le_bytes());
            out.extend_from_slice(&attributes.gid.to_le_bytes());
            out.extend_from_slice(&attributes.mtime.seconds.to_le_bytes());
            out.extend_from_slice(&attributes.mtime.nanoseconds.to_le_bytes());
            out.extend_from_slice(&self.links.to_le_bytes());
            out.extend_from_slice(&[0; 16]);
        } else {
            out.extend_from_slice(&low_16(self.links.into()).to_le_bytes());
            out.extend_from_slice(&u32::try_from(self.size).unwrap_or_default().to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&self.location.to_le_bytes());
            out.extend_from_slice(&self.ordinal.to_le_bytes());
            out.extend_from_slice(&low_16(attributes.uid.into()).to_le_bytes());
            out.extend_from_slice(&low_16(attributes.gid.into()).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        out
    }
}

/// A number that was found to fit when the form of the inode was chosen.
fn low_16(value: u64) -> u16 {
    u16::try_from(value).unwrap_or_default()
}

/// The type of a file in its mode (`S_IFMT`).
fn file_type_bits(file_type: FileType) -> u16 {
    match file_type {
        FileType::Fifo => 0o010_000,
        FileType::CharacterDevice => 0o020_000,
        FileType::Directory => 0o040_000,
        FileType::BlockDevice => 0o060_000,
        FileType::File => 0o100_000,
        FileType::Symlink => 0o120_000,
    }
}

/// The type of a file in its directory entry (`FT_*`).
pub(super) fn dirent_type(file_type: FileType) -> u8 {
    match file_type {
        FileType::File => 1,
        FileType::Directory => 2,
        FileType::CharacterDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Symlink => 7,
    }
}

/// A device number as Linux stores it (`new_encode_dev`): 8 + 12 + 12 bits of minor, major, minor.
pub(super) fn pack_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// The block size of data files, as a length in memory.
pub(super) const BLOCK_LEN: usize = 4096;
const _: () = assert!(BLOCK_LEN as u64 == BLOCK_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        // B.4 gives the inverted values.
        assert_eq!(!crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(!crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn structures_have_their_sizes() {
        let superblock = Superblock {
            root_nid: 1,
            inodes: 2,
            epoch: Timestamp::default(),
            blocks: 3,
        };
        assert_eq!(superblock.encode().len(), SUPERBLOCK_BYTES);
        let mut fields = InodeFields {
            is_extended: false,
            is_inline: false,
            xattr_bytes: 0,
            location: 0,
            size: 0,
            links: 1,
            ordinal: 1,
        };
        assert_eq!(
            fields.encode(FileType::Fifo, &Attributes::default()).len() as u64,
            COMPACT_BYTES
        );
        fields.is_extended = true;
        assert_eq!(
            fields.encode(FileType::Fifo, &Attributes::default()).len() as u64,
            EXTENDED_BYTES
        );
    }

    #[test]
    fn devices_are_packed_as_linux_does() {
        assert_eq!(pack_device(8, 1), 0x801);
        assert_eq!(pack_device(0xfff, 0xf_ffff), 0xffff_ffff);
        assert_eq!(pack_device(1, 0x12345), 0x1230_0145);
    }
}
