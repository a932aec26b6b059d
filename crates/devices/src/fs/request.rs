//! FUSE requests (virtio 1.2, 5.11.6.1; Linux's `fuse.h`): hostile bytes in, what is wanted out.

use std::ffi::CStr;

use rustix::io::Errno;

use crate::fs::fields::Fields;
use crate::fs::opcodes;

/// The length of a request's header, in bytes.
pub const HEADER_BYTES: usize = 40;

/// The most bytes that one request reads or writes. The guest's kernel is told.
pub const DATA_BYTES_MAX: u32 = 1 << 20;

/// The longest value of an extended attribute, in bytes (Linux's `XATTR_SIZE_MAX`).
pub const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a request that are looked at beside written data: the longest has two names, or a name and a value.
pub const REQUEST_BYTES_MAX: usize = HEADER_BYTES + ATTRIBUTE_BYTES_MAX + (8 << 10);

/// The length of what is in front of written data, in bytes.
pub const WRITE_HEAD_BYTES: usize = HEADER_BYTES + 40;

/// The oldest version of the protocol that is spoken: `(major, minor)`.
const VERSION_MIN: (u32, u32) = (7, 31);

/// What every request begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// The length of the whole request, in bytes.
    pub bytes: u32,
    /// What is wanted.
    pub opcode: u32,
    /// The request's number, which its answer bears.
    pub unique: u64,
    /// What the request is about.
    pub node: u64,
    /// The user on whose behalf it is made.
    pub user: u32,
    /// The user's group.
    pub group: u32,
}

/// A stretch of an open file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stretch {
    /// The open file.
    pub handle: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// What is to be another attribute: those that are there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Change {
    /// An open file that is to be used.
    pub handle: Option<u64>,
    /// Permissions.
    pub mode: Option<u32>,
    /// The owner.
    pub user: Option<u32>,
    /// The group.
    pub group: Option<u32>,
    /// The size, in bytes.
    pub size: Option<u64>,
    /// The time of the last access.
    pub accessed: Option<Moment>,
    /// The time of the last change of contents.
    pub modified: Option<Moment>,
}

/// A point of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// When the request is served.
    Now,
    /// Seconds and nanoseconds since the Unix epoch.
    At(i64, u32),
}

/// What is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the members' names say it")]
pub enum Request<'a> {
    /// To agree on a version and on features.
    Begin { major: u32, features: u32 },
    /// To end: everything is forgotten.
    End,
    /// What has this name in the directory.
    Find(&'a CStr),
    /// Nodes, and how often each is found less.
    Forget(Vec<(u64, u64)>),
    /// Attributes, of an open file where there is one: it may have no name any more.
    Look { handle: Option<u64> },
    /// Other attributes.
    Change(Change),
    /// Where a symbolic link leads.
    ReadLink,
    /// A new symbolic link.
    MakeLink { name: &'a CStr, target: &'a CStr },
    /// A new file that is no directory.
    MakeNode { name: &'a CStr, mode: u32 },
    /// A new directory.
    MakeDirectory { name: &'a CStr, mode: u32 },
    /// To take away a name.
    Remove(&'a CStr),
    /// To take away the name of an empty directory.
    RemoveDirectory(&'a CStr),
    /// Another name in another directory.
    Rename {
        directory: u64,
        flags: u32,
        from: &'a CStr,
        to: &'a CStr,
    },
    /// One more name for a node.
    Link { node: u64, name: &'a CStr },
    /// To open a file.
    Open { flags: u32 },
    /// To make a file, if there is none, and to open it.
    Create { name: &'a CStr, flags: u32, mode: u32 },
    /// To read.
    Read(Stretch),
    /// To write what follows the request.
    Write(Stretch),
    /// To close a file or a directory.
    Close { handle: u64 },
    /// To make what was written durable; only what is in the file, if so wanted.
    Synchronize { handle: u64, only_data: bool },
    /// To open a directory.
    OpenDirectory,
    /// Names from an open directory.
    List(Stretch),
    /// What the file system has room for.
    Room,
    /// An extended attribute.
    SetAttribute {
        name: &'a CStr,
        value: &'a [u8],
        flags: u32,
    },
    /// The value of one, or its length where there is no room.
    GetAttribute { name: &'a CStr, room: u32 },
    /// The names of all, or their length where there is no room.
    ListAttributes { room: u32 },
    /// To take one away.
    RemoveAttribute(&'a CStr),
    /// Room in a file, or less of it.
    Allocate { stretch: Stretch, mode: u32 },
    /// The next data or the next hole.
    Seek { handle: u64, offset: u64, whence: u32 },
    /// To copy between open files.
    Copy { from: Stretch, handle: u64, offset: u64 },
}

/// Reads a request's header.
///
/// # Errors
/// `EINVAL` where it is too short.
pub fn parse_header(bytes: &[u8]) -> Result<Header, Errno> {
    let mut fields = Fields::of(bytes);
    let header = Header {
        bytes: fields.u32()?,
        opcode: fields.u32()?,
        unique: fields.u64()?,
        node: fields.u64()?,
        user: fields.u32()?,
        group: fields.u32()?,
    };
    // The process, extensions.
    fields.skip(8)?;
    Ok(header)
}

/// Whether nobody waits for an answer to such a request.
#[must_use]
pub const fn is_silent(opcode: u32) -> bool {
    matches!(opcode, opcodes::FORGET | opcodes::BATCH_FORGET | opcodes::INTERRUPT)
}

/// Whether data to be written follows the head of such a request.
#[must_use]
pub const fn brings_data(opcode: u32) -> bool {
    opcode == opcodes::WRITE
}

/// Reads what follows the header.
///
/// # Errors
/// `ENOSYS` for what is not done here; `EINVAL` and others for what makes no sense.
pub fn parse<'a>(header: &Header, body: &'a [u8]) -> Result<Request<'a>, Errno> {
    let mut fields = Fields::of(body);
    let f = &mut fields;
    Ok(match header.opcode {
        opcodes::INIT => begin(f)?,
        opcodes::DESTROY => Request::End,
        opcodes::LOOKUP => Request::Find(f.name()?),
        opcodes::FORGET => Request::Forget(vec![(header.node, f.u64()?)]),
        opcodes::BATCH_FORGET => forget(f)?,
        opcodes::GETATTR => {
            let has_handle = f.u32()? & 1 != 0;
            f.skip(4)?;
            let handle = f.u64()?;
            Request::Look {
                handle: has_handle.then_some(handle),
            }
        }
        opcodes::SETATTR => Request::Change(change(f)?),
        opcodes::READLINK => Request::ReadLink,
        opcodes::UNLINK => Request::Remove(f.name()?),
        opcodes::RMDIR => Request::RemoveDirectory(f.name()?),
        opcodes::OPENDIR => Request::OpenDirectory,
        opcodes::READ => Request::Read(bounded(f)?),
        opcodes::READDIR => Request::List(bounded(f)?),
        opcodes::WRITE => Request::Write(bounded(f)?),
        opcodes::RELEASE | opcodes::RELEASEDIR => Request::Close { handle: f.u64()? },
        opcodes::FSYNC | opcodes::FSYNCDIR => Request::Synchronize {
            handle: f.u64()?,
            only_data: f.u32()? & 1 != 0,
        },
        opcodes::STATFS => Request::Room,
        opcodes::REMOVEXATTR => Request::RemoveAttribute(f.text()?),
        opcodes::LISTXATTR => Request::ListAttributes { room: f.u32()? },
        opcodes::OPEN => Request::Open { flags: f.u32()? },
        _ => return parse_longer(header, fields),
    })
}

/// Reads what has several members.
fn parse_longer<'a>(header: &Header, mut fields: Fields<'a>) -> Result<Request<'a>, Errno> {
    let f = &mut fields;
    Ok(match header.opcode {
        opcodes::SYMLINK => Request::MakeLink {
            name: f.name()?,
            target: f.text()?,
        },
        opcodes::MKNOD => {
            let mode = f.u32()?;
            // The device's number, of which there is none; the umask, which is applied already.
            f.skip(12)?;
            Request::MakeNode { name: f.name()?, mode }
        }
        opcodes::MKDIR => {
            let mode = f.u32()?;
            f.skip(4)?;
            Request::MakeDirectory { name: f.name()?, mode }
        }
        opcodes::RENAME => rename(f, false)?,
        opcodes::RENAME2 => rename(f, true)?,
        opcodes::LINK => Request::Link {
            node: f.u64()?,
            name: f.name()?,
        },
        opcodes::CREATE => {
            let (flags, mode) = (f.u32()?, f.u32()?);
            f.skip(8)?;
            Request::Create {
                name: f.name()?,
                flags,
                mode,
            }
        }
        opcodes::SETXATTR => {
            let (bytes, flags) = (f.u32()?, f.u32()?);
            let name = f.text()?;
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let value = f.bytes(bytes)?;
            Request::SetAttribute { name, value, flags }
        }
        opcodes::GETXATTR => {
            let room = f.u32()?;
            f.skip(4)?;
            Request::GetAttribute { name: f.text()?, room }
        }
        opcodes::FALLOCATE => Request::Allocate {
            stretch: stretch(f)?,
            mode: f.u32()?,
        },
        opcodes::LSEEK => Request::Seek {
            handle: f.u64()?,
            offset: f.u64()?,
            whence: f.u32()?,
        },
        opcodes::COPY_FILE_RANGE => copy(f)?,
        _ => return Err(Errno::NOSYS),
    })
}

fn begin<'a>(f: &mut Fields<'_>) -> Result<Request<'a>, Errno> {
    let (major, minor) = (f.u32()?, f.u32()?);
    if (major, minor) < VERSION_MIN {
        return Err(Errno::PROTO);
    }
    // How far it reads ahead is the guest's own affair.
    f.skip(4)?;
    Ok(Request::Begin {
        major,
        features: f.u32()?,
    })
}

fn forget<'a>(f: &mut Fields<'_>) -> Result<Request<'a>, Errno> {
    let count = f.u32()?;
    f.skip(4)?;
    let mut forgotten = Vec::new();
    // What is there ends it sooner than a count that is a lie.
    for _ in 0..count {
        forgotten.push((f.u64()?, f.u64()?));
    }
    Ok(Request::Forget(forgotten))
}

fn change(f: &mut Fields<'_>) -> Result<Change, Errno> {
    let valid = f.u32()?;
    f.skip(4)?;
    let (handle, size) = (f.u64()?, f.u64()?);
    f.skip(8)?;
    let (accessed, modified) = (f.u64()?, f.u64()?);
    f.skip(8)?;
    let (accessed_ns, modified_ns) = (f.u32()?, f.u32()?);
    f.skip(4)?;
    let mode = f.u32()?;
    f.skip(4)?;
    let (user, group) = (f.u32()?, f.u32()?);
    let has = |bit: u32| valid >> bit & 1 == 1;
    let moment = |is_set: bool, is_now: bool, seconds: u64, nanoseconds: u32| {
        is_set.then_some(if is_now {
            Moment::Now
        } else {
            Moment::At(seconds.cast_signed(), nanoseconds)
        })
    };
    Ok(Change {
        mode: has(0).then_some(mode & 0o7777),
        user: has(1).then_some(user),
        group: has(2).then_some(group),
        size: has(3).then_some(size),
        accessed: moment(has(4), has(7), accessed, accessed_ns),
        modified: moment(has(5), has(8), modified, modified_ns),
        handle: has(6).then_some(handle),
    })
}

fn rename<'a>(f: &mut Fields<'a>, has_flags: bool) -> Result<Request<'a>, Errno> {
    let directory = f.u64()?;
    let flags = if has_flags { f.u32()? } else { 0 };
    f.skip(if has_flags { 4 } else { 0 })?;
    Ok(Request::Rename {
        directory,
        flags,
        from: f.name()?,
        to: f.name()?,
    })
}

/// A stretch with the length of what one request carries at most.
fn bounded(f: &mut Fields<'_>) -> Result<Stretch, Errno> {
    let (handle, offset, bytes) = (f.u64()?, f.u64()?, f.u32()?);
    if bytes > DATA_BYTES_MAX {
        return Err(Errno::INVAL);
    }
    Ok(Stretch {
        handle,
        offset,
        bytes: bytes.into(),
    })
}

fn stretch(f: &mut Fields<'_>) -> Result<Stretch, Errno> {
    Ok(Stretch {
        handle: f.u64()?,
        offset: f.u64()?,
        bytes: f.u64()?,
    })
}

fn copy<'a>(f: &mut Fields<'_>) -> Result<Request<'a>, Errno> {
    let (from_handle, from_offset) = (f.u64()?, f.u64()?);
    f.skip(8)?;
    let (handle, offset, bytes) = (f.u64()?, f.u64()?, f.u64()?);
    let from = Stretch {
        handle: from_handle,
        offset: from_offset,
        bytes,
    };
    Ok(Request::Copy { from, handle, offset })
}
