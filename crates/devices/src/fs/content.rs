//! What is in files and directories.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    FallocateFlags, FileType, OFlags, RawDir, SeekFrom, copy_file_range, fallocate, fstat, ftruncate, seek,
};
use rustix::io::Errno;

use crate::fs::reply::{Name, Reply};
use crate::fs::request::Stretch;
use crate::fs::server::{Asked, Server};

/// The flags of a guest that mean something for the host: how it may be used, and when a write is durable. All others are the guest's own affair.
const FLAGS: OFlags = OFlags::ACCMODE
    .union(OFlags::APPEND)
    .union(OFlags::SYNC)
    .union(OFlags::DSYNC);

/// What is read of a directory at a time, in bytes.
const NAMES_BYTES_MAX: usize = 64 << 10;

/// The most that one request copies, in bytes: others have their turn.
const COPY_BYTES_MAX: usize = 16 << 20;

/// `SEEK_DATA` and `SEEK_HOLE`.
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

/// An error of the standard library's.
pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// What the guest may do with a file.
pub(super) fn flags_of(flags: u32) -> OFlags {
    OFlags::from_bits_truncate(flags) & FLAGS
}

impl Server {
    pub(super) fn open(&mut self, node: u64, flags: u32) -> Result<Reply, Errno> {
        self.handles.check_room()?;
        let flags = flags_of(flags);
        if flags & OFlags::ACCMODE != OFlags::RDONLY {
            self.check_writable()?;
        }
        let file = self.reopen(node, flags)?;
        Ok(Reply::empty().open(self.handles.open(file)))
    }

    pub(super) fn open_directory(&mut self, node: u64) -> Result<Reply, Errno> {
        self.handles.check_room()?;
        let directory = self.reopen(node, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Reply::empty().open(self.handles.open(directory)))
    }

    pub(super) fn read(&self, stretch: Stretch, asked: &Asked<'_>) -> Result<Reply, Errno> {
        let file = self.handles.get(stretch.handle)?;
        let wanted = usize::try_from(stretch.bytes).unwrap_or(usize::MAX).min(asked.room);
        let mut bytes = vec![0; wanted];
        let mut done = 0;
        // Fewer bytes than wanted mean the end of the file.
        while done < wanted {
            let offset = stretch.offset.checked_add(done as u64).ok_or(Errno::INVAL)?;
            match file.read_at(&mut bytes[done..], offset) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno(&error)),
            }
        }
        bytes.truncate(done);
        Ok(Reply::of(bytes))
    }

    pub(super) fn write(&self, stretch: Stretch, asked: &Asked<'_>) -> Result<Reply, Errno> {
        let file = self.handles.get(stretch.handle)?;
        if u64::try_from(asked.data.len()) != Ok(stretch.bytes) {
            return Err(Errno::INVAL);
        }
        let mut bytes = vec![0; asked.data.len()];
        asked.data.copy_to(&mut bytes);
        write_all(&file, &bytes, stretch.offset).map(Reply::count)
    }

    pub(super) fn list(&self, stretch: Stretch, asked: &Asked<'_>) -> Result<Reply, Errno> {
        let directory = self.handles.get(stretch.handle)?;
        let wanted = usize::try_from(stretch.bytes).unwrap_or(usize::MAX);
        let room = wanted.min(asked.room).min(NAMES_BYTES_MAX);
        seek(&*directory, SeekFrom::Start(stretch.offset))?;
        let mut reply = Reply::empty();
        let mut bytes = vec![MaybeUninit::uninit(); NAMES_BYTES_MAX];
        let mut names = RawDir::new(&*directory, &mut bytes);
        while let Some(name) = names.next() {
            let name = name?;
            let is_kept = reply.push_name(
                &Name {
                    number: name.ino(),
                    next: name.next_entry_cookie(),
                    kind: kind(name.file_type()),
                    name: name.file_name().to_bytes(),
                },
                room,
            );
            if !is_kept {
                break;
            }
        }
        Ok(reply)
    }

    pub(super) fn synchronize(&self, handle: u64, only_data: bool) -> Result<Reply, Errno> {
        let file = self.handles.get(handle)?;
        let done = if only_data { file.sync_data() } else { file.sync_all() };
        done.map(|()| Reply::empty()).map_err(|error| errno(&error))
    }

    pub(super) fn seek(&self, handle: u64, offset: u64, whence: u32) -> Result<Reply, Errno> {
        let file = self.handles.get(handle)?;
        let place = match whence {
            SEEK_DATA => SeekFrom::Data(offset),
            SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        Ok(Reply::empty().u64(seek(&*file, place)?))
    }

    pub(super) fn allocate(&self, stretch: Stretch, mode: u32) -> Result<Reply, Errno> {
        let file = self.handles.get(stretch.handle)?;
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
        fallocate(&*file, mode, stretch.offset, stretch.bytes)?;
        Ok(Reply::empty())
    }

    pub(super) fn copy(&self, from: Stretch, handle: u64, offset: u64) -> Result<Reply, Errno> {
        let (source, target) = (self.handles.get(from.handle)?, self.handles.get(handle)?);
        let bytes = usize::try_from(from.bytes).unwrap_or(usize::MAX).min(COPY_BYTES_MAX);
        let (mut read_at, mut write_at) = (from.offset, offset);
        let copied = copy_file_range(&*source, Some(&mut read_at), &*target, Some(&mut write_at), bytes)?;
        Ok(Reply::count(copied))
    }
}

/// Writes as much as can be; an error only where that is nothing.
fn write_all(file: &File, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset.checked_add(done as u64).ok_or(Errno::FBIG)?;
        match file.write_at(&bytes[done..], at) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if done == 0 => return Err(errno(&error)),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Makes an open file as long as `bytes`.
pub(super) fn resize(file: &File, bytes: u64) -> Result<(), Errno> {
    if FileType::from_raw_mode(fstat(file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    ftruncate(file, bytes)
}

/// A type of file, as entries of directories have it.
fn kind(kind: FileType) -> u32 {
    // The bits of the mode that tell the type (`DT_` in dirent.h).
    kind.as_raw_mode() >> 12
}
