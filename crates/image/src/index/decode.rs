//! Understands an index's bytes, and believes nothing in them.

use std::io;

use super::kind;
use super::window::Window;
use crate::layer::path::{self, PathError};
use crate::layer::{Attributes, BLOCK_BYTES, Change, Content, Entry, Extent, Inode, Packed, SLOT_BYTES, Xattr};
use crate::limits::{DEVICE_MAJOR_MAX, DEVICE_MINOR_MAX, Limits, NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use crate::tar::Timestamp;

/// Why bytes are no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Something else, or an index of another version.
    #[error("not a layer index of this version")]
    Magic,
    /// The closing digest does not match: cut off or damaged.
    #[error("layer index is damaged")]
    Digest,
    /// The bytes are whole but make no sense.
    #[error("layer index is malformed at byte {position}")]
    Malformed {
        /// Where.
        position: u64,
    },
    /// A path that conversion would have refused.
    #[error("layer index has a bad path")]
    Path {
        /// What is wrong with it.
        #[from]
        source: PathError,
    },
    /// The file cannot be read.
    #[error("cannot read layer index")]
    Read {
        /// Why.
        #[from]
        source: io::Error,
    },
}

/// A place in an index that moves on as it is read, up to an end.
pub(super) struct Cursor<'w, 'a> {
    window: &'w mut Window<'a>,
    position: u64,
    end: u64,
}

impl<'w, 'a> Cursor<'w, 'a> {
    pub fn new(window: &'w mut Window<'a>, position: u64, end: u64) -> Self {
        Self { window, position, end }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    fn malformed(&self) -> IndexError {
        IndexError::Malformed {
            position: self.position,
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], IndexError> {
        let position = self.position;
        let end = position.checked_add(count as u64).filter(|end| *end <= self.end);
        self.position = end.ok_or_else(|| self.malformed())?;
        Ok(self.window.get(position, count)?)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, IndexError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, IndexError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, IndexError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, IndexError> {
        self.array().map(u64::from_le_bytes)
    }

    fn sized(&mut self, bytes_max: usize) -> Result<Box<[u8]>, IndexError> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(self.malformed());
        }
        Ok(self.take(length)?.into())
    }
}

/// The entry at the cursor, behind one with the path `previous`, and the place of what it does.
pub(super) fn entry(
    cursor: &mut Cursor,
    previous: &[u8],
    data_blocks: u64,
    limits: &Limits,
) -> Result<(Entry, u64), IndexError> {
    let shared = usize::from(cursor.u16()?);
    let start = previous.get(..shared).ok_or_else(|| cursor.malformed())?;
    let rest = cursor.sized(limits.path_bytes)?;
    let path = checked_path([start, &rest].concat(), cursor, limits)?;
    let place = cursor.position();
    let change = change(cursor, data_blocks, limits)?;
    // Only a directory can be the root, or be emptied; every other change needs a name.
    let is_for_root = matches!(
        change,
        Change::Opaque
            | Change::Put(Inode {
                content: Content::Directory,
                ..
            })
    );
    if path.is_empty() && !is_for_root {
        return Err(cursor.malformed());
    }
    Ok((Entry { path, change }, place))
}

/// What the entry does whose path was read.
pub(super) fn change(cursor: &mut Cursor, data_blocks: u64, limits: &Limits) -> Result<Change, IndexError> {
    Ok(match cursor.u8()? {
        kind::HARD_LINK => {
            let target = cursor.sized(limits.path_bytes)?.into_vec();
            Change::HardLink {
                target: checked_path(target, cursor, limits)?,
            }
        }
        kind::WHITEOUT => Change::Whiteout,
        kind::OPAQUE => Change::Opaque,
        kind => {
            let content = content(cursor, kind, data_blocks, limits)?;
            Change::Put(Inode {
                content,
                attributes: attributes(cursor)?,
            })
        }
    })
}

fn checked_path(path: Vec<u8>, cursor: &Cursor, limits: &Limits) -> Result<Box<[u8]>, IndexError> {
    if path::normal_bytes(&path, limits)? == path.len() {
        Ok(path.into())
    } else {
        Err(cursor.malformed())
    }
}

fn content(cursor: &mut Cursor, kind: u8, data_blocks: u64, limits: &Limits) -> Result<Content, IndexError> {
    Ok(match kind {
        kind::FILE => {
            let extent = Extent {
                block: cursor.u64()?,
                bytes: cursor.u64()?,
            };
            let end = extent.block.checked_add(extent.blocks());
            if end.is_none_or(|end| end > data_blocks) {
                return Err(cursor.malformed());
            }
            Content::File(extent)
        }
        kind::PACKED => {
            let packed = Packed {
                slot: cursor.u64()?,
                bytes: cursor.u64()?,
            };
            let start = packed.slot.checked_mul(SLOT_BYTES);
            let block = start.map(|start| start / BLOCK_BYTES);
            // Its inode comes first, in the same block.
            if packed.bytes == 0 || packed.bytes > BLOCK_BYTES / 2 || block.is_none_or(|block| block >= data_blocks) {
                return Err(cursor.malformed());
            }
            Content::Packed(packed)
        }
        kind::DIRECTORY => Content::Directory,
        kind::SYMLINK => {
            let target = cursor.sized(limits.link_target_bytes)?;
            if target.is_empty() || target.contains(&0) {
                return Err(cursor.malformed());
            }
            Content::Symlink { target }
        }
        kind::CHARACTER_DEVICE | kind::BLOCK_DEVICE => {
            let (major, minor) = (cursor.u32()?, cursor.u32()?);
            if major > DEVICE_MAJOR_MAX || minor > DEVICE_MINOR_MAX {
                return Err(cursor.malformed());
            }
            match kind {
                kind::CHARACTER_DEVICE => Content::CharacterDevice { major, minor },
                _ => Content::BlockDevice { major, minor },
            }
        }
        kind::FIFO => Content::Fifo,
        _ => return Err(cursor.malformed()),
    })
}

fn attributes(cursor: &mut Cursor) -> Result<Attributes, IndexError> {
    let (mode, uid, gid) = (cursor.u16()?, cursor.u32()?, cursor.u32()?);
    let mtime = Timestamp {
        seconds: cursor.array().map(i64::from_le_bytes)?,
        nanoseconds: cursor.u32()?,
    };
    if mode > 0o7777 || mtime.nanoseconds >= 1_000_000_000 {
        return Err(cursor.malformed());
    }
    let count = cursor.u32()?;
    let mut xattrs = Vec::<Xattr>::new();
    for _ in 0..count {
        let name = cursor.sized(NAME_BYTES_MAX)?;
        let value = cursor.sized(XATTR_VALUE_BYTES_MAX)?;
        let is_sorted = xattrs.last().is_none_or(|last| *last.name < *name);
        if name.is_empty() || name.contains(&0) || !is_sorted {
            return Err(cursor.malformed());
        }
        xattrs.push(Xattr { name, value });
    }
    Ok(Attributes {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    })
}
