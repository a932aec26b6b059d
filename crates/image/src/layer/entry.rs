//! What a layer's index says.

use super::path;
use crate::tar::Timestamp;

/// One thing that a layer does to the layers below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where: components joined by `/`, no leading one, none of them empty, `.` or `..`. Empty for the root directory.
    pub path: Box<[u8]>,
    /// What.
    pub change: Change,
}

/// The kinds of things that a layer can do (OCI image spec, layer.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something is there now. It replaces what was, but a directory keeps its contents under a new directory.
    Put(Inode),
    /// The path is another name of the file at `target`.
    HardLink {
        /// The other name, in the form of [`Entry::path`].
        target: Box<[u8]>,
    },
    /// What lower layers have there is gone.
    Whiteout,
    /// What lower layers have inside the directory is gone.
    Opaque,
}

/// A file of any type, without its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// What `stat` tells.
    pub attributes: Attributes,
    /// What it is.
    pub content: Content,
}

/// Owner, permissions, time and extended attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with set-id and sticky bits, 12 in all.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change.
    pub mtime: Timestamp,
    /// Extended attributes, sorted by name, each name once.
    pub xattrs: Vec<Xattr>,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// Full name, as in `security.capability`.
    pub name: Box<[u8]>,
    /// Its value, any bytes.
    pub value: Box<[u8]>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File(Extent),
    /// A small regular file, with its inode in front of it as the rootfs has it.
    Packed(Packed),
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it leads: any bytes but NUL, and not empty.
        target: Box<[u8]>,
    },
    /// A character device.
    CharacterDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Where a file's contents are in the layer's data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first block; 0 for an empty file.
    pub block: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// Where a small file is in the layer's data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Packed {
    /// Where its inode begins, in units of [`super::SLOT_BYTES`].
    pub slot: u64,
    /// Size of its contents in bytes.
    pub bytes: u64,
}

impl Extent {
    /// Blocks that the contents take.
    pub fn blocks(self) -> u64 {
        self.bytes.div_ceil(super::BLOCK_BYTES)
    }
}

impl Entry {
    /// Bytes that paths, targets and attributes of this entry take: what [`crate::limits::Limits::index_bytes`] bounds.
    pub fn variable_bytes(&self) -> usize {
        let of_change = match &self.change {
            Change::Put(inode) => {
                let of_xattrs: usize = inode
                    .attributes
                    .xattrs
                    .iter()
                    .map(|xattr| xattr.name.len() + xattr.value.len())
                    .sum();
                match &inode.content {
                    Content::Symlink { target } => of_xattrs + target.len(),
                    _ => of_xattrs,
                }
            }
            Change::HardLink { target } => target.len(),
            Change::Whiteout | Change::Opaque => 0,
        };
        self.path.len() + of_change
    }

    /// The path for a person to read.
    pub fn display_path(&self) -> String {
        path::display(&self.path)
    }
}
