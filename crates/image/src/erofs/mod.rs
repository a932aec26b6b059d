//! Writes the metadata of an EROFS file system whose file contents lie behind it, in the data files of layers.
//!
//! The flat image is one address space of 4096-byte blocks: `[metadata][layer 0 data][layer 1 data]…`. This module
//! writes the first part: superblock, inodes with their extended attributes, directories and links. Regular files are
//! flat and uncompressed with no inline tail, so that a guest can map their pages (DAX). But small ones stand behind their
//! inodes, which layers' data files have, too: directories lead there.
//!
//! Two passes: `layout` gives every inode its place, `emit` writes from front to back. The same tree over the same
//! layers makes the same bytes. The on-disk format is that of Linux, Documentation/filesystems/erofs.rst and
//! fs/erofs/erofs_fs.h, as far as Linux 5.4 knows it.

mod directory;
mod emit;
mod format;
mod layout;
mod xattr;

use std::io::{self, Seek, Write};

use crate::index::{Index, IndexError, ReadAt};
use crate::layer::Attributes;
use crate::tree::{FileType, Tree};
use format::InodeFields;

/// Why a tree cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// The output cannot be written.
    #[error("cannot write rootfs metadata")]
    Write {
        /// The failure.
        #[from]
        source: io::Error,
    },
    /// Block numbers have 32 bits.
    #[error("rootfs snapshot needs {blocks} blocks, more than 2^32")]
    TooLarge {
        /// Blocks of metadata and layers together.
        blocks: u64,
    },
    /// The extended attributes of one file do not fit behind its inode.
    #[error("extended attributes of one file take {bytes} bytes, more than EROFS can hold")]
    Xattrs {
        /// Bytes in their on-disk form.
        bytes: u64,
    },
    /// A layer's index cannot be read.
    #[error("cannot read what is in the rootfs")]
    Index {
        /// Why not.
        #[from]
        source: IndexError,
    },
}

/// Writes the metadata of `tree`, which `layers` were merged to, to `out`, from where `out` stands, and answers its length
/// in blocks.
///
/// `data` are the layers' data files: a packed file that has further names is copied from there.
pub fn write(tree: &Tree, layers: &[&Index], data: &[&dyn ReadAt], out: impl Write + Seek) -> Result<u64, ErofsError> {
    let plan = layout::plan(tree, layers)?;
    emit::emit(tree, &plan, layers, data, out)?;
    Ok(plan.metadata_blocks)
}

/// The inode of a regular file with one name, whose contents of `bytes` bytes stand behind it: what a layer's small files are
/// packed with.
pub fn packed_head(attributes: &Attributes, bytes: u64) -> Vec<u8> {
    let fields = InodeFields {
        is_extended: true,
        is_inline: true,
        xattr_bytes: xattr::size(&attributes.xattrs),
        location: 0,
        size: bytes,
        links: 1,
        ordinal: 0,
    };
    let mut head = fields.encode(FileType::File, attributes);
    head.extend_from_slice(&xattr::encode(&attributes.xattrs));
    head
}

#[cfg(test)]
#[path = "../../tests/erofs_reader/mod.rs"]
mod reader;
#[cfg(test)]
mod tests;
