//! The one pass over a layer's tar stream.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use super::BLOCK_BYTES;
use super::data::{Contents, DataFile};
use super::entry::{Attributes, Change, Content, Entry, Extent, Inode, Packed, Xattr};
use super::path::{self, PathError};
use crate::limits::{Limits, NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use crate::tar::sparse::Segment;
use crate::tar::{Member, MemberKind, Reader, TarError};

/// Prefix of the names that take something away (OCI image spec, layer.md, "Whiteouts").
const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The name that empties its directory.
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";
/// Names with which the AUFS driver kept its books; old images carry them, and they mean nothing.
const WHITEOUT_BOOKS_PREFIX: &[u8] = b".wh..wh.";

/// Linux shows this mode for every symbolic link, whatever the archive says.
const SYMLINK_MODE: u16 = 0o777;

/// Why a layer cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The stream is no sound tar archive.
    #[error("cannot read layer")]
    Tar {
        /// What is wrong with it.
        #[from]
        source: TarError,
    },
    /// An entry's path is refused.
    #[error("layer has an entry with a bad path")]
    Path {
        /// What is wrong with it.
        #[from]
        source: PathError,
    },
    /// An entry can be a path, but not this.
    #[error("layer entry {path}: {reason}")]
    Entry {
        /// The entry's path.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The layer is larger than allowed.
    #[error("layer has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit in force.
        limit: u64,
    },
    /// The data file cannot be written.
    #[error("cannot write layer data")]
    Write {
        /// The failure.
        #[from]
        source: io::Error,
    },
}

/// Converts a layer: reads the uncompressed tar `stream` to its very end, writes file contents to `data`, an empty file
/// open for reading and writing, gives the rest to `keep`, entry by entry, and answers the length of `data` in blocks.
///
/// `head` makes what stands in front of the contents of a small file that is packed, its inode; without one, no files are.
///
/// Memory does not grow with the layer but for what finds identical files, which is bounded. On an error the data file
/// holds rubbish and must be removed.
pub fn convert(
    stream: impl Read,
    data: &mut File,
    limits: &Limits,
    head: Option<Head>,
    keep: impl FnMut(Entry) -> io::Result<()>,
) -> Result<u64, LayerError> {
    let mut conversion = Conversion {
        reader: Reader::new(stream, limits),
        data: DataFile::new(data),
        limits,
        head,
        contents_bytes: 0,
        index_bytes: 0,
        entries: 0,
        keep,
    };
    while let Some(member) = conversion.reader.next_member()? {
        conversion.add(member)?;
    }
    conversion.reader.drain()?;
    Ok(conversion.data.finish()?)
}

/// Makes an inode with so many bytes of contents behind it.
pub type Head = fn(&Attributes, u64) -> Vec<u8>;

/// The longest packed file, inode included: two fit into a block, so none takes more than it would alone.
const PACKED_BYTES_MAX: u64 = BLOCK_BYTES / 2;

struct Conversion<'a, R, K> {
    reader: Reader<R>,
    data: DataFile<'a>,
    limits: &'a Limits,
    head: Option<Head>,
    contents_bytes: u64,
    index_bytes: usize,
    entries: usize,
    keep: K,
}

impl<R: Read, K: FnMut(Entry) -> io::Result<()>> Conversion<'_, R, K> {
    fn add(&mut self, member: Member) -> Result<(), LayerError> {
        let full = path::normalise(&member.path, self.limits)?;
        let name = path::split_last(&full).map(|(_, name)| name);
        if path::components(&full).any(|name| name.starts_with(WHITEOUT_BOOKS_PREFIX) && name != WHITEOUT_OPAQUE) {
            return Ok(());
        }
        let entry = match name.and_then(|name| name.strip_prefix(WHITEOUT_PREFIX)) {
            Some(hidden) => whiteout(&full, hidden)?,
            None => {
                let change = self.change(&full, member)?;
                Entry { path: full, change }
            }
        };
        self.push(entry)
    }

    fn push(&mut self, entry: Entry) -> Result<(), LayerError> {
        self.index_bytes += entry.variable_bytes();
        if self.index_bytes > self.limits.index_bytes {
            let limit = self.limits.index_bytes as u64;
            return Err(LayerError::TooLarge {
                what: "bytes of paths and attributes",
                limit,
            });
        }
        if self.entries >= self.limits.entries {
            return Err(LayerError::TooLarge {
                what: "entries",
                limit: self.limits.entries as u64,
            });
        }
        self.entries += 1;
        Ok((self.keep)(entry)?)
    }

    fn change(&mut self, path: &[u8], member: Member) -> Result<Change, LayerError> {
        let refused = |reason| {
            Err(LayerError::Entry {
                path: path::display(path),
                reason,
            })
        };
        if path.is_empty() && member.kind != MemberKind::Directory {
            return refused("the root must be a directory");
        }
        let mut attributes = Attributes {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime: member.mtime,
            xattrs: xattrs(path, member.xattrs)?,
        };
        let content = match member.kind {
            MemberKind::Regular {
                file_bytes,
                segments: None,
            } => self.file(&attributes, file_bytes)?,
            MemberKind::Regular { file_bytes, segments } => Content::File(self.contents(file_bytes, segments)?),
            MemberKind::HardLink { target } => {
                let target = path::normalise(&target, self.limits)?;
                return if target.is_empty() {
                    refused("hard link to the root")
                } else {
                    Ok(Change::HardLink { target })
                };
            }
            MemberKind::Symlink { target } => {
                if target.is_empty() || target.contains(&0) || target.len() > self.limits.link_target_bytes {
                    return refused("symbolic link with an empty, too long or malformed target");
                }
                attributes.mode = SYMLINK_MODE;
                Content::Symlink { target: target.into() }
            }
            MemberKind::Directory => Content::Directory,
            MemberKind::CharacterDevice { major, minor } => Content::CharacterDevice { major, minor },
            MemberKind::BlockDevice { major, minor } => Content::BlockDevice { major, minor },
            MemberKind::Fifo => Content::Fifo,
        };
        Ok(Change::Put(Inode { attributes, content }))
    }

    /// A file without holes: packed, if it is small.
    fn file(&mut self, attributes: &Attributes, bytes: u64) -> Result<Content, LayerError> {
        let is_small = bytes > 0 && bytes < PACKED_BYTES_MAX;
        let head = self.head.filter(|_| is_small).map(|head| head(attributes, bytes));
        let Some(mut packed) = head.filter(|head| head.len() as u64 + bytes <= PACKED_BYTES_MAX) else {
            return Ok(Content::File(self.contents(bytes, None)?));
        };
        self.charge(bytes)?;
        let start = packed.len();
        // Lossless: it is less than a block.
        packed.resize(start + usize::try_from(bytes).unwrap_or_default(), 0);
        self.reader.read_data(&mut packed[start..])?;
        let slot = self.data.pack(&packed)?;
        Ok(Content::Packed(Packed { slot, bytes }))
    }

    fn charge(&mut self, file_bytes: u64) -> Result<(), LayerError> {
        self.contents_bytes = self.contents_bytes.saturating_add(file_bytes);
        if self.contents_bytes > self.limits.data_bytes {
            return Err(LayerError::TooLarge {
                what: "bytes of file contents",
                limit: self.limits.data_bytes,
            });
        }
        Ok(())
    }

    fn contents(&mut self, file_bytes: u64, segments: Option<Vec<Segment>>) -> Result<Extent, LayerError> {
        self.charge(file_bytes)?;
        let mut contents = self.data.start_contents(file_bytes)?;
        let mut position = 0;
        for segment in segments.unwrap_or_else(|| {
            vec![Segment {
                offset: 0,
                bytes: file_bytes,
            }]
        }) {
            self.data.append_zeros(&mut contents, segment.offset - position)?;
            self.copy(&mut contents, segment.bytes)?;
            position = segment.offset + segment.bytes;
        }
        self.data.append_zeros(&mut contents, file_bytes - position)?;
        Ok(self.data.finish_contents(contents)?)
    }

    fn copy(&mut self, contents: &mut Contents, bytes: u64) -> Result<(), LayerError> {
        let mut left = bytes;
        while left > 0 {
            let reader = &mut self.reader;
            let fill = |buffer: &mut [u8]| reader.read_data(buffer).map_err(LayerError::from);
            left -= self.data.append_with(contents, left, fill)?;
        }
        Ok(())
    }
}

/// The entry that a name with the whiteout prefix stands for; `hidden` is the name behind the prefix.
fn whiteout(full: &[u8], hidden: &[u8]) -> Result<Entry, LayerError> {
    let (directory, name) = path::split_last(full).unwrap_or_default();
    if name == WHITEOUT_OPAQUE {
        return Ok(Entry {
            path: directory.into(),
            change: Change::Opaque,
        });
    }
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(LayerError::Entry {
            path: path::display(full),
            reason: "whiteout of no name",
        });
    }
    let path = if directory.is_empty() {
        hidden.into()
    } else {
        [directory, hidden].join(&b'/').into()
    };
    Ok(Entry {
        path,
        change: Change::Whiteout,
    })
}

fn xattrs(path: &[u8], xattrs: BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<Xattr>, LayerError> {
    let checked = |(name, value): (Vec<u8>, Vec<u8>)| {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || value.len() > XATTR_VALUE_BYTES_MAX {
            let reason = "extended attribute with an empty or too long name, or too large";
            return Err(LayerError::Entry {
                path: path::display(path),
                reason,
            });
        }
        Ok(Xattr {
            name: name.into(),
            value: value.into(),
        })
    };
    xattrs.into_iter().map(checked).collect()
}
