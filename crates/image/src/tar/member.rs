//! A member of an archive, and the checks on its numbers.

use std::collections::BTreeMap;

use super::Timestamp;
use super::error::TarError;
use super::header::{BLOCK_BYTES, Header};
use super::sparse::Segment;
use crate::limits::{DEVICE_MAJOR_MAX, DEVICE_MINOR_MAX};

/// The user id that Linux keeps for "no user"; a file cannot have it.
const ID_INVALID: u64 = 0xffff_ffff;

/// One member of the archive, extended headers applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The path, as it stands in the archive.
    pub path: Vec<u8>,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change.
    pub mtime: Timestamp,
    /// Extended attributes: value by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What it is.
    pub kind: MemberKind,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file; its data follows.
    Regular {
        /// Size with holes.
        file_bytes: u64,
        /// The parts the archive holds, in order; `None` if it holds everything.
        segments: Option<Vec<Segment>>,
    },
    /// Another name for a member that came before, or for a file of a layer below.
    HardLink {
        /// Path of the other name, as it stands in the archive.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: Vec<u8>,
    },
    /// A directory.
    Directory,
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// The entry's size in bytes.
pub(super) fn size(header: &Header, extended: Option<u64>, position: u64) -> Result<u64, TarError> {
    let value = extended.map_or(i128::from(header.size), i128::from);
    // No file is larger than a signed 64-bit offset reaches.
    match i64::try_from(value).ok().and_then(|value| u64::try_from(value).ok()) {
        Some(bytes) if bytes <= i64::MAX.unsigned_abs() - BLOCK_BYTES as u64 => Ok(bytes),
        _ => Err(TarError::Range {
            position,
            field: "size",
            value,
        }),
    }
}

/// A user or group id.
pub(super) fn owner(field: &'static str, extended: Option<u64>, header: i64, position: u64) -> Result<u32, TarError> {
    let value = extended.map_or(i128::from(header), i128::from);
    match u32::try_from(value) {
        Ok(id) if u64::from(id) != ID_INVALID => Ok(id),
        _ => Err(TarError::Range { position, field, value }),
    }
}

/// A device by its numbers.
pub(super) fn device(header: &Header, position: u64) -> Result<MemberKind, TarError> {
    let number = |field, value: i64, max: u32| match u32::try_from(value) {
        Ok(number) if number <= max => Ok(number),
        _ => Err(TarError::Range {
            position,
            field,
            value: i128::from(value),
        }),
    };
    let major = number("device major", header.device_major, DEVICE_MAJOR_MAX)?;
    let minor = number("device minor", header.device_minor, DEVICE_MINOR_MAX)?;
    Ok(match header.type_flag {
        b'3' => MemberKind::CharacterDevice { major, minor },
        _ => MemberKind::BlockDevice { major, minor },
    })
}
