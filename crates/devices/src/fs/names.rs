//! What comes into a directory and leaves it.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, chmodat, chownat, fstat, linkat, mkdirat, mknodat, openat,
    renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::fs::attributes::{group, passes_on_group, user};
use crate::fs::content::{flags_of, resize};
use crate::fs::nodes;
use crate::fs::reply::Reply;
use crate::fs::server::{Asked, Server};

/// The bits that run a program as somebody else. A new owner takes them away.
const SET_ID: u32 = 0o6000;

impl Server {
    pub(super) fn make_link(&mut self, asked: &Asked<'_>, name: &CStr, target: &CStr) -> Result<Reply, Errno> {
        let directory = self.node(asked.header.node)?;
        symlinkat(target, &*directory, name)?;
        self.made(asked, &directory, name, None)
    }

    /// Makes a file, a pipe or a socket. A device of the guest's has no business on the host, where it would be one of the host's.
    pub(super) fn make_node(&mut self, asked: &Asked<'_>, name: &CStr, mode: u32) -> Result<Reply, Errno> {
        let kind = FileType::from_raw_mode(mode);
        if !matches!(kind, FileType::RegularFile | FileType::Fifo | FileType::Socket) {
            return Err(Errno::PERM);
        }
        let directory = self.node(asked.header.node)?;
        mknodat(&*directory, name, kind, Mode::from_raw_mode(mode), 0)?;
        self.made(asked, &directory, name, Some(mode))
    }

    pub(super) fn make_directory(&mut self, asked: &Asked<'_>, name: &CStr, mode: u32) -> Result<Reply, Errno> {
        let directory = self.node(asked.header.node)?;
        mkdirat(&*directory, name, Mode::from_raw_mode(mode))?;
        self.made(asked, &directory, name, None)
    }

    pub(super) fn remove(&mut self, directory: u64, name: &CStr, flags: AtFlags) -> Result<Reply, Errno> {
        unlinkat(self.node(directory)?, name, flags)?;
        Ok(Reply::empty())
    }

    pub(super) fn rename(
        &mut self,
        (directory, name): (u64, &CStr),
        (new_directory, new_name): (u64, &CStr),
        flags: u32,
    ) -> Result<Reply, Errno> {
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        // What an overlay leaves behind is a device.
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::INVAL);
        }
        let (from, to) = (self.node(directory)?, self.node(new_directory)?);
        renameat_with(&*from, name, &*to, new_name, flags)?;
        self.nodes.renamed(new_directory, new_name);
        if flags.contains(RenameFlags::EXCHANGE) {
            self.nodes.renamed(directory, name);
        }
        Ok(Reply::empty())
    }

    pub(super) fn link(&mut self, linked: u64, directory: u64, name: &CStr) -> Result<Reply, Errno> {
        let (_linked, own_name) = self.named(linked)?;
        let target = self.node(directory)?;
        // The name is a link of the kernel's to the file itself, be that a symbolic link.
        linkat(self.descriptors(), &*own_name, &*target, name, AtFlags::SYMLINK_FOLLOW)?;
        let (number, stat) = self.nodes.find(directory, name)?;
        Ok(Reply::empty().entry(number, &stat))
    }

    /// Makes a file, or takes the one that has come meanwhile, and opens it.
    pub(super) fn create(&mut self, asked: &Asked<'_>, name: &CStr, flags: u32, mode: u32) -> Result<Reply, Errno> {
        self.handles.check_room()?;
        let directory = self.node(asked.header.node)?;
        let wanted = OFlags::from_bits_truncate(flags);
        let only_new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = openat(
            &*directory,
            name,
            flags_of(flags) | only_new,
            Mode::from_raw_mode(mode & 0o7777),
        );
        let file = match opened {
            Ok(file) => {
                self.own(asked, &directory, name, Some(mode))?;
                File::from(file)
            }
            Err(Errno::EXIST) if !wanted.contains(OFlags::EXCL) => {
                let found = nodes::open(&directory, name)?;
                let file = nodes::reopen(self.descriptors(), &found, flags_of(flags)).map(File::from)?;
                if wanted.contains(OFlags::TRUNC) {
                    resize(&file, 0)?;
                }
                file
            }
            Err(error) => return Err(error),
        };
        let (number, stat) = self.nodes.find(asked.header.node, name)?;
        let handle = self.handles.open(file);
        Ok(Reply::empty().entry(number, &stat).open(handle))
    }

    /// Gives what was made to who asked for it, and tells of it.
    fn made(&mut self, asked: &Asked<'_>, directory: &OwnedFd, name: &CStr, mode: Option<u32>) -> Result<Reply, Errno> {
        self.own(asked, directory, name, mode)?;
        let (number, stat) = self.nodes.find(asked.header.node, name)?;
        Ok(Reply::empty().entry(number, &stat))
    }

    /// Gives what was made to who asked for it; what cannot be given away is not made.
    fn own(&self, asked: &Asked<'_>, directory: &OwnedFd, name: &CStr, mode: Option<u32>) -> Result<(), Errno> {
        let given = self.give(asked, directory, name, mode);
        if given.is_err() {
            let is_directory = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
            let flags = if is_directory {
                AtFlags::REMOVEDIR
            } else {
                AtFlags::empty()
            };
            // What cannot be removed either is left over, and the guest knows that it has failed.
            let _ = unlinkat(directory, name, flags);
        }
        given
    }

    fn give(&self, asked: &Asked<'_>, directory: &OwnedFd, name: &CStr, mode: Option<u32>) -> Result<(), Errno> {
        let made = nodes::open(directory, name)?;
        let stat = fstat(&made)?;
        let owner = user(asked.header.user)?;
        let owning_group = if passes_on_group(&fstat(directory)?) {
            None
        } else {
            Some(group(asked.header.group)?)
        };
        let is_given = stat.st_uid == owner.as_raw() && owning_group.is_none_or(|group| stat.st_gid == group.as_raw());
        if is_given {
            return Ok(());
        }
        let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
        chownat(&made, c"", Some(owner), owning_group, flags)?;
        if let Some(mode) = mode.filter(|mode| mode & SET_ID != 0) {
            let mode = Mode::from_raw_mode(mode & 0o7777);
            chmodat(self.descriptors(), &*nodes::name(&made), mode, AtFlags::empty())?;
        }
        Ok(())
    }
}
