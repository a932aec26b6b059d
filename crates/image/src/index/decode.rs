//! Reads an index, and believes nothing in it.

use sha2::{Digest, Sha256};

use super::{DIGEST_BYTES, MAGIC, kind};
use crate::layer::path::{self, PathError};
use crate::layer::{Attributes, Change, Content, Entry, Extent, Inode, LayerIndex, Xattr};
use crate::limits::{DEVICE_MAJOR_MAX, DEVICE_MINOR_MAX, Limits, NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use crate::tar::Timestamp;

/// Why bytes are no index.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
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
        position: usize,
    },
    /// A path that conversion would have refused.
    #[error("layer index has a bad path")]
    Path {
        /// What is wrong with it.
        #[from]
        source: PathError,
    },
}

/// Fewest bytes an entry can take; bounds what a number of entries can make us reserve.
const ENTRY_BYTES_MIN: usize = 7;

/// Reads what [`super::encode()`] wrote, checking everything that [`crate::layer::convert()`] promises.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<LayerIndex, IndexError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(IndexError::Magic);
    }
    let (body, digest) = bytes
        .len()
        .checked_sub(DIGEST_BYTES)
        .map(|end| bytes.split_at(end))
        .ok_or(IndexError::Digest)?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(IndexError::Digest);
    }
    let mut cursor = Cursor {
        bytes: body,
        position: MAGIC.len(),
    };
    let data_blocks = cursor.u64()?;
    let count = usize::try_from(cursor.u64()?).unwrap_or(usize::MAX);
    if count > limits.entries || count > body.len() / ENTRY_BYTES_MIN {
        return Err(cursor.malformed());
    }
    let mut entries = Vec::with_capacity(count);
    let mut previous: Box<[u8]> = Box::default();
    for _ in 0..count {
        let entry = entry(&mut cursor, &previous, data_blocks, limits)?;
        previous.clone_from(&entry.path);
        entries.push(entry);
    }
    if cursor.position == body.len() {
        Ok(LayerIndex { data_blocks, entries })
    } else {
        Err(cursor.malformed())
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn malformed(&self) -> IndexError {
        IndexError::Malformed {
            position: self.position,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let end = self.position.checked_add(count).ok_or_else(|| self.malformed())?;
        let taken = self.bytes.get(self.position..end).ok_or_else(|| self.malformed())?;
        self.position = end;
        Ok(taken)
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

    fn u64(&mut self) -> Result<u64, IndexError> {
        self.array().map(u64::from_le_bytes)
    }

    fn sized(&mut self, bytes_max: usize) -> Result<&'a [u8], IndexError> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(self.malformed());
        }
        self.take(length)
    }
}

fn entry(cursor: &mut Cursor, previous: &[u8], data_blocks: u64, limits: &Limits) -> Result<Entry, IndexError> {
    let shared = usize::from(cursor.u16()?);
    let start = previous.get(..shared).ok_or_else(|| cursor.malformed())?;
    let path = checked_path([start, cursor.sized(limits.path_bytes)?].concat(), cursor, limits)?;
    let kind = cursor.u8()?;
    let change = match kind {
        kind::HARD_LINK => {
            let target = cursor.sized(limits.path_bytes)?.to_vec();
            Change::HardLink {
                target: checked_path(target, cursor, limits)?,
            }
        }
        kind::WHITEOUT => Change::Whiteout,
        kind::OPAQUE => Change::Opaque,
        _ => {
            let content = content(cursor, kind, data_blocks, limits)?;
            Change::Put(Inode {
                content,
                attributes: attributes(cursor)?,
            })
        }
    };
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
    Ok(Entry { path, change })
}

fn checked_path(path: Vec<u8>, cursor: &Cursor, limits: &Limits) -> Result<Box<[u8]>, IndexError> {
    let normal = path::normalise(&path, limits)?;
    if *normal == *path {
        Ok(normal)
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
        kind::DIRECTORY => Content::Directory,
        kind::SYMLINK => {
            let target = cursor.sized(limits.link_target_bytes)?;
            if target.is_empty() || target.contains(&0) {
                return Err(cursor.malformed());
            }
            Content::Symlink { target: target.into() }
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
        xattrs.push(Xattr {
            name: name.into(),
            value: value.into(),
        });
    }
    Ok(Attributes {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    })
}
