//! The answers to FUSE requests, as the guest's kernel reads them (Linux's `fuse.h`).

use rustix::fs::{Stat, StatVfs};
use rustix::io::Errno;

use crate::fs::request::DATA_BYTES_MAX;

/// The length of an answer's header, in bytes.
pub(super) const HEADER_BYTES: usize = 16;

/// The version of the protocol that is spoken.
const VERSION: (u32, u32) = (7, 38);

/// The guest's pages in a request, at most.
const PAGES_MAX: u16 = 256;

/// How many requests may be under way in the background, and how many make the guest slow down.
const BACKGROUND: (u16, u16) = (64, 48);

/// The length of the entry of a directory without its name, in bytes.
const ENTRY_HEAD_BYTES: usize = 24;

/// The features that are wanted: requests in any order (`ASYNC_READ`, `PARALLEL_DIROPS`), large ones (`BIG_WRITES`, `MAX_PAGES`), a look at the
/// time of change before what the guest keeps is used (`AUTO_INVAL_DATA`), and access control lists (`POSIX_ACL`).
const FEATURES: u32 = 1 | 1 << 5 | 1 << 12 | 1 << 18 | 1 << 20 | 1 << 22;

/// An answer that is being written.
#[derive(Debug, Default)]
pub(super) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    pub(super) const fn empty() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(super) const fn of(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn u16(mut self, value: u16) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    fn zeros(mut self, count: usize) -> Self {
        self.bytes.resize(self.bytes.len() + count, 0);
        self
    }

    /// What is agreed on with a guest that has these features.
    pub(super) fn begin(features: u32) -> Self {
        let (major, minor) = VERSION;
        let (background, congestion) = BACKGROUND;
        Self::empty()
            .u32(major)
            .u32(minor)
            .u32(DATA_BYTES_MAX)
            .u32(features & FEATURES)
            .u16(background)
            .u16(congestion)
            .u32(DATA_BYTES_MAX)
            // Times are exact to the nanosecond.
            .u32(1)
            .u16(PAGES_MAX)
            .zeros(34)
    }

    /// A node that was found. The guest asks again each time: what the host does is seen at once.
    pub(super) fn entry(self, node: u64, stat: &Stat) -> Self {
        self.u64(node).zeros(32).attributes(stat)
    }

    /// The attributes alone, which hold for no time either.
    pub(super) fn look(stat: &Stat) -> Self {
        Self::empty().zeros(16).attributes(stat)
    }

    fn attributes(self, stat: &Stat) -> Self {
        let low = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        self.u64(stat.st_ino)
            .u64(stat.st_size.cast_unsigned())
            .u64(stat.st_blocks.cast_unsigned())
            .u64(stat.st_atime.cast_unsigned())
            .u64(stat.st_mtime.cast_unsigned())
            .u64(stat.st_ctime.cast_unsigned())
            .u32(low(stat.st_atime_nsec))
            .u32(low(stat.st_mtime_nsec))
            .u32(low(stat.st_ctime_nsec))
            .u32(stat.st_mode)
            .u32(low(stat.st_nlink))
            .u32(stat.st_uid)
            .u32(stat.st_gid)
            .u32(low(stat.st_rdev))
            .u32(u32::try_from(stat.st_blksize).unwrap_or_default())
            .u32(0)
    }

    /// An open file.
    pub(super) fn open(self, handle: u64) -> Self {
        self.u64(handle).zeros(8)
    }

    /// A number of bytes.
    pub(super) fn count(bytes: usize) -> Self {
        Self::empty().u32(u32::try_from(bytes).unwrap_or(u32::MAX)).u32(0)
    }

    /// What a file system has room for.
    pub(super) fn room(room: &StatVfs) -> Self {
        let low = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self::empty()
            .u64(room.f_blocks)
            .u64(room.f_bfree)
            .u64(room.f_bavail)
            .u64(room.f_files)
            .u64(room.f_ffree)
            .u32(low(room.f_bsize))
            .u32(low(room.f_namemax))
            .u32(low(room.f_frsize))
            .zeros(28)
    }

    /// One more name of a directory, if the whole does not get longer than `room`.
    pub(super) fn push_name(&mut self, name: &Name<'_>, room: usize) -> bool {
        let bytes = (ENTRY_HEAD_BYTES + name.name.len()).next_multiple_of(8);
        if self.bytes.len() + bytes > room {
            return false;
        }
        let end = self.bytes.len() + bytes;
        let length = u32::try_from(name.name.len()).unwrap_or_default();
        let mut reply = std::mem::take(self)
            .u64(name.number)
            .u64(name.next)
            .u32(length)
            .u32(name.kind);
        reply.bytes.extend(name.name);
        reply.bytes.resize(end, 0);
        *self = reply;
        true
    }
}

/// A name in a directory.
pub(super) struct Name<'a> {
    /// The inode's number.
    pub(super) number: u64,
    /// Where the next one is.
    pub(super) next: u64,
    /// The type of file, as in a directory.
    pub(super) kind: u32,
    pub(super) name: &'a [u8],
}

/// The header of an answer.
pub(super) fn header(unique: u64, bytes: usize, error: Option<Errno>) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let bytes = u32::try_from(HEADER_BYTES + bytes).unwrap_or(u32::MAX);
    let error = error.map_or(0, |error| -error.raw_os_error());
    header[..4].copy_from_slice(&bytes.to_le_bytes());
    header[4..8].copy_from_slice(&error.to_le_bytes());
    header[8..].copy_from_slice(&unique.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_lengths_of_the_protocol() {
        let file = tempfile::tempfile().unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        let room = rustix::fs::fstatvfs(&file).unwrap();
        for (reply, expected) in [
            (Reply::begin(u32::MAX), 64),
            (Reply::look(&stat), 104),
            (Reply::empty().entry(1, &stat), 128),
            (Reply::empty().open(1), 16),
            (Reply::count(1), 8),
            (Reply::room(&room), 80),
        ] {
            assert_eq!(reply.bytes().len(), expected);
        }
    }

    #[test]
    fn names_are_aligned_and_do_not_leave_the_room() {
        let mut reply = Reply::empty();
        let name = Name {
            number: 1,
            next: 2,
            kind: 8,
            name: b"nine char",
        };
        assert!(!reply.push_name(&name, 39));
        assert!(reply.push_name(&name, 40));
        assert_eq!(reply.bytes().len(), 40);
        assert!(!reply.push_name(&name, 79));
    }
}
