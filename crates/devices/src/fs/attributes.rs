//! What a file is like: its owner, permissions, times and extended attributes.

use std::ffi::CStr;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, XattrFlags, chmodat,
    chownat, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, readlinkat, utimensat,
};
use rustix::io::Errno;

use crate::fs::content::resize;
use crate::fs::reply::Reply;
use crate::fs::request::{ATTRIBUTE_BYTES_MAX, Change, Moment};
use crate::fs::server::Server;

/// The extended attributes that a guest sees and sets. The host's own, of its security modules and of its overlays, are none of its business.
const ATTRIBUTES: [&[u8]; 4] = [
    b"user.",
    b"security.capability\0",
    b"system.posix_acl_access\0",
    b"system.posix_acl_default\0",
];

/// How the names of access control lists begin.
const ACCESS_CONTROL_LISTS: &[u8] = b"system.posix_acl_";

impl Server {
    pub(super) fn look(&mut self, node: u64, handle: Option<u64>) -> Result<Reply, Errno> {
        let stat = match handle {
            Some(handle) => fstat(&*self.handles.get(handle)?)?,
            None => fstat(self.node(node)?)?,
        };
        Ok(Reply::look(&stat))
    }

    pub(super) fn read_link(&mut self, node: u64) -> Result<Reply, Errno> {
        let link = self.node(node)?;
        Ok(Reply::of(readlinkat(link, c"", Vec::new())?.into_bytes()))
    }

    /// Changes one after the other, in the order in which none undoes another: a new owner takes away rights that a new mode gives.
    pub(super) fn change(&mut self, node: u64, change: &Change) -> Result<Reply, Errno> {
        let (descriptor, name) = self.named(node)?;
        if let Some(bytes) = change.size {
            let file = match change.handle {
                Some(handle) => self.handles.get(handle)?,
                None => self.reopen(node, OFlags::WRONLY)?.into(),
            };
            resize(&file, bytes)?;
        }
        if change.user.is_some() || change.group.is_some() {
            let (user, group) = (change.user.map(user).transpose()?, change.group.map(group).transpose()?);
            chownat(
                &*descriptor,
                c"",
                user,
                group,
                AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        if let Some(mode) = change.mode {
            if FileType::from_raw_mode(fstat(&*descriptor)?.st_mode) == FileType::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            chmodat(self.descriptors(), &*name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        if change.accessed.is_some() || change.modified.is_some() {
            let times = Timestamps {
                last_access: time(change.accessed),
                last_modification: time(change.modified),
            };
            utimensat(&*descriptor, c"", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(Reply::look(&fstat(&*descriptor)?))
    }

    pub(super) fn get_attribute(&mut self, node: u64, name: &CStr, room: u32) -> Result<Reply, Errno> {
        check_attribute(name)?;
        let value = self.attribute(node, name);
        // A guest that asks for an access control list in vain would let nobody in.
        let is_list = name.to_bytes().starts_with(ACCESS_CONTROL_LISTS);
        match value {
            Err(Errno::OPNOTSUPP | Errno::LOOP) if is_list => Err(Errno::NODATA),
            value => in_room(value?, room),
        }
    }

    fn attribute(&mut self, node: u64, name: &CStr) -> Result<Vec<u8>, Errno> {
        let file = self.reopen(node, OFlags::RDONLY)?;
        let mut value = vec![0; ATTRIBUTE_BYTES_MAX];
        let bytes = fgetxattr(&file, name, value.as_mut_slice())?;
        value.truncate(bytes);
        Ok(value)
    }

    pub(super) fn list_attributes(&mut self, node: u64, room: u32) -> Result<Reply, Errno> {
        let file = self.reopen(node, OFlags::RDONLY)?;
        let mut names = vec![0; ATTRIBUTE_BYTES_MAX];
        let bytes = flistxattr(&file, names.as_mut_slice())?;
        let seen = names[..bytes].split_inclusive(|byte| *byte == 0);
        in_room(seen.filter(|name| is_seen(name)).flatten().copied().collect(), room)
    }

    pub(super) fn set_attribute(&mut self, node: u64, name: &CStr, value: &[u8], flags: u32) -> Result<Reply, Errno> {
        check_attribute(name)?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        fsetxattr(self.reopen(node, OFlags::RDONLY)?, name, value, flags)?;
        Ok(Reply::empty())
    }

    pub(super) fn remove_attribute(&mut self, node: u64, name: &CStr) -> Result<Reply, Errno> {
        check_attribute(name)?;
        fremovexattr(self.reopen(node, OFlags::RDONLY)?, name)?;
        Ok(Reply::empty())
    }
}

/// A user, of whom all ones mean nobody.
pub(super) fn user(raw: u32) -> Result<Uid, Errno> {
    Some(raw)
        .filter(|raw| *raw != u32::MAX)
        .map(Uid::from_raw)
        .ok_or(Errno::INVAL)
}

/// A group, as [`user`].
pub(super) fn group(raw: u32) -> Result<Gid, Errno> {
    Some(raw)
        .filter(|raw| *raw != u32::MAX)
        .map(Gid::from_raw)
        .ok_or(Errno::INVAL)
}

fn time(moment: Option<Moment>) -> Timespec {
    let (tv_sec, tv_nsec) = match moment {
        None => (0, UTIME_OMIT),
        Some(Moment::Now) => (0, UTIME_NOW),
        // What is no number of nanoseconds might be one of the two.
        Some(Moment::At(seconds, nanoseconds)) => (seconds, i64::from(nanoseconds.min(999_999_999))),
    };
    Timespec { tv_sec, tv_nsec }
}

fn is_seen(name: &[u8]) -> bool {
    ATTRIBUTES.iter().any(|seen| name.starts_with(seen))
}

fn check_attribute(name: &CStr) -> Result<(), Errno> {
    if is_seen(name.to_bytes_with_nul()) {
        Ok(())
    } else {
        Err(Errno::OPNOTSUPP)
    }
}

/// The value, or its length where the guest has no room and only wants to know that.
fn in_room(value: Vec<u8>, room: u32) -> Result<Reply, Errno> {
    match usize::try_from(room) {
        Ok(0) => Ok(Reply::count(value.len())),
        Ok(room) if value.len() <= room => Ok(Reply::of(value)),
        _ => Err(Errno::RANGE),
    }
}

/// Whether names in a directory get the directory's group, whoever makes them.
pub(super) const fn passes_on_group(directory: &Stat) -> bool {
    directory.st_mode & 0o2000 != 0
}
