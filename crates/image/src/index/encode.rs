//! Writes an index, entry by entry.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::{MAGIC, kind};
use crate::layer::{Attributes, Change, Content, Entry, Inode};

/// What is written and digested at once.
const BUFFER_BYTES: usize = 64 << 10;

/// An index in the making. The same entries always make the same bytes.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    buffer: Vec<u8>,
    digest: Sha256,
    previous: Box<[u8]>,
    entries: u64,
}

impl<W: Write> Writer<W> {
    /// Begins an index at the start of `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            buffer: MAGIC.to_vec(),
            digest: Sha256::new(),
            previous: Box::default(),
            entries: 0,
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// If writing fails; the index is then of no use.
    pub fn push(&mut self, entry: Entry) -> io::Result<()> {
        put_entry(&mut self.buffer, &entry, &self.previous);
        self.previous = entry.path;
        self.entries += 1;
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        self.flush()
    }

    /// Closes the index of a layer whose data file has `data_blocks` blocks. Answers what it was written to.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(mut self, data_blocks: u64) -> io::Result<W> {
        self.buffer.extend_from_slice(&self.entries.to_le_bytes());
        self.buffer.extend_from_slice(&data_blocks.to_le_bytes());
        self.flush()?;
        self.out.write_all(&self.digest.finalize())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.digest.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry, previous: &[u8]) {
    let alike = entry
        .path
        .iter()
        .zip(previous)
        .take_while(|(left, right)| left == right)
        .count();
    let shared = u16::try_from(alike).unwrap_or(u16::MAX);
    out.extend_from_slice(&shared.to_le_bytes());
    put_bytes(out, &entry.path[usize::from(shared)..]);
    match &entry.change {
        Change::Put(inode) => put_inode(out, inode),
        Change::HardLink { target } => {
            out.push(kind::HARD_LINK);
            put_bytes(out, target);
        }
        Change::Whiteout => out.push(kind::WHITEOUT),
        Change::Opaque => out.push(kind::OPAQUE),
    }
}

fn put_inode(out: &mut Vec<u8>, inode: &Inode) {
    match &inode.content {
        Content::File(extent) => {
            out.push(kind::FILE);
            out.extend_from_slice(&extent.block.to_le_bytes());
            out.extend_from_slice(&extent.bytes.to_le_bytes());
        }
        Content::Packed(packed) => {
            out.push(kind::PACKED);
            out.extend_from_slice(&packed.slot.to_le_bytes());
            out.extend_from_slice(&packed.bytes.to_le_bytes());
        }
        Content::Directory => out.push(kind::DIRECTORY),
        Content::Symlink { target } => {
            out.push(kind::SYMLINK);
            put_bytes(out, target);
        }
        Content::CharacterDevice { major, minor } => put_device(out, kind::CHARACTER_DEVICE, *major, *minor),
        Content::BlockDevice { major, minor } => put_device(out, kind::BLOCK_DEVICE, *major, *minor),
        Content::Fifo => out.push(kind::FIFO),
    }
    put_attributes(out, &inode.attributes);
}

fn put_device(out: &mut Vec<u8>, kind: u8, major: u32, minor: u32) {
    out.push(kind);
    out.extend_from_slice(&major.to_le_bytes());
    out.extend_from_slice(&minor.to_le_bytes());
}

fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    out.extend_from_slice(&attributes.mode.to_le_bytes());
    out.extend_from_slice(&attributes.uid.to_le_bytes());
    out.extend_from_slice(&attributes.gid.to_le_bytes());
    out.extend_from_slice(&attributes.mtime.seconds.to_le_bytes());
    out.extend_from_slice(&attributes.mtime.nanoseconds.to_le_bytes());
    out.extend_from_slice(&length(attributes.xattrs.len()));
    for xattr in &attributes.xattrs {
        put_bytes(out, &xattr.name);
        put_bytes(out, &xattr.value);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Paths, targets and attributes are bounded far below this by [`crate::limits::Limits`]; a longer one would be found
/// by the reader.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
