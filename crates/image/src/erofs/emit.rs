//! The second pass: writes from front to back, and the first block at the very end.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use super::directory::{self, Dirent};
use super::format::{BLOCK_LEN, SUPERBLOCK_OFFSET, Superblock, dirent_type, seal};
use super::layout::{Layout, Placed};
use super::xattr;
use crate::layer::BLOCK_BYTES;
use crate::tree::{Body, Children, NodeId, Tree};

/// What is written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes what `layout` planned.
pub(super) fn emit(tree: &Tree, layout: &Layout, mut out: impl Write + Seek) -> io::Result<()> {
    let start = out.stream_position()?;
    let mut sink = Sink {
        out: BufWriter::with_capacity(BUFFER_BYTES, &mut out),
        position: 0,
        first_block: Vec::with_capacity(BLOCK_LEN),
        digest: Sha256::new(),
    };
    sink.pad_to(SUPERBLOCK_OFFSET as u64)?;
    sink.write(&superblock(layout).encode())?;
    for placed in &layout.inodes {
        emit_inode(tree, layout, placed, &mut sink)?;
    }
    sink.pad_to(layout.inode_area_blocks * BLOCK_BYTES)?;
    for placed in &layout.inodes {
        let contents = contents(tree, layout, placed);
        let kept = contents.len() - memory_len(placed.inline_bytes());
        sink.write(&contents[..kept])?;
        sink.pad_to(sink.position.next_multiple_of(BLOCK_BYTES))?;
    }
    let (mut first_block, digest) = sink.finish()?;
    seal(&mut first_block, &digest);
    let end = out.stream_position()?;
    out.seek(SeekFrom::Start(start))?;
    out.write_all(&first_block)?;
    out.seek(SeekFrom::Start(end))?;
    out.flush()
}

fn superblock(layout: &Layout) -> Superblock {
    Superblock {
        // The root's inode comes right behind the superblock: its number is small.
        root_nid: u16::try_from(layout.nid(NodeId::ROOT)).unwrap_or_default(),
        inodes: layout.inodes.len() as u64,
        epoch: layout.epoch,
        blocks: layout.total_blocks,
    }
}

fn emit_inode<W: Write>(tree: &Tree, layout: &Layout, placed: &Placed, sink: &mut Sink<W>) -> io::Result<()> {
    let node = tree.node(placed.node);
    sink.pad_to(placed.offset)?;
    sink.write(&placed.fields.encode(&node.body, node.attributes))?;
    sink.write(&xattr::encode(&node.attributes.xattrs))?;
    if placed.fields.is_inline {
        let contents = contents(tree, layout, placed);
        sink.write(&contents[contents.len() - memory_len(placed.inline_bytes())..])?;
    }
    Ok(())
}

/// The contents that lie in the metadata: those of directories and symbolic links.
fn contents(tree: &Tree, layout: &Layout, placed: &Placed) -> Vec<u8> {
    match &tree.node(placed.node).body {
        Body::Directory(children) => {
            let names = directory::with_dots(children.keys().copied());
            let entries: Vec<Dirent> = names.map(|name| dirent(tree, layout, placed, children, name)).collect();
            directory::encode(&entries)
        }
        Body::Symlink { target } => target.to_vec(),
        _ => Vec::new(),
    }
}

fn dirent<'a>(tree: &Tree, layout: &Layout, directory: &Placed, children: &Children, name: &'a [u8]) -> Dirent<'a> {
    let node = match name {
        b"." => directory.node,
        b".." => directory.parent,
        _ => children[name],
    };
    Dirent {
        name,
        nid: layout.nid(node),
        file_type: dirent_type(&tree.node(node).body),
    }
}

/// A length below a block.
fn memory_len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or_default()
}

/// Writes in order, keeps the first block back, and digests everything.
struct Sink<W: Write> {
    out: BufWriter<W>,
    position: u64,
    first_block: Vec<u8>,
    digest: Sha256,
}

impl<W: Write> Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.position += bytes.len() as u64;
        let kept = bytes.len().min(BLOCK_LEN - self.first_block.len());
        self.first_block.extend_from_slice(&bytes[..kept]);
        // The first block is written again once it is known: until then its bytes only hold the place.
        self.out.write_all(bytes)
    }

    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        const ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
        while self.position < position {
            let step = usize::try_from(position - self.position).map_or(BLOCK_LEN, |left| left.min(BLOCK_LEN));
            self.write(&ZEROS[..step])?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<(Vec<u8>, [u8; 32])> {
        self.out.flush()?;
        Ok((self.first_block, self.digest.finalize().into()))
    }
}
