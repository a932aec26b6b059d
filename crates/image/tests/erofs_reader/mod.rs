//! Reads the file systems that the writer makes, by the format's description and not by the writer's code, and takes
//! nothing that Linux would not. For tests of the writer alone and of whole images; `fsck.erofs` and Linux itself have
//! the last word elsewhere.

use std::collections::{BTreeMap, BTreeSet};

const BLOCK: usize = 4096;

/// One file as it is found in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub nid: u64,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub mtime: (i64, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub body: FoundBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundBody {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Device(u32),
    Fifo,
}

struct Inode {
    found: Found,
    contents: Vec<u8>,
}

struct Image<'a>(&'a [u8]);

/// Every path of the image with what is there; panics on whatever is wrong.
pub(crate) fn read(image: &[u8]) -> BTreeMap<Vec<u8>, Found> {
    assert_eq!(image.len() % BLOCK, 0);
    let superblock = &image[1024..1152];
    assert_eq!(u32_at(superblock, 0), 0xe0f5_e1e2);
    let mut covered = image[1024..BLOCK].to_vec();
    covered[4..8].fill(0);
    assert_eq!(crc32c(&covered), u32_at(superblock, 4));
    assert_eq!(u32_at(superblock, 36) as usize * BLOCK, image.len(), "blocks");
    let image = Image(image);
    let root = u64::from(u16_at(superblock, 14));
    let mut paths = BTreeMap::new();
    let mut names_of = BTreeMap::<u64, u32>::from([(root, 1)]);
    let mut subdirectories = BTreeMap::<u64, u32>::new();
    let mut pending = vec![(Vec::new(), root, root)];
    while let Some((path, nid, parent)) = pending.pop() {
        let inode = image.inode(nid);
        if inode.found.body == FoundBody::Directory {
            for (name, child, file_type) in directory(&inode.contents, nid, parent) {
                *names_of.entry(child).or_default() += 1;
                assert_eq!(file_type, file_type_of(image.inode(child).found.mode));
                if file_type == 2 {
                    *subdirectories.entry(nid).or_default() += 1;
                }
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                pending.push(([&path, slash, &name].concat(), child, nid));
            }
        }
        paths.insert(path, inode.found);
    }
    for found in paths.values() {
        let names = names_of[&found.nid];
        let expected = match found.body {
            FoundBody::Directory => {
                assert_eq!(names, 1, "a directory has one name");
                2 + subdirectories.get(&found.nid).copied().unwrap_or_default()
            }
            _ => names,
        };
        assert_eq!(found.links, expected);
    }
    let nids: BTreeSet<u64> = paths.values().map(|found| found.nid).collect();
    assert_eq!(nids.len() as u64, u64_at(superblock, 16), "inodes");
    paths
}

/// Entries of a directory but for the dots, which must be right.
fn directory(contents: &[u8], nid: u64, parent: u64) -> Vec<(Vec<u8>, u64, u8)> {
    let mut entries = Vec::new();
    for block in contents.chunks(BLOCK) {
        let count = usize::from(u16_at(block, 8)) / 12;
        for at in 0..count {
            let entry = &block[at * 12..];
            let start = usize::from(u16_at(entry, 8));
            let end = if at + 1 < count {
                usize::from(u16_at(entry, 20))
            } else {
                block.len()
            };
            let name = &block[start..end];
            let name = name.split(|byte| *byte == 0).next().unwrap();
            assert!(!name.is_empty() && name.len() <= 255);
            entries.push((name.to_vec(), u64_at(entry, 0), entry[10]));
        }
    }
    assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted");
    let dots = entries
        .extract_if(.., |(name, ..)| name == b"." || name == b"..")
        .collect::<Vec<_>>();
    assert_eq!(dots, [(b".".to_vec(), nid, 2), (b"..".to_vec(), parent, 2)]);
    entries
}

impl Image<'_> {
    fn inode(&self, nid: u64) -> Inode {
        let start = usize::try_from(nid).unwrap() * 32;
        let raw = &self.0[start..];
        let format = u16_at(raw, 0);
        let (is_extended, layout) = (format & 1 == 1, format >> 1);
        let mode = u16_at(raw, 4);
        let inode_bytes = if is_extended { 64 } else { 32 };
        assert!(start % BLOCK + inode_bytes <= BLOCK, "inode inside one block");
        let (size, location, uid, gid, links, mtime) = if is_extended {
            let mtime = (u64_at(raw, 32).cast_signed(), u32_at(raw, 40));
            (
                u64_at(raw, 8),
                u32_at(raw, 16),
                u32_at(raw, 24),
                u32_at(raw, 28),
                u32_at(raw, 44),
                mtime,
            )
        } else {
            let epoch = (u64_at(self.0, 1024 + 24).cast_signed(), u32_at(self.0, 1024 + 32));
            let (uid, gid, links) = (u16_at(raw, 24), u16_at(raw, 26), u16_at(raw, 6));
            (
                u64::from(u32_at(raw, 8)),
                u32_at(raw, 16),
                uid.into(),
                gid.into(),
                links.into(),
                epoch,
            )
        };
        let size = usize::try_from(size).unwrap();
        let xattr_count = usize::from(u16_at(raw, 2));
        let xattr_bytes = if xattr_count == 0 {
            0
        } else {
            12 + 4 * (xattr_count - 1)
        };
        let behind = start + inode_bytes + xattr_bytes;
        let contents = self.contents(layout, mode, start, behind, location, size);
        let body = match mode >> 12 {
            0o04 => FoundBody::Directory,
            0o10 => FoundBody::File(contents.clone()),
            0o12 => FoundBody::Symlink(contents.clone()),
            0o02 | 0o06 => FoundBody::Device(location),
            0o01 => FoundBody::Fifo,
            other => panic!("type {other:o}"),
        };
        let xattrs = xattrs(&raw[inode_bytes..inode_bytes + xattr_bytes]);
        Inode {
            found: Found {
                nid,
                mode,
                uid,
                gid,
                links,
                mtime,
                xattrs,
                body,
            },
            contents,
        }
    }

    fn contents(&self, layout: u16, mode: u16, start: usize, behind: usize, location: u32, size: usize) -> Vec<u8> {
        let blocks = |bytes: usize| self.0[location as usize * BLOCK..][..bytes].to_vec();
        match (layout, mode >> 12) {
            (0, 0o01 | 0o02 | 0o06) => Vec::new(),
            (0, _) if size == 0 => Vec::new(),
            (0, _) => blocks(size),
            (2, 0o04 | 0o10 | 0o12) => {
                let tail = size % BLOCK;
                assert!(
                    tail > 0 && start / BLOCK == (behind + tail - 1) / BLOCK,
                    "inline contents inside one block"
                );
                [blocks(size - tail), self.0[behind..behind + tail].to_vec()].concat()
            }
            other => panic!("layout {other:?}"),
        }
    }
}

fn xattrs(raw: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut xattrs = BTreeMap::new();
    let mut rest = raw.get(12..).unwrap_or_default();
    assert!(
        raw.is_empty() || (raw[4] == 0 && !rest.is_empty()),
        "no shared attributes, no bare header"
    );
    while !rest.is_empty() {
        let (name_len, value_len) = (usize::from(rest[0]), usize::from(u16_at(rest, 2)));
        let prefix: &[u8] = match rest[1] {
            1 => b"user.",
            2 => b"system.posix_acl_access",
            3 => b"system.posix_acl_default",
            4 => b"trusted.",
            6 => b"security.",
            other => panic!("prefix {other}"),
        };
        let name = [prefix, &rest[4..4 + name_len]].concat();
        xattrs.insert(name, rest[4 + name_len..][..value_len].to_vec());
        rest = &rest[(4 + name_len + value_len).next_multiple_of(4)..];
    }
    xattrs
}

/// The checksum of Linux: CRC-32C, not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    crc
}

fn file_type_of(mode: u16) -> u8 {
    match mode >> 12 {
        0o10 => 1,
        0o04 => 2,
        0o02 => 3,
        0o06 => 4,
        0o01 => 5,
        _ => 7,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
