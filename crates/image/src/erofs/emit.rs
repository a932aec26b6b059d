//! The second pass: writes from front to back, and the first block at the very end.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use super::ErofsError;
use super::directory::{self, Dirent};
use super::format::{BLOCK_LEN, EXTENDED_BYTES, SLOT_BYTES, SUPERBLOCK_OFFSET, Superblock, dirent_type, seal};
use super::layout::{Placed, Placer, Plan};
use super::xattr;
use crate::index::{Index, ReadAt};
use crate::layer::{BLOCK_BYTES, Content, Packed};
use crate::tree::{NodeId, Tree};

/// What is written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes what was planned.
pub(super) fn emit(
    tree: &Tree,
    plan: &Plan,
    layers: &[&Index],
    data: &[&dyn ReadAt],
    mut out: impl Write + Seek,
) -> Result<(), ErofsError> {
    let start = out.stream_position()?;
    let mut sink = Sink {
        out: BufWriter::with_capacity(BUFFER_BYTES, &mut out),
        position: 0,
        first_block: Vec::with_capacity(BLOCK_LEN),
        digest: Sha256::new(),
    };
    sink.pad_to(SUPERBLOCK_OFFSET as u64)?;
    sink.write(&superblock(plan).encode())?;
    let mut placer = Placer::new(tree, layers);
    // Those whose contents go on in blocks of their own, and how many bytes of it stand behind the inode.
    let mut unfinished = Vec::new();
    for (node, parent) in &plan.found {
        let placed = placer.place(*node, plan)?;
        let inline_bytes = memory_len(placed.inline_bytes());
        emit_inode(tree, plan, (*node, *parent), &placed, data, &mut sink)?;
        let has_contents = matches!(placed.inode.content, Content::Directory | Content::Symlink { .. });
        if has_contents && placed.fields.size > placed.inline_bytes() {
            unfinished.push((*node, *parent, inline_bytes));
        }
    }
    sink.pad_to(plan.inode_area_blocks * BLOCK_BYTES)?;
    for (node, parent, inline_bytes) in unfinished {
        let contents = contents(tree, plan, node, parent);
        sink.write(&contents[..contents.len() - inline_bytes])?;
        sink.pad_to(sink.position.next_multiple_of(BLOCK_BYTES))?;
    }
    let (mut first_block, digest) = sink.finish()?;
    seal(&mut first_block, &digest);
    let end = out.stream_position()?;
    out.seek(SeekFrom::Start(start))?;
    out.write_all(&first_block)?;
    out.seek(SeekFrom::Start(end))?;
    Ok(out.flush()?)
}

fn superblock(plan: &Plan) -> Superblock {
    Superblock {
        // The root's inode comes right behind the superblock: its number is small.
        root_nid: u16::try_from(plan.nid(NodeId::ROOT)).unwrap_or_default(),
        inodes: plan.inodes,
        epoch: plan.epoch,
        blocks: plan.total_blocks,
    }
}

fn emit_inode<W: Write>(
    tree: &Tree,
    plan: &Plan,
    (node, parent): (NodeId, NodeId),
    placed: &Placed,
    data: &[&dyn ReadAt],
    sink: &mut Sink<W>,
) -> io::Result<()> {
    let attributes = &placed.inode.attributes;
    sink.pad_to(placed.offset)?;
    sink.write(&placed.fields.encode(tree.node(node).file_type(), attributes))?;
    sink.write(&xattr::encode(&attributes.xattrs))?;
    if let Content::Packed(packed) = &placed.inode.content {
        let layer = tree.node(node).origin().layer().and_then(|layer| data.get(layer));
        sink.write(&packed_contents(
            *layer.ok_or(io::ErrorKind::NotFound)?,
            *packed,
            placed,
        )?)?;
    } else if placed.fields.is_inline {
        let contents = contents(tree, plan, node, parent);
        sink.write(&contents[contents.len() - memory_len(placed.inline_bytes())..])?;
    }
    Ok(())
}

/// The contents of a small file, which stand behind another inode of it.
fn packed_contents(data: &dyn ReadAt, packed: Packed, placed: &Placed) -> io::Result<Vec<u8>> {
    let mut contents = vec![0; memory_len(packed.bytes)];
    let start = packed.slot * SLOT_BYTES + EXTENDED_BYTES + placed.fields.xattr_bytes;
    let mut filled = 0;
    while filled < contents.len() {
        match data.read_at(&mut contents[filled..], start + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(contents)
}

/// The contents that lie in the metadata: those of directories and symbolic links.
fn contents(tree: &Tree, plan: &Plan, node: NodeId, parent: NodeId) -> Vec<u8> {
    let Some(children) = tree.children(node) else {
        return tree.target(node).unwrap_or_default().to_vec();
    };
    let names = directory::with_dots(children.keys().map(|name| &**name));
    let entries = names.map(|name| {
        let child = match name {
            b"." => node,
            b".." => parent,
            _ => children[name],
        };
        Dirent {
            name,
            nid: plan.nid(child),
            file_type: dirent_type(tree.node(child).file_type()),
        }
    });
    directory::encode(&entries.collect::<Vec<_>>())
}

/// A length of at most a block.
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
