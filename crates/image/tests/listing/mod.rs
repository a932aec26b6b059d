//! A directory tree as text: one line per path with everything that an image says about it, so that two trees are equal
//! if and only if their listings are.
//!
//! Used by the tests here, and as the program `list_tree` (an example of this crate) wherever a tree is mounted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change, seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What it is.
    pub kind: Kind,
    /// The same for all names of one file.
    pub identity: u64,
    /// How many names it has; not told for directories, which file systems count in different ways.
    pub links: u64,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file: its size and the SHA-256 of its contents.
    File(u64, [u8; 32]),
    /// A symbolic link and where it leads.
    Symlink(Vec<u8>),
    /// A character device, major and minor.
    CharacterDevice(u32, u32),
    /// A block device, major and minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Everything below `root`, by path relative to it; the root itself has the empty path.
pub fn collect(root: &Path) -> io::Result<BTreeMap<Vec<u8>, Item>> {
    let mut items = BTreeMap::new();
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let full = if path.is_empty() {
            root.into()
        } else {
            root.join(std::ffi::OsStr::from_bytes(&path))
        };
        let item = item(&full).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", full.display())))?;
        if item.kind == Kind::Directory {
            for entry in fs::read_dir(&full)? {
                let name = entry?.file_name().into_vec();
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                pending.push([&path, slash, &name].concat());
            }
        }
        items.insert(path, item);
    }
    Ok(items)
}

/// The listing of items, sorted by path. Later names of a file refer to its first one.
pub fn render(items: &BTreeMap<Vec<u8>, Item>) -> String {
    let mut first_names = BTreeMap::<u64, &[u8]>::new();
    let mut text = String::new();
    for (path, item) in items {
        let _ = write!(text, "/{}", path.escape_ascii());
        if item.kind != Kind::Directory {
            let first = first_names.entry(item.identity).or_insert(path);
            if *first != path.as_slice() {
                let _ = writeln!(text, " = /{}", first.escape_ascii());
                continue;
            }
            let _ = write!(text, " links={}", item.links);
        }
        let (seconds, nanoseconds) = item.mtime;
        let _ = write!(
            text,
            " {:04o} {}:{} {seconds}.{nanoseconds:09}",
            item.mode, item.uid, item.gid
        );
        let _ = match &item.kind {
            Kind::Directory => write!(text, " directory"),
            Kind::File(bytes, digest) => write!(text, " file {bytes} sha256:{}", hex(digest)),
            Kind::Symlink(target) => write!(text, " -> {}", target.escape_ascii()),
            Kind::CharacterDevice(major, minor) => write!(text, " character {major}:{minor}"),
            Kind::BlockDevice(major, minor) => write!(text, " block {major}:{minor}"),
            Kind::Fifo => write!(text, " fifo"),
            Kind::Socket => write!(text, " socket"),
        };
        for (name, value) in &item.xattrs {
            let _ = write!(text, " {}={}", name.escape_ascii(), value.escape_ascii());
        }
        text.push('\n');
    }
    text
}

/// SHA-256 of a stream and its length.
pub fn digest(mut stream: impl Read) -> io::Result<(u64, [u8; 32])> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let step = stream.read(&mut buffer)?;
        if step == 0 {
            return Ok((bytes, hasher.finalize().into()));
        }
        hasher.update(&buffer[..step]);
        bytes += step as u64;
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn item(path: &Path) -> io::Result<Item> {
    let metadata = fs::symlink_metadata(path)?;
    let file_type = metadata.file_type();
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let kind = if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_file() {
        let (bytes, digest) = digest(File::open(path)?)?;
        Kind::File(bytes, digest)
    } else if file_type.is_symlink() {
        Kind::Symlink(fs::read_link(path)?.into_os_string().into_vec())
    } else if file_type.is_char_device() {
        Kind::CharacterDevice(major, minor)
    } else if file_type.is_block_device() {
        Kind::BlockDevice(major, minor)
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    };
    Ok(Item {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        xattrs: xattrs(path)?,
        kind,
        identity: metadata.ino(),
        links: metadata.nlink(),
    })
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; 1 << 16];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut xattrs = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(length);
        xattrs.insert(name.to_vec(), value);
    }
    Ok(xattrs)
}
